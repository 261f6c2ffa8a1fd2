//! How many of users' calls may be under way on a connection: as many as its peer takes streams,
//! less those of the session itself.
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// Places for users' calls; none until the peer has said how many streams it takes.
///
/// Peers may say something else at any time. The task of the connection alone tells them, and gives
/// them back, so that nothing here happens at the same time as something else.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
    /// How many there are.
    all: AtomicUsize,
    /// How many of those that are taken are none any more.
    owed: AtomicUsize,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub(super) struct CallPlace<'a>(&'a Places);

impl Places {
    pub(super) fn new() -> Self {
        Self { free: Semaphore::new(0), all: AtomicUsize::new(0), owed: AtomicUsize::new(0) }
    }

    /// The peer takes so many streams from now on.
    pub(super) fn follow(&self, streams: usize) {
        let (all, before) = (places(streams), self.all.load(Ordering::Relaxed));
        if all == before {
            return;
        }
        self.all.store(all, Ordering::Relaxed);
        let owed = self.owed.load(Ordering::Relaxed);
        let owed = if let Some(more) = all.checked_sub(before) {
            self.free.add_permits(more.saturating_sub(owed));
            owed.saturating_sub(more)
        } else {
            let less = before - all;
            owed + less - self.free.forget_permits(less)
        };
        self.owed.store(owed, Ordering::Relaxed);
    }

    /// A place, if one is free and no call waits.
    pub(super) fn free(&self) -> Option<CallPlace<'_>> {
        Some(self.place(self.free.try_acquire().ok()?))
    }

    /// The next place that is free.
    ///
    /// # Errors
    ///
    /// There will be none.
    pub(super) async fn next(&self) -> Result<CallPlace<'_>, AcquireError> {
        Ok(self.place(self.free.acquire().await?))
    }

    fn place(&self, permit: SemaphorePermit<'_>) -> CallPlace<'_> {
        // Given back by the place, unless it is one that is owed.
        permit.forget();
        CallPlace(self)
    }

    /// There are none any more.
    pub(super) fn close(&self) {
        self.free.close();
    }
}

impl Drop for CallPlace<'_> {
    fn drop(&mut self) {
        let Self(places) = self;
        match places.owed.load(Ordering::Relaxed).checked_sub(1) {
            Some(left) => places.owed.store(left, Ordering::Relaxed),
            None => places.free.add_permits(1),
        }
    }
}

/// How many of users' calls may be under way at a peer that takes so many streams: what the session
/// itself asks for is never behind them.
fn places(streams: usize) -> usize {
    let at_least = streams.min(1);
    streams.saturating_sub(OWN).max(streams / 2).clamp(at_least, USERS.into())
}

/// Users' calls at once on one connection.
pub(super) const USERS: u16 = 256;
/// Streams for the session itself: its own stream, its queries and health checks.
const OWN: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_has_streams_of_its_own_wherever_there_are_two() {
        assert_eq!(places(usize::MAX), usize::from(USERS));
        assert_eq!(places(200), 128);
        assert_eq!(places(100), 50);
        assert_eq!(places(2), 1);
        assert_eq!(places(1), 1);
        assert_eq!(places(0), 0);
    }

    #[test]
    fn places_follow_what_the_peer_says_also_while_they_are_taken() {
        let _limit = nacos_testkit::TimeLimit::start();
        let all = Places::new();
        let mut taken = Vec::new();
        let take = |taken: &mut Vec<_>| taken.extend(std::iter::from_fn(|| all.free()));
        take(&mut taken);
        assert_eq!(taken.len(), 0, "it has not said anything yet");
        for (streams, there) in [(8, 4), (100, 50), (100, 50), (20, 50), (60, 50), (120, 60)] {
            all.follow(streams);
            take(&mut taken);
            assert_eq!(taken.len(), there, "{streams} streams");
        }
        all.follow(0);
        taken.clear();
        take(&mut taken);
        assert_eq!(taken.len(), 0);
        all.follow(100);
        take(&mut taken);
        all.follow(20);
        taken.truncate(15);
        take(&mut taken);
        assert_eq!(taken.len(), 15, "five too many");
        taken.truncate(9);
        take(&mut taken);
        assert_eq!(taken.len(), 10);
    }
}
