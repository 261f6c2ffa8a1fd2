//! The calls of a connection, carried out by the task that does the connection's work.
//!
//! A caller waits for the outcome and does nothing else: one that is not polled holds up no other,
//! and one that is gone leaves no stream behind that has to be reset. A small call comes to its end
//! in the background, and its answer is thrown away.
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::client::SendRequest;
use http::Request;
use tokio::{
    sync::{Semaphore, oneshot},
    task::coop::unconstrained,
    time::Instant,
};

use super::{
    CallError,
    activity::{Activity, Limit},
    answer::{not_sent, told},
    exchange::{Answer, Exchange, IN_BACKGROUND, SMALL},
    jobs::{JobQueue, JobReceiver, Turn, jobs},
    pace::resets,
    places::{CallPlace, Places},
    stream::Reading,
};
use crate::pace::Pace;

/// The origin of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Caller {
    /// The session, which never waits for users' calls.
    Session,
    User,
}

/// A call, and the way back to its caller.
pub(super) struct Call {
    caller: Caller,
    head: Request<()>,
    body: Bytes,
    limit: Limit,
    waiting: Unbegun,
}

type CallResult = Result<Answer, CallError>;

/// A call that was handed over. Until the task of the connection takes it, it is in the queue for
/// as long as this lives.
pub(super) struct Begun<'a> {
    outcome: oneshot::Receiver<CallResult>,
    _turn: Option<Turn<'a, Job>>,
}

impl Begun<'_> {
    /// Its outcome; an error if the connection has ended meanwhile.
    pub(super) async fn outcome(self) -> Result<CallResult, oneshot::error::RecvError> {
        let Self { outcome, _turn } = self;
        outcome.await
    }
}

/// The way back to the caller of a call that has not begun: dropping it says that nothing was sent.
struct Unbegun(Option<oneshot::Sender<CallResult>>);

impl Unbegun {
    /// Whether the caller has stopped waiting.
    fn is_closed(&self) -> bool {
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Waits until the caller has stopped waiting.
    async fn closed(&mut self) {
        if let Some(outcome) = &mut self.0 {
            outcome.closed().await;
        }
    }

    /// The call has begun: dropping this no longer says that nothing was sent.
    fn begun(mut self) -> Option<oneshot::Sender<CallResult>> {
        self.0.take()
    }

    fn fail(mut self, error: CallError) {
        if let Some(outcome) = self.0.take() {
            // The caller may have stopped waiting.
            let _ = outcome.send(Err(error));
        }
    }
}

impl Drop for Unbegun {
    fn drop(&mut self) {
        if let Some(outcome) = self.0.take() {
            let _ = outcome.send(Err(CallError::NotSent(ENDED.to_owned())));
        }
    }
}

/// The outcomes of users' calls whose caller stopped waiting once they were sent: what a server
/// does about a call does not depend on how long its caller waits.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    answered: AtomicBool,
    unanswered: AtomicU32,
}

impl Abandoned {
    /// Whether one was answered since this was last asked, and how many had no answer for as long
    /// as a call may go without.
    pub(crate) fn take(&self) -> (bool, u32) {
        (self.answered.swap(false, Ordering::Relaxed), self.unanswered.swap(0, Ordering::Relaxed))
    }
}

/// A job for the task of a connection.
pub(super) enum Job {
    Call(Call),
    /// Here, too, so that pushes and answers are told in the order in which they came.
    Reading(Reading),
}

/// The state that the calls of one connection share.
pub(super) struct Calls {
    pub(super) activity: Arc<Activity>,
    pub(super) abandoned: Abandoned,
    places: Places,
    /// For users' large answers, in units of [`SMALL`].
    room: Arc<Semaphore>,
    receive_limit: usize,
    pace: Mutex<Pace>,
    jobs: JobQueue<Job>,
}

impl Calls {
    /// Calls that are carried out by [`work`], which takes them from the inbox.
    pub(super) fn new(receive_limit: usize) -> (Self, JobReceiver<Job>) {
        let (jobs, inbox) = jobs();
        let calls = Self {
            activity: Arc::new(Activity::new()),
            abandoned: Abandoned::default(),
            places: Places::new(),
            room: Arc::new(Semaphore::new(ROOM.max(receive_limit).div_ceil(SMALL))),
            receive_limit,
            pace: Mutex::new(resets()),
            jobs,
        };
        (calls, inbox)
    }

