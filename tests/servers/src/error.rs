//! Errors of a real server, by what a test can do about them.

use std::error::Error as StdError;
use std::fmt::{self, Display};

/// A server could not be installed, started, asked or stopped.
///
/// Its text says what was attempted and why that failed; where a server wrote a log, its end is
/// quoted.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Display) -> Self {
        Self { kind, text: text.to_string(), source: None }
    }

    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Its kind, by what can be done about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether this machine cannot have that server at all: a reason to skip, not to fail.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }
}

impl Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The kind of an [`Error`], by what can be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This machine refused a file, a port or a process.
    Machine,
    /// The server is not running: restart it first.
    NotRunning,
    /// The server is not installed and, as the text says, cannot be or was not yet.
    Unavailable,
    /// A server answered nothing, or nothing that is HTTP, or refused.
    Unanswered,
    /// The server was started and did not become usable.
    Unready,
}
