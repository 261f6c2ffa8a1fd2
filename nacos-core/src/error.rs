//! The one error type of the public API.
use std::{error::Error as StdError, fmt};

use crate::key::InvalidName;

/// Anything that can go wrong between this client and a Nacos server.
///
/// Opaque on purpose: [`kind`](Error::kind) says what a caller can do about it,
/// [`code`](Error::code) what the server said, [`source`](StdError::source) why. `Display` names
/// what was being done and the kind, never the source, so that a chain prints nothing twice.
///
/// Never holds a document's content, a password or a token.
pub struct Error {
    kind: ErrorKind,
    doing: Box<str>,
    code: Option<i32>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`]: what a caller can do about it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client was shut down.
    Closed,
    /// The document changed meanwhile: read it again, then publish again.
    Conflict,
    /// The credentials are missing, expired or too weak.
    Denied,
    /// No server could be reached, or the connection was lost before the answer came.
    Disconnected,
    /// A [filter](crate::filter) refused the document, or returned another one: its source says
    /// why. Nothing was published.
    Filter,
    /// A [filter](crate::filter) could not do its work: it says so itself, panicked, or gave no
    /// answer in time. Nothing was published.
    FilterUnavailable,
    /// A name breaks the servers' rules. Nothing was sent.
    InvalidName,
    /// An option is missing, unknown or contradicts another. Nothing was sent.
    InvalidOption,
    /// The server limits how much it takes. Ask again later.
    Overloaded,
    /// The server answered something that this client cannot read, or more than it will read.
    Protocol,
    /// The server understood and refused; asking again changes nothing.
    Refused,
    /// The server failed.
    Server,
    /// No answer came in time. The server may or may not have done it.
    Timeout,
    /// More documents match the pattern of a fuzzy watch than the server watches for one (500,
    /// unless an operator has raised it): use a narrower pattern.
    TooManyMatches,
    /// The server watches as many patterns as it takes, of all its clients together (20, unless an
    /// operator has raised it). A place is free some 30 to 60 s after the last watch of a pattern
    /// has ended.
    TooManyPatterns,
    /// It is larger than the option [`max_publish`](crate::ClientBuilder::max_publish) allows.
    /// Nothing was sent.
    TooLarge,
    /// This server cannot do it: it has not announced the ability, or does not know the request.
    /// Another server of the cluster may.
    Unsupported,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, doing: impl fmt::Display) -> Self {
        Self { kind, doing: doing.to_string().into(), code: None, source: None }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn with_code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// The kind of the error: what the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The server's own error code, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Whether the same call may succeed later without anything being changed.
    ///
    /// For a publish or a removal that ended with [`ErrorKind::Timeout`] or
    /// [`ErrorKind::Disconnected`], the server may already have done it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

impl ErrorKind {
    /// Whether it may pass without anything being changed: see [`Error::is_retryable`].
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Disconnected
                | Self::FilterUnavailable
                | Self::Overloaded
                | Self::Server
                | Self::Timeout
        )
    }
}

/// A stranger's text, of at most so many characters: short enough for an error or a log.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// The operation under way, put into words only if it fails.
pub(crate) struct Doing<'a, T>(pub(crate) &'a str, pub(crate) &'a T);

impl<T: fmt::Display> fmt::Display for Doing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the client is shut down",
            Self::Conflict => "changed meanwhile",
            Self::Denied => "access denied",
            Self::Disconnected => "not connected to any server",
            Self::Filter => "refused by a filter",
            Self::FilterUnavailable => "a filter could not do its work",
            Self::InvalidName => "invalid name",
            Self::InvalidOption => "invalid option",
            Self::Overloaded => "the server limits its load",
            Self::Protocol => "unreadable answer",
            Self::Refused => "refused by the server",
            Self::Server => "the server failed",
            Self::Timeout => "no answer in time",
            Self::TooManyMatches => "more matches than the server watches",
            Self::TooManyPatterns => "more patterns than the server watches",
            Self::TooLarge => "too large to be published",
            Self::Unsupported => "not supported by the server",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.kind).field("doing", &self.doing);
        if let Some(code) = self.code {
            debug.field("code", &code);
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

impl From<InvalidName> for Error {
    fn from(invalid: InvalidName) -> Self {
        Self::new(ErrorKind::InvalidName, "check a name").because(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_the_source_to_source() {
        let error = Error::new(ErrorKind::Refused, "publish orders.yaml")
            .because("content is blank")
            .with_code(400);
        assert_eq!(error.to_string(), "publish orders.yaml: refused by the server");
        assert_eq!(error.source().expect("has one").to_string(), "content is blank");
        assert_eq!(error.code(), Some(400));
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        assert!(Error::new(ErrorKind::Disconnected, "get").is_retryable());
        assert!(!Error::new(ErrorKind::Refused, "get").is_retryable());
        assert!(!Error::new(ErrorKind::Denied, "get").is_retryable());
    }
}
