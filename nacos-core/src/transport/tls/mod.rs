//! TLS: what may be configured, and the two faces of it, with and without the cargo feature `tls`.
//!
//! Certificates are always checked, by rustls and with its clock; there is no switch against it.
#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls")]
mod connect;
#[cfg(feature = "tls")]
mod explain;
#[cfg(feature = "tls")]
mod stream;
#[cfg(not(feature = "tls"))]
mod without;

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub(crate) use self::connect::Tls;
#[cfg(feature = "tls")]
pub(super) use self::stream::TlsStream;
#[cfg(not(feature = "tls"))]
pub(crate) use self::without::Tls;

/// The settings of TLS. Files are named, and read when they are needed.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody reads it then"))]
pub(crate) struct TlsSettings {
    /// Authorities in PEM; those of the system otherwise.
    pub(crate) ca_file: Option<PathBuf>,
    /// The client's certificate.
    pub(crate) client: Option<ClientFiles>,
    /// The name that certificates have to show, in place of the host that is dialled.
    pub(crate) server_name: Option<String>,
    pub(crate) min_version: TlsVersion,
}

/// A certificate chain and its key, both in PEM.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody reads it then"))]
pub(crate) struct ClientFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// A version of TLS, for [`ClientBuilder::tls_min_version`](crate::ClientBuilder::tls_min_version).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, from 2008.
    #[default]
    V1_2,
    /// TLS 1.3, from 2018.
    V1_3,
}

/// The protocol above TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alpn {
    H2,
    Http1,
}

/// An error in the settings: the option, and why. Never holds the content of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TlsProblem {
    pub(crate) option: &'static str,
    pub(crate) why: String,
}
