//! The body of a response: until it has ended, the request is under way.
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::classify;
use crate::endpoint::Lease;

pin_project! {
    /// The body of a response that came through a [`Balance`](crate::Balance).
    ///
    /// Until it has ended or is dropped, the request counts as under way, and its connection stays.
    pub struct Body<R, C> {
        #[pin]
        inner: R,
        lease: Option<Lease<C>>,
    }
}

impl<R: http_body::Body, C> Body<R, C> {
    pub(crate) fn new(inner: R, lease: Lease<C>) -> Self {
        let lease = (!inner.is_end_stream()).then_some(lease);
        Self { inner, lease }
    }
}

impl<R: http_body::Body, C> http_body::Body for Body<R, C> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let failed = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().is_some_and(classify::says_failure),
            Some(Err(_)) => true,
            None => false,
        };
        if failed && let Some(lease) = this.lease {
            // No latency: it was taken when the response began.
            let now = Instant::now();
            lease.stats.failed(now, now);
        }
        if !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream() {
            *this.lease = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<R, C> fmt::Debug for Body<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("lease", &self.lease).finish_non_exhaustive()
    }
}
