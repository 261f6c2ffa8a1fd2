//! Signs of life on a connection, and how long a call waits for more.
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::CallError;

/// When bytes came from the peer: every one of them is a sign of life, also those of a message that
/// is not complete yet.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// In microseconds since `opened`.
    heard: AtomicU64,
    /// When a part of a message came that is not complete; 0 if none has.
    part: AtomicU64,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// While nothing of its answer comes, nor a part of a large message in front of it.
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
}

impl Limit {
    /// Whether the deadline has passed.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The same for a step that may take as long as the call.
    pub(super) fn patient(self) -> Self {
        Self { idle: self.deadline.saturating_duration_since(Instant::now()), ..self }
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), heard: AtomicU64::new(0), part: AtomicU64::new(0) }
    }

    /// Bytes came, which completed every message that they belong to, or did not.
    pub(super) fn beat(&self, is_complete: bool) {
        let elapsed = Instant::now().saturating_duration_since(self.opened);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.heard.store(micros, Ordering::Relaxed);
        if !is_complete {
            self.part.store(micros.max(1), Ordering::Relaxed);
        }
    }

    /// When something was last heard.
    pub(super) fn last(&self) -> Instant {
        self.opened + Duration::from_micros(self.heard.load(Ordering::Relaxed))
    }

    /// Waits for the next step of a call.
    ///
    /// A large message on the way to us delays what comes behind it: while its parts arrive, a call
    /// is not idle, however long it takes.
    pub(super) async fn next<T>(
        &self,
        limit: Limit,
        step: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        let now = Instant::now();
        // Here, because a step that is ready is never late: a peer that always has more to say
        // would hold a call for ever.
        if now >= limit.deadline {
            return Err(CallError::Timeout);
        }
        let mut step = pin!(step);
        // Most steps are ready: a timer would cost more than they do.
        let mut timer = pin!(None);
        let mut until = limit.deadline.min(now + limit.idle);
        poll_fn(|cx| {
            if let Poll::Ready(value) = step.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            loop {
                if timer.is_none() {
                    timer.set(Some(sleep_until(until)));
                }
                if let Some(timer) = timer.as_mut().as_pin_mut() {
                    ready!(timer.poll(cx));
                }
                let part = self.part.load(Ordering::Relaxed);
                let idle_until = self.opened + Duration::from_micros(part) + limit.idle;
                if part == 0 || idle_until <= until || until == limit.deadline {
                    return Poll::Ready(Err(CallError::Timeout));
                }
                until = limit.deadline.min(idle_until);
                timer.set(None);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use nacos_testkit::TimeLimit;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn call_that_nothing_comes_for_ends_after_its_idle_time() {
        TimeLimit::for_test();
        let (activity, began) = (Activity::new(), Instant::now());
        let limit = Limit { idle: 3 * SECOND, deadline: began + 60 * SECOND };
        let waiting = activity.next(limit, pending::<()>());
        // Answers to other calls are not what it waits for.
        let others = async {
            loop {
                sleep(SECOND).await;
                activity.beat(true);
            }
        };
        tokio::select! {
            biased;
            outcome = waiting => assert_eq!(outcome, Err(CallError::Timeout)),
            () = others => {}
        }
        assert_eq!(Instant::now() - began, 3 * SECOND);
        assert_eq!(activity.last(), began + 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_holds_while_every_step_is_ready() {
        TimeLimit::for_test();
        let (activity, began) = (Activity::new(), Instant::now());
        let limit = Limit { idle: 3 * SECOND, deadline: began + 2 * SECOND };
        let mut steps = 0;
        while activity.next(limit, std::future::ready(())).await.is_ok() {
            steps += 1;
            assert!(steps <= 20, "the deadline was 2 s");
            tokio::time::advance(SECOND / 10).await;
        }
        assert_eq!(steps, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn large_message_in_front_is_waited_for_until_the_deadline() {
        TimeLimit::for_test();
        for (parts, ends) in [(5, 8), (100, 20)] {
            let (activity, began) = (Activity::new(), Instant::now());
            let limit = Limit { idle: 3 * SECOND, deadline: began + 20 * SECOND };
            let arriving = async {
                for _ in 0..parts {
                    sleep(SECOND).await;
                    activity.beat(false);
                }
                pending::<()>().await;
            };
            tokio::select! {
                biased;
                outcome = activity.next(limit, pending::<()>()) => {
                    assert_eq!(outcome, Err(CallError::Timeout));
                }
                () = arriving => {}
            }
            assert_eq!(Instant::now() - began, ends * SECOND);
        }
    }
}
