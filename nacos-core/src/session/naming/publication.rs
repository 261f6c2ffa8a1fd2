//! The publication of one service by one connection, and the next request towards the wanted one.
//!
//! Java servers keep one publication per connection and service: every registration replaces it,
//! every deregistration ends it. r-nacos is *additive*: it keeps each instance by itself, adds on a
//! batch, and takes weight 1 and `enabled` in an update for "not specified". A server shows its
//! kind by its answer to a batch. Until then only requests are sent that mean the same to both
//! kinds, or that make the server show it.
//!
//! The wanted and the held instances are kept by identity, together with the places where the two
//! differ: the next request costs as much as it contains.
use std::{collections::BTreeSet, sync::Arc};

use super::union::{Identity, Member, News};
use crate::{
    instance::Instance,
    session::{
        entries::{Entries, Ordered},
        ids::GuardId,
    },
};

/// The instances of one service that the server holds for this connection, and those that it is to
/// hold.
#[derive(Debug, Default)]
pub(super) struct Publication {
    slots: Entries<Identity, Slot>,
    /// The instances that the requests under way lead to, in the order of their guards.
    wanted: Ordered<GuardId, Arc<Instance>>,
    /// In the order in which the server came to hold it. After an unanswered request an instance
    /// may stand here twice: as it was, and as it was sent.
    held: Ordered<u64, Arc<Instance>>,
    /// How many were ever added to `held`.
    added: u64,
    /// The number of slots in which the server does not hold exactly the wanted instance.
    differing: usize,
    /// The wanted instances that an additive server has to be told.
    missing: BTreeSet<GuardId>,
    /// The held instances that an additive server keeps until they are deregistered.
    outdated: BTreeSet<u64>,
    /// A request went unanswered: the server may hold less than `held`, never anything else.
    unsure: bool,
}

/// The wanted and the held instances of one identity.
#[derive(Debug, Default)]
struct Slot {
    wanted: Option<Member>,
    /// Places in [`Publication::held`].
    held: Vec<u64>,
    /// Whether the held instances are not exactly the wanted one.
    differs: bool,
}

/// One request about a publication.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::session) enum PublicationStep {
    Register(Arc<Instance>),
    Batch(Vec<Arc<Instance>>),
    Deregister(Arc<Instance>),
}

/// Whether a server adds to a publication instead of replacing it; `None` until it has shown.
pub(in crate::session) type Additive = Option<bool>;

impl Publication {
    /// The wanted instances have changed.
    pub(super) fn aim(&mut self, news: News) {
        match news {
            News::Whole(members) => {
                self.aim_at_nothing();
                for member in members {
                    self.want(&Identity::of(&member.instance), Some(member));
                }
            }
            News::Of(changes) => {
                // First what goes, because a guard may stand for another identity now.
                for (identity, _) in &changes {
                    self.want(identity, None);
                }
                for (identity, now) in changes {
                    self.want(&identity, now);
                }
            }
        }
    }

    /// Nothing is wanted any more.
    pub(super) fn aim_at_nothing(&mut self) {
        for instance in std::mem::take(&mut self.wanted).into_values() {
            self.want(&Identity::of(&instance), None);
        }
    }

    /// The next request on the way to what is wanted; `None` once the server holds exactly that.
    pub(super) fn next_step(&self, additive: Additive) -> Option<PublicationStep> {
        let nothing = self.held.is_empty() && self.wanted.is_empty();
        if nothing || (!self.unsure && self.differing == 0) {
            return None;
        }
        if additive == Some(true) { Some(self.next_addition()) } else { self.next_whole(additive) }
    }

    /// The next request to an additive server, which keeps each instance by itself.
    fn next_addition(&self) -> PublicationStep {
        if let Some(held) = self.outdated.first().and_then(|place| self.held.get(place)) {
            return PublicationStep::Deregister(Arc::clone(held));
        }
        if self.unsure {
            return single_or_batch(self.wanted.values().cloned().collect());
        }
        let missing = self.missing.iter().filter_map(|place| self.wanted.get(place));
        single_or_batch(missing.cloned().collect())
    }

