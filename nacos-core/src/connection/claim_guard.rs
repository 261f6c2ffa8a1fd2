//! The inside of every guard: its claim, how that stands with the server, and its end.
use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::Connection;
use crate::{
    error::{Error, ErrorKind},
    instance::Instance,
    live::{Live, LiveWriter, live},
    service::Service,
    session::{ClaimKey, GuardId},
    start_policy::StartPolicy,
    state::{ClaimState, SessionState},
    wire::Refusal,
};

/// A claim, as its guard holds it.
#[derive(Debug)]
pub(crate) struct ClaimGuard {
    connection: Arc<Connection>,
    key: ClaimKey,
    guard: GuardId,
    state: Live<ClaimState>,
    is_withdrawn: bool,
    /// The grace with which the guard's subscription is read.
    grace: Duration,
    /// Where the guard's document may come from first.
    start: StartPolicy,
    /// Ends once the disk was read for the guard. None if it need not be, or nobody is asked.
    disk: Option<Live<()>>,
    /// The state of a claim that is never made: kept, because its readers would end.
    unclaimed: Option<LiveWriter<ClaimState>>,
}

impl ClaimGuard {
    pub(super) fn new(
        connection: Arc<Connection>,
        key: ClaimKey,
        guard: GuardId,
        state: Live<ClaimState>,
    ) -> Self {
        Self {
            connection,
            key,
            guard,
            state,
            is_withdrawn: false,
            grace: Duration::ZERO,
            start: StartPolicy::remote(),
            disk: None,
            unclaimed: None,
        }
    }

