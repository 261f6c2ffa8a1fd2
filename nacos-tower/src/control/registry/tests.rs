//! The registry against a scripted network and a clock that only the test moves.
use std::time::Duration;

use nacos_core::{ClusterName, Instance, ServiceKey};
use proptest::{collection::vec, prelude::*};

use super::{super::eligible::looks, *};

#[test]
fn endpoint_is_dialled_once_and_then_ready() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    assert_eq!(test.availability(), "connecting");
    let id = test.dial().expect("new");
    assert!(test.dial().is_none());
    test.connect(&id);
    assert_eq!(test.availability(), "ready");
    assert!(test.dial().is_none());
}

#[test]
fn nobody_to_call_is_told_apart_from_nobody_known() {
    let mut test = Test::new();
    assert_eq!(test.availability(), "undiscovered");
    test.registry.handle_set(&Service::unknown(key()), test.now);
    assert_eq!(test.availability(), "undiscovered");
    test.set(&[("a", 0.0)]);
    assert_eq!(test.availability(), "empty");
}

#[test]
fn change_of_weight_keeps_connection_and_counters() {
    let mut test = Test::new();
    test.set(&[("a", 1.0), ("b", 1.0)]);
    test.connect_all();
    let before = test.slots();
    test.set(&[("a", 7.0), ("b", 1.0)]);
    assert!(test.dial().is_none());
    let after = test.registry.snapshot();
    assert!(after.slots().iter().zip(&before).all(|(after, before)| Arc::ptr_eq(after, before)));
    let weights: Vec<f64> = after.endpoints().map(|(_, weight, _)| weight).collect();
    assert_eq!(weights, [7.0, 1.0]);
}

#[test]
fn failed_attempts_wait_longer_each_time_and_are_told() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    for wait in [50, 100, 200] {
        let id = test.dial().expect("due");
        test.registry.handle_dialed(&id, Err("refused".into()), test.now, 1.0);
        assert_eq!(test.availability(), "failing");
        assert!(test.dial().is_none());
        test.pass(Duration::from_millis(wait - 1));
        assert!(test.dial().is_none(), "too early");
        test.pass(Duration::from_millis(1));
    }
    let id = test.dial().expect("due");
    assert_eq!(test.availability(), "failing", "under way again, but no better for that");
    test.connect(&id);
    assert_eq!(test.availability(), "ready");
}

#[test]
fn connection_that_held_is_replaced_at_once_and_one_that_did_not_later() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    let id = test.connect_all().remove(0);
    test.pass(STABLE_AFTER);
    test.registry.handle_lost(&id, test.now, 1.0);
    assert_eq!(test.availability(), "connecting");
    let id = test.dial().expect("at once");
    test.connect(&id);
    test.registry.handle_lost(&id, test.now, 1.0);
    assert_eq!(test.availability(), "connecting", "requests may wait for it");
    assert!(test.dial().is_none());
    test.pass(Duration::from_millis(50));
    let id = test.dial().expect("due");
    test.registry.handle_dialed(&id, Err("refused".into()), test.now, 1.0);
    assert_eq!(test.availability(), "failing");
}

#[test]
fn endpoint_that_left_lingers_and_returns_to_its_connection() {
    let mut test = Test::new();
    test.set(&[("a", 1.0), ("b", 1.0)]);
    test.connect_all();
    let before = test.slots().remove(0);
    test.set(&[("b", 1.0)]);
    assert!(before.stats().available(&[]).is_none(), "no request gets in");
    test.pass(KEPT_FOR_RETURN / 2);
    test.set(&[("a", 1.0), ("b", 1.0)]);
    assert!(test.dial().is_none());
    assert!(Arc::ptr_eq(&before, &test.slots()[0]));

    test.set(&[("b", 1.0)]);
    test.pass(KEPT_FOR_RETURN);
    assert_eq!(test.registry.len(), 1, "gone");
    test.set(&[("a", 1.0), ("b", 1.0)]);
    assert!(test.dial().is_some(), "a new endpoint");
}

#[test]
fn request_that_was_turned_away_does_not_shut_the_door_behind_the_one_who_returned() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    test.connect_all();
    let slot = test.slots().remove(0);
    let id = slot.stats().available(&[]).expect("open");
    test.set(&[]);
    test.set(&[("a", 1.0)]);
    // Picked before it left, and looks now: a connection that it finds closed is not the one.
    assert!(slot.lease(id, |()| false).is_none());
    assert!(slot.stats().available(&[]).is_some());
}

#[test]
fn attempt_for_an_endpoint_that_left_meanwhile_counts_for_nothing() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    let old = test.dial().expect("new");
    test.set(&[]);
    test.set(&[("a", 1.0)]);
    assert!(!test.registry.handle_dialed(&old, Ok(()), test.now, 0.0));
    test.registry.handle_lost(&old, test.now, 0.0);
    assert_eq!(test.availability(), "connecting");
    assert!(test.dial().is_some());
}

