//! What the guards of this client claim, put together per key, and how far the server knows it.
//!
//! The ledger says what is to be sent, the owners what it is: a guard's instance is read when a
//! request is made of it, and shared until then.
use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use super::{
    ledger::{Due, Ledger, Revision, Standing},
    publication::{Additive, Publication, Step},
    told::Told,
    union::Union,
};
use crate::{
    instance::Instance,
    key::{ConfigKey, ServiceKey},
    state::ClaimState,
};

/// Where something is claimed. What a server forgets on disconnect is a key of this type, and
/// nothing else.
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

/// One guard: never used twice, so that a guard withdraws only its own claim.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct GuardId(pub(crate) u64);

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Claims {
    /// Instances and subscriptions, each a request of its own. One after the other they stay in
    /// their order, so that whoever subscribes and then withdraws sees the withdrawal.
    naming: Ledger<ClaimKey>,
    /// Any number of them is one request.
    listens: Ledger<ClaimKey>,
    owners: HashMap<ClaimKey, Owners>,
    publications: HashMap<ServiceKey, Publication>,
    /// Whether the server of this connection adds on a batch.
    additive: Additive,
}

/// Those who claim one key.
#[derive(Debug)]
struct Owners {
    told: Told,
    /// What they register, if that is what they do.
    union: Union,
}

impl Claims {
    pub(crate) fn new() -> Self {
        Self {
            // Instances first: who subscribes has its last view meanwhile, who is not registered
            // has no callers.
            naming: Ledger::new().favouring(|key| matches!(key, ClaimKey::Instances(_))),
            listens: Ledger::new(),
            owners: HashMap::new(),
            publications: HashMap::new(),
            additive: None,
        }
    }

    /// `guard` claims `key`, with `instance` if it registers one. Returns what it is to be told.
    pub(crate) fn assert(
        &mut self,
        key: ClaimKey,
        guard: GuardId,
        instance: Option<Arc<Instance>>,
    ) -> ClaimState {
        let standing = self.standing(&key);
        let registers = matches!(key, ClaimKey::Instances(_));
        // A second reader joins a claim that stands already.
        let joins = standing == Some(Standing::Held) && !registers;
        let state = if joins { ClaimState::Held } else { ClaimState::Pending };
        let owners = self.owners.entry(key.clone()).or_insert_with(Owners::new);
        let first = owners.told.is_empty();
        owners.told.insert(guard, &state);
        if let Some(instance) = instance {
            owners.union.insert(guard, instance);
        }
        let refused = matches!(standing, Some(Standing::Refused { .. }));
        // A second reader of a service or document changes nothing for the server, unless it has
        // refused the first.
        if first || refused || registers {
            self.ledger_mut(&key).assert(key);
        }
        state
    }

    /// Whether `guard` registers another address at `key` than `instance` is.
    pub(crate) fn moves(&self, key: &ClaimKey, guard: GuardId, instance: &Instance) -> bool {
        let former = self.owners.get(key).and_then(|owners| owners.union.of(guard));
        former.is_some_and(|former| former.identity() != instance.identity())
    }

    /// `guard` claims `key` no more. Says whether nobody else does.
    pub(crate) fn withdraw(&mut self, key: &ClaimKey, guard: GuardId) -> bool {
        let Some(owners) = self.owners.get_mut(key) else { return false };
        if !owners.told.remove(guard) {
            return false;
        }
        if owners.told.is_empty() {
            self.owners.remove(key);
            self.ledger_mut(key).withdraw(key);
            self.forget_publication(key);
            return true;
        }
        owners.union.remove(guard);
        if matches!(key, ClaimKey::Instances(_)) {
            self.naming.assert(key.clone());
        }
        false
    }

    /// Everything is given up.
    pub(crate) fn withdraw_all(&mut self) {
        self.owners.clear();
        for ledger in self.ledgers_mut() {
            ledger.withdraw_all();
            // There is no later: withdrawals that wait for another try have it now.
            ledger.retry_all_refused();
        }
    }