    /// The subscription's guard has [entered](super::views::ServiceViews::enter) with this grace.
    pub(super) fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The document's guard has [entered](super::views::DocumentViews::enter) with this policy. It
    /// claims nothing if `unclaimed` is the state of its claim. `disk` ends once the disk was read.
    pub(super) fn with_start(
        mut self,
        start: StartPolicy,
        unclaimed: Option<LiveWriter<ClaimState>>,
        disk: Option<Live<()>>,
    ) -> Self {
        self.start = start;
        self.disk = disk;
        self.is_withdrawn = unclaimed.is_some();
        self.unclaimed = unclaimed;
        self
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the server is asked at all.
    pub(crate) fn asks(&self) -> bool {
        self.start.asks()
    }

    pub(crate) fn state(&self) -> Live<ClaimState> {
        self.state.clone()
    }

    /// How much metadata an instance may have.
    pub(crate) fn max_metadata(&self) -> usize {
        self.connection.options.max_metadata
    }

    /// Claims `instance` in place of what this guard claimed. Readers of the former claim's state
    /// end.
    pub(crate) fn restate(&mut self, instance: Arc<Instance>) {
        let (writer, state) = live(ClaimState::Pending);
        self.state = state;
        self.connection.outbox.restate(self.guard, self.key.clone(), instance, writer);
    }

    /// Asks for the document again.
    pub(crate) fn refetch(&self) {
        if !self.start.asks() {
            return;
        }
        self.connection.outbox.refetch(self.guard, self.key.clone());
    }

    /// After a push, the document of this watch may wait for any part of `most`.
    pub(crate) fn pull_jitter(&self, most: Duration) {
        if !self.start.asks() {
            // It is none of those that wait for the document, and delays no other.
            return;
        }
        self.connection.outbox.pull_jitter(self.guard, self.key.clone(), most);
    }

    /// The document of this watch is asked for regularly while the server lets nobody listen to it.
    /// Readers of the claim's former state end.
    pub(crate) fn poll_when_refused(&mut self) {
        if !self.start.asks() {
            return;
        }
        // Another state: a refusal from before must not be taken for the answer to this.
        let (writer, state) = live(ClaimState::Pending);
        self.connection.outbox.poll_when_refused(self.guard, self.key.clone(), writer);
        self.state = state;
    }

    /// The service of this subscription, read with another grace from now on.
    pub(crate) fn regrace(&mut self, grace: Duration) -> Option<Live<Service>> {
        let ClaimKey::Subscription(key) = &self.key else { return None };
        let former = std::mem::replace(&mut self.grace, grace);
        let view = self.connection.views.services.regrace(key, former, grace);
        // The time of that view may come before anything else that the driver waits for.
        self.connection.outbox.wake();
        Some(view)
    }

    /// Waits until the server holds the claim.
    ///
    /// # Errors
    ///
    /// As for [`settled`](Self::settled).
    pub(crate) async fn held(&self, doing: &str) -> Result<(), Error> {
        self.settled(doing, &mut self.state(), |state| *state == ClaimState::Held).await
    }

    /// Waits until `value` satisfies `known`, or the claim is refused.
    ///
    /// # Errors
    ///
    /// The server refused it, and waiting does not help, or the client closed. Or the request
    /// timeout is over: then the last refusal of a server that is asked again, if there is one.
    pub(crate) async fn settled<T>(
        &self,
        doing: &str,
        value: &mut Live<T>,
        known: impl Fn(&T) -> bool,
    ) -> Result<(), Error> {
        let mut claim = self.state();
        let mut session = self.connection.state();
        let refused = |state: &ClaimState| match state {
            // A claim without the right to it is sent again, too, but it needs an operator's help.
            ClaimState::Refused { retrying, .. } => {
                !retrying || refusal(state).is_none_or(|refusal| !refusal.kind().is_retryable())
            }
            ClaimState::Pending | ClaimState::Held => false,
        };
        let hopeless = async {
            // A document on the disk needs no server.
            if let Some(mut disk) = self.disk.clone() {
                disk.wait_for(|()| false).await;
            }
            session.wait_for(SessionState::is_hopeless).await
        };
        let mut within = self.connection.options.session.request_timeout;
        if let StartPolicy::Remote { timeout } = self.start {
            within = within.min(timeout);
        }
        let wait = async {
            tokio::select! {
                biased;
                // First, because a value may have come before a later refusal.
                value = value.wait_for(known) => match value {
                    Some(_) => Ok(()),
                    None => Err(Error::new(ErrorKind::Closed, doing)),
                },
                state = claim.wait_for(refused) => {
                    let refused = state.and_then(|state| refusal_error(doing, &state));
                    Err(refused.unwrap_or_else(|| Error::new(ErrorKind::Closed, doing)))
                }
                // A wrong password is not made right by waiting.
                _ = hopeless, if self.start.asks() => {
                    Err(self.connection.nobody_answered(doing))
                }
            }
        };
        match timeout(within, wait).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(self.refused(doing).unwrap_or_else(|| self.connection.nobody_answered(doing)))
            }
        }
    }

    /// The server's refusal, if the claim stands refused.
    pub(crate) fn refused(&self, doing: &str) -> Option<Error> {
        refusal_error(doing, &self.state.get())
    }

    /// Withdraws the claim, and waits until the server has agreed.
    pub(crate) async fn withdraw(mut self, doing: &str) -> Result<(), Error> {
        let (done, agreed) = oneshot::channel();
        self.is_withdrawn = true;
        self.connection.outbox.withdraw(self.guard, self.key.clone(), Some(done));
        match timeout(self.connection.options.session.request_timeout, agreed).await {
            // If nobody answers because the session has ended, so has the claim.
            Ok(_) => Ok(()),
            Err(_) => Err(self.connection.nobody_answered(doing)),
        }
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        if !self.is_withdrawn {
            self.connection.outbox.withdraw(self.guard, self.key.clone(), None);
        }
        // After the withdrawal: see `DocumentViews`.
        match &self.key {
            ClaimKey::Listen(key) => {
                if let Some(loader) = &self.connection.loader {
                    loader.cancel(self.guard);
                }
                self.connection.views.documents.leave(key, self.start);
            }
            ClaimKey::Subscription(key) => self.connection.views.services.leave(key, self.grace),
            ClaimKey::FuzzyWatch(pattern) => self.connection.views.matches.leave(pattern),
            ClaimKey::Instances(_) => {}
        }
    }
}

fn refusal(state: &ClaimState) -> Option<Refusal> {
    let ClaimState::Refused { code, message, .. } = state else { return None };
    Some(Refusal { code: *code, message: message.to_string(), typed: true })
}

fn refusal_error(doing: &str, state: &ClaimState) -> Option<Error> {
    Some(refusal(state)?.into_error(doing))
}
