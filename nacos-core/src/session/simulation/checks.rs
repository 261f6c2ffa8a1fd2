//! The checks of a session that hold in every history.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    world::{World, grace},
    *,
};

impl World {
    /// Nobody waits for longer than was promised for a connection to be looked for.
    pub(super) fn assert_within_bounds(&self, timeout: Option<Instant>) {
        if self.session.is_closed() {
            return assert_eq!(timeout, None, "a timeout after the end");
        }
        let Some(timeout) = timeout else {
            return assert!(
                self.session.connecting.awaits_servers(),
                "nothing would ever happen again"
            );
        };
        if self.session.serving_link().is_none() {
            let delay = timeout.saturating_duration_since(self.now);
            assert!(delay <= Duration::from_secs(10), "nobody is looked for within {delay:?}");
        }
    }

    /// In every history, a view that is held has instances. It ends once a connection has been
    /// there for as long as its grace, and the query after it, may take.
    pub(super) fn assert_held_views(&mut self) {
        let is_connected = self.states.last().is_some_and(SessionState::is_connected);
        let mut held = BTreeSet::new();
        for (reader @ (key, grace), view) in &self.readers {
            let view = view.get();
            if !view.held || !self.is_read(key, *grace) {
                continue;
            }
            held.insert(reader.clone());
            assert!(!view.instances.is_empty() && !grace.is_zero(), "{key} with {grace:?}");
            let since = *self.held_since.entry(reader.clone()).or_insert(self.now);
            let lasts = self.now.saturating_duration_since(since);
            let ends = !is_connected || lasts <= *grace + Duration::from_secs(5);
            assert!(ends, "{key} with {grace:?}: held for {lasts:?}");
        }
        self.held_since.retain(|reader, _| held.contains(reader));
    }

    fn is_read(&self, key: &ServiceKey, of: Duration) -> bool {
        let wanted = |(key, _): &(ClaimKey, _)| matches!(key, ClaimKey::Subscription(_));
        let mut guards = self.wanted.iter().filter(|(_, claim)| wanted(claim));
        guards.any(|(guard, (other, _))| {
            let reads = of.is_zero() || grace(*guard) == of;
            reads && *other == ClaimKey::Subscription(key.clone())
        })
    }

    /// The server has agreed to what `guard` claims now, on the connection that serves: no answer
    /// to an older claim, or on an older connection, makes a claim held. Other guards of the same
    /// service may have changed since, and wait for the next answer.
    pub(super) fn assert_agreed(&self, guard: GuardId) {
        // Withdrawn meanwhile: nobody reads it.
        let Some((key, instance)) = self.wanted.get(&guard) else { return };
        let link = self.session.serving_link().expect("somebody has agreed");
        let agreed = self.server.agreed.get(&link).expect("to something");
        match key {
            ClaimKey::Instances(service) => {
                let instance = instance.as_ref().expect("a registration has one");
                let held = agreed.instances.get(service.name().as_str());
                let held = held.and_then(|held| held.get(&instance.address()));
                // Of two at one address it is the later guard's, which may have changed since, or
                // gone.
                let is_shared = self.shared.contains(&(key.clone(), instance.address()));
                assert!(if is_shared { held.is_some() } else { held == Some(instance) });
            }
            ClaimKey::Subscription(service) => {
                assert!(agreed.subscriptions.contains(service.name().as_str()));
            }
            ClaimKey::FuzzyWatch(pattern) => {
                assert!(agreed.patterns.contains(&pattern.as_sent()));
            }
            ClaimKey::Listen(document) => {
                assert!(agreed.listens.contains(document.data_id().as_str()));
            }
        }
    }

    /// A set of matches is told where somebody watches it, only if it is news, and once it is known
    /// it is never unknown again.
    pub(super) fn assert_matches(&self, pattern: &ConfigPattern, matched: &MatchedKeys) {
        let key = ClaimKey::FuzzyWatch(pattern.clone());
        if !self.wanted.values().any(|(other, _)| *other == key) {
            return;
        }
        assert!(matched.keys.iter().all(|key| pattern.matches(key)), "{pattern}: {matched:?}");
        if let Some(former) = self.matched.get(pattern) {
            assert_ne!(former, matched, "{pattern}: no news");
            assert!(matched.is_known() || !former.is_known(), "{pattern}: forgotten");
        }
    }

