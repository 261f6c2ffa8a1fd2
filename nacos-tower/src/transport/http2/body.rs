//! The body of a response, and the error that ends it early.
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::{Body as _, Incoming};

use super::given_up::GivenUp;

/// The body of a response that comes over an [`Http2Connection`](super::Http2Connection).
///
/// Dropping it before its end resets the stream, as soon as its turn comes.
#[derive(Debug)]
pub struct Http2Body {
    /// There until it is dropped.
    incoming: Option<Incoming>,
    given_up: GivenUp,
}

impl Http2Body {
    pub(super) fn new(incoming: Incoming, given_up: GivenUp) -> Self {
        Self { incoming: Some(incoming), given_up }
    }
}

impl http_body::Body for Http2Body {
    type Data = Bytes;
    type Error = Http2Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        Pin::new(incoming).poll_frame(cx).map_err(Http2Error)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) {
            self.given_up.response(incoming);
        }
    }
}

/// A response that ended early: its stream was reset, or its connection was lost.
///
/// The HTTP/2 error is one of its [sources](Error::source).
pub struct Http2Error(hyper::Error);

impl fmt::Display for Http2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Http2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for Http2Error {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Transparent: the text above is the whole of the inner error's own text.
        self.0.source()
    }
}
