//! How a configuration stands, beside its value.
use std::{error::Error, fmt, sync::Arc};

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
///
/// ```
/// use std::error::Error;
///
/// use nacos_figment::{Freshness, Status};
///
/// fn log(status: &Status) {
///     for document in status.freshness.stale() {
///         eprintln!("{document}: {}", document.cause);
///         eprintln!("the client's error: {:?}", document.source());
///     }
/// }
/// # let _ = (log, Freshness::Verified);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Freshness {
    /// The server has told all of them, and tells when they change; or an operator's file overrides
    /// one, of which the client's log tells.
    Verified,
    /// At least one could not be asked for, is encrypted now, or is a snapshot on disk that no
    /// server has confirmed yet; its last known content stays in force.
    Stale {
        /// Each of them: first those that need an operator's help, then those that may pass by
        /// themselves, both in the order in which they override each other.
        documents: Arc<[StaleDocument]>,
    },
}

impl Freshness {
    /// The documents that may not be the newest; none if all are known to be.
    #[must_use]
    pub fn stale(&self) -> &[StaleDocument] {
        match self {
            Self::Verified => &[],
            Self::Stale { documents } => documents,
        }
    }

    pub(crate) fn of(mut stale: Vec<StaleDocument>) -> Self {
        if stale.is_empty() {
            return Self::Verified;
        }
        stale.sort_by_key(|document| !document.needs_help);
        Self::Stale { documents: stale.into() }
    }

    /// Logs what has come about since `before`: one line a document, however often it is looked at.
    pub(crate) fn log_since(&self, before: &Self) {
        for StaleDocument { name, why, cause, .. } in self.stale() {
            let known = before.stale().iter().find(|known| known.name == *name);
            if known.is_none_or(|known| known.why != *why) {
                tracing::warn!(
                    document = %name,
                    %why,
                    %cause,
                    "not known to be the newest: what was read last stays in force"
                );
            }
        }
        for StaleDocument { name, .. } in before.stale() {
            if !self.stale().iter().any(|stale| stale.name == *name) {
                tracing::info!(document = %name, "known to be the newest again");
            }
        }
    }
}

/// In one line: the first of the stale documents, and how many more there are.
impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = self.stale() else { return f.write_str("verified") };
        write!(f, "stale: {first}")?;
        if others.is_empty() { Ok(()) } else { write!(f, "; and {} more", others.len()) }
    }
}

/// A document that may not be the newest, and why.
///
/// An error, whose [source](Error::source) is the client's: a [`nacos_core::Error`]; where the
/// document is encrypted, it is the `cause`, for the client has no error then. `Display` says name
/// and kind, never the cause.
#[derive(Clone)]
#[non_exhaustive]
pub struct StaleDocument {
    /// Its name: `nacos://namespace/group/dataId`.
    pub name: Arc<str>,
    /// Why, by what can be done about it; [`ErrorKind::Protocol`] for an encrypted one.
    pub why: ErrorKind,
    /// The same in words: what the server said, or that the document is encrypted. Never a part of
    /// its content.
    pub cause: Arc<str>,
    /// Whether only an operator can make it readable.
    pub(crate) needs_help: bool,
    pub(crate) source: Arc<dyn Error + Send + Sync>,
}

impl fmt::Display for StaleDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

impl fmt::Debug for StaleDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleDocument")
            .field("name", &self.name)
            .field("why", &self.why)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl Error for StaleDocument {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// By what it says: the source is made of the same.
impl PartialEq for StaleDocument {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.why, &self.cause) == (&other.name, other.why, &other.cause)
    }
}

impl Eq for StaleDocument {}
