//! From files of certificates to what rustls connects with.
use std::{
    hash::BuildHasher,
    path::Path,
    sync::{Arc, OnceLock},
};

use tokio_rustls::rustls::{
    self, ClientConfig, InconsistentKeys, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use zeroize::Zeroizing;

use super::{Alpn, ClientFiles, TlsProblem, TlsSettings, TlsVersion};
use crate::file;

/// The configurations of rustls that connections are made with. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct TlsConfigs {
    h2: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl TlsConfigs {
    pub(super) fn of(&self, alpn: Alpn) -> Arc<ClientConfig> {
        Arc::clone(match alpn {
            Alpn::H2 => &self.h2,
            Alpn::Http1 => &self.http1,
        })
    }
}

/// The files as they are now.
pub(super) struct Files {
    ca: Option<Pem>,
    client: Option<[Pem; 2]>,
}

type Pem = Zeroizing<Vec<u8>>;

impl Files {
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, TlsProblem> {
        let ca = settings.ca_file.as_deref().map(|path| read("tls_ca_file", path)).transpose()?;
        let client = match &settings.client {
            None => None,
            Some(files) => {
                let cert = read("tls_cert_file", &files.cert)?;
                Some([cert, read("tls_key_file", &files.key)?])
            }
        };
        Ok(Self { ca, client })
    }

    /// The same for the same contents. Times of files are too coarse to tell them apart, and a
    /// copy of the key need not stay in memory for it.
    pub(super) fn print(&self, hasher: &impl BuildHasher) -> u64 {
        let ca = self.ca.as_deref();
        let client = self.client.as_ref().map(|files| files.each_ref().map(|file| &**file));
        hasher.hash_one((ca, client))
    }

    pub(super) fn configs(
        &self,
        settings: &TlsSettings,
        system: &OnceLock<Arc<RootCertStore>>,
    ) -> Result<TlsConfigs, TlsProblem> {
        let roots = match (&self.ca, &settings.ca_file) {
            (Some(ca), Some(path)) => Arc::new(given_roots(ca, path)?),
            _ => system_roots(system)?,
        };
        let versions: &[_] = match settings.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| problem("tls_min_version", error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match (&self.client, &settings.client) {
            (Some([cert, key]), Some(files)) => {
                let chain = certificates("tls_cert_file", cert, &files.cert)?;
                let key = private_key(key, &files.key)?;
                let identity = builder.with_client_auth_cert(chain, key);
                identity.map_err(|error| unusable(&error, files))?
            }
            _ => builder.with_no_client_auth(),
        };
        // Connections are few and live long: each is checked in full.
        config.resumption = Resumption::disabled();
        let speaking = |alpn: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        Ok(TlsConfigs { h2: speaking(b"h2"), http1: speaking(b"http/1.1") })
    }
}

/// The one that the process has installed, as for a certified module; ring's where there is none.
fn provider() -> Arc<CryptoProvider> {
    let installed = CryptoProvider::get_default().cloned();
    installed.unwrap_or_else(|| Arc::new(ring::default_provider()))
}

fn given_roots(pem: &[u8], path: &Path) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for cert in certificates("tls_ca_file", pem, path)? {
        let added = roots.add(cert);
        added.map_err(|_| of_file("tls_ca_file", path, "it holds a damaged certificate"))?;
    }
    Ok(roots)
}

/// Read once: where a system keeps its authorities, and in what shape, differs too much to ask for
/// changes at each connection.
fn system_roots(system: &OnceLock<Arc<RootCertStore>>) -> Result<Arc<RootCertStore>, TlsProblem> {
    if let Some(roots) = system.get() {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that nothing can read; what one of those has signed is refused.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = match found.errors.first() {
            Some(error) => format!("the system's certificate authorities cannot be read: {error}"),
            None => "this system has no certificate authorities: give them in a file".to_owned(),
        };
        return Err(problem("tls_ca_file", why));
    }
    Ok(Arc::clone(system.get_or_init(|| Arc::new(roots))))
}

fn certificates(
    option: &'static str,
    pem: &[u8],
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    // The parser's own words would quote the file.
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(of_file(option, path, "it holds no PEM certificate")),
        Ok(chain) => Ok(chain),
        Err(_) => Err(of_file(option, path, "its PEM cannot be read")),
    }
}

fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let encrypted = pem.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        let why = if encrypted {
            "the key is encrypted, which is not supported: decrypt it, and guard the file"
        } else {
            "it holds no PEM private key"
        };
        of_file("tls_key_file", path, why)
    })
}

fn unusable(error: &rustls::Error, files: &ClientFiles) -> TlsProblem {
    let of_key = |why| of_file("tls_key_file", &files.key, why);
    match error {
        rustls::Error::InvalidCertificate(_) => {
            of_file("tls_cert_file", &files.cert, "it holds a damaged certificate")
        }
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            of_key("it is not the key of the certificate")
        }
        _ => of_key("it is no key that can be used here"),
    }
}

fn read(option: &'static str, path: &Path) -> Result<Pem, TlsProblem> {
    // Certificates are some kilobytes; a log is none.
    file::read(path, MOST_BYTES, "it is too long to be one")
        .map_err(|error| of_file(option, path, &error.to_string()))
}

fn of_file(option: &'static str, path: &Path, why: &str) -> TlsProblem {
    problem(option, format!("{}: {why}", path.display()))
}

fn problem(option: &'static str, why: String) -> TlsProblem {
    TlsProblem { option, why }
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";
const MOST_BYTES: usize = 16 * 1024 * 1024;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Reading `/dev/zero` would not end, nor stop taking memory; this device stands for it.
    #[test]
    fn devices_are_no_files_of_certificates() {
        let error = read("tls_ca_file", Path::new("/dev/null")).expect_err("a device");
        assert!(error.why.contains("it is no file"), "{}", error.why);
    }
}
