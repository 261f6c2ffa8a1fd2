//! What guards and the driver want of the session.
//!
//! Call [`settle`](Session::settle) after the last of a batch: claims made together are sent
//! together.
use std::{sync::Arc, time::Instant};

use super::{ClaimKey, Event, GuardId, Lifetime, Session};
use crate::{instance::Instance, key::ConfigKey};

impl Session {
    /// `guard` claims `key`, with `instance` if it registers one.
    pub(crate) fn assert(
        &mut self,
        key: ClaimKey,
        guard: GuardId,
        instance: Option<Arc<Instance>>,
    ) {
        if self.lifetime != Lifetime::Open {
            return;
        }
        match &key {
            ClaimKey::Listen(document) => self.documents.watch(document.clone()),
            ClaimKey::Subscription(service) => {
                let namesakes = self.namesakes.entry(service.unplaced()).or_default();
                if !namesakes.contains(service) {
                    namesakes.push(service.clone());
                }
            }
            ClaimKey::Instances(_) => {}
        }
        if let Some(instance) = &instance
            && self.claims.moves(&key, guard, instance)
        {
            // The former address would show there until that connection is closed.
            self.close_retiring();
        }
        let state = self.claims.assert(key, guard, instance);
        self.output.show(Event::Claim(guard, state));
    }

    /// `guard`, which watches `document`, wants it to be asked for regularly while the server lets
    /// nobody listen to it.
    pub(crate) fn poll_when_refused(&mut self, document: &ConfigKey, guard: GuardId) {
        self.documents.poll(document, guard);
        // A listen that stands refused is asked for again, and what becomes of it told anew.
        self.assert(ClaimKey::Listen(document.clone()), guard, None);
    }

    /// `guard` claims `key` no more.
    pub(crate) fn withdraw(&mut self, key: &ClaimKey, guard: GuardId) {
        if let ClaimKey::Listen(document) = key {
            self.documents.poll_no_more(document, guard);
        }
        if matches!(key, ClaimKey::Instances(_)) {
            // It would show there until that connection is closed.
            self.close_retiring();
        }
        if self.claims.withdraw(key, guard) {
            match key {
                ClaimKey::Listen(document) => self.documents.unwatch(document),
                ClaimKey::Subscription(service) => {
                    self.lists.remove(service);
                    self.doubts.forget(service);
                    if let Some(namesakes) = self.namesakes.get_mut(&service.unplaced()) {
                        namesakes.retain(|other| other != service);
                        if namesakes.is_empty() {
                            self.namesakes.remove(&service.unplaced());
                        }
                    }
                }
                ClaimKey::Instances(service) => self.presence.forget(service),
            }
            if !self.claims.is_known(key) {
                // The server of this connection has never heard of it.
                self.output.show(Event::Settled(key.clone()));
            }
        }
    }

    /// A request was denied with the token in use, or without one if there is none.
    pub(crate) fn token_refused(&mut self, now: Instant) {
        self.connecting.handle_denied(now);
    }

    /// Somebody wants to know, before anything else and until then, whether this session needs a
    /// login.
    pub(crate) fn knock(&mut self, until: Instant) {
        self.connecting.knock(until);
    }

    /// Asks for a document again.
    pub(crate) fn refetch(&mut self, key: &ConfigKey) {
        self.documents.hint(key);
    }

    /// Withdraws every claim, and closes once the server has acknowledged that or at `deadline`.
    pub(crate) fn close(&mut self, deadline: Instant) {
        if self.lifetime == Lifetime::Open {
            self.lifetime = Lifetime::Closing { deadline };
            self.close_retiring();
            self.claims.withdraw_all();
        }
    }
}
