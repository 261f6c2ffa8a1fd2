//! How a configuration stands, beside its value.
use std::{error::Error, fmt, path::Path, sync::Arc};

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

/// How sure the documents are that are in force: the words are those of
/// [`nacos_core::Freshness`], and of several documents the gravest word counts.
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
/// # let _ = (log, Freshness::Confirmed);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Freshness {
    /// The server has said all of them, and tells when they change.
    Confirmed,
    /// Files of an operator stand in place of at least one; the server confirms the others.
    Overridden {
        /// The files, in the order in which the documents override each other.
        paths: Arc<[Arc<Path>]>,
    },
    /// At least one is a snapshot on disk, which no server has confirmed since the start; of none
    /// is anything worse known.
    FromDisk {
        /// Each of them, in the order in which they override each other.
        documents: Arc<[StaleDocument]>,
    },
    /// Nobody confirms at least one at present: it could not be asked for, no server tells of its
    /// changes, or it is encrypted now. Its last known content stays in force.
    Stale {
        /// Each of them, and those from disk: first those that need an operator's help, then those
        /// that may pass by themselves, both in the order in which they override each other.
        documents: Arc<[StaleDocument]>,
    },
}

impl Freshness {
    /// The documents that may not be the newest; none if all are known to be, or overridden.
    #[must_use]
    pub fn stale(&self) -> &[StaleDocument] {
        match self {
            Self::Confirmed | Self::Overridden { .. } => &[],
            Self::FromDisk { documents } | Self::Stale { documents } => documents,
        }
    }

    /// Whether the server has confirmed all of them, and nothing is known against that.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        *self == Self::Confirmed
    }

    /// The word, as reports show it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Overridden { .. } => "overridden",
            Self::FromDisk { .. } => "from disk",
            Self::Stale { .. } => "stale",
        }
    }

    pub(crate) fn of(mut stale: Vec<StaleDocument>, overridden: Vec<Arc<Path>>) -> Self {
        stale.sort_by_key(|document| !document.needs_help);
        match (stale.is_empty(), overridden.is_empty()) {
            (true, true) => Self::Confirmed,
            (true, false) => Self::Overridden { paths: overridden.into() },
            _ if stale.iter().all(|document| document.doubt == Doubt::FromDisk) => {
                Self::FromDisk { documents: stale.into() }
            }
            _ => Self::Stale { documents: stale.into() },
        }
    }

    /// Logs what has come about since `before`: one line a document, however often it is looked at.
    /// A lost connection is a line of the client's already.
    pub(crate) fn log_since(&self, before: &Self) {
        for StaleDocument { name, why, cause, doubt, .. } in self.stale() {
            let known = before.stale().iter().find(|known| known.name == *name);
            if known.is_some_and(|known| known.why == *why && known.doubt == *doubt) {
                continue;
            }
            if *doubt == Doubt::Unconfirmed {
                tracing::debug!(document = %name, %why, "no server confirms it at present");
            } else {
                tracing::warn!(
                    document = %name,
                    %why,
                    %cause,
                    "not known to be the newest: what was read last stays in force"
                );
            }
        }
        for StaleDocument { name, doubt, .. } in before.stale() {
            if self.stale().iter().any(|stale| stale.name == *name) {
                continue;
            }
            if *doubt == Doubt::Unconfirmed {
                tracing::debug!(document = %name, "known to be the newest again");
            } else {
                tracing::info!(document = %name, "known to be the newest again");
            }
        }
    }
}

/// In one line: the word, the first of the documents or files that it is about, and how many more
/// there are.
impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        let others = match self {
            Self::Confirmed => return Ok(()),
            Self::Overridden { paths } => {
                let Some((first, others)) = paths.split_first() else { return Ok(()) };
                write!(f, ": {}", first.display())?;
                others.len()
            }
            Self::FromDisk { documents } | Self::Stale { documents } => {
                let Some((first, others)) = documents.split_first() else { return Ok(()) };
                write!(f, ": {first}")?;
                others.len()
            }
        };
        if others == 0 { Ok(()) } else { write!(f, "; and {others} more") }
    }
}

/// Why a document is not known to be the newest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Doubt {
    /// It could not be asked for, or cannot be read.
    Withheld,
    /// It was confirmed, and nobody does so at present.
    Unconfirmed,
    /// No server has confirmed it since the start.
    FromDisk,
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
    pub(crate) doubt: Doubt,
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
        (&self.name, self.why, &self.cause, self.doubt)
            == (&other.name, other.why, &other.cause, other.doubt)
    }
}

impl Eq for StaleDocument {}
