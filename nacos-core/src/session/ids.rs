//! The names of things that are never used twice, and of what is claimed.
use std::fmt;

use crate::key::{ConfigKey, ConfigPattern, ServiceKey};

/// Names a request of the session's own. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallId(pub(super) u64);

/// Names a connection. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct LinkId(pub(crate) u64);

/// One guard: never used twice, so that a guard withdraws only its own claim.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct GuardId(pub(crate) u64);

/// The key of a claim: everything that a server forgets on disconnect has one, and nothing else
/// has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ClaimKey {
    /// Instances of a service, registered.
    Instances(ServiceKey),
    /// A service, subscribed to.
    Subscription(ServiceKey),
    /// A document, listened to.
    Listen(ConfigKey),
    /// Which documents match a pattern, watched.
    FuzzyWatch(ConfigPattern),
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instances(service) => write!(f, "registration at {service}"),
            Self::Subscription(service) => write!(f, "subscription to {service}"),
            Self::Listen(document) => write!(f, "listening to {document}"),
            Self::FuzzyWatch(pattern) => write!(f, "fuzzy watch of {pattern}"),
        }
    }
}

impl From<ConfigKey> for ClaimKey {
    fn from(key: ConfigKey) -> Self {
        Self::Listen(key)
    }
}

impl From<ConfigPattern> for ClaimKey {
    fn from(pattern: ConfigPattern) -> Self {
        Self::FuzzyWatch(pattern)
    }
}