#[test]
fn set_costs_as_much_as_has_changed_of_it() {
    let ip = |at: usize| format!("10.0.{}.{}", at / 256, at % 256);
    let instances = (0..10_000).map(|at| Instance::new(ip(at), 1)).collect();
    let first = Service::new(key(), instances, false);
    let mut test = Test::new();
    test.registry.handle_set(&first, test.now);
    let mut set = first.clone();
    for (what, change, most) in [
        ("another weight", Instance::new(ip(7), 1).with_weight(7.0), 1),
        ("unhealthy", Instance::new(ip(7), 1).with_healthy(false), 1),
        ("back", Instance::new(ip(7), 1), 1),
        ("the same", Instance::new(ip(7), 1), 0),
    ] {
        let at = set.instances.iter().position(|instance| instance.ip == change.ip);
        let mut instances = set.instances.to_vec();
        instances[at.expect("it is one of them")] = Arc::new(change);
        set.instances = instances.into();
        looks();
        test.registry.handle_set(&set, test.now);
        let _snapshot = test.registry.snapshot();
        assert_eq!(looks(), most, "{what}");
    }
    set.instances = set.instances[1..].into();
    test.registry.handle_set(&set, test.now);
    assert_eq!((looks(), test.registry.len()), (0, 9999));
}

proptest! {
    /// The endpoints are those of the newest set.
    #[test]
    fn endpoints_are_those_of_the_newest_set(
        sets in vec((vec(any_instance(), 0..8), any::<bool>()), 1..8),
    ) {
        let mut test = Test::new();
        let mut kept: Vec<Arc<Instance>> = Vec::new();
        for (instances, shares) in sets {
            let mut set = Service::new(key(), instances, false);
            if shares {
                // As views of a subscription do.
                let shared = set.instances.iter().map(|instance| {
                    kept.iter().find(|kept| *kept == instance).unwrap_or(instance).clone()
                });
                set.instances = shared.collect();
            }
            kept.extend(set.instances.iter().cloned());
            test.registry.handle_set(&set, test.now);
            test.connect_all();
            let entries = test.registry.entries.iter();
            let open: Vec<_> = entries
                .filter(|(_, entry)| matches!(entry.state, ConnectionState::Ready { .. }))
                .map(|(address, entry)| (address.to_string(), entry.endpoint.instance().clone()))
                .collect();
            let expected: Vec<_> = eligible(&set).into_iter().collect();
            prop_assert_eq!(open, expected);
        }
    }
}

/// The eligible endpoints, one instance after the other.
fn eligible(service: &Service) -> BTreeMap<String, Instance> {
    let mut endpoints: BTreeMap<String, Instance> = BTreeMap::new();
    for instance in service.callable() {
        let address = instance.address();
        if endpoints.get(&address).is_none_or(|held| held.weight < instance.weight) {
            endpoints.insert(address, (**instance).clone());
        }
    }
    endpoints
}

/// One of few, so that many sets have it.
fn any_instance() -> impl Strategy<Value = Instance> {
    let ip = prop::sample::select(vec!["a", "b", "fe80::1", "[fe80::1]"]);
    let cluster = prop::sample::select(vec!["DEFAULT", "OTHER"]);
    (ip, 1..3_u16, 0..3_u8, cluster, any::<bool>(), 0..2_u8).prop_map(
        |(ip, port, weight, cluster, healthy, version)| {
            Instance::new(ip, port)
                .with_weight(weight.into())
                .with_cluster(ClusterName::parse(cluster).expect("valid"))
                .with_healthy(healthy)
                .with_metadata("version", version.to_string())
        },
    )
}

fn key() -> ServiceKey {
    ServiceKey::try_from("orders").expect("valid")
}

struct Test {
    registry: Registry<()>,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        let now = Instant::now();
        let stats = SetStats::starting(now);
        Self { registry: Registry::new(Arc::new(stats)), now }
    }

    fn set(&mut self, weights: &[(&str, f64)]) {
        let instances =
            weights.iter().map(|(ip, weight)| Instance::new(*ip, 1).with_weight(*weight)).collect();
        self.registry.handle_set(&Service::new(key(), instances, false), self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.registry.handle_timeout(self.now);
    }

    fn dial(&mut self) -> Option<EntryId> {
        self.registry.poll_dial().map(|(id, _)| id)
    }

    fn connect(&mut self, id: &EntryId) {
        assert!(self.registry.handle_dialed(id, Ok(()), self.now, 0.0));
    }

    fn connect_all(&mut self) -> Vec<EntryId> {
        let ids: Vec<_> = std::iter::from_fn(|| self.dial()).collect();
        for id in &ids {
            self.connect(id);
        }
        ids
    }

    fn slots(&self) -> Vec<Arc<Slot<()>>> {
        self.registry.snapshot().slots().to_vec()
    }

    fn availability(&self) -> &'static str {
        self.registry.snapshot().availability().as_str()
    }
}
