//! Certificate authorities of a test's own, as strangers would run them: a root, an intermediate
//! that signs for it, and what they hand out.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256,
    date_time_ymd,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The algorithm of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    Ecdsa,
    Rsa,
}

/// A root and an intermediate.
#[derive(Debug)]
pub(crate) struct Authority {
    keys: Keys,
    number: u32,
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its chain, and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    chain_pem: String,
    key_pem: String,
}

/// Where an identity stands on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(keys: Keys) -> Self {
        // Each has a name of its own, as in life: else a wrong signature is what is found first.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self::named(keys, COUNT.fetch_add(1, Ordering::Relaxed))
    }

    fn named(keys: Keys, number: u32) -> Self {
        let root = authority(&format!("root {number}"));
        let root = CertifiedIssuer::self_signed(root, keys.of_authority()).expect("a certificate");
        let intermediate = authority(&format!("intermediate {number}"));
        let intermediate =
            CertifiedIssuer::signed_by(intermediate, keys.of_authority(), &root).expect("signed");
        Self { keys, number, root, intermediate }
    }

    /// A certificate for these names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_until(names, 2100)
    }

    /// The same, valid until the first day of a year.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.not_before = date_time_ymd(2015, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = self.keys.of_leaf();
        let cert = params.signed_by(&key, &self.intermediate).expect("signed");
        let chain_pem = format!("{}{}", cert.pem(), self.intermediate.pem());
        let chain = vec![cert.der().clone(), self.intermediate.der().clone()];
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        Identity { chain, key: der.into(), chain_pem, key_pem: key.serialize_pem() }
    }

    /// Writes the root's certificate, which is what others trust.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, &format!("{name}.pem"), &self.root.pem())
    }
}

impl Identity {
    /// Writes `name.pem` and `name.key.pem`.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> Paths {
        Paths {
            cert: write(folder, &format!("{name}.pem"), &self.chain_pem),
            key: write(folder, &format!("{name}.key.pem"), &self.key_pem),
        }
    }
}

/// For tests that serve with it; the real servers read files.
#[allow(dead_code, reason = "not every test binary has a server of its own")]
impl Identity {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

#[allow(dead_code, reason = "not every test binary has a server of its own")]
impl Authority {
    /// With the names of this one, and keys of its own.
    pub(crate) fn namesake(&self) -> Self {
        Self::named(Keys::Ecdsa, self.number)
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }
}

impl Keys {
    fn of_authority(self) -> KeyPair {
        self.key(include_str!("../fixtures/tls/test-only-authority.rsa.pem"))
    }

    fn of_leaf(self) -> KeyPair {
        self.key(include_str!("../fixtures/tls/test-only-leaf.rsa.pem"))
    }

    /// ring signs with RSA keys and makes none.
    fn key(self, rsa: &str) -> KeyPair {
        match self {
            Self::Ecdsa => KeyPair::generate(),
            Self::Rsa => KeyPair::from_pkcs8_pem_and_sign_algo(rsa, &PKCS_RSA_SHA256),
        }
        .expect("a key")
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("writable");
    path
}