    /// Towards what is wanted where every registration replaces the whole.
    fn next_whole(&self, additive: Additive) -> Option<PublicationStep> {
        let Some(one) = self.wanted.values().next() else {
            return self
                .held
                .values()
                .next()
                .map(|held| PublicationStep::Deregister(Arc::clone(held)));
        };
        // Then there is nothing held that is not outdated, or equal to what is wanted.
        if self.wanted.len() == 1 && additive.is_none() && !self.outdated.is_empty() {
            // A batch of one, so that its answer tells whether the old one is still there.
            return Some(PublicationStep::Batch(vec![Arc::clone(one)]));
        }
        Some(single_or_batch(self.wanted.values().cloned().collect()))
    }

    /// The server did `step`.
    pub(super) fn done(&mut self, step: &PublicationStep, additive: Additive) {
        match (additive, step) {
            (Some(true), _) => {}
            // A server that has not shown of which kind it is holds less of the rest, or all of it.
            (None, PublicationStep::Deregister(_)) => self.unsure = true,
            (Some(false) | None, _) => self.held_nothing(),
        }
        match step {
            PublicationStep::Register(instance) => self.added(instance),
            PublicationStep::Batch(instances) => {
                for instance in instances {
                    self.added(instance);
                }
            }
            PublicationStep::Deregister(instance) => {
                self.hold(&Identity::of(instance), Vec::new());
            }
        }
        if self.unsure {
            // The held instances are certain again once all of them have been confirmed.
            self.unsure = match step {
                PublicationStep::Register(_) | PublicationStep::Batch(_) => false,
                PublicationStep::Deregister(_) => !self.held.is_empty(),
            };
        }
    }

    /// The server may hold less than it was told.
    pub(super) fn doubt(&mut self) {
        self.unsure = true;
    }

    /// `step` was sent, and nobody knows whether the server did it.
    pub(super) fn unanswered(&mut self, step: &PublicationStep) {
        self.unsure = true;
        let sent = match step {
            PublicationStep::Register(instance) => std::slice::from_ref(instance),
            PublicationStep::Batch(instances) => instances,
            PublicationStep::Deregister(_) => &[],
        };
        for instance in sent {
            let identity = Identity::of(instance);
            if !self.held_of(&identity).any(|held| is_same(held, instance)) {
                self.change(&identity, |publication, slot| {
                    slot.held.push(publication.place(Arc::clone(instance)));
                });
            }
        }
    }

    /// The server has added `instance` to what it had, keeping what it does not take for a change.
    fn added(&mut self, instance: &Arc<Instance>) {
        let identity = Identity::of(instance);
        let mut merged: Vec<Arc<Instance>> = Vec::new();
        for before in self.held_of(&identity) {
            let after = merge(before, instance);
            if !merged.iter().any(|other| is_same(other, &after)) {
                merged.push(after);
            }
        }
        if merged.is_empty() {
            merged.push(Arc::clone(instance));
        }
        self.hold(&identity, merged);
    }

    /// The server holds nothing of this any more.
    fn held_nothing(&mut self) {
        let held: Vec<_> = self.held.values().map(Identity::of).collect();
        for identity in held {
            self.hold(&identity, Vec::new());
        }
    }

    /// Of this identity the server holds these, and nothing else: they came last.
    fn hold(&mut self, identity: &Identity, instances: Vec<Arc<Instance>>) {
        self.change(identity, |publication, slot| {
            for place in slot.held.drain(..) {
                publication.held.remove(&place);
            }
            slot.held.extend(instances.into_iter().map(|it| publication.place(it)));
        });
    }

    /// Of this identity, `member` is wanted.
    fn want(&mut self, identity: &Identity, member: Option<Member>) {
        self.change(identity, |publication, slot| {
            if let Some(former) = &slot.wanted {
                publication.wanted.remove(&former.place);
            }
            if let Some(member) = &member {
                publication.wanted.insert(member.place, Arc::clone(&member.instance));
            }
            slot.wanted = member;
        });
    }

    /// Puts `instance` at the end of what is held.
    fn place(&mut self, instance: Arc<Instance>) -> u64 {
        self.added += 1;
        self.held.insert(self.added, instance);
        self.added
    }