    /// Hands a job over to the connection's task; says whether that still runs.
    pub(super) fn hand_over(&self, job: Job) -> bool {
        self.jobs.hand_over(job)
    }

    /// Hands a call over. One that waits for a place does so in the connection's task: a caller
    /// that is not polled would keep a place from others.
    pub(super) fn begin(
        &self,
        caller: Caller,
        head: Request<()>,
        body: Bytes,
        limit: Limit,
    ) -> Begun<'_> {
        let (waiting, outcome) = oneshot::channel();
        let waiting = Unbegun(Some(waiting));
        // If the task has ended, dropping the call says so.
        let turn = self.jobs.queue(Job::Call(Call { caller, head, body, limit, waiting }));
        Begun { outcome, _turn: turn }
    }

    async fn carry_out(&self, h2: SendRequest<Bytes>, job: Job) {
        match job {
            Job::Call(call) => self.carry_out_call(h2, call).await,
            Job::Reading(reading) => {
                drop(h2);
                // Each call takes as much memory as the largest job: so this is none of its size.
                Box::pin(reading.carry_out()).await;
            }
        }
    }

    async fn carry_out_call(&self, mut h2: SendRequest<Bytes>, call: Call) {
        let Call { caller, head, body, limit, mut waiting } = call;
        // The caller has stopped waiting, and the server has not heard of the call yet.
        if waiting.is_closed() {
            return;
        }
        // Kept until the stream has ended. The session needs none.
        let place = match caller {
            Caller::Session => None,
            // Its time may have passed in the queue.
            Caller::User => match self.places.free().filter(|_| !limit.is_over()) {
                Some(place) => Some(place),
                // Seldom, and boxed for the size of each call.
                None => match Box::pin(self.place(&mut waiting, limit)).await {
                    Ok(Some(place)) => Some(place),
                    Ok(None) => return,
                    Err(error) => return waiting.fail(error),
                },
            },
        };
        let room = place.as_ref().map(|_| &self.room);
        let begun = Exchange::begin(&mut h2, head, body, self.receive_limit);
        drop(h2);
        let mut exchange = match begun {
            Ok(exchange) => exchange,
            Err(error) => return waiting.fail(not_sent(&error)),
        };
        let Some(mut outcome) = waiting.begun() else { return };
        // A large request may still be in the system's hands long after it has left ours.
        let sent = exchange.is_small().then(Instant::now);
        let answer = tokio::select! {
            biased;
            answer = exchange.answer(&self.activity, limit, room) => Some(answer),
            () = outcome.closed() => None,
        };
        if let Some(answer) = answer {
            // The caller may have stopped waiting.
            let _ = outcome.send(answer);
        } else if let (Caller::User, Some(sent)) = (caller, sent) {
            Box::pin(self.judge(&mut exchange, sent + limit.idle)).await;
        }
        if !exchange.has_ended() {
            Box::pin(self.end(exchange)).await;
        }
    }

    /// A place for a user's call, as soon as there is one; none if the caller has stopped waiting.
    async fn place(
        &self,
        waiting: &mut Unbegun,
        limit: Limit,
    ) -> Result<Option<CallPlace<'_>>, CallError> {
        tokio::select! {
            biased;
            () = waiting.closed() => Ok(None),
            place = self.activity.next(limit, self.places.next()) => match place {
                Ok(Ok(place)) => Ok(Some(place)),
                Ok(Err(_)) => Err(CallError::NotSent(ENDED.to_owned())),
                Err(_) => Err(CallError::Busy),
            },
        }
    }

    /// Sees whether a call whose caller has stopped waiting is answered `by` when it had to be.
    async fn judge(&self, exchange: &mut Exchange, by: Instant) {
        exchange.give_up();
        let now = Instant::now();
        let limit =
            Limit { idle: by.saturating_duration_since(now), deadline: now + IN_BACKGROUND };
        let head = poll_fn(|cx| exchange.poll_head(cx));
        if self.activity.next(limit, head).await.is_err() {
            self.abandoned.unanswered.fetch_add(1, Ordering::Relaxed);
        } else if exchange.is_answered() {
            self.abandoned.answered.store(true, Ordering::Relaxed);
        }
    }

    /// Brings a stream to its end whose caller has stopped waiting.
    async fn end(&self, mut exchange: Exchange) {
        exchange.give_up();
        if exchange.is_small() {
            exchange.drain(&self.activity, SMALL, Instant::now() + IN_BACKGROUND).await;
        }
        while !exchange.has_ended() {
            let turn = Instant::from_std(self.pace().next(Instant::now().into_std()));
            exchange.drain(&self.activity, usize::MAX, turn).await;
            // A stream that has ended by then leaves its turn to another.
            if !exchange.has_ended() && self.pace().try_take(Instant::now().into_std()) {
                // Dropping it resets the stream.
                return;
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // It is whole at every moment.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the work of a connection and carries out its calls. Ends with the reason for which the
/// connection did, which is `told` before calls hear of it.
pub(super) async fn work<T>(
    connection: h2::client::Connection<T, Bytes>,
    h2: &SendRequest<Bytes>,
    calls: &Calls,
    inbox: JobReceiver<Job>,
    tell: impl Fn(String),
) where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut connection = connection;
    let mut under_way = pin!(FuturesUnordered::new());
    poll_fn(|cx| {
        // The calls polled here are woken by the connection, whose socket alone counts for the
        // runtime: where that has nothing more for the moment, neither have the calls.
        unbudgeted(cx, |cx| {
            for begun in 0..=CALLS_AT_ONCE {
                if begun == CALLS_AT_ONCE {
                    cx.waker().wake_by_ref();
                } else if let Poll::Ready(job) = inbox.poll_next(cx) {
                    under_way.push(calls.carry_out(h2.clone(), job));
                } else {
                    break;
                }
            }
            advance(under_way.as_mut(), cx);
        });
        let ended = pin!(&mut connection).poll(cx);
        calls.places.follow(h2.current_max_send_streams());
        if let Poll::Ready(ended) = &ended {
            tell(match ended {
                Ok(()) => "the server closed the connection".to_owned(),
                Err(error) => told(error),
            });
            calls.places.close();
        }
        // In the same go, so that an answer costs one wake-up: that of its caller.
        unbudgeted(cx, |cx| advance(under_way.as_mut(), cx));
        ended.map(drop)
    })
    .await;
    // A call that has not begun was not sent, which dropping it says.
}

/// Whether the peer has said its first words.
pub(super) fn is_open(h2: &SendRequest<Bytes>) -> bool {
    h2.current_max_send_streams() > NONE_YET
}

fn advance(mut calls: std::pin::Pin<&mut FuturesUnordered<impl Future>>, cx: &mut Context<'_>) {
    while let Poll::Ready(Some(_)) = calls.as_mut().poll_next(cx) {}
}

fn unbudgeted(cx: &mut Context<'_>, mut code: impl FnMut(&mut Context<'_>)) {
    let code = poll_fn(|cx| {
        code(cx);
        Poll::Ready(())
    });
    let _ = pin!(unconstrained(code)).poll(cx);
}

/// Streams at once before the peer has said how many it takes.
pub(super) const NONE_YET: usize = 0;
/// For users' answers that are large: as they arrive, and until they are taken. Less in tests,
/// which fill it.
pub(super) const ROOM: usize = if cfg!(test) { 4 } else { 256 } * 1024 * 1024;
const ENDED: &str = "the connection has ended";
/// Calls that are begun before the connection gets its turn.
const CALLS_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use nacos_testkit::TimeLimit;

    use super::*;

    fn begun(calls: &Calls) -> Begun<'_> {
        let minute = Duration::from_secs(60);
        let limit = Limit { idle: minute, deadline: Instant::now() + minute };
        calls.begin(Caller::User, Request::new(()), Bytes::new(), limit)
    }

    #[tokio::test]
    async fn calls_that_are_dropped_before_the_connection_has_its_turn_fill_no_queue() {
        TimeLimit::for_test();
        let (calls, inbox) = Calls::new(1024);
        let (first, last) = (begun(&calls), begun(&calls));
        for _ in 0..1_000 {
            drop(unconstrained(begun(&calls).outcome()).now_or_never());
        }
        assert_eq!(inbox.len(), 2);
        drop((first, last));
        assert_eq!(inbox.len(), 0);
    }

    #[tokio::test]
    async fn call_that_has_not_begun_when_its_connection_is_dropped_was_not_sent() {
        TimeLimit::for_test();
        let (calls, inbox) = Calls::new(1024);
        let early = begun(&calls);
        drop(inbox);
        for begun in [early, begun(&calls)] {
            let outcome = begun.outcome().await.expect("told").map(drop);
            assert_eq!(outcome, Err(CallError::NotSent(ENDED.to_owned())));
        }
    }
}
