//! The body of a request, which notes whether the request was sent.
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use http_body::{Frame, SizeHint};

/// A request's body that notes when hyper begins to send the request.
///
/// A request that is given up before is not sent at all, and so needs no reset; hyper itself does
/// not tell which was sent.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    inner: B,
    sent: Arc<AtomicBool>,
}

impl<B> Outgoing<B> {
    /// The body, and what turns true when its request is sent.
    pub(super) fn new(inner: B) -> (Self, Arc<AtomicBool>) {
        let sent = Arc::new(AtomicBool::new(false));
        (Self { inner, sent: Arc::clone(&sent) }, sent)
    }

    pub(super) fn into_inner(self) -> B {
        self.inner
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Outgoing<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        // Asked for in the same go in which the head is sent, after hyper has looked whether the
        // caller is still there. If the caller goes just between the two, its stream is reset
        // without waiting for a turn: a matter of nanoseconds, and of a driver on another thread.
        self.sent.store(true, Relaxed);
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
