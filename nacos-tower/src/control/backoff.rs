//! How long to wait before an endpoint is dialled again. Pure: jitter comes in as an argument.
//!
//! Core and figment's crate have their own: one for all would be a part of core's public API.
use std::time::Duration;

/// The delay after `failures` failed attempts in a row; `jitter` is uniform in `[0, 1)`.
///
/// None after none: a connection that held is replaced at once. Then 50 ms × 2ⁿ up to 10 s, of
/// which at least half is kept, so that a thousand clients do not meet a restarted server together.
pub(crate) fn delay(failures: u32, jitter: f64) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let whole = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(CAP);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

const CAP: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_attempt_follows_at_once_and_later_ones_take_their_time() {
        assert_eq!(delay(0, 1.0), Duration::ZERO);
        assert_eq!(delay(1, 0.0), FIRST / 2);
        assert_eq!(delay(1, 1.0), FIRST);
        assert_eq!(delay(3, 1.0), FIRST * 4);
        assert_eq!(delay(u32::MAX, 1.0), CAP);
    }
}
