//! What the guards of this client claim, put together per key, and how far the server knows it.
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Instant,
};

use super::{
    ledger::{Due, Ledger, Revision, Standing},
    publication::{Additive, Publication, Step},
};
use crate::{
    instance::Instance,
    key::{ConfigKey, ServiceKey},
};

/// Where something is claimed. One ledger holds them all: what a server forgets on disconnect is a
/// key of this type, and nothing else.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ClaimKey {
    /// Instances of a service, registered.
    Instances(ServiceKey),
    /// A service, subscribed to.
    Subscription(ServiceKey),
    /// A document, listened to.
    Listen(ConfigKey),
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instances(service) => write!(f, "registration at {service}"),
            Self::Subscription(service) => write!(f, "subscription to {service}"),
            Self::Listen(document) => write!(f, "listening to {document}"),
        }
    }
}

/// What is claimed there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Claim {
    /// Exactly these instances.
    Instances(Vec<Instance>),
    /// That we want to know.
    Interest,
}

/// One guard: never used twice, so that a guard withdraws only its own claim.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct GuardId(pub(crate) u64);

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Claims {
    ledger: Ledger<ClaimKey, Claim>,
    owners: HashMap<ClaimKey, BTreeMap<GuardId, Option<Instance>>>,
    publications: HashMap<ServiceKey, Publication>,
    /// Whether the server of this connection adds on a batch.
    additive: Additive,
}

impl Claims {
    pub(crate) fn new() -> Self {
        Self {
            // Instances first: who subscribes has its last view meanwhile, who is not registered has
            // no callers. One after the other they stay in their order, so that whoever subscribes
            // and then withdraws sees the withdrawal.
            ledger: Ledger::new(|key| match key {
                ClaimKey::Instances(_) | ClaimKey::Subscription(_) => REQUESTS,
                ClaimKey::Listen(_) => LISTENS,
            })
            .favouring(|key| matches!(key, ClaimKey::Instances(_))),
            owners: HashMap::new(),
            publications: HashMap::new(),
            additive: None,
        }
    }

    /// `guard` claims `key`, with `instance` if it registers one.
    pub(crate) fn assert(&mut self, key: ClaimKey, guard: GuardId, instance: Option<Instance>) {
        let owners = self.owners.entry(key.clone()).or_default();
        let first = owners.is_empty();
        owners.insert(guard, instance);
        let refused = matches!(self.ledger.standing(&key), Some(Standing::Refused { .. }));
        // A second reader of a service or document changes nothing for the server, unless it has
        // refused the first.
        if first || refused || matches!(key, ClaimKey::Instances(_)) {
            self.restate(key);
        }
    }

    /// Whether `guard` registers another address at `key` than `instance` is.
    pub(crate) fn moves(&self, key: &ClaimKey, guard: GuardId, instance: &Instance) -> bool {
        let former = self.owners.get(key).and_then(|owners| owners.get(&guard));
        let former = former.and_then(Option::as_ref);
        former.is_some_and(|former| former.identity() != instance.identity())
    }

    /// `guard` claims `key` no more. Says whether nobody else does.
    pub(crate) fn withdraw(&mut self, key: &ClaimKey, guard: GuardId) -> bool {
        let Some(owners) = self.owners.get_mut(key) else { return false };
        if owners.remove(&guard).is_none() {
            return false;
        }
        if owners.is_empty() {
            self.owners.remove(key);
            self.ledger.withdraw(key);
            self.forget_publication(key);
            return true;
        }
        if matches!(key, ClaimKey::Instances(_)) {
            self.restate(key.clone());
        }
        false
    }

    /// Everything is given up.
    pub(crate) fn withdraw_all(&mut self) {
        self.owners.clear();
        self.ledger.withdraw_all();
        // There is no later: withdrawals that wait for another try have it now.
        self.ledger.retry_all_refused();
    }

    /// A new connection: its server holds nothing, and has not shown of which kind it is.
    /// Returns the keys whose withdrawal is thereby done.
    pub(crate) fn reconnected(&mut self) -> Vec<ClaimKey> {
        self.publications.clear();
        self.additive = None;
        self.ledger.reconnected()
    }

