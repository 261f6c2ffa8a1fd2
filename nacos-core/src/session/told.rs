//! The guards that claim a key, and what each of them was last told of it.
//!
//! Thousands of guards may claim one key, and mostly all of them have been told the same. So that
//! state is kept once, beside the guards that were told another one. Telling all of them costs as
//! much as there are guards to which it is news.
//!
//! An answer concerns the guards whose claims were in its request. Those that have changed since
//! are told by the next one; the others need not wait for it, however often one of them changes.
use super::{guard_set::GuardSet, ids::GuardId};
use crate::state::ClaimState;

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Told {
    guards: GuardSet,
    /// The state that all guards were told last, except the `others`.
    state: ClaimState,
    others: GuardSet,
    /// The guards that have changed since the last request was sent.
    changed: GuardSet,
}

impl Told {
    /// There are no guards yet.
    pub(crate) fn new() -> Self {
        Self {
            guards: GuardSet::default(),
            state: ClaimState::Pending,
            others: GuardSet::default(),
            changed: GuardSet::default(),
        }
    }

    /// `guard` is one of them from now on, and is told `state`.
    pub(crate) fn insert(&mut self, guard: GuardId, state: &ClaimState) {
        self.guards.insert(guard);
        if *state == self.state {
            self.others.remove(guard);
        } else {
            self.others.insert(guard);
        }
    }

    /// `guard` is none of them any more. Says whether it was.
    pub(crate) fn remove(&mut self, guard: GuardId) -> bool {
        self.others.remove(guard);
        self.changed.remove(guard);
        self.guards.remove(guard)
    }

    pub(crate) fn len(&self) -> usize {
        self.guards.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }

    /// The claim of `guard` is to be sent.
    pub(crate) fn changed(&mut self, guard: GuardId) {
        self.changed.insert(guard);
    }

    /// A request is sent with the claims of all of them.
    pub(crate) fn sent(&mut self) {
        self.changed.clear();
    }

    /// Those whose claims were in the last request are told `state`. Returns those of them to which
    /// it may be news, in their order.
    #[must_use = "they count as told"]
    pub(crate) fn tell_sent(&mut self, state: &ClaimState) -> Vec<GuardId> {
        let is_sent = |guard: &GuardId| !self.changed.contains(*guard);
        if *state == self.state {
            let (told, others): (Vec<_>, Vec<_>) = self.others.iter().partition(is_sent);
            self.others = others.into_iter().collect();
            return told;
        }
        let told = self.guards.iter().filter(is_sent).collect();
        // They know the former state, or yet another one.
        self.others = self.changed.iter().filter(|it| self.guards.contains(*it)).collect();
        self.state = state.clone();
        told
    }

    /// All of them are told `state`. Returns those to which it may be news, in their order.
    #[must_use = "they count as told"]
    pub(crate) fn tell(&mut self, state: &ClaimState) -> Vec<GuardId> {
        let changed = std::mem::take(&mut self.changed);
        let told = self.tell_sent(state);
        self.changed = changed;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_that_know_are_not_told_again() {
        let mut told = Told::new();
        for guard in (0..100).map(GuardId) {
            told.insert(guard, &ClaimState::Pending);
        }
        assert_eq!(told.tell(&ClaimState::Pending), []);
        assert_eq!(told.tell(&ClaimState::Held).len(), 100);
        told.insert(GuardId(7), &ClaimState::Pending);
        told.insert(GuardId(8), &ClaimState::Pending);
        told.insert(GuardId(100), &ClaimState::Pending);
        told.insert(GuardId(101), &ClaimState::Held);
        assert!(told.remove(GuardId(8)) && !told.remove(GuardId(8)));
        assert_eq!(told.tell(&ClaimState::Held), [7, 100].map(GuardId));
        assert_eq!(told.tell(&ClaimState::Held), []);
        assert_eq!(told.tell(&refused("no")).len(), 101);
        assert_eq!(told.tell(&refused("no")), []);
        assert_eq!(told.tell(&refused("never")).len(), 101, "another refusal is news");
    }

    /// One guard has been told before what all of them hear next.
    #[test]
    fn nobody_is_told_nothing_new_in_place_of_news() {
        let mut told = Told::new();
        told.insert(GuardId(1), &ClaimState::Pending);
        told.insert(GuardId(2), &ClaimState::Held);
        assert_eq!(told.tell(&ClaimState::Held), [1, 2].map(GuardId));
        told.insert(GuardId(1), &ClaimState::Pending);
        assert_eq!(told.tell(&ClaimState::Pending), [1, 2].map(GuardId));
        assert_eq!(told.tell(&ClaimState::Held), [1, 2].map(GuardId));
    }

    #[test]
    fn answer_is_for_the_guards_that_were_in_its_request() {
        let mut told = Told::new();
        for guard in [1, 2].map(GuardId) {
            told.insert(guard, &ClaimState::Pending);
            told.changed(guard);
        }
        told.sent();
        // Guard 1 changes in turn with each answer, and guard 3 comes.
        for guard in [1, 3].map(GuardId) {
            told.insert(guard, &ClaimState::Pending);
            told.changed(guard);
        }
        assert_eq!(told.tell_sent(&ClaimState::Held), [GuardId(2)]);
        told.sent();
        told.insert(GuardId(1), &ClaimState::Pending);
        told.changed(GuardId(1));
        assert_eq!(told.tell_sent(&ClaimState::Held), [GuardId(3)]);
        assert_eq!(told.tell_sent(&ClaimState::Held), []);
        told.sent();
        assert_eq!(told.tell_sent(&ClaimState::Held), [GuardId(1)]);
        told.changed(GuardId(2));
        assert!(told.remove(GuardId(2)));
        assert!(told.changed.is_empty());
    }

    fn refused(message: &str) -> ClaimState {
        ClaimState::Refused { code: 500, message: message.into(), retrying: true }
    }
}