    /// The client knows of each pattern what matches it, or the server has no fuzzy watches.
    fn assert_patterns(&self, held: &BTreeSet<String>) {
        let can = self.server.has_patterns && self.server.negotiates;
        let mut watched = BTreeSet::new();
        for (guard, (key, _)) in &self.wanted {
            let ClaimKey::FuzzyWatch(pattern) = key else { continue };
            let sent = pattern.as_sent();
            let claim = self.claims.get(guard);
            if !can {
                let refused = Some(crate::wire::NO_HANDLER);
                let code = claim.and_then(|claim| match claim {
                    ClaimState::Refused { code, .. } => Some(*code),
                    _ => None,
                });
                assert_eq!(code, refused, "{guard:?} {claim:?}");
                continue;
            }
            assert_eq!(claim, Some(&ClaimState::Held), "{guard:?}");
            let matched = self.matched.get(pattern).expect("known");
            assert_eq!(matched.completeness, Completeness::Complete, "{pattern}");
            let names: BTreeSet<_> =
                matched.keys.iter().map(|key| key.data_id().to_string()).collect();
            assert_eq!(names, self.server.matching(&sent).into_iter().collect(), "{pattern}");
            watched.insert(sent);
        }
        assert_eq!(*held, watched);
    }

    /// Closing withdraws everything, and nothing happens after.
    pub(super) fn assert_closes(&mut self) {
        self.session.commands().close(self.now + Duration::from_secs(5));
        self.session.settle(self.now);
        self.run(Duration::from_secs(5));
        assert_eq!(self.session.remaining(), 0, "every withdrawal was acknowledged");
        self.assert_is_over();
    }

    /// Closing in the middle of anything ends by its deadline, and nothing happens after.
    pub(super) fn assert_ends_within(&mut self, time: Duration) {
        self.session.commands().close(self.now + time);
        self.session.settle(self.now);
        self.run(time);
        self.assert_is_over();
    }

    fn assert_is_over(&mut self) {
        assert!(self.session.is_closed());
        let (dials, logins, locates) = (self.dials, self.logins, self.locates);
        let calls = self.budget.calls;
        self.lose_links();
        self.run(Duration::from_secs(3600));
        assert_eq!((self.dials, self.logins, self.locates), (dials, logins, locates));
        assert_eq!(self.budget.calls, calls);
        assert!(self.open.is_empty(), "a socket after the end");
    }

    /// The server holds exactly what is claimed, and the client knows what the server has.
    pub(super) fn assert_consistent(&mut self) {
        self.perform();
        let link = self.session.serving_link().expect("connected");
        let held = self.server.connections.get(&link).expect("registered");
        let mut instances: BTreeMap<String, BTreeMap<String, Instance>> = BTreeMap::new();
        let (mut subscribed, mut listened) = (BTreeSet::new(), BTreeSet::new());
        for (key, instance) in self.wanted.values() {
            match (key, instance) {
                (ClaimKey::Instances(key), Some(instance)) => {
                    let service = instances.entry(key.name().to_string()).or_default();
                    service.insert(instance.address(), instance.clone());
                }
                (ClaimKey::Subscription(key), _) => drop(subscribed.insert(key.name().to_string())),
                (ClaimKey::Listen(key), _) => drop(listened.insert(key.data_id().to_string())),
                _ => {}
            }
        }
        let held_instances: BTreeMap<String, BTreeMap<String, Instance>> = held
            .instances
            .iter()
            .filter(|(_, held)| !held.is_empty())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        assert_eq!(held_instances, instances);
        assert_eq!(held.subscriptions, subscribed);
        assert_eq!(held.listens, listened);
        self.assert_patterns(&held.patterns);
        for (key, state) in
            self.documents.iter().filter(|(key, _)| listened.contains(key.data_id().as_str()))
        {
            let expected = self.server.documents.get(key.data_id().as_str());
            assert_eq!(
                state.document().map(|document| &*document.content),
                expected.map(String::as_str),
                "{key}"
            );
            assert!(
                matches!(state, DocumentState::Present(_) | DocumentState::Absent),
                "{key}: {state:?}"
            );
        }
        for name in &subscribed {
            let ClaimKey::Subscription(key) = service(name, false) else {
                unreachable!("it is a service")
            };
            for ((other, grace), reader) in &self.readers {
                let view = reader.get();
                let seen: BTreeSet<_> = view.instances.iter().map(|it| it.address()).collect();
                // Those that nobody reads any more have ended.
                if *other == key && self.is_read(&key, *grace) {
                    assert_eq!(seen, self.server.shown(name), "{key} with {grace:?}");
                    assert!(view.known && !view.held, "{key} with {grace:?}");
                }
            }
        }
        assert_eq!(self.views.held(), 0, "a view is held for ever");
        for name in &listened {
            let ClaimKey::Listen(key) = document(name) else { unreachable!("it is a document") };
            assert!(self.documents.contains_key(&key), "{name} is watched and unknown");
        }
        let others =
            self.wanted.iter().filter(|(_, (key, _))| !matches!(key, ClaimKey::FuzzyWatch(_)));
        for (guard, _) in others {
            assert_eq!(self.claims.get(guard), Some(&ClaimState::Held), "{guard:?}");
        }
        assert_eq!(self.open.iter().copied().collect::<Vec<_>>(), [link], "one connection");
        if self.locates > 0 {
            let (list, host) = (self.server.list.expect("a list"), &self.server.hosts[&link]);
            assert!(list.contains(host.as_str()), "{host} serves and is not among {list}");
        }
    }
}