    /// Listens are to be confirmed again: pushes may have been lost.
    pub(crate) fn audit_listens(&mut self) {
        self.ledger.reassert_all(|key| matches!(key, ClaimKey::Listen(_)));
    }

    /// Subscriptions are to be confirmed again: what was pushed could not be read.
    pub(crate) fn audit_subscriptions(&mut self) {
        self.ledger.reassert_all(|key| matches!(key, ClaimKey::Subscription(_)));
    }

    /// At most `room` claims to send now that are a request of their own.
    pub(crate) fn take_requests(&mut self, now: Instant, room: usize) -> Vec<Due<ClaimKey, Claim>> {
        self.ledger.take_due(now, REQUESTS, room)
    }

    /// The listens to send now: any number of them is one request.
    pub(crate) fn take_listens(&mut self, now: Instant) -> Vec<Due<ClaimKey, Claim>> {
        self.ledger.take_due(now, LISTENS, usize::MAX)
    }

    /// The next request towards holding `wanted` of `key`, if any is left.
    pub(crate) fn next_step(&self, key: &ServiceKey, wanted: &[Instance]) -> Option<Step> {
        match self.publications.get(key) {
            Some(publication) => publication.next_step(wanted, self.additive),
            None => Publication::default().next_step(wanted, self.additive),
        }
    }

    /// The server did `step`; a batch's answer shows whether it is additive.
    pub(crate) fn step_done(&mut self, key: &ServiceKey, step: &Step, additive: Additive) {
        self.additive = additive.or(self.additive);
        self.publications.entry(key.clone()).or_default().done(step, self.additive);
    }

    /// Nobody knows whether the server did `step`.
    pub(crate) fn step_unanswered(&mut self, key: &ServiceKey, step: &Step) {
        self.publications.entry(key.clone()).or_default().unanswered(step);
    }

    /// The server seems to have lost what it held of `key`: all of it is to be asserted again.
    pub(crate) fn heal(&mut self, key: &ServiceKey) {
        self.publications.entry(key.clone()).or_default().doubt();
        self.ledger.reassert(&ClaimKey::Instances(key.clone()));
    }

    /// The claimed instances of `key` that a server shows to whoever asks, as long as nobody but us
    /// has a say in them.
    pub(crate) fn visible(&self, key: &ServiceKey) -> Vec<Instance> {
        let mut claimed = self.union(&ClaimKey::Instances(key.clone()));
        // r-nacos hides unhealthy ones, every server disabled ones.
        claimed.retain(|instance| instance.enabled && instance.healthy);
        claimed
    }

    /// See [`Ledger::confirm`].
    pub(crate) fn confirm(&mut self, key: &ClaimKey, revision: Revision) -> bool {
        let held = self.ledger.confirm(key, revision);
        self.forget_publication(key);
        held
    }

    /// See [`Ledger::refuse`].
    pub(crate) fn refuse(
        &mut self,
        key: &ClaimKey,
        revision: Revision,
        code: i32,
        retry_at: impl FnOnce(u32) -> Option<Instant>,
    ) -> bool {
        let refused = self.ledger.refuse(key, revision, code, retry_at);
        self.forget_publication(key);
        refused
    }

    /// See [`Ledger::release`].
    pub(crate) fn release(&mut self, key: &ClaimKey, revision: Revision) {
        self.ledger.release(key, revision);
    }

    /// See [`Ledger::retry_refused`].
    pub(crate) fn retry_refused(&mut self, code: i32) {
        self.ledger.retry_refused(code);
    }

