//! Moments that may be out of reach, or missing.
//!
//! Core and figment's crate have their own: one for all would be a part of core's public API.
use std::{future::pending, time::Duration};

use tokio::time::Instant;

/// The moment that is `duration` after `now`. One out of the clock's reach is thirty years away.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration).unwrap_or(now + FAR)
}

/// Waits until `deadline`; for ever if there is none.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);
