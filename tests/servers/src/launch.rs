//! How a server is started and what it must show: values, so that tests can look at them.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Product;
use crate::readiness::Readiness;

/// Everything about one server but its process.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) product: Product,
    pub(crate) launch: Launch,
    pub(crate) door: Door,
    pub(crate) readiness: Readiness,
    /// How often it is started before that counts as a failure.
    pub(crate) tries: u32,
}

/// A command line with its whole environment; nothing is inherited.
///
/// The environment of the tests would be a second, invisible configuration: r-nacos and Java Nacos
/// both read theirs from it.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, OsString)>,
    /// Made in the server's directory before it starts.
    pub(crate) folders: &'static [&'static str],
}

/// Where a server is reached, and the user to log in as.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) main: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) credentials: Option<Credentials>,
}

/// The user of a server.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}
