//! How sure a client is of what it shows of a document.
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::error::ErrorKind;

/// Where the state of a watched document comes from, and how sure it is.
///
/// It stands beside the state, because it changes without it: a document that is confirmed is the
/// same document. `Stale` means that a newer one may exist, and nothing worse; nothing but a
/// server's word makes a document absent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use nacos_core::Freshness;
///
/// let watch = nacos.configs().watch("orders.yaml")?.ready().await?;
/// assert!(matches!(*watch.freshness().get(), Freshness::Confirmed { .. }));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Freshness {
    /// The server has said so, and will tell of changes: it is listened to.
    Confirmed {
        /// When it said so last. The time moves on with each audit, about every three minutes.
        at: Instant,
    },
    /// Nobody confirms it at present.
    Stale {
        /// Since when.
        since: Instant,
        /// Why: [`Disconnected`](ErrorKind::Disconnected) until a server has answered, and again
        /// once the connection is lost; [`Overloaded`](ErrorKind::Overloaded) where something may
        /// have changed and the client has not asked for a second, to spare the server or because
        /// it is frozen, and [`Timeout`](ErrorKind::Timeout) where it is read-only, of which
        /// [`Configs::storm`](crate::Configs::storm) says more; otherwise the kind of the failure,
        /// also that of a [filter](crate::filter).
        why: ErrorKind,
    },
    /// It is a snapshot on disk, which no server has confirmed since the start.
    FromDisk {
        /// How old the snapshot was when it was read.
        age: Duration,
    },
    /// It is a file by which an operator overrides the server.
    Overridden {
        /// The file.
        path: Arc<Path>,
    },
}

impl Freshness {
    /// Whether the server has confirmed it, and nothing is known against that.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }
}
