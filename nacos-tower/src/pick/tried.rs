//! The connections that a request has tried already.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::endpoint::ConnectionId;

/// The connections that a request is not to be sent through again.
///
/// One that the try before this one used comes first: it is avoided as long as there is another.
/// Those that gave the request back follow: they are avoided altogether. The same endpoint behind
/// a new connection is a fresh try.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    connections: [ConnectionId; SENDS + 1],
    refused: usize,
}

impl Tried {
    /// Begins after a try that used `last`; 0 for none.
    pub(crate) fn after(last: ConnectionId) -> Self {
        let mut tried = Self::default();
        tried.connections[0] = last;
        tried
    }

    /// Adds one that gave the request back. False if that is enough.
    pub(crate) fn refuse(&mut self, connection: ConnectionId) -> bool {
        self.refused += 1;
        if let Some(place) = self.connections.get_mut(self.refused) {
            *place = connection;
        }
        self.refused < SENDS
    }

    pub(crate) fn all(&self) -> &[ConnectionId] {
        self.connections.get(..=self.refused).unwrap_or(&self.connections)
    }

    /// Those that gave the request back. None if the try before this one left nothing else to
    /// avoid.
    pub(crate) fn without_last(&self) -> Option<&[ConnectionId]> {
        let (&last, refused) = self.all().split_first()?;
        (last != 0).then_some(refused)
    }
}

/// Travels with a request that may be tried twice, so that the second try goes elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastTried(Arc<AtomicU64>);

impl LastTried {
    pub(crate) fn get(&self) -> ConnectionId {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, connection: ConnectionId) {
        self.0.store(connection, Relaxed);
    }
}

/// How many endpoints a request is offered to: when each gave it back, something else is wrong.
const SENDS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_refusals_are_enough() {
        let mut tried = Tried::after(9);
        assert_eq!(tried.all(), [9]);
        assert_eq!(tried.without_last(), Some(&[][..]));
        assert!(tried.refuse(1));
        assert!(tried.refuse(2));
        assert!(!tried.refuse(3));
        assert_eq!(tried.all(), [9, 1, 2, 3]);
        assert_eq!(tried.without_last(), Some(&[1, 2, 3][..]));
        assert_eq!(Tried::after(0).without_last(), None, "the same as all");
    }
}
