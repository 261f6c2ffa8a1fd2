//! What one connection has published of one service, and the next request towards what it should.
//!
//! Java servers keep one publication per connection and service: every registration replaces it,
//! every deregistration ends it. r-nacos is *additive*: it keeps each instance by itself, adds on a
//! batch, and takes weight 1 and `enabled` in an update for "not specified". Which of the two a
//! server is shows in how it answers a batch; until then only requests are sent that mean the same
//! to both, or that tell.
use crate::instance::Instance;

/// What the server holds of one service for this connection.
#[derive(Debug, Default)]
pub(crate) struct Publication {
    /// After an unanswered request an instance may stand here twice: as it was, and as it was sent.
    held: Vec<Instance>,
    /// A request went unanswered: the server may hold less than `held`, never anything else.
    unsure: bool,
}

/// One request about a publication.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Register(Instance),
    Batch(Vec<Instance>),
    Deregister(Instance),
}

/// Whether a server adds to a publication instead of replacing it; `None` until it has shown.
pub(crate) type Additive = Option<bool>;

impl Publication {
    /// The next request on the way to `wanted`; `None` once the server holds exactly that.
    pub(crate) fn next_step(&self, wanted: &[Instance], additive: Additive) -> Option<Step> {
        let nothing = self.held.is_empty() && wanted.is_empty();
        if nothing || (!self.unsure && same(&self.held, wanted)) {
            return None;
        }
        if additive == Some(true) {
            Some(self.next_addition(wanted))
        } else {
            self.next_whole(wanted, additive)
        }
    }

    /// Towards `wanted` where each instance stands for itself.
    fn next_addition(&self, wanted: &[Instance]) -> Step {
        let outdated = self.held.iter().find(|held| match find(wanted, held) {
            None => true,
            Some(wanted) => is_swallowed(held, wanted),
        });
        if let Some(held) = outdated {
            return Step::Deregister(held.clone());
        }
        let missing =
            wanted.iter().filter(|wanted| self.unsure || find(&self.held, wanted) != Some(wanted));
        single_or_batch(missing.cloned().collect())
    }

    /// Towards `wanted` where every registration replaces the whole.
    fn next_whole(&self, wanted: &[Instance], additive: Additive) -> Option<Step> {
        match (wanted, self.held.as_slice()) {
            ([], []) => None,
            ([], [held, ..]) => Some(Step::Deregister(held.clone())),
            // A batch of one, so that its answer tells whether the old one is still there.
            ([one], held)
                if additive.is_none()
                    && held.iter().any(|held| {
                        held.identity() != one.identity() || is_swallowed(held, one)
                    }) =>
            {
                Some(Step::Batch(vec![one.clone()]))
            }
            (wanted, _) => Some(single_or_batch(wanted.to_vec())),
        }
    }

    /// The server did `step`.
    pub(crate) fn done(&mut self, step: &Step, additive: Additive) {
        match (additive, step) {
            (Some(true), _) => {}
            // A server that has not shown of which kind it is holds less of the rest, or all of it.
            (None, Step::Deregister(_)) => self.unsure = true,
            (Some(false) | None, _) => self.held.clear(),
        }
        match step {
            Step::Register(instance) => self.added(instance),
            Step::Batch(instances) => instances.iter().for_each(|instance| self.added(instance)),
            Step::Deregister(instance) => {
                self.held.retain(|held| held.identity() != instance.identity());
            }
        }
        if self.unsure {
            // What is held is certain again once the whole of it has been confirmed.
            self.unsure = match step {
                Step::Register(_) | Step::Batch(_) => false,
                Step::Deregister(_) => !self.held.is_empty(),
            };
        }
    }

    /// The server may hold less than it was told.
    pub(crate) fn doubt(&mut self) {
        self.unsure = true;
    }

    /// `step` was sent, and nobody knows whether the server did it.
    pub(crate) fn unanswered(&mut self, step: &Step) {
        self.unsure = true;
        let sent = match step {
            Step::Register(instance) => std::slice::from_ref(instance),
            Step::Batch(instances) => instances,
            Step::Deregister(_) => &[],
        };
        for instance in sent {
            if !self.held.contains(instance) {
                self.held.push(instance.clone());
            }
        }
    }

    /// The server has added `instance` to what it had, keeping what it does not take for a change.
    fn added(&mut self, instance: &Instance) {
        let mut before = Vec::new();
        self.held.retain(|held| {
            let other = held.identity() != instance.identity();
            if !other {
                before.push(held.clone());
            }
            other
        });
        if before.is_empty() {
            self.held.push(instance.clone());
        }
        for before in before {
            let merged = merge(&before, instance);
            if !self.held.contains(&merged) {
                self.held.push(merged);
            }
        }
    }
}

fn single_or_batch(mut instances: Vec<Instance>) -> Step {
    match instances.pop() {
        Some(one) if instances.is_empty() => Step::Register(one),
        last => {
            instances.extend(last);
            Step::Batch(instances)
        }
    }
}

/// An additive server would keep the old value of this change.
fn is_swallowed(held: &Instance, wanted: &Instance) -> bool {
    merge(held, wanted) != *wanted
}

/// What an additive server makes of `instance` where it has `held`.
fn merge(held: &Instance, instance: &Instance) -> Instance {
    let unspecified = (instance.weight - 1.0).abs() < f64::EPSILON;
    let weight = if unspecified { held.weight } else { instance.weight };
    instance.clone().with_weight(weight).with_enabled(held.enabled && instance.enabled)
}

fn find<'a>(instances: &'a [Instance], like: &Instance) -> Option<&'a Instance> {
    instances.iter().find(|instance| instance.identity() == like.identity())
}

fn same(one: &[Instance], other: &[Instance]) -> bool {
    one.len() == other.len() && one.iter().all(|instance| find(other, instance) == Some(instance))
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
        fn perform(&mut self, step: &Step) {
            match (step, self.additive) {
                (Step::Register(one), false) => self.holds = vec![one.clone()],
                (Step::Batch(all), false) => self.holds.clone_from(all),
                (Step::Deregister(_), false) => self.holds.clear(),
                (Step::Register(one), true) => self.add(one),
                (Step::Batch(all), true) => all.iter().for_each(|one| self.add(one)),
                (Step::Deregister(one), true) => {
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
        let step = publication.next_step(std::slice::from_ref(&instance), None).expect("a step");
        publication.unanswered(&step);
        assert_eq!(publication.next_step(&[], None), Some(Step::Deregister(instance)));
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
            let batch = Step::Batch(vec![b.clone()]);
            assert_eq!(publication.next_step(std::slice::from_ref(&b), known), Some(batch.clone()));
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
            let step = publication.next_step(&wanted, additive).expect("a step");
            publication.unanswered(&step);
            assert_eq!(publication.next_step(&wanted, additive), Some(step.clone()));
            publication.done(&step, additive);
            assert_eq!(publication.next_step(&wanted, additive), None);
        }
    }

    fn walk(
        publication: &mut Publication,
        server: &mut Model,
        wanted: &[Instance],
        known: &mut Additive,
    ) {
        for _ in 0..10 {
            let Some(step) = publication.next_step(wanted, *known) else { return };
            server.perform(&step);
            if matches!(step, Step::Batch(_)) {
                *known = Some(server.additive);
            }
            publication.done(&step, *known);
        }
        panic!("ten requests were not enough");
    }
}
