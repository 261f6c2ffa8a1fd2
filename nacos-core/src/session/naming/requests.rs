//! Sends the claims of services over the connection that serves, and takes the answers.
use std::sync::Arc;

use super::{
    NamingMachine,
    asked::Asked,
    key::NamingKey,
    lists::StampedList,
    publication::{Additive, PublicationStep},
};
use crate::{
    session::{
        ledger::{Due, SentClaim},
        output::{Output, RequestOrigin},
        request_failure::RequestFailure,
        serving_context::ServingContext,
    },
    wire::{
        Request,
        naming::{BatchInstanceRequest, InstanceRequest, SubscribeServiceRequest},
    },
};

impl NamingMachine {
    /// Sends at most `room` of the claims that are due.
    pub(in crate::session) fn send_claims(&mut self, cx: &mut ServingContext<'_>, room: usize) {
        self.claims.wake(cx.now);
        if cx.connection.may_ask()
            && let Some(service) = self.audit.take_due(cx.now, cx.output)
        {
            self.claims.reassert(&NamingKey::Subscription(service));
        }
        for Due { key, claimed, revision } in self.claims.take_due(room) {
            let claim = SentClaim { key, revision };
            match &claim.key {
                NamingKey::Instances(service) => {
                    self.registrations.aim(service);
                    self.step(cx, claim);
                }
                NamingKey::Subscription(service) => {
                    let request = SubscribeServiceRequest::new(service, claimed).outgoing();
                    cx.call(request, Asked::Subscription { claim, subscribe: claimed });
                }
            }
        }
    }

    /// Sends the next request towards what is claimed, or counts the claim as held.
    fn step(&mut self, cx: &mut ServingContext<'_>, claim: SentClaim<NamingKey>) {
        let service = claim.key.service();
        let Some(step) = self.registrations.next_step(service) else {
            let held = self.agreed(cx.output, &claim);
            if held {
                let jitter = cx.output.jitter();
                self.self_check.held(cx.now, service, claim.revision, jitter);
            }
            return;
        };
        let request = match &step {
            PublicationStep::Register(instance) => {
                InstanceRequest::register(service, instance).outgoing()
            }
            PublicationStep::Deregister(instance) => {
                InstanceRequest::deregister(service, instance).outgoing()
            }
            PublicationStep::Batch(instances) => {
                let instances = instances.iter().map(Arc::as_ref);
                BatchInstanceRequest::new(service, instances).outgoing()
            }
        };
        cx.call(request, Asked::Step { claim, step });
    }

    /// A request towards what is claimed was answered: by a server that has shown by that whether
    /// it is additive, if it has.
    pub(in crate::session) fn handle_step(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claim: SentClaim<NamingKey>,
        step: &PublicationStep,
        answer: Result<Additive, RequestFailure>,
    ) {
        let service = claim.key.service();
        match answer {
            Ok(additive) => {
                self.audit.answered(cx.now);
                self.registrations.done(service, step, additive);
                self.step(cx, claim);
            }
            Err(failure) => {
                if matches!(
                    failure,
                    RequestFailure::Unanswered
                        | RequestFailure::Unsent(_)
                        | RequestFailure::Unreadable { .. }
                ) {
                    self.registrations.unanswered(service, step);
                }
                self.set_back(cx, origin, &claim, &failure);
            }
        }
    }

    /// A subscription was answered, with a list, or its end was.
    pub(in crate::session) fn handle_subscription(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claim: SentClaim<NamingKey>,
        answer: Result<Option<StampedList>, RequestFailure>,
    ) {
        match answer {
            Ok(list) => {
                self.audit.answered(cx.now);
                if self.agreed(cx.output, &claim) && self.claims.is_claimed(&claim.key) {
                    self.audit.confirmed(claim.key.service());
                }
                if let (NamingKey::Subscription(service), Some(list)) = (claim.key, list) {
                    self.seen(cx, service, list, Some(origin.call));
                }
            }
            Err(failure) => self.set_back(cx, origin, &claim, &failure),
        }
    }

    fn agreed(&mut self, output: &mut Output, claim: &SentClaim<NamingKey>) -> bool {
        let held = self.claims.agreed(output, claim);
        self.forget_unclaimed(&claim.key);
        held
    }

    /// The server has not agreed to `claim`.
    fn set_back(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claim: &SentClaim<NamingKey>,
        failure: &RequestFailure,
    ) {
        let jitter = cx.output.jitter();
        let Some(rejection) = failure.rejection(&cx.connection, origin.token) else {
            return self.claims.release(std::slice::from_ref(claim));
        };
        let connection = cx.connection;
        let now = cx.now;
        let retry_at =
            |tries| connection.later(now, failure.retry_after(tries, connection.is_fresh, jitter));
        if self.claims.refused(cx.output, claim, &rejection, retry_at) {
            let retrying = retry_at(0).is_some();
            self.claims.tell_refused(cx.output, &claim.key, rejection.told(), retrying);
        }
        self.forget_unclaimed(&claim.key);
    }

    /// The server of this connection has never heard of what is withdrawn here: that is done.
    pub(super) fn withdrawn(&mut self, output: &mut Output, key: &NamingKey) {
        self.forget_unclaimed(key);
        self.claims.show_settled(output, key, None);
    }

    /// Forgets the publication under a key that is not claimed any more.
    fn forget_unclaimed(&mut self, key: &NamingKey) {
        if let NamingKey::Instances(service) = key
            && !self.claims.is_known(key)
        {
            self.registrations.forget(service);
        }
    }
}
