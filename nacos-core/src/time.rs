//! Bounds of times.
use std::time::Duration;

/// Longer deadlines than a month are none, and would overflow a clock.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
