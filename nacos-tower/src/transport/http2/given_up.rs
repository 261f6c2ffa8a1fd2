//! Ends the requests that nobody waits for any more.
//!
//! Giving one up resets its stream, and servers end a connection on which many are reset: so each
//! waits for its turn. Until then it goes on, and its response is discarded; most have ended by
//! then, and need no reset.
use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until},
};

use super::{driver::Job, outgoing::Outgoing};

/// A request that was handed over to hyper. Dropping it resets the stream.
pub(super) type Sent<B> =
    BoxFuture<'static, Result<Response<Incoming>, TrySendError<Request<Outgoing<B>>>>>;

/// Brings the requests of one connection to their end that nobody waits for.
#[derive(Clone, Debug)]
pub(super) struct GivenUp(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// To the driver, whose end this does not put off.
    jobs: mpsc::WeakUnboundedSender<Job>,
    /// Held by the request that is the next to be reset.
    pace: Mutex<Pace>,
}

impl GivenUp {
    pub(super) fn new(jobs: mpsc::WeakUnboundedSender<Job>) -> Self {
        Self(Arc::new(Shared { jobs, pace: Mutex::default() }))
    }

    /// Takes over a request that was sent and not answered yet.
    pub(super) fn request<B: Send + 'static>(&self, sent: Sent<B>) {
        self.finish(async {
            if let Ok(response) = sent.await {
                drain(response).await;
            }
        });
    }

    /// Takes over a response that has not ended.
    pub(super) fn response(&self, response: Incoming) {
        self.finish(drain(Response::new(response)));
    }

    /// Dropping `end` resets the stream, if it has not ended.
    fn finish(&self, end: impl Future<Output = ()> + Send + 'static) {
        let Some(jobs) = self.0.jobs.upgrade() else { return };
        let shared = Arc::clone(&self.0);
        let job = async move {
            tokio::select! {
                biased;
                // First: one that has ended takes nobody's turn.
                () = end => {}
                () = shared.turn() => {}
            }
        };
        // Without a driver there is no socket either, and nothing to reset.
        let _over = jobs.send(Job::GivenUp(job.boxed()));
    }
}

impl Shared {
    async fn turn(&self) {
        // One after another waits here, and none that has ended.
        let mut pace = self.pace.lock().await;
        let turn = pace.next(Instant::now());
        // Timers are late by up to a millisecond, which those without a wait should not add up.
        if turn > Instant::now() {
            sleep_until(turn).await;
        }
        pace.take(Instant::now());
    }
}

/// Reads what is left, and throws it away: unread, it would be in the way of other responses.
async fn drain(response: Response<Incoming>) {
    let mut body = response.into_body();
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

/// Spreads the resets of one connection.
///
/// Servers on the `h2` crate, as tonic's are, end a connection with 20 that they have not looked at
/// yet; servers and proxies on Netty after 200 within 30 s.
///
/// Core has such a type for itself. A type that both have would be a part of its public API, and
/// would have to stay: cargo builds this crate with any compatible version of core.
#[derive(Debug, Default)]
struct Pace {
    /// When the next one would be due, were all of them spread evenly.
    due: Option<Instant>,
}

impl Pace {
    /// When the next stream may be reset.
    fn next(&self, now: Instant) -> Instant {
        let due = self.due(now);
        due.checked_sub(EVERY * (AT_ONCE - 1)).unwrap_or(due).max(now)
    }

    fn take(&mut self, now: Instant) {
        self.due = Some(self.due(now) + EVERY);
    }

    fn due(&self, now: Instant) -> Instant {
        self.due.map_or(now, |due| due.max(now))
    }
}

/// In the long run: 120 within 30 s.
const EVERY: Duration = Duration::from_millis(250);
/// After a while without any.
const AT_ONCE: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn resets_stay_below_the_limits_of_servers() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        let mut turns = vec![];
        for _ in 0..1000 {
            let turn = pace.next(turns.last().copied().unwrap_or(began));
            pace.take(turn);
            turns.push(turn);
        }
        assert!(turns.windows(20).all(|turns| turns[19] > turns[0]), "20 at once");
        let half_a_minute = Duration::from_secs(30);
        assert!(turns.windows(200).all(|turns| turns[199] > turns[0] + half_a_minute));
        assert_eq!(turns.iter().filter(|turn| **turn == began).count(), 10, "few wait for nothing");
    }
}