    /// See [`Ledger::next_retry`].
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.ledger.next_retry()
    }

    /// How many keys there are, withdrawals under way included.
    pub(crate) fn remaining(&self) -> usize {
        self.ledger.len()
    }

    /// How many keys the server does not hold as claimed.
    pub(crate) fn unsettled(&self) -> usize {
        self.ledger.unsettled()
    }

    /// Whether anybody claims `key`.
    pub(crate) fn is_claimed(&self, key: &ClaimKey) -> bool {
        self.owners.contains_key(key)
    }

    /// The guards of `key`.
    pub(crate) fn guards(&self, key: &ClaimKey) -> impl Iterator<Item = GuardId> {
        self.owners.get(key).into_iter().flat_map(|owners| owners.keys().copied())
    }

    /// Every guard.
    pub(crate) fn all_guards(&self) -> impl Iterator<Item = GuardId> {
        self.owners.values().flat_map(|owners| owners.keys().copied())
    }

    /// Whether `key` is claimed, or still has to be withdrawn.
    pub(crate) fn is_known(&self, key: &ClaimKey) -> bool {
        self.ledger.contains(key)
    }

    /// How much the server knows of `key`; nothing if nobody claims it.
    pub(crate) fn standing(&self, key: &ClaimKey) -> Option<Standing> {
        self.ledger.standing(key)
    }

    /// A claim that is held is to be confirmed again.
    pub(crate) fn reassert(&mut self, key: &ClaimKey) {
        self.ledger.reassert(key);
    }

    /// Every claimed key, and how much of it the server knows.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (&ClaimKey, Standing)> {
        self.ledger.standings()
    }

    /// What was published under a key that is not claimed any more matters no more.
    fn forget_publication(&mut self, key: &ClaimKey) {
        if let ClaimKey::Instances(service) = key
            && !self.ledger.contains(key)
        {
            self.publications.remove(service);
        }
    }

    /// Claims under `key` what its guards want together.
    fn restate(&mut self, key: ClaimKey) {
        let claim = match &key {
            ClaimKey::Instances(_) => Claim::Instances(self.union(&key)),
            ClaimKey::Subscription(_) | ClaimKey::Listen(_) => Claim::Interest,
        };
        self.ledger.assert(key, claim);
    }

    /// The instances of all guards of `key`; of two with one identity, the later guard's.
    fn union(&self, key: &ClaimKey) -> Vec<Instance> {
        let mut union: Vec<Instance> = Vec::new();
        let owners = self.owners.get(key).into_iter().flat_map(BTreeMap::values);
        for instance in owners.flatten() {
            match union.iter_mut().find(|other| other.identity() == instance.identity()) {
                Some(earlier) => earlier.clone_from(instance),
                None => union.push(instance.clone()),
            }
        }
        union
    }
}

/// The ledger's lanes.
const REQUESTS: usize = 0;
const LISTENS: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_told_the_union_of_all_guards() {
        let mut claims = Claims::new();
        claims.assert(orders(), GuardId(1), Some(Instance::new("a", 1)));
        claims.assert(orders(), GuardId(2), Some(Instance::new("b", 1)));
        assert_eq!(wanted(&mut claims), Some(vec!["a:1".to_owned(), "b:1".to_owned()]));
    }

    #[test]
    fn guard_withdraws_only_its_own_claim() {
        let mut claims = Claims::new();
        claims.assert(orders(), GuardId(1), Some(Instance::new("a", 1)));
        claims.assert(orders(), GuardId(2), Some(Instance::new("a", 1).with_weight(2.0)));
        assert!(!claims.withdraw(&orders(), GuardId(1)));
        assert_eq!(wanted(&mut claims), Some(vec!["a:1".to_owned()]));
        assert!(claims.withdraw(&orders(), GuardId(2)));
        assert!(!claims.withdraw(&orders(), GuardId(2)));
    }

    #[test]
    fn second_reader_sends_nothing() {
        let key = ClaimKey::Subscription(ServiceKey::try_from("orders").expect("valid"));
        let mut claims = Claims::new();
        claims.assert(key.clone(), GuardId(1), None);
        let first = claims.take_requests(Instant::now(), 9).remove(0);
        assert!(claims.confirm(&key, first.revision));
        claims.assert(key, GuardId(2), None);
        assert!(claims.take_requests(Instant::now(), 9).is_empty());
    }

    fn orders() -> ClaimKey {
        ClaimKey::Instances(ServiceKey::try_from("orders").expect("valid"))
    }

    fn wanted(claims: &mut Claims) -> Option<Vec<String>> {
        match claims.take_requests(Instant::now(), 9).pop()?.claim? {
            Claim::Instances(instances) => Some(instances.iter().map(Instance::address).collect()),
            Claim::Interest => None,
        }
    }
}
