//! When things happen that a server does on its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::Behaviour;

/// The moment after a delay; a delay beyond all time ends in thirty years.
pub(crate) fn later(delay: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(delay).unwrap_or_else(|| now + THIRTY_YEARS)
}

const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The delays of a server; all zero unless the builder was told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// From a publish to the moment queries see it, counted from its answer.
    pub(crate) config_dump: Duration,
    /// From there to the notice.
    pub(crate) config_notice: Duration,
    /// From a change of a service to its push; changes in between are merged.
    pub(crate) naming_push: Duration,
    /// Pushes leave only at multiples of this after the server's start (r-nacos).
    pub(crate) naming_tick: Duration,
    /// From a fuzzy watch of services to the first list of what it matches.
    pub(crate) naming_watch: Duration,
    /// From there to the end of that list.
    pub(crate) naming_watch_end: Duration,
}

impl Timing {
    /// The times observed on the real servers.
    pub(crate) fn observed(behaviour: Behaviour) -> Self {
        match behaviour {
            Behaviour::Nacos2_3
            | Behaviour::Nacos2_5
            | Behaviour::Nacos3_0
            | Behaviour::Nacos3_3 => Self {
                // Queries up to 40 ms after the answer found the old content, those from 43 ms on
                // the new one, in 2.3.2 and in 3.0.3.
                config_dump: Duration::from_millis(42),
                naming_push: Duration::from_millis(500),
                naming_watch: Duration::from_secs(1),
                naming_watch_end: Duration::from_millis(600),
                ..Self::default()
            },
            Behaviour::RNacos => Self {
                naming_push: Duration::from_millis(500),
                naming_tick: Duration::from_millis(500),
                ..Self::default()
            },
        }
    }

    /// How long the push of a service waits that changed `since_start` after the server's start.
    pub(crate) fn until_naming_push(&self, since_start: Duration) -> Duration {
        let tick = self.naming_tick.as_millis();
        if tick == 0 {
            return self.naming_push;
        }
        let due = (since_start + self.naming_push).as_millis().div_ceil(tick) * tick;
        let due = Duration::from_millis(u64::try_from(due).unwrap_or(u64::MAX));
        due.saturating_sub(since_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticked_push_leaves_at_the_first_tick_that_is_late_enough() {
        let timing = Timing::observed(Behaviour::RNacos);
        let after = |ms| timing.until_naming_push(Duration::from_millis(ms)).as_millis();
        assert_eq!(after(0), 500);
        assert_eq!(after(1), 999);
        assert_eq!(after(499), 501);
        assert_eq!(after(500), 500);
    }
}
