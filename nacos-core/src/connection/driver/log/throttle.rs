//! What is worth a line, but not each time.
use std::time::{Duration, Instant};

/// Lets something through once in [that time](WARNING_EVERY).
#[derive(Debug, Default)]
pub(in super::super) struct Throttle {
    last: Option<Instant>,
}

impl Throttle {
    /// Whether the last time was long enough ago; if so, this is the last time.
    pub(in super::super) fn allows(&mut self, now: Instant) -> bool {
        let recently = self.last.is_some_and(|last| now < last + WARNING_EVERY);
        if !recently {
            self.last = Some(now);
        }
        !recently
    }
}

/// Between two warnings of one kind, or two details of one outage.
pub(in super::super) const WARNING_EVERY: Duration = Duration::from_secs(60);

/// A line at `$level` where `$allowed`, and at debug otherwise.
macro_rules! line {
    ($allowed:expr, $level:ident, $($line:tt)+) => {
        if $allowed { tracing::$level!($($line)+) } else { tracing::debug!($($line)+) }
    };
}

pub(in super::super) use line;
