//! How a server ends: unknown first, then idle, then closed.
use std::{error::Error as StdError, future::Future, pin::pin, time::Duration};

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::warn;

use super::{
    super::{Outcome, Step},
    Run,
};
use crate::{instance::Instance, naming::Subscription};

impl Run {
    /// Makes sure that no consumer calls any more, as far as that takes no longer than it may.
    pub(super) async fn withdraw(&mut self) {
        let is_connected = self.client.state().get().is_connected();
        let Some(registration) = self.registrar.take().filter(|_| is_connected) else {
            // Nacos knows nothing, or cannot be told: it sees for itself that we are gone.
            return self.recorder.skip([Step::Withdraw, Step::Observe, Step::Grace]);
        };
        self.recorder.enter(Step::Withdraw);
        let instance = registration.instance().clone();
        // First: a subscription made after it is gone cannot tell when subscribers learn of that.
        let end = self.within(WITHDRAW_LIMIT);
        let subscribed = self.registrar.observer();
        let subscribed = timeout_at(self.within(SUBSCRIBE_LIMIT), subscribed).await;
        let withdrawn = timeout_at(end, registration.deregister()).await;
        if !matches!(withdrawn, Ok(Ok(()))) {
            self.is_heard = false;
            self.recorder.leave(Outcome::TimedOut);
            // A server that does not answer tells no subscriber either: waiting changes nothing.
            return self.recorder.skip([Step::Observe, Step::Grace]);
        }
        self.recorder.leave(Outcome::Completed);
        let limit = self.within(OBSERVE_LIMIT.max(self.options.grace));
        self.recorder.enter(Step::Observe);
        let outcome = match subscribed.unwrap_or_default() {
            Some(subscription) => timeout_at(limit, observe(subscription, &instance))
                .await
                .unwrap_or(Outcome::TimedOut),
            None => Outcome::Skipped,
        };
        self.recorder.leave(outcome);
        if Instant::now() >= limit {
            return self.recorder.skip([Step::Grace]);
        }
        self.recorder.enter(Step::Grace);
        sleep_until(limit.min(self.within(self.options.grace))).await;
        self.recorder.leave(Outcome::Completed);
    }

    /// Lets open connections end, and cuts those that do not.
    pub(super) async fn drain(
        &mut self,
        server: impl Future<Output = Result<(), Box<dyn StdError + Send + Sync>>>,
    ) {
        self.recorder.enter(Step::Drain);
        let mut ended = pin!(async {
            if let Err(error) = server.await {
                warn!(error, "the server failed while it ended");
            }
            // Those that the framework does not know of any more: web sockets, for instance.
            self.connections.closed().await;
        });
        let outcome = tokio::select! {
            biased;
            () = self.triggers.hurried() => Outcome::Hurried,
            ended = timeout_at(self.within(self.options.drain), &mut ended) => match ended {
                Ok(()) => Outcome::Completed,
                Err(_) => Outcome::TimedOut,
            },
        };
        if outcome != Outcome::Completed {
            self.recorder.report.cut = self.connections.cut();
            // All that their tasks do now is to end; one that computes is not waited for.
            let _ = timeout(CUT_LIMIT, ended).await;
        }
        self.recorder.leave(outcome);
    }

    /// Closes the client, if this was the last server.
    pub(super) async fn close(&mut self) {
        if !self.member.closes_client() {
            return self.recorder.skip([Step::Close]);
        }
        self.recorder.enter(Step::Close);
        let rest = self.deadline().saturating_duration_since(Instant::now());
        let within = if self.is_heard { rest.min(CLOSE_LIMIT) } else { Duration::ZERO };
        let outcome = tokio::select! {
            biased;
            // First, because it goes on by itself once it is polled.
            report = self.client.shutdown(within) => match report.unacknowledged {
                0 => Outcome::Completed,
                _ => Outcome::TimedOut,
            },
            () = self.triggers.hurried() => Outcome::Hurried,
        };
        self.recorder.leave(outcome);
    }
}

/// Waits until subscribers see the service without `instance`.
async fn observe(subscription: Subscription, instance: &Instance) -> Outcome {
    // The server's own list, not a view of it: a view in its grace shows instances that have left.
    let gone = subscription
        .raw()
        .wait_for(|service| {
            service.instances.iter().all(|other| other.identity() != instance.identity())
        })
        .await;
    match gone {
        Some(_) => Outcome::Completed,
        // The client was shut down, and took the registration with it.
        None => Outcome::Skipped,
    }
}

/// Withdrawing matters more.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(1);
/// One try of a request: a server that takes longer is not waited for.
const WITHDRAW_LIMIT: Duration = Duration::from_secs(3);
/// Pushes are delayed by half a second at most; what is not seen by then never will be.
const OBSERVE_LIMIT: Duration = Duration::from_secs(5);
const CUT_LIMIT: Duration = Duration::from_millis(250);
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