    /// The held instances of this identity, in their order.
    fn held_of(&self, identity: &Identity) -> impl Iterator<Item = &Arc<Instance>> {
        let places = self.slots.get(identity).map_or(&[][..], |slot| &slot.held);
        places.iter().filter_map(|place| self.held.get(place))
    }

    /// The only place where a slot changes: keeps what differs in step with it.
    fn change(&mut self, identity: &Identity, change: impl FnOnce(&mut Self, &mut Slot)) {
        let mut slot = self.slots.remove(identity).unwrap_or_default();
        self.differing -= usize::from(slot.differs);
        if let Some(wanted) = &slot.wanted {
            self.missing.remove(&wanted.place);
        }
        for place in &slot.held {
            self.outdated.remove(place);
        }
        change(self, &mut slot);
        if slot.wanted.is_none() && slot.held.is_empty() {
            return;
        }
        let held = slot.held.iter().filter_map(|place| Some((place, self.held.get(place)?)));
        slot.differs = slot.held.len() != 1;
        if let Some(wanted) = &slot.wanted {
            let first = held.clone().next();
            if !first.is_some_and(|(_, first)| is_same(first, &wanted.instance)) {
                slot.differs = true;
                self.missing.insert(wanted.place);
            }
            let stays = |held: &Instance| takes(held, &wanted.instance);
            self.outdated.extend(held.filter(|(_, held)| !stays(held)).map(|(place, _)| *place));
        } else {
            slot.differs = true;
            self.outdated.extend(&slot.held);
        }
        self.differing += usize::from(slot.differs);
        self.slots.insert(identity.clone(), slot);
    }
}

fn single_or_batch(mut instances: Vec<Arc<Instance>>) -> PublicationStep {
    match instances.pop() {
        Some(one) if instances.is_empty() => PublicationStep::Register(one),
        last => {
            instances.extend(last);
            PublicationStep::Batch(instances)
        }
    }
}

