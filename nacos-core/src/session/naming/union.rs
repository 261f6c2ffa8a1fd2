//! The instances that the guards of one service register together, kept by identity.
//!
//! The cost of a change depends on the change and not on the number of guards: nothing is copied,
//! and nobody walks over the others. Changes are noted until they are sent.
use std::{
    collections::{BTreeMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    instance::Instance,
    session::{entries::Entries, ids::GuardId},
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Union {
    /// The instance of each guard.
    guards: Entries<GuardId, Arc<Instance>>,
    /// The same by identity: each has one guard at least.
    members: Entries<Identity, BTreeMap<GuardId, Arc<Instance>>>,
    changes: Changes,
}

/// An instance, compared by what makes it the same across changes: [`Instance::identity`].
#[derive(Clone, Debug)]
pub(super) struct Identity(Arc<Instance>);

/// One instance of a union. Of several guards with one identity the latest says what it is, and
/// the earliest where it stands among the others.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) place: GuardId,
    pub(super) instance: Arc<Instance>,
}

/// The identities that have changed since the changes were last taken.
#[derive(Debug)]
enum Changes {
    /// Nobody has taken anything yet.
    Whole,
    Of(HashSet<Identity>),
}

/// The changes of a union, with its present members.
#[derive(Debug)]
pub(super) enum News {
    /// All members: any other is gone.
    Whole(Vec<Member>),
    /// By identity; gone where there is no member.
    Of(Vec<(Identity, Option<Member>)>),
}

impl Union {
    pub(super) fn new() -> Self {
        Self { guards: Entries::new(), members: Entries::new(), changes: Changes::Whole }
    }

    /// `guard` registers `instance`, in place of its former one.
    pub(super) fn insert(&mut self, guard: GuardId, instance: Arc<Instance>) {
        let identity = Identity::of(&instance);
        let former = self.guards.insert(guard, Arc::clone(&instance));
        if let Some(former) = former.map(|former| Identity::of(&former))
            && former != identity
        {
            self.leave(guard, former);
        }
        self.members.entry(identity.clone()).or_default().insert(guard, instance);
        self.changes.note(identity, self.members.len());
    }

    /// `guard` registers nothing any more.
    pub(super) fn remove(&mut self, guard: GuardId) {
        if let Some(former) = self.guards.remove(&guard) {
            self.leave(guard, Identity::of(&former));
        }
    }

    /// The instance that `guard` registers.
    pub(super) fn of(&self, guard: GuardId) -> Option<&Instance> {
        self.guards.get(&guard).map(Arc::as_ref)
    }

    /// The instances, in no particular order.
    pub(super) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.members.values().filter_map(|guards| guards.values().next_back()).map(Arc::as_ref)
    }

    /// The changes that were taken are of no use any more: the next time, all members are news.
    pub(super) fn renew(&mut self) {
        self.changes = Changes::Whole;
    }

    /// Takes the changes since the last call.
    pub(super) fn take_news(&mut self) -> News {
        match std::mem::replace(&mut self.changes, Changes::Of(HashSet::new())) {
            Changes::Whole => News::Whole(self.members.values().filter_map(member).collect()),
            Changes::Of(identities) => {
                let now = |identity| {
                    let now = self.members.get(&identity).and_then(member);
                    (identity, now)
                };
                News::Of(identities.into_iter().map(now).collect())
            }
        }
    }

    /// `guard` is none of those of `identity` any more.
    fn leave(&mut self, guard: GuardId, identity: Identity) {
        if let Some(guards) = self.members.get_mut(&identity) {
            guards.remove(&guard);
            if guards.is_empty() {
                self.members.remove(&identity);
            }
        }
        self.changes.note(identity, self.members.len());
    }
}

impl Changes {
    /// The instance of `identity` has changed, in a union of so many members.
    fn note(&mut self, identity: Identity, members: usize) {
        let Self::Of(identities) = self else { return };
        identities.insert(identity);
        // Nothing may be taken for long, as while a login is refused: what comes and goes leaves no
        // more than there is.
        if identities.len() > 2 * members + FEW {
            *self = Self::Whole;
        }
    }
}

