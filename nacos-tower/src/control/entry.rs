//! One endpoint in the registry.
use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    endpoint::{ConnectionId, Endpoint, Slot, Status},
    error::SharedError,
};

/// An endpoint, from the set that first names it until it has left and its connection is given up.
#[derive(Debug)]
pub(crate) struct Entry<C> {
    pub(crate) number: u64,
    /// As the newest set has it.
    pub(crate) endpoint: Endpoint,
    pub(crate) slot: Arc<Slot<C>>,
    pub(crate) state: ConnectionState<C>,
    /// Attempts that failed, and connections that ended soon, in a row.
    pub(crate) failures: u32,
    /// Why the last attempt failed, if it did.
    pub(crate) error: Option<SharedError>,
}

/// The connection of an entry: wanted, there, or no longer wanted.
#[derive(Debug)]
pub(crate) enum ConnectionState<C> {
    /// It is to be dialled as soon as its turn comes.
    Queued,
    /// An attempt is under way.
    Connecting,
    /// The next attempt follows after a pause.
    Backoff,
    /// It serves, since a moment.
    Ready { connection: Arc<C>, since: Instant },
    /// The endpoint has left the set, at a moment, and may return to its connection.
    Draining { connection: Arc<C>, since: Instant },
}

impl<C> Entry<C> {
    pub(crate) fn new(number: u64, endpoint: Endpoint, slot: Arc<Slot<C>>) -> Self {
        Self { number, endpoint, slot, state: ConnectionState::Queued, failures: 0, error: None }
    }

    /// Lets requests use a connection.
    pub(crate) fn open(&mut self, connection: Arc<C>, id: ConnectionId, since: Instant) {
        self.slot.open(Arc::clone(&connection), id);
        self.state = ConnectionState::Ready { connection, since };
    }

    pub(crate) fn status(&self) -> Status {
        match self.state {
            ConnectionState::Ready { .. } => Status::Ready,
            ConnectionState::Draining { .. } => Status::Draining,
            ConnectionState::Queued | ConnectionState::Connecting | ConnectionState::Backoff => {
                if self.error.is_some() {
                    Status::Failing
                } else {
                    Status::Connecting
                }
            }
        }
    }
}
