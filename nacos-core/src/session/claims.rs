//! The claims of this client's guards, by key, and how far the server knows them.
//!
//! The [ledger](super::ledger) says what is to be sent, and [`Told`] to which guards an answer is
//! news. Each machine has claims of its own kind of key: *naming* those of services, *configs*
//! those of documents.
use std::{hash::Hash, sync::Arc, time::Instant};

use super::{
    effects::Event,
    entries::Entries,
    ids::{ClaimKey, GuardId},
    ledger::{Due, Ledger, Revision, SentClaim, Standing},
    output::Output,
    request_failure::ClaimRefusal,
    told::Told,
};
use crate::state::ClaimState;

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Claims<K> {
    ledger: Ledger<K>,
    guards: Entries<K, Told>,
}

/// The guards that are left at a key from which one has withdrawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Left {
    Nobody,
    Others,
}

impl<K: Clone + Eq + Hash + Into<ClaimKey>> Claims<K> {
    pub(super) fn new(ledger: Ledger<K>) -> Self {
        Self { ledger, guards: Entries::new() }
    }

    /// `guard` claims `key`, and is told how that stands. The server is to be told if nobody
    /// claimed it before, if it has refused that, or if the guard `adds` something.
    pub(super) fn assert(&mut self, output: &mut Output, key: K, guard: GuardId, adds: bool) {
        let standing = self.ledger.standing(&key);
        let joins = standing == Some(Standing::Held) && !adds;
        let state = if joins { ClaimState::Held } else { ClaimState::Pending };
        let guards = self.guards.entry(key.clone()).or_insert_with(Told::new);
        let first = guards.is_empty();
        guards.insert(guard, &state);
        if !joins {
            // The request under way may be about the guards before it, or the end of the last.
            guards.changed(guard);
        }
        if first || adds || matches!(standing, Some(Standing::Refused { .. })) {
            self.ledger.assert(key);
        }
        output.show(Event::Claim(guard, state));
    }

    /// `guard` claims `key` no more. Says who still does; nothing if the guard did not.
    pub(super) fn withdraw(&mut self, key: &K, guard: GuardId) -> Option<Left> {
        let guards = self.guards.get_mut(key)?;
        if !guards.remove(guard) {
            return None;
        }
        if !guards.is_empty() {
            return Some(Left::Others);
        }
        self.guards.remove(key);
        self.ledger.withdraw(key);
        Some(Left::Nobody)
    }

    /// How many guards claim `key`.
    pub(super) fn guards(&self, key: &K) -> usize {
        self.guards.get(key).map_or(0, Told::len)
    }

    /// The claim under `key` has changed.
    pub(super) fn change(&mut self, key: K) {
        self.ledger.assert(key);
    }

    /// Everything is given up. Says how many keys were claimed.
    pub(super) fn withdraw_all(&mut self) -> usize {
        let claimed = self.ledger.standings().count();
        self.guards.clear();
        self.ledger.withdraw_all();
        // There is no later: withdrawals that wait for another try have it now.
        self.ledger.retry_all_refused();
        claimed
    }

    /// The server of the connection that serves next holds nothing: every guard waits again.
    /// Returns the keys whose withdrawal is thereby done.
    pub(super) fn reconnected(&mut self, output: &mut Output) -> Vec<K> {
        let withdrawn = self.ledger.reconnected();
        output.show_all(
            withdrawn.iter().cloned().map(|key| Event::Settled(key.into(), Revision::LAST)),
        );
        let waiting = ClaimState::Pending;
        let told = self.guards.values_mut().flat_map(|guards| guards.tell(&waiting));
        output.show_all(told.map(|guard| Event::Claim(guard, ClaimState::Pending)));
        withdrawn
    }

    /// Makes refused claims due again that have waited for long enough.
    pub(super) fn wake(&mut self, now: Instant) {
        self.ledger.wake(now);
    }

