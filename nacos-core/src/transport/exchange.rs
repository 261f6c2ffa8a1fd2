//! One unary call on a stream of its own: a request, one message, the trailers.
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::Request;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    CallError,
    activity::{Activity, Limit},
    answer::{check_head, check_status, lost},
    frame::{Frame, FrameReader},
};
use crate::telemetry;

/// A call whose request has been handed to HTTP/2, or the first part of it.
///
/// Every method is cancel safe, so that the next can go on where one was given up. Dropping it
/// before the stream has [ended](Self::has_ended) resets the stream.
pub(super) struct Exchange {
    send: SendStream<Bytes>,
    /// The part of the request that is still to go.
    rest: Bytes,
    /// Until the head of the answer has come.
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    reader: FrameReader,
    answer: Option<Frame>,
    /// Room for a large answer, and the wait for it.
    room: Option<OwnedSemaphorePermit>,
    acquiring: Option<Pin<Box<Acquiring>>>,
    received: usize,
    has_ended: bool,
}

type Acquiring = dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send;

/// One message, and the room that it takes until the caller has it.
pub(super) type Answer = (Frame, Option<OwnedSemaphorePermit>);

impl Exchange {
    /// # Errors
    ///
    /// Nothing was sent.
    pub(super) fn begin(
        h2: &mut SendRequest<Bytes>,
        head: Request<()>,
        body: Bytes,
        receive_limit: usize,
    ) -> Result<Self, h2::Error> {
        let (response, mut send) = h2.send_request(head, false)?;
        telemetry::sent(body.len());
        let mut rest = Bytes::new();
        if body.len() > AT_ONCE {
            rest = body;
        } else {
            send.send_data(body, true)?;
        }
        Ok(Self {
            send,
            rest,
            response: Some(response),
            body: None,
            reader: FrameReader::new(receive_limit),
            answer: None,
            room: None,
            acquiring: None,
            received: 0,
            has_ended: false,
        })
    }

