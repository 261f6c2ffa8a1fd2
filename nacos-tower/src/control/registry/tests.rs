//! The registry against a scripted network and a clock that only the test moves.
use std::time::Duration;

use nacos_core::{Instance, ServiceKey};

use super::*;

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
    let key = ServiceKey::try_from("orders").expect("valid");
    test.registry.handle_set(&Service::unknown(key), test.now);
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
        let key = ServiceKey::try_from("orders").expect("valid");
        self.registry.handle_set(&Service::new(key, instances, false), self.now);
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
