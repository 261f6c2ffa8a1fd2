//! When every listen is confirmed again: pushes are not repeated, and may have been lost.
use std::time::{Duration, Instant};

use crate::{
    session::{backoff::ASKED_EVERY, output::Output},
    time::give_or_take_a_fifth,
};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct ListenAudit {
    next: Option<Instant>,
    last: Option<Instant>,
}

impl ListenAudit {
    /// A connection serves: it confirms every listen at first, which counts as an audit.
    pub(super) fn begin(&mut self, now: Instant, output: &mut Output) {
        self.next = Some(after(now, output));
    }

    /// An audit is due soon: at once, unless the last one was a moment ago.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.hurry_apart(now, ASKED_EVERY);
    }

    /// The same at `at`, or a moment `apart` from the last one.
    pub(super) fn hurry_apart(&mut self, at: Instant, apart: Duration) {
        let soonest = self.last.map_or(at, |last| at.max(last + apart));
        self.next = self.next.map(|at| at.min(soonest));
    }

    /// Whether an audit is due, which then counts as done.
    #[must_use = "it counts as done"]
    pub(super) fn take_due(&mut self, now: Instant, output: &mut Output) -> bool {
        let is_due = self.next.is_some_and(|at| at <= now);
        if is_due {
            self.next = Some(after(now, output));
            self.last = Some(now);
        }
        is_due
    }

    /// When one is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
}

fn after(now: Instant, output: &mut Output) -> Instant {
    now + give_or_take_a_fifth(EVERY, output.jitter())
}

/// Every listen is confirmed this often, give or take a fifth.
const EVERY: Duration = Duration::from_secs(180);
