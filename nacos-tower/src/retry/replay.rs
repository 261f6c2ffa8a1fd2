//! A body that can be sent twice if it is small and was there at once.
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// The body of a request that may be made twice, or any other body as it is.
///
/// A body is held if all of it, at most 64 KiB, can be had without waiting, which is so for the one
/// message of a gRPC call that does not stream. Any other passes through, and is sent once.
pub struct Replay<B: http_body::Body> {
    held: Option<Arc<Held>>,
    /// How many frames of what is held were given out.
    given: usize,
    rest: Rest<B>,
}

#[derive(Debug, Default)]
struct Held {
    data: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// Whether the body announced its length. This one then does the same.
    exact: bool,
}

enum Rest<B: http_body::Body> {
    Body(B),
    Failed(Option<B::Error>),
    Nothing,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Replay<B> {
    /// A body that passes through.
    pub fn once(body: B) -> Self {
        Self { held: None, given: 0, rest: Rest::Body(body) }
    }

    /// Reads as much of a body as is there and may be held.
    pub(super) fn hold(mut body: B, cx: &mut Context<'_>) -> Self {
        let mut held = Held { exact: body.size_hint().exact().is_some(), ..Held::default() };
        let mut size = 0;
        let rest = loop {
            if size > MOST {
                break Rest::Body(body);
            }
            match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(None) => break Rest::Nothing,
                // The next frame wakes the task that polls then.
                Poll::Pending => break Rest::Body(body),
                Poll::Ready(Some(Err(error))) => break Rest::Failed(Some(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        size += data.len();
                        held.data.push(data);
                    }
                    // No frame follows the trailers, and none but data and trailers is known.
                    Err(frame) => held.trailers = frame.into_trailers().ok(),
                },
            }
        };
        Self { held: Some(Arc::new(held)), given: 0, rest }
    }

    /// The same body from its beginning, if all of it is held.
    pub(super) fn again(&self) -> Option<Self> {
        match self.rest {
            Rest::Nothing => Some(Self { held: self.held.clone(), given: 0, rest: Rest::Nothing }),
            Rest::Body(_) | Rest::Failed(_) => None,
        }
    }
}

impl<B: http_body::Body> Replay<B> {
    /// The held frames that were not given out yet.
    fn ahead(&self) -> &[Bytes] {
        let data = self.held.as_ref().map_or(&[][..], |held| &held.data);
        data.get(self.given..).unwrap_or(&[])
    }

    fn trailers(&self) -> Option<&HeaderMap> {
        self.held.as_ref()?.trailers.as_ref()
    }

    /// The place that the trailers have in the order of frames.
    fn has_given_trailers(&self) -> bool {
        self.held.as_ref().is_none_or(|held| self.given > held.data.len())
    }
}

/// Only the body is ever pinned; its error is not.
impl<B: http_body::Body + Unpin> Unpin for Replay<B> {}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(data) = self.ahead().first().cloned() {
            self.given += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.has_given_trailers()
            && let Some(trailers) = self.trailers().cloned()
        {
            self.given += 1;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match &mut self.rest {
            Rest::Body(body) => Pin::new(body).poll_frame(cx),
            Rest::Failed(error) => Poll::Ready(error.take().map(Err)),
            Rest::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let given =
            self.ahead().is_empty() && (self.has_given_trailers() || self.trailers().is_none());
        given
            && match &self.rest {
                Rest::Body(body) => body.is_end_stream(),
                Rest::Failed(error) => error.is_none(),
                Rest::Nothing => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: u64 = self.ahead().iter().map(|data| data.len() as u64).sum();
        let rest = match &self.rest {
            Rest::Body(body) => body.size_hint(),
            Rest::Nothing if self.held.as_ref().is_some_and(|held| held.exact) => {
                SizeHint::with_exact(0)
            }
            Rest::Failed(_) | Rest::Nothing => SizeHint::default(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

impl<B: http_body::Body> fmt::Debug for Replay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("given", &self.given).finish_non_exhaustive()
    }
}

const MOST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, task::Waker};

    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    #[test]
    fn small_body_is_sent_twice_with_its_length() {
        let held = hold(Full::new(Bytes::from_static(b"hello")));
        let again = held.again().expect("all of it was there");
        for body in [held, again] {
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
            assert_eq!(read(body), Ok("hello".into()));
        }
    }

    #[test]
    fn trailers_are_replayed_and_an_unknown_length_stays_unknown() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().expect("valid"))]);
        let frames = [Frame::data(Bytes::from_static(b"a")), Frame::trailers(trailers.clone())];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
        let again = hold(body).again().expect("all of it was there");
        assert_eq!(http_body::Body::size_hint(&again).exact(), None);
        let all = again.collect().now_or_never().expect("no waiting").expect("no error");
        assert_eq!(all.trailers(), Some(&trailers));
    }

    #[test]
    fn large_or_slow_body_is_sent_once_and_whole() {
        let large = hold(Full::new(Bytes::from(vec![1; MOST + 1])));
        assert!(large.again().is_none());
        assert_eq!(read(large).map(|all| all.len()), Ok(MOST + 1));

        let beginning = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))]);
        let slow = hold(StreamBody::new(beginning.chain(stream::pending())));
        assert!(slow.again().is_none());
        assert_eq!(http_body::Body::size_hint(&slow).lower(), 1);
    }

    #[test]
    fn error_comes_after_what_was_held() {
        let frames = [Ok(Frame::data(Bytes::from_static(b"a"))), Err("broken")];
        let body = hold(StreamBody::new(stream::iter(frames)));
        assert!(body.again().is_none());
        assert_eq!(read(body), Err("broken"));
    }

    fn hold<B: http_body::Body<Data = Bytes> + Unpin>(body: B) -> Replay<B> {
        Replay::hold(body, &mut Context::from_waker(Waker::noop()))
    }

    fn read<B: http_body::Body<Data = Bytes> + Unpin>(body: Replay<B>) -> Result<Bytes, B::Error> {
        let all = body.collect().now_or_never().expect("no waiting")?;
        Ok(all.to_bytes())
    }
}