/// Whether two are equal. Mostly they are one.
fn is_same(one: &Arc<Instance>, other: &Arc<Instance>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// Whether an additive server that has `held` makes of it what is wanted.
fn takes(held: &Instance, wanted: &Instance) -> bool {
    merged(held, wanted) == (wanted.weight, wanted.enabled)
}

/// The instance that an additive server holds once it is sent `instance` where it has `held`.
fn merge(held: &Instance, instance: &Arc<Instance>) -> Arc<Instance> {
    if takes(held, instance) {
        return Arc::clone(instance);
    }
    let (weight, enabled) = merged(held, instance);
    Arc::new(Instance::clone(instance).with_weight(weight).with_enabled(enabled))
}

/// The weight, and whether it is enabled, that result.
fn merged(held: &Instance, instance: &Instance) -> (f64, bool) {
    let unspecified = (instance.weight - 1.0).abs() < f64::EPSILON;
    let weight = if unspecified { held.weight } else { instance.weight };
    (weight, held.enabled && instance.enabled)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the weights are literals")]
mod tests {
    use super::*;

    /// A server that does what it is told, the one way or the other.
    struct Model {
        additive: bool,
        holds: Vec<Instance>,
    }

    impl Model {
        fn perform(&mut self, step: &PublicationStep) {
            match (step, self.additive) {
                (PublicationStep::Register(one), false) => self.holds = vec![Instance::clone(one)],
                (PublicationStep::Batch(all), false) => {
                    self.holds = all.iter().map(|one| Instance::clone(one)).collect();
                }
                (PublicationStep::Deregister(_), false) => self.holds.clear(),
                (PublicationStep::Register(one), true) => self.add(one),
                (PublicationStep::Batch(all), true) => all.iter().for_each(|one| self.add(one)),
                (PublicationStep::Deregister(one), true) => {
                    self.holds.retain(|held| held.address() != one.address());
                }
            }
        }

        /// As r-nacos does: weight 1 and `enabled` mean "not specified".
        fn add(&mut self, one: &Instance) {
            match self.holds.iter_mut().find(|held| held.address() == one.address()) {
                None => self.holds.push(one.clone()),
                Some(held) => {
                    let weight = if one.weight == 1.0 { held.weight } else { one.weight };
                    let enabled = held.enabled && one.enabled;
                    *held = one.clone().with_weight(weight).with_enabled(enabled);
                }
            }
        }
    }

    /// Goes from each set of instances to each other one, on both kinds of server.
    #[test]
    fn every_change_ends_with_the_server_holding_exactly_what_is_wanted() {
        let a = Instance::new("a", 1);
        let b = Instance::new("b", 1);
        let heavy = Instance::new("a", 1).with_weight(5.0);
        let off = Instance::new("a", 1).with_enabled(false);
        let sets = [
            vec![],
            vec![a.clone()],
            vec![b.clone()],
            vec![heavy.clone()],
            vec![off],
            vec![a, b.clone()],
            vec![heavy, b],
        ];
        for additive in [false, true] {
            for from in &sets {
                for to in &sets {
                    let mut server = Model { additive, holds: vec![] };
                    let mut publication = Publication::default();
                    let mut known = None;
                    for wanted in [from, to] {
                        walk(&mut publication, &mut server, wanted, &mut known);
                        assert!(
                            same(&server.holds, wanted),
                            "{from:?} to {to:?} on additive {additive}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn unanswered_registration_is_taken_back_when_it_is_not_wanted_any_more() {
        let instance = Instance::new("a", 1);
        let mut publication = Publication::default();
        let step = next(&mut publication, std::slice::from_ref(&instance), None).expect("a step");
        publication.unanswered(&step);
        let deregister = PublicationStep::Deregister(Arc::new(instance));
        assert_eq!(next(&mut publication, &[], None), Some(deregister));
    }

    /// The server has done all of it, and nobody has heard so; nor of which kind it is.
    #[test]
    fn withdrawal_after_an_unanswered_batch_leaves_nothing_on_either_kind_of_server() {
        let [a, b] = ["a", "b"].map(|ip| Instance::new(ip, 1));
        for additive in [false, true] {
            let mut server = Model { additive, holds: vec![] };
            let mut publication = Publication::default();
            let mut known = None;
            walk(&mut publication, &mut server, std::slice::from_ref(&a), &mut known);
            let batch = PublicationStep::Batch(vec![Arc::new(b.clone())]);
            let step = next(&mut publication, std::slice::from_ref(&b), known);
            assert_eq!(step, Some(batch.clone()));
            server.perform(&batch);
            publication.unanswered(&batch);
            walk(&mut publication, &mut server, &[], &mut known);
            assert_eq!(server.holds, [], "additive: {additive}");
        }
    }

    #[test]
    fn unanswered_registration_is_sent_again() {
        let wanted = [Instance::new("a", 1)];
        for additive in [None, Some(true), Some(false)] {
            let mut publication = Publication::default();
            let step = next(&mut publication, &wanted, additive).expect("a step");
            publication.unanswered(&step);
            assert_eq!(next(&mut publication, &wanted, additive), Some(step.clone()));
            publication.done(&step, additive);
            assert_eq!(next(&mut publication, &wanted, additive), None);
        }
    }

    /// The next request towards `wanted`, of which each guard has one.
    fn next(
        publication: &mut Publication,
        wanted: &[Instance],
        additive: Additive,
    ) -> Option<PublicationStep> {
        let members = (0..).map(GuardId).zip(wanted);
        let members =
            members.map(|(place, it)| Member { place, instance: Arc::new(it.clone()) }).collect();
        publication.aim(News::Whole(members));
        publication.next_step(additive)
    }

    fn same(one: &[Instance], other: &[Instance]) -> bool {
        let find = |like: &Instance| other.iter().find(|it| it.identity() == like.identity());
        one.len() == other.len() && one.iter().all(|it| find(it) == Some(it))
    }

    fn walk(
        publication: &mut Publication,
        server: &mut Model,
        wanted: &[Instance],
        known: &mut Additive,
    ) {
        for _ in 0..10 {
            let Some(step) = next(publication, wanted, *known) else { return };
            server.perform(&step);
            if matches!(step, PublicationStep::Batch(_)) {
                *known = Some(server.additive);
            }
            publication.done(&step, *known);
        }
        panic!("ten requests were not enough");
    }
}