    /// See [`Ledger::take_due`].
    #[must_use = "what is taken counts as sent"]
    pub(super) fn take_due(&mut self, room: usize) -> Vec<Due<K>> {
        let due = self.ledger.take_due(room);
        for Due { key, .. } in &due {
            if let Some(guards) = self.guards.get_mut(key) {
                guards.sent();
            }
        }
        due
    }

    /// The server has agreed to `claim`. Says whether it now holds the newest.
    ///
    /// If it does not, the guards that have not changed since learn of it all the same.
    pub(super) fn agreed(&mut self, output: &mut Output, claim: &SentClaim<K>) -> bool {
        let SentClaim { key, revision } = claim;
        let counts = self.ledger.awaits(key, *revision);
        let held = self.ledger.confirm(key, *revision);
        if held {
            self.tell(output, key, &ClaimState::Held, Told::tell);
        } else if counts {
            self.tell(output, key, &ClaimState::Held, Told::tell_sent);
        }
        self.show_settled(output, key, counts.then_some(*revision));
        held
    }

    /// The server has not agreed to `claim`, which is sent again when `retry_at` says. Says whether
    /// that is to be told: it is the newest claim, and not about a token that is being replaced.
    pub(super) fn refused(
        &mut self,
        output: &mut Output,
        claim: &SentClaim<K>,
        rejection: &ClaimRefusal,
        retry_at: impl FnOnce(u32) -> Option<Instant>,
    ) -> bool {
        let SentClaim { key, revision } = claim;
        let counts = self.ledger.awaits(key, *revision);
        let stands = self.ledger.refuse(key, *revision, rejection.code, retry_at);
        self.show_settled(output, key, None);
        if counts && !stands && !rejection.is_passing {
            // It is sent again at once, with what has changed.
            let (code, message) = rejection.told();
            let message = Arc::clone(message);
            let state = ClaimState::Refused { code, message, retrying: true };
            self.tell(output, key, &state, Told::tell_sent);
        }
        stands && !rejection.is_passing
    }

    /// Nobody knows whether the server did what `claims` are about: they are due again.
    pub(super) fn release(&mut self, claims: &[SentClaim<K>]) {
        for claim in claims {
            self.ledger.release(&claim.key, claim.revision);
        }
    }

    /// The same, but those that were agreed to before wait until they are
    /// [resumed](Self::resume). Says whether any does.
    pub(super) fn keep(&mut self, claims: &[SentClaim<K>]) -> bool {
        let kept = claims.iter().filter(|claim| self.ledger.keep(&claim.key, claim.revision));
        kept.count() > 0
    }

    /// See [`Ledger::resume`].
    pub(super) fn resume(&mut self) {
        self.ledger.resume();
    }

    /// The guards of `key` are told that the server has refused it.
    pub(super) fn tell_refused(
        &mut self,
        output: &mut Output,
        key: &K,
        (code, message): (i32, &Arc<str>),
        retrying: bool,
    ) {
        let state = ClaimState::Refused { code, message: Arc::clone(message), retrying };
        self.tell(output, key, &state, Told::tell);
        let (key, message) = (key.clone().into(), Arc::clone(message));
        output.show(Event::Refused { key, code, message });
    }

    /// Tells those guards of `key` that `chosen` chooses.
    fn tell(
        &mut self,
        output: &mut Output,
        key: &K,
        state: &ClaimState,
        chosen: impl FnOnce(&mut Told, &ClaimState) -> Vec<GuardId>,
    ) {
        let guards = self.guards.get_mut(key).map(|guards| chosen(guards, state));
        let guards = guards.into_iter().flatten();
        output.show_all(guards.map(|guard| Event::Claim(guard, state.clone())));
    }

    /// Shows that the withdrawals from `key` up to a revision are done, or all of them if nothing
    /// of it is left.
    pub(super) fn show_settled(&self, output: &mut Output, key: &K, revision: Option<Revision>) {
        let revision = if self.is_known(key) { revision } else { Some(Revision::LAST) };
        output.show_all(revision.map(|revision| Event::Settled(key.clone().into(), revision)));
    }

