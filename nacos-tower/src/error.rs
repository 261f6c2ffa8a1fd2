//! The one error type of the public API.
use std::{error::Error as StdError, fmt, sync::Arc};

use crate::transport::BoxError;

/// A request that a balancer could not bring to an endpoint, or got no response for.
///
/// [`kind`](Self::kind) is the reason, [`is_unsent`](Self::is_unsent) whether any endpoint can
/// have seen the request, [`endpoint`](Self::endpoint) which one. `Display` names the service, the
/// endpoint and the kind, never the cause: that is in [`source`](StdError::source).
pub struct Error {
    kind: ErrorKind,
    service: Arc<str>,
    endpoint: Option<Arc<str>>,
    source: Option<SharedError>,
}

/// The reason why a request has no response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection was lost after the request may have been sent.
    Lost,
    /// The service has no instance that may be called: none at all, or none that is healthy,
    /// enabled and of a weight above 0. Reported at once.
    NoEndpoint,
    /// There are endpoints, but no connection to any of them. Reported at once if all attempts
    /// failed, else when the ready timeout has passed.
    NotReady,
    /// No response came in time.
    Timeout,
    /// No server has sent the instances of the service yet.
    Undiscovered,
    /// Several endpoints in a row could not take the request.
    Unsent,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, service: &Arc<str>) -> Self {
        Self { kind, service: Arc::clone(service), endpoint: None, source: None }
    }

    pub(crate) fn at(mut self, endpoint: &Arc<str>) -> Self {
        self.endpoint = Some(Arc::clone(endpoint));
        self
    }

    pub(crate) fn because(mut self, source: impl Into<SharedError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The reason.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The service, as `group@@name` behind its namespace.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The address of the endpoint that was tried last, if one was.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether certainly no endpoint has seen the request: then even one that must not happen
    /// twice may be made again.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        match self.kind {
            ErrorKind::Lost => false,
            // Time may also run out before anything is sent.
            ErrorKind::Timeout => self.endpoint.is_none(),
            ErrorKind::NoEndpoint
            | ErrorKind::NotReady
            | ErrorKind::Undiscovered
            | ErrorKind::Unsent => true,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(endpoint) => write!(f, "{} at {endpoint}: {}", self.service, self.kind),
            None => write!(f, "{}: {}", self.service, self.kind),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "connection lost",
            Self::NoEndpoint => "no instance may be called",
            Self::NotReady => "no instance is connected",
            Self::Timeout => "no response in time",
            Self::Undiscovered => "instances not known yet",
            Self::Unsent => "no instance took the request",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("service", &self.service)
            .field("endpoint", &self.endpoint)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &*source.0 as _)
    }
}

/// A cause. Shared, because one failed connect is the cause for every request that waited for it.
#[derive(Clone)]
pub(crate) struct SharedError(Arc<dyn StdError + Send + Sync>);

impl From<BoxError> for SharedError {
    fn from(source: BoxError) -> Self {
        Self(source.into())
    }
}

impl From<String> for SharedError {
    fn from(source: String) -> Self {
        BoxError::from(source).into()
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_the_cause_to_source() {
        let error = Error::new(ErrorKind::Lost, &"DEFAULT_GROUP@@orders".into())
            .at(&"10.0.0.1:80".into())
            .because("broken pipe".to_owned());
        assert_eq!(error.to_string(), "DEFAULT_GROUP@@orders at 10.0.0.1:80: connection lost");
        assert_eq!(error.source().expect("has one").to_string(), "broken pipe");
    }

    #[test]
    fn only_what_no_endpoint_can_have_seen_is_unsent() {
        let service = "orders".into();
        assert!(Error::new(ErrorKind::NotReady, &service).is_unsent());
        assert!(Error::new(ErrorKind::Timeout, &service).is_unsent());
        assert!(!Error::new(ErrorKind::Timeout, &service).at(&"a:1".into()).is_unsent());
        assert!(!Error::new(ErrorKind::Lost, &service).is_unsent());
    }
}
