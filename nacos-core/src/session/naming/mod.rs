//! Registrations and subscriptions: the machine that keeps the server told of them, and reads what
//! it says of services.
//!
//! It has the contract of the [session](super) that it is a part of: `handle_*` takes in what
//! happened, `poll_*` says when to look again, and what follows goes to the
//! [output](super::output). Of the connection it knows what a
//! [`ServingContext`](super::serving_context::ServingContext) says.
//!
//! [`requests`] sends what is claimed and takes the answers, on the way to what [`registrations`]
//! puts together; [`lists`] reads services, from answers and from pushes; [`self_check`] looks
//! whether the server still has what it agreed to. The other files decide one thing each.
pub(super) mod asked;
mod audit;
mod freshness;
pub(super) mod key;
mod lists;
pub(super) mod publication;
mod registrations;
mod requests;
mod self_check;
mod stale_services;
mod union;

use std::{sync::Arc, time::Instant};

use self::{
    audit::SubscriptionAudit, key::NamingKey, lists::Lists, registrations::Registrations,
    self_check::SelfCheck,
};
use super::{
    claims::{Claims, Left},
    ids::GuardId,
    ledger::Ledger,
    output::Output,
    serving_context::ConnectionFacts,
};
use crate::{instance::Instance, key::ServiceKey, wire};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct NamingMachine {
    /// Each claim is a request of its own. They are sent in their order, so that a client that
    /// subscribes and then withdraws sees the withdrawal.
    claims: Claims<NamingKey>,
    registrations: Registrations,
    self_check: SelfCheck,
    lists: Lists,
    audit: SubscriptionAudit,
}

/// The timers of this machine.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// A refused claim is sent again.
    Claims,
    /// Services that are in doubt are asked for.
    StaleServices,
    /// A registered service is looked for.
    SelfCheck,
    /// A subscription is confirmed again.
    Audit,
}

impl Timer {
    const ALL: [Self; 4] = [Self::Claims, Self::StaleServices, Self::SelfCheck, Self::Audit];
}

impl NamingMachine {
    pub(super) fn new() -> Self {
        // Instances first: a subscriber still has its last view; an instance that is not
        // registered is not called.
        let ledger = Ledger::new().favouring(|key| matches!(key, NamingKey::Instances(_)));
        Self {
            claims: Claims::new(ledger),
            registrations: Registrations::default(),
            self_check: SelfCheck::new(),
            lists: Lists::new(),
            audit: SubscriptionAudit::new(),
        }
    }

    // Commands.

    /// `guard` registers `instance`, in place of what it did.
    pub(super) fn register(
        &mut self,
        output: &mut Output,
        service: ServiceKey,
        guard: GuardId,
        instance: Arc<Instance>,
    ) {
        self.registrations.insert(&service, guard, instance);
        self.claims.assert(output, NamingKey::Instances(service), guard, true);
    }

    /// `guard` registers nothing any more.
    pub(super) fn deregister(&mut self, output: &mut Output, service: &ServiceKey, guard: GuardId) {
        let key = NamingKey::Instances(service.clone());
        match self.claims.withdraw(&key, guard) {
            None => {}
            Some(Left::Others) => {
                self.registrations.remove(service, guard);
                self.claims.change(key);
            }
            Some(Left::Nobody) => {
                self.registrations.remove_service(service);
                self.self_check.forget(service);
                self.withdrawn(output, &key);
            }
        }
    }

    /// `guard` subscribes.
    pub(super) fn subscribe(&mut self, output: &mut Output, service: ServiceKey, guard: GuardId) {
        self.lists.expect(&service);
        self.claims.assert(output, NamingKey::Subscription(service), guard, false);
    }

    /// `guard` subscribes no more.
    pub(super) fn unsubscribe(
        &mut self,
        output: &mut Output,
        service: &ServiceKey,
        guard: GuardId,
    ) {
        let key = NamingKey::Subscription(service.clone());
        if self.claims.withdraw(&key, guard) == Some(Left::Nobody) {
            self.lists.forget(service);
            self.audit.forget(service);
            self.withdrawn(output, &key);
        }
    }

    /// Everything is withdrawn. Says how many keys were claimed.
    pub(super) fn withdraw_all(&mut self) -> usize {
        self.registrations.remove_all();
        self.claims.withdraw_all()
    }

    // Inputs.

    /// The server of the next connection holds nothing of ours. Says whether the withdrawal of an
    /// instance is thereby done.
    pub(super) fn handle_reconnected(&mut self, output: &mut Output) -> bool {
        let withdrawn = self.claims.reconnected(output);
        self.registrations.reconnected();
        self.self_check.reconnected();
        self.lists.reconnected();
        self.audit.reconnected();
        withdrawn.iter().any(|key| matches!(key, NamingKey::Instances(_)))
    }

    /// Claims that were refused for want of a right may be granted now.
    pub(super) fn handle_admitted(&mut self) {
        self.claims.retry_refused(wire::DENIED);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Due claims are
    /// [sent](Self::send_claims) at the end of every input.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for timer in Timer::ALL {
            match timer {
                Timer::StaleServices => self.ask_stale(now),
                // Each is looked after whenever something is sent.
                Timer::Claims | Timer::SelfCheck | Timer::Audit => {}
            }
        }
    }

    // Outputs.

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self, connection: &ConnectionFacts<'_>) -> Option<Instant> {
        // Retries need a connection: without one, their times are not waited for.
        let at = |timer| match timer {
            Timer::Claims => self.claims.next_retry().filter(|_| connection.may_send()),
            Timer::StaleServices => self.lists.next_timeout().filter(|_| connection.may_ask()),
            Timer::SelfCheck => self.self_check.next_timeout().filter(|_| connection.may_ask()),
            Timer::Audit => self.audit.next_timeout().filter(|_| connection.may_ask()),
        };
        Timer::ALL.into_iter().filter_map(at).min()
    }

    // Getters.

    /// Its claims, to be counted.
    pub(super) fn claims(&self) -> &Claims<NamingKey> {
        &self.claims
    }

    /// Whether `guard` registers another address than `instance` is.
    pub(super) fn moves(&self, service: &ServiceKey, guard: GuardId, instance: &Instance) -> bool {
        self.registrations.moves(service, guard, instance)
    }
}
