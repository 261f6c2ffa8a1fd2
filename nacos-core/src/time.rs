//! Bounds and growth of times.
use std::time::Duration;

use tokio::time::{self, Instant};

/// Longer deadlines than a month are none, and would overflow a clock.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// `first`, doubled `times` times, at most `cap`.
pub(crate) fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(cap)
}

/// Waits until `at`; without one, for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// `whole`, give or take a fifth: where `jitter`, uniform in `[0, 1)`, says.
pub(crate) fn give_or_take_a_fifth(whole: Duration, jitter: f64) -> Duration {
    whole.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}
