//! A few guards, mostly one: thousands of keys have a set of them each.
use std::collections::BTreeSet;

use super::ids::GuardId;

/// Guards, in their order. One takes no memory of its own.
#[derive(Debug, Default)]
pub(super) enum GuardSet {
    #[default]
    None,
    One(GuardId),
    /// In a box, so that the other two are small.
    #[expect(clippy::box_collection, reason = "most sets are of one guard")]
    Many(Box<BTreeSet<GuardId>>),
}

impl GuardSet {
    pub(super) fn insert(&mut self, guard: GuardId) {
        match self {
            Self::None => *self = Self::One(guard),
            Self::One(only) if *only == guard => {}
            Self::One(only) => *self = Self::Many(Box::new([*only, guard].into())),
            Self::Many(guards) => {
                guards.insert(guard);
            }
        }
    }

    /// Says whether it was one of them.
    pub(super) fn remove(&mut self, guard: GuardId) -> bool {
        match self {
            Self::Many(guards) => {
                let was_one = guards.remove(&guard);
                // Back to what takes no memory, if few are left.
                match guards.len() {
                    0 => *self = Self::None,
                    1 => *self = guards.first().map_or(Self::None, |only| Self::One(*only)),
                    _ => {}
                }
                was_one
            }
            Self::One(only) if *only == guard => {
                *self = Self::None;
                true
            }
            Self::One(_) | Self::None => false,
        }
    }

    pub(super) fn contains(&self, guard: GuardId) -> bool {
        match self {
            Self::None => false,
            Self::One(only) => *only == guard,
            Self::Many(guards) => guards.contains(&guard),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(guards) => guards.len(),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::None;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = GuardId> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(only) => (Some(*only), None),
            Self::Many(guards) => (None, Some(guards.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl FromIterator<GuardId> for GuardSet {
    fn from_iter<I: IntoIterator<Item = GuardId>>(guards: I) -> Self {
        let mut set = Self::None;
        for guard in guards {
            set.insert(guard);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_set_would(steps in vec((any::<bool>(), 0_u64..5), 0..40)) {
            let (mut set, mut model) = (GuardSet::default(), BTreeSet::new());
            for (adds, guard) in steps {
                let guard = GuardId(guard);
                if adds {
                    set.insert(guard);
                    model.insert(guard);
                } else {
                    prop_assert_eq!(set.remove(guard), model.remove(&guard));
                }
                prop_assert_eq!(set.contains(guard), model.contains(&guard));
                prop_assert_eq!(set.is_empty(), model.is_empty());
                prop_assert!(set.iter().eq(model.iter().copied()));
            }
        }
    }
}
