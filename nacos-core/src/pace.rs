//! Turns that are spread over time: some at once after a while without any, then one at a time.
use std::time::{Duration, Instant};

/// A budget of turns. Time comes in as an argument.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time between two turns, once the initial ones are used up.
    every: Duration,
    /// How many turns there are at once after a while without any.
    at_once: u32,
    /// When the next one would be due, were all of them spread evenly.
    due: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(every: Duration, at_once: u32) -> Self {
        Self { every, at_once, due: None }
    }

    /// When the next turn may come, as it looks now.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let due = self.due(now);
        due.checked_sub(self.every * (self.at_once - 1)).unwrap_or(due).max(now)
    }

    /// Takes a turn at `at`, or when it may come if that is later. Returns when that is.
    pub(crate) fn take(&mut self, now: Instant, at: Instant) -> Instant {
        let at = at.max(self.next(now));
        self.due = Some(self.due(now) + self.every);
        at
    }

    /// Takes a turn if there is one now, and says whether.
    pub(crate) fn try_take(&mut self, now: Instant) -> bool {
        let may = self.next(now) <= now;
        if may {
            self.take(now, now);
        }
        may
    }

    fn due(&self, now: Instant) -> Instant {
        self.due.map_or(now, |due| due.max(now))
    }
}
