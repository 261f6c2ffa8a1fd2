//! What the driver measures of itself and of its session.
use std::time::{Duration, Instant};

use tracing::warn;

use crate::telemetry::{self, Reason, Share};

/// See the [module documentation](self).
pub(super) struct Meters {
    pub(super) share: Share,
    /// What a connection that ends now would have ended of.
    pub(super) blame: Reason,
    logged_in: Option<Instant>,
    pub(super) dedicated_thread: bool,
    warned: bool,
}

impl Meters {
    pub(super) fn new(dedicated_thread: bool) -> Self {
        Self {
            share: Share::default(),
            blame: Reason::Connection,
            logged_in: None,
            dedicated_thread,
            warned: false,
        }
    }

    pub(super) fn logged_in(&mut self, now: Instant) {
        self.logged_in = Some(now);
    }

    /// A timer that was due at `due` fires now. Says how late, and warns once if that is so late
    /// that servers may take the client for dead.
    pub(super) fn late(&mut self, due: Option<Instant>, now: Instant) -> Duration {
        self.blame = Reason::HealthCheck;
        let lag = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        telemetry::lag(lag);
        if let Some(since) = self.logged_in {
            telemetry::token_age(now.saturating_duration_since(since));
        }
        if lag >= TOO_LATE && !self.warned {
            self.warned = true;
            let advice = if self.dedicated_thread {
                "the machine was overloaded, or the process was stopped"
            } else {
                "something blocks the runtime's workers, or the process was stopped; \
                 `dedicated_thread` keeps the session alive meanwhile"
            };
            warn!(lag_ms = lag.as_millis(), advice, "the session was kept waiting");
        }
        // In steps, so that who watches the vitals is not woken by nothing.
        Duration::from_millis(u64::try_from(lag.as_millis() / 10 * 10).unwrap_or(u64::MAX))
    }
}

/// A fifth of what the strictest server waits for after a health check.
const TOO_LATE: Duration = Duration::from_secs(1);