    /// A claim that is held is to be confirmed again.
    pub(super) fn reassert(&mut self, key: &K) {
        self.ledger.reassert(key);
    }

    /// See [`Ledger::repeat`].
    pub(super) fn repeat(&mut self, key: &K) {
        self.ledger.repeat(key);
    }

    /// See [`Ledger::repeat_all`].
    pub(super) fn repeat_all(&mut self, which: impl Fn(&K) -> bool) {
        self.ledger.repeat_all(which);
    }

    /// All that are held and that `which` chooses are to be confirmed again.
    pub(super) fn reassert_all(&mut self, which: impl Fn(&K) -> bool) {
        self.ledger.reassert_all(which);
    }

    /// See [`Ledger::retry_refused`].
    pub(super) fn retry_refused(&mut self, code: i32) {
        self.ledger.retry_refused(code);
    }

    /// See [`Ledger::next_retry`].
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.ledger.next_retry()
    }

    /// See [`Ledger::newest`].
    pub(super) fn newest(&self) -> Revision {
        self.ledger.newest()
    }

    /// How many keys there are, withdrawals under way included.
    pub(super) fn remaining(&self) -> usize {
        self.ledger.len()
    }

    /// How many keys the server does not hold as claimed.
    pub(super) fn unsettled(&self) -> usize {
        self.ledger.unsettled()
    }

    /// Every claimed key, and how much of it the server knows.
    pub(super) fn standings(&self) -> impl Iterator<Item = (&K, Standing)> {
        self.ledger.standings()
    }

    /// Whether the server holds any of them, be it not the newest.
    pub(super) fn are_held(&self) -> bool {
        self.ledger.holds_any()
    }

    /// Whether anybody claims `key`.
    pub(super) fn is_claimed(&self, key: &K) -> bool {
        self.guards.contains(key)
    }

    /// Whether `key` is claimed, or still has to be withdrawn.
    pub(super) fn is_known(&self, key: &K) -> bool {
        self.ledger.contains(key)
    }

    /// How much the server knows of `key`; nothing if nobody claims it.
    pub(super) fn standing(&self, key: &K) -> Option<Standing> {
        self.ledger.standing(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::ConfigKey;

    #[test]
    fn second_reader_sends_nothing() {
        let _limit = nacos_testkit::TimeLimit::start();
        let (mut claims, mut output) = (documents(), Output::new(Box::new(|| 0.5)));
        claims.assert(&mut output, limits(), GuardId(1), false);
        let first = claims.take_due(9).remove(0);
        let claim = SentClaim { key: first.key, revision: first.revision };
        assert!(claims.agreed(&mut output, &claim));
        while output.poll_event().is_some() {}
        claims.assert(&mut output, limits(), GuardId(2), false);
        let told = output.poll_event();
        assert!(matches!(told, Some(Event::Claim(GuardId(2), ClaimState::Held))), "{told:?}");
        assert!(claims.take_due(9).is_empty());
    }

    #[test]
    fn guard_withdraws_only_its_own_claim() {
        let (mut claims, mut output) = (documents(), Output::new(Box::new(|| 0.5)));
        claims.assert(&mut output, limits(), GuardId(1), false);
        claims.assert(&mut output, limits(), GuardId(2), false);
        assert_eq!(claims.withdraw(&limits(), GuardId(1)), Some(Left::Others));
        assert_eq!(claims.withdraw(&limits(), GuardId(1)), None);
        assert!(claims.is_claimed(&limits()));
        assert_eq!(claims.withdraw(&limits(), GuardId(2)), Some(Left::Nobody));
        assert_eq!(claims.withdraw(&limits(), GuardId(2)), None);
    }

    fn documents() -> Claims<ConfigKey> {
        Claims::new(Ledger::new())
    }

    fn limits() -> ConfigKey {
        ConfigKey::try_from("limits").expect("valid")
    }
}
