//! How a configuration stands, beside its value.
use std::sync::Arc;

use nacos_core::ErrorKind;

use super::Rejection;

/// How a configuration stands.
///
/// Two things that have nothing to do with each other: whether the server can be asked, and whether
/// the newest documents could be taken. Neither makes the value in force invalid: a service with a
/// rejected or stale configuration is alive and ready.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The generation in force; the first is 1.
    pub generation: u64,
    /// Whether what is in force is what the server has.
    pub freshness: Freshness,
    /// Why the newest documents are not in force, if they are not.
    pub rejection: Option<Arc<Rejection>>,
}

/// Whether the documents are known to be the newest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Freshness {
    /// The server has told all of them, and tells when they change.
    Verified,
    /// At least one could not be asked for, or is encrypted now; its last known content stays in
    /// force.
    Stale {
        /// Why, as the client says.
        why: ErrorKind,
    },
}
