//! Bodies of responses: frames, then the gRPC status in the trailers.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use crate::{
    shared::Shared,
    state::{Event, StreamItem},
};

/// The body of a gRPC response.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    source: BodySource,
    /// Let happen when the body has been sent, or will never be.
    _afterwards: Option<Afterwards>,
}

#[derive(Debug)]
enum BodySource {
    /// These frames.
    Ready(VecDeque<Frame<Bytes>>),
    /// A reset of the stream.
    Reset,
    /// Pushes, as they come.
    Stream(mpsc::Receiver<StreamItem>),
}

impl AnswerBody {
    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self { source: BodySource::Ready(VecDeque::new()), _afterwards: None }
    }

    /// One frame and a success.
    pub(crate) fn message(frame: Bytes, afterwards: Option<Afterwards>) -> Self {
        let frames = VecDeque::from([Frame::data(frame), trailers(0, "")]);
        Self { source: BodySource::Ready(frames), _afterwards: afterwards }
    }

    /// These bytes and nothing else.
    pub(crate) fn bare(bytes: Bytes) -> Self {
        let frames = VecDeque::from([Frame::data(bytes)]);
        Self { source: BodySource::Ready(frames), _afterwards: None }
    }

    pub(crate) fn reset() -> Self {
        Self { source: BodySource::Reset, _afterwards: None }
    }

    pub(crate) fn stream(items: mpsc::Receiver<StreamItem>) -> Self {
        Self { source: BodySource::Stream(items), _afterwards: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        match &mut this.source {
            BodySource::Ready(frames) => Poll::Ready(frames.pop_front().map(Ok)),
            BodySource::Reset => Poll::Ready(Some(Err(cancelled()))),
            BodySource::Stream(items) => items.poll_recv(context).map(|item| match item? {
                StreamItem::Push(frame) => Some(Ok(Frame::data(frame))),
                StreamItem::End { code, message } => {
                    this.source = BodySource::Ready(VecDeque::new());
                    Some(Ok(trailers(code, message)))
                }
            }),
        }
    }
}

/// Events that wait for an answer to be on its way.
#[derive(Debug)]
pub(crate) struct Afterwards {
    shared: Arc<Shared>,
    events: Vec<Event>,
}

impl Afterwards {
    pub(crate) fn new(shared: &Arc<Shared>, events: Vec<Event>) -> Option<Self> {
        (!events.is_empty()).then(|| Self { shared: Arc::clone(shared), events })
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        self.shared.set_off(std::mem::take(&mut self.events));
    }
}

/// The error that makes hyper send `RST_STREAM` with `CANCEL`.
pub(crate) fn cancelled() -> h2::Error {
    h2::Error::from(h2::Reason::CANCEL)
}

/// A text as a header may hold it.
pub(crate) fn header(text: &str) -> HeaderValue {
    let visible = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let text: String = text.chars().filter(visible).collect();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn trailers(code: u8, message: &str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    if !message.is_empty() {
        trailers.insert("grpc-message", header(message));
    }
    Frame::trailers(trailers)
}