    /// A new connection: its server holds nothing, and has not shown of which kind it is.
    /// Returns the keys whose withdrawal is thereby done.
    pub(crate) fn reconnected(&mut self) -> Vec<ClaimKey> {
        self.publications.clear();
        for owners in self.owners.values_mut() {
            owners.union.renew();
        }
        self.additive = None;
        let mut withdrawn = self.naming.reconnected();
        withdrawn.extend(self.listens.reconnected());
        withdrawn
    }

    /// Listens are to be confirmed again: pushes may have been lost.
    pub(crate) fn audit_listens(&mut self) {
        self.listens.reassert_all(|_| true);
    }

    /// Subscriptions are to be confirmed again: what was pushed could not be read.
    pub(crate) fn audit_subscriptions(&mut self) {
        self.naming.reassert_all(|key| matches!(key, ClaimKey::Subscription(_)));
    }

    /// What was refused and has waited for long enough is due again.
    pub(crate) fn wake(&mut self, now: Instant) {
        for ledger in self.ledgers_mut() {
            ledger.wake(now);
        }
    }

    /// At most `room` claims to send now that are a request of their own.
    pub(crate) fn take_requests(&mut self, room: usize) -> Vec<Due<ClaimKey>> {
        self.naming.take_due(room)
    }

    /// The listens to send now: any number of them is one request.
    pub(crate) fn take_listens(&mut self) -> Vec<Due<ClaimKey>> {
        self.listens.take_due(usize::MAX)
    }

    /// From now on the requests about `key` lead to what its guards want at present; what they want
    /// later waits until those have been answered.
    pub(crate) fn aim(&mut self, key: &ServiceKey) {
        let owners = self.owners.get_mut(&ClaimKey::Instances(key.clone()));
        let publication = self.publications.entry(key.clone()).or_default();
        match owners {
            Some(owners) => publication.aim(owners.union.take_news()),
            None => publication.aim_at_nothing(),
        }
    }

    /// The next request towards what `key` was last [aimed](Self::aim) at, if any is left.
    pub(crate) fn next_step(&self, key: &ServiceKey) -> Option<Step> {
        self.publications.get(key)?.next_step(self.additive)
    }

    /// The server did `step`; a batch's answer shows whether it is additive.
    pub(crate) fn step_done(&mut self, key: &ServiceKey, step: &Step, additive: Additive) {
        self.additive = additive.or(self.additive);
        if let Some(publication) = self.publications.get_mut(key) {
            publication.done(step, self.additive);
        }
    }

    /// Nobody knows whether the server did `step`.
    pub(crate) fn step_unanswered(&mut self, key: &ServiceKey, step: &Step) {
        if let Some(publication) = self.publications.get_mut(key) {
            publication.unanswered(step);
        }
    }

    /// The server seems to have lost what it held of `key`: all of it is to be asserted again.
    pub(crate) fn heal(&mut self, key: &ServiceKey) {
        if let Some(publication) = self.publications.get_mut(key) {
            publication.doubt();
        }
        self.naming.reassert(&ClaimKey::Instances(key.clone()));
    }

    /// The claimed instances of `key` that a server shows to whoever asks, as long as nobody but us
    /// has a say in them.
    pub(crate) fn visible(&self, key: &ServiceKey) -> impl Iterator<Item = &Instance> {
        let owners = self.owners.get(&ClaimKey::Instances(key.clone()));
        let claimed = owners.into_iter().flat_map(|owners| owners.union.instances());
        // r-nacos hides unhealthy ones, every server disabled ones.
        claimed.filter(|instance| instance.enabled && instance.healthy)
    }

    /// See [`Ledger::confirm`].
    pub(crate) fn confirm(&mut self, key: &ClaimKey, revision: Revision) -> bool {
        let held = self.ledger_mut(key).confirm(key, revision);
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
        let refused = self.ledger_mut(key).refuse(key, revision, code, retry_at);
        self.forget_publication(key);
        refused
    }

