//! A service as its consumers see it: the whole set of instances, and what changed in it.
use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::{instance::Instance, key::ServiceKey};

/// One consistent view of a service: always the full set, never a delta.
///
/// Sorted by address and cluster, without duplicates, sanitised (see [`Instance`]); the order and
/// the equality of two views therefore mean something. Instances are shared between the views of a
/// subscription: one that did not change is the same allocation before and after, and so is
/// [`instances`](Self::instances) where none did.
#[derive(Clone)]
#[non_exhaustive]
pub struct Service {
    /// Which service.
    pub key: ServiceKey,
    /// Its instances, healthy or not. The server never reports disabled ones. Code that makes a
    /// view of some of them keeps their order.
    pub instances: Arc<[Arc<Instance>]>,
    /// Too few were healthy, so the server reports all of them as healthy (protect threshold).
    pub protected: bool,
    /// False until a server has answered once: then "no instances" means "not known yet".
    pub known: bool,
    /// The server lists no instance that may be called; these are the last ones, which stay for as
    /// long as the [grace](crate::Subscription::with_grace) of the subscription lasts.
    pub held: bool,
    /// The difference to the view before, if it is known already.
    from: Option<Arc<KnownChange>>,
}

/// The difference between two views that follow each other, found when the later one was read.
struct KnownChange {
    /// Both are there for as long as this is, though what they held may not be: so no other views
    /// are ever taken for them.
    before: Weak<[Arc<Instance>]>,
    after: Weak<[Arc<Instance>]>,
    change: Change,
}

impl Service {
    /// A service of which nothing is known yet.
    #[must_use]
    pub fn unknown(key: ServiceKey) -> Self {
        let none = Arc::new([]);
        Self { key, instances: none, protected: false, known: false, held: false, from: None }
    }

    /// A view of `instances`: sorted, and without a second entry of the same identity.
    ///
    /// Of two entries with one identity, which an unclean restart leaves behind for a while, a
    /// healthy one stays, else the one that was listed first.
    #[must_use]
    pub fn new(key: ServiceKey, instances: Vec<Instance>, protected: bool) -> Self {
        let mut instances: Vec<_> = instances.into_iter().map(Arc::new).collect();
        // Stable, so that among equals the first listed comes first.
        instances.sort_by(|a, b| {
            a.identity().cmp(&b.identity()).then_with(|| b.healthy.cmp(&a.healthy))
        });
        instances.dedup_by(|later, first| later.identity() == first.identity());
        Self::listed(key, instances.into(), protected)
    }

    /// A view of `instances`, which are sorted and without duplicates.
    pub(crate) fn listed(
        key: ServiceKey,
        instances: Arc<[Arc<Instance>]>,
        protected: bool,
    ) -> Self {
        Self { key, instances, protected, known: true, held: false, from: None }
    }

    /// The same, of instances that differ by `change` from those of the view before.
    pub(crate) fn following(
        key: ServiceKey,
        instances: Arc<[Arc<Instance>]>,
        protected: bool,
        before: &Arc<[Arc<Instance>]>,
        change: Change,
    ) -> Self {
        let (before, after) = (Arc::downgrade(before), Arc::downgrade(&instances));
        let from = Some(Arc::new(KnownChange { before, after, change }));
        Self { from, ..Self::listed(key, instances, protected) }
    }

    /// The instances that may be called: healthy, enabled, weight above 0.
    pub fn callable(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances
            .iter()
            .filter(|instance| instance.healthy && instance.enabled && instance.weight > 0.0)
    }

    /// The change that turns `before` into this view.
    ///
    /// Between a view of a subscription and the one that came right before it, nothing is compared:
    /// the difference was found when the server's list was read. Between any others it takes one
    /// walk over both, in which instances that are shared are not compared either.
    #[must_use]
    pub fn since(&self, before: &Service) -> Change {
        if Arc::ptr_eq(&self.instances, &before.instances) {
            return Change::default();
        }
        if let Some(change) = self.step_from(before) {
            return change.clone();
        }
        let mut change = Change::default();
        let mut old = before.instances.iter().peekable();
        let mut new = self.instances.iter().peekable();
        // Both sides are sorted by identity: one walk over the two finds every difference.
        loop {
            looked(1);
            let order = match (old.peek(), new.peek()) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => std::cmp::Ordering::Equal,
                (Some(old), Some(new)) => old.identity().cmp(&new.identity()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return change,
            };
            match order {
                std::cmp::Ordering::Less => change.removed.extend(old.next().cloned()),
                std::cmp::Ordering::Greater => change.added.extend(new.next().cloned()),
                std::cmp::Ordering::Equal => {
                    if let (Some(old), Some(new)) = (old.next(), new.next())
                        // A shared instance did not change, and need not be compared.
                        && !Arc::ptr_eq(old, new)
                        && old != new
                    {
                        change.modified.push((Arc::clone(old), Arc::clone(new)));
                    }
                }
            }
        }
    }

