//! How often logins may be tried soon: a budget beside the series, for what begins it anew.
use std::time::{Duration, Instant};

/// Spreads logins that would come soon after another one.
///
/// A series begins anew with each restart of a server, and with each credential. Nobody can tell a
/// restart from a connection that something ends by a limit, so that alone is no reason to ask more
/// often than this in the long run.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next one would be due, were all of them spread evenly.
    due: Option<Instant>,
}

impl Pace {
    /// When the next one may come, as it looks now.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let due = self.due(now);
        due.checked_sub(EVERY * (AT_ONCE - 1)).unwrap_or(due).max(now)
    }

    /// One comes at `at`, or when it may if that is later.
    pub(super) fn take(&mut self, now: Instant, at: Instant) -> Instant {
        let at = at.max(self.next(now));
        self.due = Some(self.due(now) + EVERY);
        at
    }

    fn due(&self, now: Instant) -> Instant {
        self.due.map_or(now, |due| due.max(now))
    }
}

/// In the long run: as long as Java takes to read its users, so that no series is in vain.
const EVERY: Duration = Duration::from_secs(15);
/// After a while without any: the series of three restarts.
const AT_ONCE: u32 = 40;