    /// See [`Ledger::release`].
    pub(crate) fn release(&mut self, key: &ClaimKey, revision: Revision) {
        self.ledger_mut(key).release(key, revision);
    }

    /// See [`Ledger::retry_refused`].
    pub(crate) fn retry_refused(&mut self, code: i32) {
        for ledger in self.ledgers_mut() {
            ledger.retry_refused(code);
        }
    }

    /// See [`Ledger::next_retry`].
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.ledgers().into_iter().filter_map(Ledger::next_retry).min()
    }

    /// How many keys there are, withdrawals under way included.
    pub(crate) fn remaining(&self) -> usize {
        self.ledgers().into_iter().map(Ledger::len).sum()
    }

    /// How many keys the server does not hold as claimed.
    pub(crate) fn unsettled(&self) -> usize {
        self.ledgers().into_iter().map(Ledger::unsettled).sum()
    }

    /// Whether the server holds any claim.
    pub(crate) fn holds_anything(&self) -> bool {
        self.standings().any(|(_, standing)| standing == Standing::Held)
    }

    /// Whether anybody claims `key`.
    pub(crate) fn is_claimed(&self, key: &ClaimKey) -> bool {
        self.owners.contains_key(key)
    }

    /// The guards of `key` are told `state`. Returns those for whom it may be news.
    #[must_use = "they count as told"]
    pub(crate) fn tell(&mut self, key: &ClaimKey, state: &ClaimState) -> Vec<GuardId> {
        self.owners.get_mut(key).map(|owners| owners.told.tell(state)).unwrap_or_default()
    }

    /// Every guard is told `state`. Returns those for whom it may be news.
    #[must_use = "they count as told"]
    pub(crate) fn tell_all(&mut self, state: &ClaimState) -> Vec<GuardId> {
        self.owners.values_mut().flat_map(|owners| owners.told.tell(state)).collect()
    }

    /// Whether `key` is claimed, or still has to be withdrawn.
    pub(crate) fn is_known(&self, key: &ClaimKey) -> bool {
        self.ledger(key).contains(key)
    }

    /// How much the server knows of `key`; nothing if nobody claims it.
    pub(crate) fn standing(&self, key: &ClaimKey) -> Option<Standing> {
        self.ledger(key).standing(key)
    }

    /// A claim that is held is to be confirmed again.
    pub(crate) fn reassert(&mut self, key: &ClaimKey) {
        self.ledger_mut(key).reassert(key);
    }

    /// Every claimed key, and how much of it the server knows.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (&ClaimKey, Standing)> {
        self.ledgers().into_iter().flat_map(Ledger::standings)
    }

    /// What was published under a key that is not claimed any more matters no more.
    fn forget_publication(&mut self, key: &ClaimKey) {
        if let ClaimKey::Instances(service) = key
            && !self.naming.contains(key)
        {
            self.publications.remove(service);
        }
    }

    fn ledger(&self, key: &ClaimKey) -> &Ledger<ClaimKey> {
        match key {
            ClaimKey::Instances(_) | ClaimKey::Subscription(_) => &self.naming,
            ClaimKey::Listen(_) => &self.listens,
        }
    }

    fn ledger_mut(&mut self, key: &ClaimKey) -> &mut Ledger<ClaimKey> {
        match key {
            ClaimKey::Instances(_) | ClaimKey::Subscription(_) => &mut self.naming,
            ClaimKey::Listen(_) => &mut self.listens,
        }
    }

    fn ledgers(&self) -> [&Ledger<ClaimKey>; 2] {
        [&self.naming, &self.listens]
    }

    fn ledgers_mut(&mut self) -> [&mut Ledger<ClaimKey>; 2] {
        [&mut self.naming, &mut self.listens]
    }
}

