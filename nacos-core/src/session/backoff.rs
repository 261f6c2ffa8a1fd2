//! How long to wait before something is tried again. Pure: jitter comes in as an argument.
use std::time::Duration;

use crate::time::{doubled, give_or_take_a_fifth};

/// The delay before the next search of an outage that has lasted `outage`, after that many
/// `failed_searches`.
///
/// 50 ms × 2ⁿ with full jitter, capped at 250 ms during the first 75 s, so that a server that was
/// away for a minute, and then had to start, has its clients back at once; at `cap` afterwards.
/// `jitter` is uniform in `[0, 1)`: a thousand clients that lost the same server spread over the
/// whole delay.
pub(crate) fn reconnect_delay(
    failed_searches: u32,
    outage: Duration,
    cap: Duration,
    jitter: f64,
) -> Duration {
    let cap = if outage < EAGER { EAGER_CAP.min(cap) } else { cap };
    doubled(FIRST, failed_searches, cap).mul_f64(jitter.clamp(0.0, 1.0))
}

/// The delay before a refused claim or query is sent again.
///
/// 500 ms × 2ⁿ up to 60 s, of which at least half is kept: an overloaded server gains nothing from
/// a retry that follows at once.
pub(crate) fn retry_delay(attempt: u32, jitter: f64) -> Duration {
    at_least_half(doubled(RETRY_FIRST, attempt, RETRY_CAP), jitter)
}

/// The delay before a server that serves is left for another, after `moves` in a row that did not
/// help: any part of a second, so that the clients of one server do not move together; then 2 s ×
/// 2ⁿ up to a minute, of which at least half is kept.
pub(crate) fn move_delay(moves: u32, jitter: f64) -> Duration {
    match moves {
        0 => MOVE_WITHIN.mul_f64(jitter.clamp(0.0, 1.0)),
        _ => at_least_half(doubled(MOVE_WITHIN, moves, MOVE_CAP), jitter),
    }
}

/// The delay before a document that is just being replaced is asked for again: by each of the
/// thousands that have heard of it at the same moment.
pub(crate) fn conflict_delay(attempt: u32, jitter: f64) -> Duration {
    at_least_half(doubled(FIRST, attempt, CONFLICT_CAP), jitter)
}

/// The delay before a document is asked for again to which nobody may listen: 30 s, give or take a
/// fifth.
pub(crate) fn poll_delay(jitter: f64) -> Duration {
    give_or_take_a_fifth(POLL_EVERY, jitter)
}

/// The delay before a password that was refused is tried again: a minute at least.
pub(crate) fn denied_delay(jitter: f64) -> Duration {
    DENIED + (DENIED / 5).mul_f64(jitter.clamp(0.0, 1.0))
}

/// The delay before a login that was refused, and may be granted soon, is tried again: 1, 2, 4, 5,
/// 5 … s, give or take a fifth.
pub(crate) fn refused_delay(attempt: u32, jitter: f64) -> Duration {
    give_or_take_a_fifth(doubled(REFUSED_FIRST, attempt, REFUSED_CAP), jitter)
}

/// The least delay between two times at which the list of servers is asked for in an outage, before
/// number `attempt` (from 0): 1 s × 2ⁿ up to `every`.
///
/// The address server is the same for all clients, and mostly has no news for them.
pub(crate) fn list_refresh_delay(attempt: u32, every: Duration) -> Duration {
    doubled(LIST_REFRESH_FIRST, attempt, every)
}

/// The delay before a server is asked again whether it has read the setup of a connection, which it
/// has denied `refusals` times before: 1 ms × 2ⁿ.
///
/// It has no jitter: clients that lost the same server connect to it at different moments already.
pub(crate) fn setup_probe_delay(refusals: u32) -> Duration {
    doubled(SETUP_PROBE_FIRST, refusals, RETRY_CAP)
}

fn at_least_half(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

const CONFLICT_CAP: Duration = Duration::from_secs(2);
const DENIED: Duration = Duration::from_secs(60);
const EAGER: Duration = Duration::from_secs(75);
const EAGER_CAP: Duration = Duration::from_millis(250);
const FIRST: Duration = Duration::from_millis(50);
const MOVE_CAP: Duration = Duration::from_secs(60);
const MOVE_WITHIN: Duration = Duration::from_secs(1);
const LIST_REFRESH_FIRST: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_secs(30);
const REFUSED_CAP: Duration = Duration::from_secs(5);
const REFUSED_FIRST: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const SETUP_PROBE_FIRST: Duration = Duration::from_millis(1);

/// A server that sends nothing but what cannot be read is asked no more often, be it about a
/// service or about documents.
pub(super) const ASKED_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn first_minute_is_eager_and_the_rest_is_capped() {
        let delay = |attempt, outage| reconnect_delay(attempt, outage, CAP, 1.0);
        assert_eq!(delay(0, Duration::ZERO), Duration::from_millis(50));
        assert_eq!(delay(1, Duration::ZERO), Duration::from_millis(100));
        assert_eq!(delay(9, Duration::from_millis(74_999)), EAGER_CAP);
        assert_eq!(delay(u32::MAX, EAGER), CAP);
    }

    #[test]
    fn jitter_spreads_over_the_whole_delay() {
        let delay = |jitter| reconnect_delay(20, EAGER, CAP, jitter);
        assert_eq!(delay(0.0), Duration::ZERO);
        assert_eq!(delay(0.5), CAP / 2);
        assert_eq!(delay(f64::INFINITY), CAP);
    }

    #[test]
    fn whoever_waits_for_the_same_thing_does_not_come_together() {
        let spread =
            |delay: fn(f64) -> Duration| delay(1.0).as_secs_f64() / delay(0.0).as_secs_f64();
        assert!(spread(|jitter| conflict_delay(0, jitter)) > 1.9);
        assert!(spread(|jitter| conflict_delay(u32::MAX, jitter)) > 1.9);
        assert!(spread(poll_delay) > 1.4);
        assert!(spread(denied_delay) > 1.1);
        assert!(spread(|jitter| refused_delay(u32::MAX, jitter)) > 1.4);
        assert_eq!(denied_delay(0.0), Duration::from_secs(60), "never earlier");
    }

    #[test]
    fn moves_in_a_row_are_ever_rarer() {
        let delays: Vec<_> = [0, 1, 2, 5, 6, u32::MAX].map(|moves| move_delay(moves, 0.0)).into();
        let half_seconds = [0, 2, 4, 32, 60, 60].map(|n| n * Duration::from_millis(500));
        assert_eq!(delays, half_seconds);
        assert_eq!((move_delay(0, 1.0), move_delay(9, 1.0)), (MOVE_WITHIN, MOVE_CAP));
    }

    #[test]
    fn retry_never_follows_at_once() {
        assert_eq!(retry_delay(0, 0.0), Duration::from_millis(250));
        assert_eq!(retry_delay(u32::MAX, 1.0), RETRY_CAP);
    }
}
