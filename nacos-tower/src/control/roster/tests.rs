//! The roster against a scripted network and a clock that only the test moves.
use std::time::Duration;

use nacos_core::{Instance, ServiceKey};

use super::*;
use crate::endpoint::{Clock, FleetLatency};

#[test]
fn endpoint_is_dialled_once_and_then_ready() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    assert_eq!(test.standing(), "connecting");
    let ticket = test.dial().expect("new");
    assert!(test.dial().is_none());
    test.connect(&ticket);
    assert_eq!(test.standing(), "ready");
    assert!(test.dial().is_none());
}

#[test]
fn nobody_to_call_is_told_apart_from_nobody_known() {
    let mut test = Test::new();
    assert_eq!(test.standing(), "undiscovered");
    let key = ServiceKey::try_from("orders").expect("valid");
    test.roster.handle_set(&Service::unknown(key), test.now);
    assert_eq!(test.standing(), "undiscovered");
    test.set(&[("a", 0.0)]);
    assert_eq!(test.standing(), "empty");
}

#[test]
fn change_of_weight_keeps_connection_and_counters() {
    let mut test = Test::new();
    test.set(&[("a", 1.0), ("b", 1.0)]);
    test.connect_all();
    let before = test.backends();
    test.set(&[("a", 7.0), ("b", 1.0)]);
    assert!(test.dial().is_none());
    let after = test.roster.snapshot();
    assert!(
        after.ready.iter().zip(&before).all(|(after, before)| Arc::ptr_eq(&after.backend, before))
    );
    let weights: Vec<f64> = after.ready.iter().map(|member| member.weight).collect();
    assert_eq!(weights, [7.0, 1.0]);
}

#[test]
fn failed_attempts_wait_longer_each_time_and_are_told() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    for wait in [50, 100, 200] {
        let ticket = test.dial().expect("due");
        test.roster.handle_dialed(&ticket, Err("refused".into()), test.now, 1.0);
        assert_eq!(test.standing(), "failing");
        assert!(test.dial().is_none());
        test.pass(Duration::from_millis(wait - 1));
        assert!(test.dial().is_none(), "too early");
        test.pass(Duration::from_millis(1));
    }
    let ticket = test.dial().expect("due");
    assert_eq!(test.standing(), "failing", "under way again, but no better for that");
    test.connect(&ticket);
    assert_eq!(test.standing(), "ready");
}

#[test]
fn connection_that_held_is_replaced_at_once_and_one_that_did_not_later() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    let ticket = test.connect_all().remove(0);
    test.pass(HOLDS);
    test.roster.handle_lost(&ticket, test.now, 1.0);
    assert_eq!(test.standing(), "connecting");
    let ticket = test.dial().expect("at once");
    test.connect(&ticket);
    test.roster.handle_lost(&ticket, test.now, 1.0);
    assert_eq!(test.standing(), "connecting", "requests may wait for it");
    assert!(test.dial().is_none());
    test.pass(Duration::from_millis(50));
    let ticket = test.dial().expect("due");
    test.roster.handle_dialed(&ticket, Err("refused".into()), test.now, 1.0);
    assert_eq!(test.standing(), "failing");
}

#[test]
fn endpoint_that_left_lingers_and_returns_to_its_connection() {
    let mut test = Test::new();
    test.set(&[("a", 1.0), ("b", 1.0)]);
    test.connect_all();
    let before = test.backends().remove(0);
    test.set(&[("b", 1.0)]);
    assert!(before.passage(&[]).is_none(), "no request gets in");
    test.pass(LINGERS / 2);
    test.set(&[("a", 1.0), ("b", 1.0)]);
    assert!(test.dial().is_none());
    assert!(Arc::ptr_eq(&before, &test.backends()[0]));

    test.set(&[("b", 1.0)]);
    test.pass(LINGERS);
    assert_eq!(test.roster.len(), 1, "gone");
    test.set(&[("a", 1.0), ("b", 1.0)]);
    assert!(test.dial().is_some(), "a new endpoint");
}

#[test]
fn request_that_was_turned_away_does_not_shut_the_door_behind_the_one_who_returned() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    test.connect_all();
    let backend = test.backends().remove(0);
    let passage = backend.passage(&[]).expect("open");
    test.set(&[]);
    test.set(&[("a", 1.0)]);
    // Picked before it left, and looks now: a connection that it finds closed is not the one.
    assert!(backend.lease(passage, |()| false).is_none());
    assert!(backend.passage(&[]).is_some());
}

#[test]
fn attempt_for_an_endpoint_that_left_meanwhile_counts_for_nothing() {
    let mut test = Test::new();
    test.set(&[("a", 1.0)]);
    let old = test.dial().expect("new");
    test.set(&[]);
    test.set(&[("a", 1.0)]);
    assert!(!test.roster.handle_dialed(&old, Ok(()), test.now, 0.0));
    test.roster.handle_lost(&old, test.now, 0.0);
    assert_eq!(test.standing(), "connecting");
    assert!(test.dial().is_some());
}

struct Test {
    roster: Roster<()>,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        let now = Instant::now();
        let common = Common { clock: Clock::starting(now), latency: FleetLatency::default() };
        Self { roster: Roster::new(Arc::new(common)), now }
    }

    fn set(&mut self, weights: &[(&str, f64)]) {
        let instances =
            weights.iter().map(|(ip, weight)| Instance::new(*ip, 1).with_weight(*weight)).collect();
        let key = ServiceKey::try_from("orders").expect("valid");
        self.roster.handle_set(&Service::new(key, instances, false), self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.roster.handle_timeout(self.now);
    }

    fn dial(&mut self) -> Option<Ticket> {
        self.roster.poll_dial().map(|(ticket, _)| ticket)
    }

    fn connect(&mut self, ticket: &Ticket) {
        assert!(self.roster.handle_dialed(ticket, Ok(()), self.now, 0.0));
    }

    fn connect_all(&mut self) -> Vec<Ticket> {
        let tickets: Vec<_> = std::iter::from_fn(|| self.dial()).collect();
        for ticket in &tickets {
            self.connect(ticket);
        }
        tickets
    }

    fn backends(&self) -> Vec<Arc<Backend<()>>> {
        self.roster.snapshot().ready.iter().map(|member| Arc::clone(&member.backend)).collect()
    }

    fn standing(&self) -> &'static str {
        self.roster.snapshot().standing.name()
    }
}