impl Owners {
    fn new() -> Self {
        Self { told: Told::new(), union: Union::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_told_the_union_of_all_guards() {
        let mut claims = Claims::new();
        claims.assert(orders(), GuardId(1), Some(instance("a", 1.0)));
        claims.assert(orders(), GuardId(2), Some(instance("b", 1.0)));
        assert_eq!(sent(&mut claims), ["a:1", "b:1"]);
    }

    #[test]
    fn guard_withdraws_only_its_own_claim() {
        let mut claims = Claims::new();
        claims.assert(orders(), GuardId(1), Some(instance("a", 1.0)));
        claims.assert(orders(), GuardId(2), Some(instance("a", 2.0)));
        assert!(!claims.withdraw(&orders(), GuardId(1)));
        assert_eq!(sent(&mut claims), ["a:1"]);
        assert!(claims.withdraw(&orders(), GuardId(2)));
        assert!(!claims.withdraw(&orders(), GuardId(2)));
    }

    #[test]
    fn second_reader_sends_nothing() {
        let key = ClaimKey::Subscription(ServiceKey::try_from("orders").expect("valid"));
        let mut claims = Claims::new();
        claims.assert(key.clone(), GuardId(1), None);
        let first = claims.take_requests(9).remove(0);
        assert!(claims.confirm(&key, first.revision));
        assert_eq!(claims.assert(key, GuardId(2), None), ClaimState::Held);
        assert!(claims.take_requests(9).is_empty());
    }

    /// What guards want while a request is under way is neither mixed into those that it leads to,
    /// nor lost.
    #[test]
    fn requests_lead_to_what_was_wanted_when_they_began() {
        let mut claims = Claims::new();
        claims.assert(orders(), GuardId(1), Some(instance("a", 1.0)));
        let first = claims.take_requests(9).remove(0);
        claims.aim(&service());
        let step = claims.next_step(&service()).expect("a request");
        assert_eq!(step, Step::Register(instance("a", 1.0)));
        claims.assert(orders(), GuardId(2), Some(instance("b", 1.0)));
        claims.withdraw(&orders(), GuardId(1));
        claims.withdraw(&orders(), GuardId(2));
        claims.assert(orders(), GuardId(3), Some(instance("c", 1.0)));
        claims.step_done(&service(), &step, None);
        assert_eq!(claims.next_step(&service()), None);
        assert!(!claims.confirm(&orders(), first.revision));
        assert_eq!(sent(&mut claims), ["c:1"]);
    }

    #[test]
    fn all_of_it_is_sent_again_over_another_connection() {
        let mut claims = Claims::new();
        for (guard, ip) in (1..).map(GuardId).zip(["a", "b", "c"]) {
            claims.assert(orders(), guard, Some(instance(ip, 1.0)));
        }
        assert_eq!(sent(&mut claims), ["a:1", "b:1", "c:1"]);
        claims.withdraw(&orders(), GuardId(2));
        assert_eq!(claims.reconnected(), []);
        assert_eq!(sent(&mut claims), ["a:1", "c:1"]);
    }

    fn service() -> ServiceKey {
        ServiceKey::try_from("orders").expect("valid")
    }

    fn orders() -> ClaimKey {
        ClaimKey::Instances(service())
    }

    fn instance(ip: &str, weight: f64) -> Arc<Instance> {
        Arc::new(Instance::new(ip, 1).with_weight(weight))
    }

    /// Where the instances are that are to be registered now.
    fn sent(claims: &mut Claims) -> Vec<String> {
        assert!(claims.take_requests(9).pop().expect("due").claimed);
        claims.aim(&service());
        match claims.next_step(&service()).expect("a request") {
            Step::Register(instance) => vec![instance.address()],
            Step::Batch(instances) => instances.iter().map(|it| it.address()).collect(),
            Step::Deregister(instance) => panic!("{} is deregistered", instance.address()),
        }
    }
}
