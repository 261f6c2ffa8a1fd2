//! The guards that claim a key, and what each of them was last told of it.
//!
//! Thousands of guards may claim one key, and mostly all of them have been told the same. So that
//! state is kept once, beside the guards that were told another one. Telling all of them costs as
//! much as there are guards to which it is news.
use std::collections::BTreeSet;

use super::ids::GuardId;
use crate::state::ClaimState;

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Told {
    guards: BTreeSet<GuardId>,
    /// The state that all guards were told last, except the `others`.
    state: ClaimState,
    others: BTreeSet<GuardId>,
}

impl Told {
    /// There are no guards yet.
    pub(crate) fn new() -> Self {
        Self { guards: BTreeSet::new(), state: ClaimState::Pending, others: BTreeSet::new() }
    }

    /// `guard` is one of them from now on, and is told `state`.
    pub(crate) fn insert(&mut self, guard: GuardId, state: &ClaimState) {
        self.guards.insert(guard);
        if *state == self.state {
            self.others.remove(&guard);
        } else {
            self.others.insert(guard);
        }
    }

    /// `guard` is none of them any more. Says whether it was.
    pub(crate) fn remove(&mut self, guard: GuardId) -> bool {
        self.others.remove(&guard);
        self.guards.remove(&guard)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }

    /// All of them are told `state`. Returns those to which it may be news, in their order.
    #[must_use = "they count as told"]
    pub(crate) fn tell(&mut self, state: &ClaimState) -> Vec<GuardId> {
        let others = std::mem::take(&mut self.others);
        if *state == self.state {
            return others.into_iter().collect();
        }
        self.state = state.clone();
        self.guards.iter().copied().collect()
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

    fn refused(message: &str) -> ClaimState {
        ClaimState::Refused { code: 500, message: message.into(), retrying: true }
    }
}
