//! The one error type of this crate.
use std::{error::Error as StdError, fmt, sync::Arc};

use crate::report::Rejection;

/// Why a configuration could not be started, fetched or extended.
///
/// `Display` says what was being done, and for a rejected configuration which key of which document
/// is wrong, with line and column. Never holds a value.
pub struct Error {
    kind: ErrorKind,
    doing: Box<str>,
    rejection: Option<Arc<Rejection>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`], by what a caller can do about it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client was shut down.
    Closed,
    /// A name or an option is wrong. Nothing was sent.
    InvalidOption,
    /// The documents are there, but they are no valid configuration.
    Rejected,
    /// Not all documents were known in time.
    Timeout,
    /// The server could not be asked, or does not let us.
    Unreachable,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, doing: impl fmt::Display) -> Self {
        Self { kind, doing: doing.to_string().into(), rejection: None, source: None }
    }

    pub(crate) fn because(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source: Box<_> = source.into();
        self.because_of(source.into())
    }

    /// As [`because`](Self::because), of a source that others have, too.
    pub(crate) fn because_of(mut self, source: Arc<dyn StdError + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    pub(crate) fn rejected(doing: impl fmt::Display, rejection: Arc<Rejection>) -> Self {
        Self { rejection: Some(rejection), ..Self::new(ErrorKind::Rejected, doing) }
    }

    /// Its kind, by what the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole report, if the configuration was rejected.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.kind)?;
        let Some(rejection) = &self.rejection else { return Ok(()) };
        if let Some(issue) = rejection.issues.first() {
            write!(f, ": {issue}")?;
        }
        match rejection.issues.len() + rejection.omitted {
            0 | 1 => Ok(()),
            all => write!(f, "; and {} more", all - 1),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the client is shut down",
            Self::InvalidOption => "invalid option",
            Self::Rejected => "rejected",
            Self::Timeout => "not known in time",
            Self::Unreachable => "the server could not be asked",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.kind).field("doing", &self.doing);
        if let Some(rejection) = &self.rejection {
            debug.field("issues", &rejection.issues);
        }
        if let Some(source) = &self.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
