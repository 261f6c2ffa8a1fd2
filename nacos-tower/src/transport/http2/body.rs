//! The body of a response, and the error that ends it early.
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

/// The body of a response that comes over an [`Http2Connection`](super::Http2Connection).
///
/// Dropping it before its end resets the stream.
#[derive(Debug)]
pub struct Http2Body(Incoming);

impl Http2Body {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self(incoming)
    }
}

impl http_body::Body for Http2Body {
    type Data = Bytes;
    type Error = Http2Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(Http2Error)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
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
