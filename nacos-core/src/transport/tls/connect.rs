//! The handshake, with certificates as fresh as their files.
use std::{
    collections::hash_map::RandomState,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{net::TcpStream, sync::OwnedMutexGuard, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{RootCertStore, pki_types::ServerName},
};
use tracing::{info, warn};

use super::{
    Alpn, TlsProblem, TlsSettings, TlsStream,
    config::{Files, TlsConfigs},
    explain::explain,
};
use crate::{tasks, transport::socket::Socket};

/// TLS as it was configured. Cheap to clone; every clone reads the files only once.
#[derive(Clone)]
pub(crate) struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    settings: TlsSettings,
    loaded: Mutex<Loaded>,
    /// Held while files are read: by one at a time, however slow the disk is.
    reading: Arc<tokio::sync::Mutex<()>>,
    system: OnceLock<Arc<RootCertStore>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Loaded {
    configs: Option<TlsConfigs>,
    /// Of the files that they were made of.
    print: u64,
    /// The last complaint about files that cannot be used.
    complaint: Option<TlsProblem>,
}

impl Tls {
    pub(crate) fn new(settings: TlsSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                loaded: Mutex::default(),
                reading: Arc::default(),
                system: OnceLock::new(),
                hasher: RandomState::new(),
            }),
        }
    }

    /// Reads the files. Blocks for as long as the disk does.
    ///
    /// # Errors
    ///
    /// Names the option whose value cannot be used.
    pub(crate) fn check(&self) -> Result<(), TlsProblem> {
        if let Some(name) = &self.shared.settings.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            return Err(TlsProblem {
                option: "tls_server_name",
                why: format!("{name:?} is no name that a certificate can have"),
            });
        }
        self.shared.load(None).map(drop)
    }

    /// The name that servers' certificates have to show, if it is not the host.
    pub(in crate::transport) fn server_name(&self) -> Option<&str> {
        self.shared.settings.server_name.as_deref()
    }

    /// TLS over `socket`, to a peer that shows `name`. The caller gives the deadline.
    ///
    /// # Errors
    ///
    /// Names the peer and the name that it has to show, and says what is wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub(in crate::transport) async fn connect(
        &self,
        socket: TcpStream,
        (host, port): (&str, u16),
        name: &str,
        alpn: Alpn,
    ) -> io::Result<Socket> {
        let whom = format!("TLS with {host} port {port} as {name:?}");
        let failed = |why: String| io::Error::other(format!("{whom}: {why}"));
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| failed("that is no name that a certificate can have".to_owned()))?;
        let configs = self.configs().await.map_err(|problem| failed(problem.why))?;
        let connector = TlsConnector::from(configs.of(alpn));
        let shows_certificate = self.shared.settings.client.is_some();
        match connector.connect(server_name, socket).await {
            Ok(stream) => {
                let stream = TlsStream::new(stream, whom, shows_certificate);
                Ok(Socket::Tls(Box::new(stream)))
            }
            Err(error) => Err(failed(explain(&error, shows_certificate))),
        }
    }

    /// The configurations for the next connection: of the files as they are now, or as they last
    /// were of use.
    async fn configs(&self) -> Result<TlsConfigs, TlsProblem> {
        let former = self.shared.loaded().configs.clone();
        if let (Some(former), false) = (&former, self.shared.has_files()) {
            return Ok(former.clone());
        }
        let load = async {
            let reading = Arc::clone(&self.shared.reading).lock_owned().await;
            let shared = Arc::clone(&self.shared);
            tasks::blocking(move || shared.load(Some(reading))).await
        };
        let loaded = match &former {
            Some(_) => timeout(READING, load).await.unwrap_or_default(),
            None => load.await,
        };
        match (loaded, former) {
            (Some(loaded), _) => loaded,
            (None, Some(former)) => Ok(former),
            (None, None) => Err(TlsProblem {
                option: "tls",
                why: "the files of certificates could not be read".to_owned(),
            }),
        }
    }
}

impl Shared {
    /// Blocks. `reading` is held until everything is read.
    fn load(&self, reading: Option<OwnedMutexGuard<()>>) -> Result<TlsConfigs, TlsProblem> {
        let files = Files::read(&self.settings);
        let print = files.as_ref().map(|files| files.print(&self.hasher)).unwrap_or_default();
        {
            let mut loaded = self.loaded();
            if let (Some(configs), Ok(_)) = (&loaded.configs, &files)
                && loaded.print == print
            {
                let configs = configs.clone();
                loaded.complaint = None;
                return Ok(configs);
            }
        }
        let made = files.and_then(|files| files.configs(&self.settings, &self.system));
        let mut loaded = self.loaded();
        match made {
            Ok(configs) => {
                let former = loaded.configs.replace(configs.clone());
                loaded.print = print;
                loaded.complaint = None;
                // Not under a lock: the log's subscriber is a user's code.
                drop((loaded, reading));
                if former.is_some() {
                    info!("certificates have changed: new connections are made with them");
                }
                Ok(configs)
            }
            Err(problem) => {
                let Some(former) = loaded.configs.clone() else { return Err(problem) };
                let said = loaded.complaint.replace(problem.clone());
                drop((loaded, reading));
                if said.as_ref() != Some(&problem) {
                    let TlsProblem { option, why } = &problem;
                    warn!(option, %why, "certificates cannot be read again: the former stay");
                }
                Ok(former)
            }
        }
    }

    fn has_files(&self) -> bool {
        self.settings.ca_file.is_some() || self.settings.client.is_some()
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        // The value under the lock is whole at every moment.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

/// For reading the files again. A disk that is slower, or gone, leaves the former certificates.
const READING: Duration = Duration::from_millis(250);
