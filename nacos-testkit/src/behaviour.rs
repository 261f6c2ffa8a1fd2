//! Which server is imitated, and every constant in which the servers differ.

use std::time::Duration;

use crate::wire::Reading;

/// The server whose behaviour is imitated.
///
/// `Nacos2_3`, `Nacos3_0` and `RNacos` are content-faithful to a captured session of a real server:
/// what is answered, pushed, refused and ignored, down to the spelling of keys and of error texts.
/// `Nacos2_5` does what a real one was seen to do, and where nothing is known what its neighbours
/// do. `Nacos3_3` follows the specification: no server of that line has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Behaviour {
    /// Java Nacos 2.3: `public` is a namespace of its own in configuration, list key `allIPs`.
    Nacos2_3,
    /// Java Nacos 2.5: `public` and the blank namespace are one, in configuration and in naming;
    /// questions that only servers ask are refused, and so is a login where there is no user.
    Nacos2_5,
    /// Java Nacos 3.0: fuzzy watches, list key `allIps`; `public` and the blank namespace are one
    /// in configuration and two in naming; operators use the paths of v3.
    #[default]
    Nacos3_0,
    /// Java Nacos 3.3, by its specification: like 3.0, but it has no path of v1 and v2, and it
    /// demands a login: that of the user `nacos` with the password `nacos`, unless
    /// [`Builder::credentials`](crate::Builder::credentials) names another one or
    /// [`Builder::authentication`](crate::Builder::authentication) switches it off.
    Nacos3_3,
    /// r-nacos 0.8: strict JSON, additive batches, explicit nulls, no abilities, no CAS.
    RNacos,
}

impl Behaviour {
    pub(crate) fn is_java(self) -> bool {
        !matches!(self, Self::RNacos)
    }

    /// Whether it belongs to the third generation: fuzzy watches, the paths of v3.
    pub(crate) fn is_3(self) -> bool {
        matches!(self, Self::Nacos3_0 | Self::Nacos3_3)
    }

    /// Whether it demands a login of everybody unless it is told otherwise (3.3 and later).
    pub(crate) fn demands_login(self) -> bool {
        self == Self::Nacos3_3
    }

    /// Whether it lets in the tokens of an OIDC provider (3.2 and later).
    pub(crate) fn accepts_oidc(self) -> bool {
        self == Self::Nacos3_3
    }

    /// Whether it has the paths of v1.
    pub(crate) fn has_v1(self) -> bool {
        self != Self::Nacos3_3
    }

    pub(crate) fn reading(self) -> Reading {
        if self.is_java() { Reading::Lenient } else { Reading::Strict }
    }

    /// The abilities announced in the setup acknowledgement; `None` where there is none.
    pub(crate) fn abilities(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Nacos2_3 | Self::Nacos2_5 => Some(&["supportPersistentInstanceByGrpc"]),
            Self::Nacos3_0 => {
                Some(&["supportPersistentInstanceByGrpc", "fuzzyWatch", "lock", "mcp"])
            }
            Self::Nacos3_3 => Some(&[
                "supportPersistentInstanceByGrpc",
                "fuzzyWatch",
                "lock",
                "mcp",
                "agent",
                "radV1",
                "radWatchV1",
            ]),
            Self::RNacos => None,
        }
    }

    /// The longest message that is read. r-nacos has no limit; ours keeps a test's memory in
    /// bounds.
    pub(crate) fn message_limit(self) -> usize {
        if self.is_java() { 10 * 1024 * 1024 } else { 256 * 1024 * 1024 }
    }

    /// The namespace under which a configuration is kept.
    pub(crate) fn config_namespace(self, spelled: &str) -> String {
        match (self, spelled) {
            (Self::Nacos2_5 | Self::Nacos3_0 | Self::Nacos3_3 | Self::RNacos, "public") => {
                String::new()
            }
            (_, spelled) => spelled.to_owned(),
        }
    }

    /// The namespace under which a listen is kept: 2.5 takes `public` at its word there, and there
    /// alone.
    pub(crate) fn listened_namespace(self, spelled: &str) -> String {
        if self == Self::Nacos2_5 { spelled.to_owned() } else { self.config_namespace(spelled) }
    }

    /// Whether the blank namespace is one of its own in naming, beside `public`.
    pub(crate) fn blank_is_apart_in_naming(self) -> bool {
        matches!(self, Self::Nacos2_3 | Self::Nacos3_0 | Self::Nacos3_3)
    }

    /// Whether a type that it does not know becomes `text`.
    pub(crate) fn knows_its_types(self) -> bool {
        matches!(self, Self::Nacos2_5 | Self::Nacos3_3 | Self::RNacos)
    }

    /// Whether it has the general rules of gray versions, which are told to every listener.
    pub(crate) fn has_gray_rules(self) -> bool {
        matches!(self, Self::Nacos2_5 | Self::Nacos3_0 | Self::Nacos3_3)
    }

    /// Whether it refuses what only servers ask, by name.
    pub(crate) fn guards_its_own(self) -> bool {
        matches!(self, Self::Nacos2_5 | Self::Nacos3_0 | Self::Nacos3_3)
    }

    /// The key under which a list of instances says that it is complete.
    pub(crate) fn all_ips_key(self) -> &'static str {
        if self.is_3() { "allIps" } else { "allIPs" }
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
