//! Which server is imitated, and every constant in which the servers differ.

use std::time::Duration;

use crate::wire::Reading;

/// The server whose behaviour is imitated.
///
/// Each one is content-faithful to a captured session of a real server: what is answered, pushed,
/// refused and ignored, down to the spelling of keys and of error texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Behaviour {
    /// Java Nacos 2.3: `public` is a namespace of its own in configuration, list key `allIPs`.
    Nacos2_3,
    /// Java Nacos 3.0: fuzzy watches, `public` and the blank namespace are one, list key `allIps`.
    #[default]
    Nacos3_0,
    /// r-nacos 0.8: strict JSON, additive batches, explicit nulls, no abilities, no CAS.
    RNacos,
}

impl Behaviour {
    pub(crate) fn is_java(self) -> bool {
        !matches!(self, Self::RNacos)
    }

    pub(crate) fn reading(self) -> Reading {
        if self.is_java() { Reading::Lenient } else { Reading::Strict }
    }

    /// The abilities announced in the setup acknowledgement; `None` where there is none.
    pub(crate) fn abilities(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Nacos2_3 => Some(&["supportPersistentInstanceByGrpc"]),
            Self::Nacos3_0 => {
                Some(&["supportPersistentInstanceByGrpc", "fuzzyWatch", "lock", "mcp"])
            }
            Self::RNacos => None,
        }
    }

    /// The longest message that is read. r-nacos has no limit; ours keeps a test's memory in bounds.
    pub(crate) fn message_limit(self) -> usize {
        if self.is_java() { 10 * 1024 * 1024 } else { 256 * 1024 * 1024 }
    }

    /// The namespace under which a configuration is kept.
    pub(crate) fn config_namespace(self, spelled: &str) -> String {
        match (self, spelled) {
            (Self::Nacos3_0 | Self::RNacos, "public") => String::new(),
            (_, spelled) => spelled.to_owned(),
        }
    }

    /// The key under which a list of instances says that it is complete.
    pub(crate) fn all_ips_key(self) -> &'static str {
        match self {
            Self::Nacos3_0 => "allIps",
            Self::Nacos2_3 | Self::RNacos => "allIPs",
        }
    }

    pub(crate) fn silence(self) -> Silence {
        if self.is_java() {
            Silence {
                scan: Duration::from_secs(3),
                probe_after: Duration::from_secs(20),
                grace: Duration::from_secs(5),
            }
        } else {
            Silence {
                scan: Duration::from_secs(2),
                probe_after: Duration::from_secs(15),
                grace: Duration::from_secs(3),
            }
        }
    }
}

/// How a server finds out that a client is gone although its socket is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// How often the connections are looked through.
    pub(crate) scan: Duration,
    /// Silence after which a connection is probed.
    pub(crate) probe_after: Duration,
    /// How long a probe may stay unanswered.
    pub(crate) grace: Duration,
}
