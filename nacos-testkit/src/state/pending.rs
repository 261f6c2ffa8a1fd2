//! Pushes under way, and what their acknowledgement is for.
use std::time::Duration;

use super::{ConfigKey, ServiceKey, Watched};

/// A push that is not acknowledged yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) expected: Expected,
}

/// The consequence of an acknowledgement, or of its absence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Nothing.
    Nothing,
    /// Absent: the notice is repeated, in the end the connection is closed.
    Notice { key: ConfigKey, tries: u32 },
    /// Absent: the connection is closed.
    Probe,
    /// Absent: the service is pushed again.
    Service(ServiceKey),
    /// Present: the initial list of a fuzzy watch ends.
    Watch { watched: Watched, pattern: String },
}

impl Expected {
    /// How long a Java server waits for the acknowledgement.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Notice { .. } | Self::Nothing => Duration::from_secs(3),
            Self::Probe | Self::Service(_) | Self::Watch { .. } => Duration::from_secs(5),
        }
    }
}
