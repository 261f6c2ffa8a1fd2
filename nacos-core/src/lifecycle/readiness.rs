//! Whether traffic is wanted.
use std::fmt;

/// Whether a process wants traffic.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Readiness {
    /// Not every server is ready and registered yet.
    Starting,
    /// Every server is ready and registered. Stays so whatever happens to Nacos meanwhile: a
    /// registry that is away is no reason to take no traffic.
    Ready,
    /// A server says of itself that it should [take no traffic](super::Serving::with_health).
    /// Requests are still answered.
    Unhealthy,
    /// The end has begun. Requests are still answered.
    Stopping,
}

impl Readiness {
    /// Whether traffic is wanted.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self == Self::Ready
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Stopping => "stopping",
        })
    }
}
