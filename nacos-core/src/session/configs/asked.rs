//! The subjects of requests about documents.
use crate::{
    key::{ConfigKey, ConfigPattern},
    session::ledger::SentClaim,
};

/// The subject of a request about documents.
#[derive(Debug)]
pub(in crate::session) enum Asked {
    /// The end of listens, unless it is to `listen`.
    Listen {
        claims: Vec<SentClaim<ConfigKey>>,
        listen: bool,
    },
    Query(ConfigKey, Ticket),
    /// A pattern is watched, or no more.
    FuzzyWatch(SentClaim<ConfigPattern>),
}

/// Names one query. Never used twice, so that an answer to an older one is recognised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::session) struct Ticket(pub(super) u64);
