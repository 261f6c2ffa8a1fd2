//! The place of an endpoint's connection: the controller fills it, requests share it.
use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;

use super::stats::{ConnectionId, Stats};

/// The connection of one endpoint, if it has one.
///
/// A connection belongs to the controller and to the [`Lease`]s of requests that use it. Leaving an
/// endpoint therefore means to give up a share: the controller takes the connection out of the
/// slot, and it closes when the last request under way has ended. No request can get in between,
/// because taking a share is one atomic load.
pub(crate) struct Slot<C> {
    stats: Arc<Stats>,
    connection: ArcSwapOption<C>,
}

impl<C> Slot<C> {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        Self { stats, connection: ArcSwapOption::empty() }
    }

    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Takes a share of the endpoint's connection.
    ///
    /// `None` if there is none, or if it is not `open` any more: then no request tries `id` again.
    #[inline]
    pub(crate) fn lease(&self, id: ConnectionId, open: impl Fn(&C) -> bool) -> Option<Lease<C>> {
        let Some(connection) = self.connection.load_full().filter(|connection| open(connection))
        else {
            self.stats.close_if(id);
            return None;
        };
        self.stats.request_began();
        Some(Lease { connection, stats: Arc::clone(&self.stats), id })
    }

    /// Lets requests use `connection` from now on.
    pub(crate) fn open(&self, connection: Arc<C>, id: ConnectionId) {
        self.connection.store(Some(connection));
        self.stats.open(id);
    }

    /// Lets no request in any more; those under way keep their connection.
    pub(crate) fn close(&self) {
        self.stats.close();
        self.connection.store(None);
    }
}

impl<C> fmt::Debug for Slot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.stats).finish()
    }
}

/// One request's share of a connection. Held until its response has ended.
pub(crate) struct Lease<C> {
    pub(crate) connection: Arc<C>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) id: ConnectionId,
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        self.stats.request_ended();
    }
}

impl<C> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.stats).finish()
    }
}
