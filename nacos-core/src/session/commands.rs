//! The commands that guards and the driver give to the session.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{ClaimKey, GuardId, Lifetime, Revision, Session};
use crate::{
    document::Document,
    instance::Instance,
    key::{ConfigKey, ServiceKey},
};

/// A batch of commands: what is claimed together is sent together.
#[derive(Debug)]
pub(crate) struct Commands<'a>(&'a mut Session);

impl Session {
    /// Takes in the commands that `give` gives.
    pub(crate) fn handle_commands<T>(
        &mut self,
        now: Instant,
        give: impl FnOnce(&mut Commands<'_>) -> T,
    ) -> T {
        let given = give(&mut self.commands());
        self.settle(now);
        given
    }

    pub(super) fn commands(&mut self) -> Commands<'_> {
        Commands(self)
    }
}

impl Commands<'_> {
    /// `guard` claims `key`, with `instance` if it registers one.
    pub(crate) fn assert(
        &mut self,
        key: ClaimKey,
        guard: GuardId,
        instance: Option<Arc<Instance>>,
    ) {
        let session = &mut *self.0;
        if session.lifetime != Lifetime::Open {
            return;
        }
        let output = &mut session.output;
        match (key, instance) {
            (ClaimKey::Listen(document), _) => session.configs.watch(output, document, guard),
            (ClaimKey::FuzzyWatch(pattern), _) => {
                session.configs.fuzzy_watch(output, pattern, guard);
            }
            (ClaimKey::Subscription(service), _) => {
                session.naming.subscribe(output, service, guard);
            }
            (ClaimKey::Instances(service), Some(instance)) => {
                if session.naming.moves(&service, guard, &instance) {
                    // The former address would show there until that connection is closed.
                    session.connecting.close_retiring(output);
                }
                session.naming.register(output, service, guard, instance);
            }
            (ClaimKey::Instances(_), None) => {}
        }
    }

    /// The client has had this content of `document`, which has just begun to be watched, when it
    /// last ran.
    pub(crate) fn remember(&mut self, document: &ConfigKey, content: Document) {
        self.0.configs.remember(document, content);
    }

    /// `guard`, which watches `document`, wants it to be asked for regularly while the server lets
    /// nobody listen to it.
    pub(crate) fn poll_when_refused(&mut self, document: &ConfigKey, guard: GuardId) {
        if self.0.lifetime == Lifetime::Open {
            self.0.configs.poll_when_refused(&mut self.0.output, document, guard);
        }
    }

    /// After a push about `document`, `guard` lets it wait for any part of `most`.
    pub(crate) fn pull_jitter(&mut self, document: &ConfigKey, guard: GuardId, most: Duration) {
        self.0.configs.pull_jitter(document, guard, most);
    }

    /// An operator stops all pulls of documents, or lets them go on.
    pub(crate) fn freeze(&mut self, now: Instant, is_frozen: bool) {
        self.0.configs.freeze(now, is_frozen);
    }

    /// `guard` claims `key` no more. That is done once this revision of the key is settled.
    pub(crate) fn withdraw(&mut self, key: &ClaimKey, guard: GuardId) -> Revision {
        let session = &mut *self.0;
        let output = &mut session.output;
        match key {
            ClaimKey::Listen(document) => session.configs.unwatch(output, document, guard),
            ClaimKey::FuzzyWatch(pattern) => {
                session.configs.fuzzy_unwatch(output, pattern, guard);
            }
            ClaimKey::Subscription(service) => session.naming.unsubscribe(output, service, guard),
            ClaimKey::Instances(service) => {
                // It would show there until that connection is closed.
                session.connecting.close_retiring(output);
                session.naming.deregister(output, service, guard);
            }
        }
        match key {
            ClaimKey::Listen(_) => session.configs.claims().newest(),
            ClaimKey::FuzzyWatch(_) => session.configs.patterns().newest(),
            ClaimKey::Subscription(_) | ClaimKey::Instances(_) => session.naming.claims().newest(),
        }
    }

    /// Somebody wants to know, before anything else and until then, whether this session needs a
    /// login.
    pub(crate) fn knock(&mut self, until: Instant) {
        self.0.connecting.knock(until);
    }

    /// Asks for a document again.
    pub(crate) fn refetch(&mut self, document: &ConfigKey) {
        self.0.configs.handle_hint(document);
    }

    /// Asks for a service again.
    pub(crate) fn ask_again(&mut self, service: &ServiceKey) {
        self.0.naming.ask_again(service);
    }

    /// Withdraws every claim, and closes once the server has acknowledged that or at `deadline`.
    /// Says how many keys were claimed; none if that was done before.
    pub(crate) fn close(&mut self, deadline: Instant) -> usize {
        let session = &mut *self.0;
        if session.lifetime != Lifetime::Open {
            return 0;
        }
        session.lifetime = Lifetime::Closing { deadline };
        session.close_retiring();
        session.naming.withdraw_all() + session.configs.withdraw_all()
    }
}