    /// The same view, kept though the server lists no instance any more that may be called.
    pub(crate) fn into_held(self) -> Self {
        Self { held: true, ..self }
    }

    /// Whether `other` is the same to a caller of its instances.
    pub(crate) fn lists_the_same(&self, other: &Self) -> bool {
        self.key == other.key
            && self.protected == other.protected
            && self.known == other.known
            && self.has_instances_of(other)
    }

    fn has_instances_of(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.instances, &other.instances) {
            return true;
        }
        if let Some(change) = self.step_from(other).or_else(|| other.step_from(self)) {
            return change.is_empty();
        }
        // Shared instances are equal, and in most new views nearly all are shared.
        let same = |(one, other): (&Arc<Instance>, &Arc<Instance>)| {
            looked(1);
            Arc::ptr_eq(one, other) || one == other
        };
        self.instances.len() == other.instances.len()
            && self.instances.iter().zip(other.instances.iter()).all(same)
    }

    /// The difference to `before`, if this is the view that came right after it.
    fn step_from(&self, before: &Self) -> Option<&Change> {
        let from = self.from.as_deref()?;
        let is_it = |one: &Weak<[Arc<Instance>]>, other: &Self| {
            std::ptr::addr_eq(one.as_ptr(), Arc::as_ptr(&other.instances))
        };
        (is_it(&from.before, before) && is_it(&from.after, self)).then_some(&from.change)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("key", &self.key)
            .field("instances", &self.instances)
            .field("protected", &self.protected)
            .field("known", &self.known)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        self.held == other.held && self.lists_the_same(other)
    }
}

/// The difference between two views of one service.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Instances that were not there before.
    pub added: Vec<Arc<Instance>>,
    /// Instances that are not there any more.
    pub removed: Vec<Arc<Instance>>,
    /// Instances whose weight, health or metadata changed: before and after.
    pub modified: Vec<(Arc<Instance>, Arc<Instance>)>,
}

impl Change {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty()
    }
}

/// Counts looks at instances, in tests: a push must not take more than its list has.
#[cfg(not(test))]
pub(crate) fn looked(_: usize) {}

#[cfg(test)]
pub(crate) use self::tests::{looked, looks};

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn looked(count: usize) {
        LOOKS.set(LOOKS.get() + count);
    }

    /// How many looks there were on this thread since the last time.
    pub(crate) fn looks() -> usize {
        LOOKS.take()
    }

    #[test]
    fn difference_names_added_removed_and_modified() {
        let before =
            view(vec![Instance::new("a", 1), Instance::new("b", 1), Instance::new("c", 1)]);
        let after = view(vec![
            Instance::new("d", 1),
            Instance::new("c", 1).with_weight(2.0),
            Instance::new("b", 1),
        ]);
        let change = after.since(&before);
        assert_eq!(addresses(&change.added), ["d:1"]);
        assert_eq!(addresses(&change.removed), ["a:1"]);
        assert_eq!(change.modified.len(), 1);
        assert!(after.since(&after).is_empty());
    }

    #[test]
    fn order_and_duplicates_of_the_server_do_not_matter() {
        let one = view(vec![Instance::new("b", 1), Instance::new("a", 1)]);
        let stale = Instance::new("a", 1).with_healthy(false);
        let two = view(vec![stale, Instance::new("a", 1), Instance::new("b", 1)]);
        assert_eq!(one, two);
    }

    #[test]
    fn callable_leaves_out_what_must_not_be_called() {
        let service = view(vec![
            Instance::new("a", 1),
            Instance::new("b", 1).with_weight(0.0),
            Instance::new("c", 1).with_healthy(false),
            Instance::new("d", 1).with_enabled(false),
        ]);
        assert_eq!(service.callable().count(), 1);
    }

    fn view(instances: Vec<Instance>) -> Service {
        Service::new(ServiceKey::try_from("orders").expect("valid"), instances, false)
    }

    fn addresses(instances: &[Arc<Instance>]) -> Vec<String> {
        instances.iter().map(|instance| instance.address()).collect()
    }
}
