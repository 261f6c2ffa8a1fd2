//! Limits for events that are worth a line, but not each time.
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

/// Lets a few through in [that time](WARNING_EVERY), and counts the others.
#[derive(Debug, Default)]
pub(in super::super) struct Burst {
    began: Option<Instant>,
    let_through: u32,
    left_out: u64,
}

impl Burst {
    /// Whether this one may pass; if not, it is counted.
    pub(in super::super) fn allows(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now >= began + WARNING_EVERY) {
            (self.began, self.let_through) = (Some(now), 0);
        }
        let allowed = self.let_through < AT_ONCE;
        if allowed {
            self.let_through += 1;
        } else {
            self.left_out += 1;
        }
        allowed
    }

    /// How many did not pass since this was last asked, for a line that says so; `None` if all did.
    pub(in super::super) fn take_left_out(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.left_out)).filter(|left_out| *left_out > 0)
    }
}

/// As many ends of connections as reports keep.
const AT_ONCE: u32 = 8;

/// Between two warnings of one kind, or two details of one outage.
pub(in super::super) const WARNING_EVERY: Duration = Duration::from_secs(60);

/// A line at `$level` where `$allowed`, and at debug otherwise.
macro_rules! line {
    ($allowed:expr, $level:ident, $($line:tt)+) => {
        if $allowed { tracing::$level!($($line)+) } else { tracing::debug!($($line)+) }
    };
}

pub(in super::super) use line;
