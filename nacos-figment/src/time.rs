//! Moments that may be missing, and delays that grow.
//!
//! Core and `nacos-tower` have their own: one for all would be a part of core's public API.
use std::{future::pending, time::Duration};

use tokio::time::Instant;

/// Waits until `deadline`; for ever if there is none.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

/// The delay after `failures` failed attempts in a row, at least one: 1 s × 2ⁿ up to 60 s, of which
/// `jitter`, uniform in `[0, 1)`, is kept.
pub(crate) fn backoff(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1);
    FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(CAP).mul_f64(jitter.clamp(0.0, 1.0))
}

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute() {
        let seconds = |failures| backoff(failures, 1.0).as_secs();
        assert_eq!([1, 2, 3, 6, 7, u32::MAX].map(seconds), [1, 2, 4, 32, 60, 60]);
        assert_eq!(backoff(3, 0.25), Duration::from_secs(1));
    }
}