    /// Sends what is left of the request, and reads the answer; a large one once there is `room`.
    pub(super) async fn answer(
        &mut self,
        activity: &Activity,
        limit: Limit,
        room: Option<&Arc<Semaphore>>,
    ) -> Result<Answer, CallError> {
        let is_large = !self.rest.is_empty();
        loop {
            let step = self.step(room.is_some());
            let patience = match step {
                // The system may hold megabytes that are still to go, and does not tell.
                Step::Head if is_large => limit.patient(),
                Step::Room => limit.patient(),
                Step::Rest | Step::Head | Step::Data => limit,
            };
            let next = poll_fn(|cx| self.poll_step(cx, step, activity, room));
            match activity.next(patience, next).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => break,
                // Its server has answered, and others are in the way.
                Err(_) if step == Step::Room => return Err(CallError::NoRoom),
                Ok(Err(error)) | Err(error) => return Err(error),
            }
        }
        let Some(answer) = self.answer.take() else {
            let why = if self.reader.is_between_messages() {
                "an answer without a message"
            } else {
                "an answer that ends within a message"
            };
            return Err(CallError::Unreadable(why.to_owned()));
        };
        Ok((answer, self.room.take()))
    }

    /// The next step.
    fn step(&self, needs_room: bool) -> Step {
        if self.body.is_none() {
            if self.rest.is_empty() { Step::Head } else { Step::Rest }
        } else if needs_room && self.room.is_none() && self.reader.missing() > SMALL {
            Step::Room
        } else {
            Step::Data
        }
    }

    /// Takes a step; says whether the answer has come to its end.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        step: Step,
        activity: &Activity,
        room: Option<&Arc<Semaphore>>,
    ) -> Poll<Result<bool, CallError>> {
        match step {
            Step::Rest => ready!(self.poll_rest(cx))?,
            Step::Head => ready!(self.poll_head(cx))?,
            Step::Room => ready!(self.poll_room(cx, room)),
            Step::Data => return self.poll_data(cx, activity),
        }
        Poll::Ready(Ok(false))
    }

    /// Sends a piece of a large body as the server makes room for it, each of which it takes being
    /// progress. Ends early with the answer of a server that does not want to read it all.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if let Poll::Ready(head) = self.poll_head(cx) {
            return Poll::Ready(head);
        }
        self.send.reserve_capacity(self.rest.len().min(AT_ONCE));
        match ready!(self.send.poll_capacity(cx)) {
            Some(Ok(0)) => Poll::Ready(Ok(())),
            Some(Ok(room)) => {
                let part = self.rest.split_to(room.min(self.rest.len()));
                let sent = self.send.send_data(part, self.rest.is_empty());
                Poll::Ready(sent.map_err(|error| self.ended(&error)))
            }
            // The stream was ended by the server, whose answer says why.
            Some(Err(_)) | None => self.poll_head(cx),
        }
    }

    /// Waits for the head of the answer, or for the end of the stream.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(response) = &mut self.response else { return Poll::Ready(Ok(())) };
        let response = ready!(Pin::new(response).poll(cx));
        self.response = None;
        let (head, body) = response.map_err(|error| self.ended(&error))?.into_parts();
        self.has_ended = body.is_end_stream() && self.rest.is_empty();
        self.body = Some(body);
        Poll::Ready(check_head(head.status, &head.headers))
    }

    /// Waits for room. An answer keeps its room until its caller takes it, and others wait as long.
    fn poll_room(&mut self, cx: &mut Context<'_>, room: Option<&Arc<Semaphore>>) -> Poll<()> {
        let Some(room) = room else { return Poll::Ready(()) };
        let share = u32::try_from(self.reader.missing() / SMALL).unwrap_or(u32::MAX);
        let begin =
            || -> Pin<Box<Acquiring>> { Box::pin(Arc::clone(room).acquire_many_owned(share)) };
        let acquired = ready!(self.acquiring.get_or_insert_with(begin).as_mut().poll(cx));
        (self.acquiring, self.room) = (None, acquired.ok());
        Poll::Ready(())
    }

    /// A piece of one message, or the trailers.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        activity: &Activity,
    ) -> Poll<Result<bool, CallError>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(true)) };
        let Some(data) = ready!(body.poll_data(cx)) else {
            let trailers = ready!(body.poll_trailers(cx));
            let trailers = trailers.map_err(|error| self.ended(&error))?;
            self.has_ended = self.rest.is_empty();
            check_status(&trailers.unwrap_or_default())?;
            return Poll::Ready(Ok(true));
        };
        let mut data = data.map_err(|error| self.ended(&error))?;
        self.count_received(data.len());
        while let Some(frame) = self.reader.next(&mut data) {
            if self.answer.replace(frame).is_some() {
                let why = "more than one message in an answer".to_owned();
                return Poll::Ready(Err(CallError::Unreadable(why)));
            }
        }
        activity.beat(self.reader.is_between_messages());
        // It grows no smaller: the rest of it is not waited for.
        Poll::Ready(self.reader.over_limit().map_or(Ok(false), Err))
    }

    /// Whether nothing more goes or comes on the stream.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the answer has begun.
    pub(super) fn is_answered(&self) -> bool {
        self.body.is_some()
    }

    /// Whether the request is on its way as a whole, and the answer, as far as it is known, is
    /// small.
    pub(super) fn is_small(&self) -> bool {
        self.rest.is_empty() && self.received + self.reader.missing() <= SMALL
    }

    /// Gives up the answer: its caller has stopped waiting.
    pub(super) fn give_up(&mut self) {
        self.reader.give_up();
        (self.answer, self.room, self.acquiring) = (None, None, None);
    }

    /// Reads on and throws away, until the stream has [ended](Self::has_ended), more than `at_most`
    /// bytes have come, or the time has.
    pub(super) async fn drain(&mut self, activity: &Activity, at_most: usize, until: Instant) {
        let drained = timeout_at(until, async {
            // An error in the head is of no interest.
            let _ = poll_fn(|cx| self.poll_head(cx)).await;
            while !self.has_ended && self.received <= at_most {
                let Some(body) = &mut self.body else { return };
                match body.data().await {
                    Some(Ok(mut data)) => {
                        self.count_received(data.len());
                        while self.reader.next(&mut data).is_some() {}
                        activity.beat(self.reader.is_between_messages());
                    }
                    Some(Err(error)) => drop(self.ended(&error)),
                    None => {
                        let _ = body.trailers().await;
                        self.has_ended = self.rest.is_empty();
                        if !self.has_ended {
                            // Our half is still open: only a reset ends it.
                            std::future::pending::<()>().await;
                        }
                    }
                }
            }
        });
        // However it went, the stream says how it is.
        let _ = drained.await;
    }

    /// Data came, and its room is free again.
    fn count_received(&mut self, length: usize) {
        telemetry::received(length);
        self.received = self.received.saturating_add(length);
        if let Some(body) = &mut self.body {
            let _ = body.flow_control().release_capacity(length);
        }
    }

    /// Any HTTP/2 error of a stream ends it.
    fn ended(&mut self, error: &h2::Error) -> CallError {
        self.has_ended = true;
        lost(error)
    }
}

/// The event that an exchange waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// For room to send what is left of the request.
    Rest,
    Head,
    Room,
    Data,
}

/// The bytes that are handed to HTTP/2 in one piece: its initial window, which every server grants.
const AT_ONCE: usize = 65_535;
/// An answer of no more bytes is cheaper to read than to refuse. Larger ones wait for room, of
/// which there are so many of these.
pub(super) const SMALL: usize = 64 * 1024;
/// For the end of a call whose caller has stopped waiting.
pub(super) const IN_BACKGROUND: Duration = Duration::from_secs(10);