/// So many changes are not worth a look at all members.
const FEW: usize = 16;

fn member(guards: &BTreeMap<GuardId, Arc<Instance>>) -> Option<Member> {
    let (place, instance) = (*guards.keys().next()?, Arc::clone(guards.values().next_back()?));
    Some(Member { place, instance })
}

impl Identity {
    pub(super) fn of(instance: &Arc<Instance>) -> Self {
        Self(Arc::clone(instance))
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.identity() == other.0.identity()
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.identity().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_with_one_identity_the_later_says_what_and_the_earlier_where() {
        let mut union = Union::new();
        union.insert(GuardId(2), instance("b", 1.0));
        union.insert(GuardId(3), instance("a", 3.0));
        union.insert(GuardId(1), instance("a", 1.0));
        assert_eq!(whole(&mut union), [(1, "a:1", 3.0), (2, "b:1", 1.0)]);
        union.remove(GuardId(1));
        union.renew();
        assert_eq!(whole(&mut union), [(2, "b:1", 1.0), (3, "a:1", 3.0)]);
        union.remove(GuardId(3));
        union.renew();
        assert_eq!(whole(&mut union), [(2, "b:1", 1.0)]);
    }

    #[test]
    fn only_what_has_changed_is_news_and_once() {
        let mut union = Union::new();
        for guard in 0..100 {
            union.insert(GuardId(guard), instance(&format!("i{guard}"), 1.0));
        }
        assert_eq!(whole(&mut union).len(), 100);
        union.insert(GuardId(7), instance("i7", 2.0));
        union.insert(GuardId(8), instance("moved", 1.0));
        union.remove(GuardId(9));
        assert_eq!(
            news(&mut union),
            [("i7:1", Some((7, 2.0))), ("i8:1", None), ("i9:1", None), ("moved:1", Some((8, 1.0)))]
                .map(|(address, now)| (address.to_owned(), now))
        );
        assert_eq!(news(&mut union), []);
    }

    #[test]
    fn guard_that_goes_leaves_nothing() {
        let mut union = Union::new();
        for guard in (0..100).map(GuardId) {
            union.insert(guard, instance("a", 1.0));
            union.insert(guard, instance("b", 1.0));
            union.remove(guard);
            union.remove(guard);
        }
        assert_eq!((union.guards.len(), union.members.len()), (0, 0));
        assert_eq!(union.instances().count(), 0);
    }

    #[test]
    fn changes_that_nobody_takes_are_no_more_than_there_is() {
        let mut union = Union::new();
        union.insert(GuardId(0), instance("stays", 1.0));
        drop(union.take_news());
        for guard in 1..1000 {
            union.insert(GuardId(guard), instance(&format!("i{guard}"), 1.0));
            union.remove(GuardId(guard));
            let Changes::Of(noted) = &union.changes else { continue };
            assert!(noted.len() <= 2 + FEW);
        }
        assert_eq!(whole(&mut union), [(0, "another", 1.0)]);
    }

    fn instance(ip: &str, weight: f64) -> Arc<Instance> {
        Arc::new(Instance::new(ip, 1).with_weight(weight))
    }

    fn whole(union: &mut Union) -> Vec<(u64, &'static str, f64)> {
        let News::Whole(mut members) = union.take_news() else { panic!("it is not the whole") };
        members.sort_by_key(|member| member.place);
        let known = |address: String| ["a:1", "b:1"].into_iter().find(|it| *it == address);
        let shown = |it: &Member| {
            (it.place.0, known(it.instance.address()).unwrap_or("another"), it.instance.weight)
        };
        members.iter().map(shown).collect()
    }

    fn news(union: &mut Union) -> Vec<(String, Option<(u64, f64)>)> {
        let News::Of(changes) = union.take_news() else { panic!("it is the whole") };
        let shown = |member: Member| (member.place.0, member.instance.weight);
        let mut changes: Vec<_> =
            changes.into_iter().map(|(it, now)| (it.0.address(), now.map(shown))).collect();
        changes.sort_by(|one, other| one.0.cmp(&other.0));
        changes
    }
}
