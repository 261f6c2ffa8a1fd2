//! What is worth a line, but not each time.
use std::time::{Duration, Instant};

/// Lets something through once in a while.
#[derive(Debug)]
pub(in super::super) struct Throttle {
    every: Duration,
    last: Option<Instant>,
}

impl Throttle {
    pub(in super::super) fn every(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Whether the last time was long enough ago; if so, this is the last time.
    pub(in super::super) fn allows(&mut self, now: Instant) -> bool {
        let recently = self.last.is_some_and(|last| now < last + self.every);
        if !recently {
            self.last = Some(now);
        }
        !recently
    }
}

/// One warning of a kind in that time; the others are details.
impl Default for Throttle {
    fn default() -> Self {
        Self::every(WARNING_EVERY)
    }
}

/// Between two warnings of one kind.
pub(in super::super) const WARNING_EVERY: Duration = Duration::from_secs(60);

/// A line at `$level` where `$allowed`, and at debug otherwise.
macro_rules! line {
    ($allowed:expr, $level:ident, $($line:tt)+) => {
        if $allowed { tracing::$level!($($line)+) } else { tracing::debug!($($line)+) }
    };
}

pub(super) use line;
