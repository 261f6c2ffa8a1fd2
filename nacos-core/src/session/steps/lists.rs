//! Single steps of the session with lists of services: which of them is shown.
use serde_json::{Value, json};

use super::*;
use crate::service::Service;

#[test]
fn answer_to_what_was_asked_after_the_view_is_shown_whatever_its_time() {
    for stamp in [99_000, 40_000, 0, i64::MIN, i64::MAX] {
        let mut stage = Lists::subscribed(100_000, 1);
        stage.0.session.commands().ask_again(&service("orders"));
        stage.0.settle();
        stage.answer(stamp, 2);
        assert_eq!(stage.shown(), [1, 2], "{stamp}");
        assert_eq!(stage.asked(), 0, "{stamp}");
        assert!(stage.older().is_empty(), "{stamp}");
    }
}

#[test]
fn answer_that_was_overtaken_by_a_push_is_judged_by_its_time() {
    for (stamp, shown) in [(101_000, 3), (100_999, 2), (96_000, 2), (95_999, 3), (i64::MIN, 3)] {
        let mut stage = Lists::subscribed(100_000, 1);
        stage.0.session.commands().ask_again(&service("orders"));
        stage.0.settle();
        stage.push(101_000, 2);
        stage.answer(stamp, 3);
        assert_eq!(stage.shown().last(), Some(&shown), "{stamp}");
        let is_in_doubt = stamp < 101_000;
        assert_eq!(stage.asked(), usize::from(is_in_doubt), "{stamp}: one answer decides");
        if is_in_doubt {
            stage.answer(90_000, 4);
            assert_eq!((stage.shown().last(), stage.asked()), (Some(&4), 0));
        }
    }
}

#[test]
fn push_that_was_overtaken_is_dropped_and_asked_for_once_a_minute_at_most() {
    let mut stage = Lists::subscribed(100_000, 1);
    for n in 0..100 {
        stage.push(99_000 - n, 2);
    }
    assert_eq!((stage.shown(), stage.asked()), (vec![1], 1));
    assert_eq!(stage.older(), [false; 100]);
    // Those that came while the answer was under way are asked for after it, but not at once.
    stage.answer(100_000, 1);
    stage.pass(59);
    assert_eq!(stage.asked(), 0);
    stage.pass(1);
    assert_eq!(stage.asked(), 1);
    stage.answer(100_000, 1);
    stage.pass(100);
    assert_eq!(stage.asked(), 0, "nothing is in doubt any more");
}

#[test]
fn doubt_about_one_service_delays_no_other() {
    let mut stage = Lists::subscribed(100_000, 1);
    stage.0.session.commands().assert(subscription("stock"), GuardId(2), None);
    stage.0.settle();
    stage.answer(100_000, 1);
    stage.push(99_000, 2);
    assert_eq!(stage.asked(), 1);
    stage.pass(1);
    for _ in 0..100 {
        stage.pushed(&named("stock", 99_000, 2));
    }
    assert_eq!(stage.asked(), 2, "the other one has not been asked for in this minute");
    // Each has a minute of its own after that.
    stage.answer(100_000, 1);
    stage.answer(100_000, 1);
    stage.push(99_000, 2);
    stage.pass(58);
    assert_eq!(stage.asked(), 0);
    stage.pass(1);
    assert_eq!(stage.asked(), 1);
    stage.pass(1);
    assert_eq!(stage.asked(), 2);
}

#[test]
fn doubt_that_arose_during_a_question_is_asked_about_after_it() {
    let mut stage = Lists::subscribed(100_000, 1);
    let elsewhere = service("orders").in_namespace("dev".parse().expect("valid"));
    stage.0.session.commands().assert(ClaimKey::Subscription(elsewhere), GuardId(2), None);
    stage.0.settle();
    // Nobody knows which of the two it is about, and one is being asked for.
    stage.push(100_001, 2);
    stage.answer(100_000, 1);
    stage.answer(100_000, 1);
    stage.pass(60);
    assert_eq!(stage.asked(), 1, "the answer may have been the older one");
}

#[test]
fn push_from_before_a_step_of_the_clock_is_shown_and_asked_for() {
    let mut stage = Lists::subscribed(100_000, 1);
    stage.push(94_999, 2);
    assert_eq!((stage.shown(), stage.asked()), (vec![1, 2], 1));
    assert_eq!(stage.older(), [true]);
    stage.answer(95_100, 3);
    // The clock of today counts from here on.
    stage.push(95_099, 4);
    stage.push(95_101, 5);
    assert_eq!(stage.shown(), [1, 2, 3, 5]);
}

#[test]
fn list_of_another_connection_is_not_compared() {
    let mut stage = Lists::subscribed(100_000, 1);
    stage.reconnect();
    stage.answer(10, 2);
    stage.push(11, 3);
    assert_eq!((stage.shown(), stage.older()), (vec![1, 2, 3], vec![]));
}

#[test]
fn missing_list_is_no_list_whatever_its_time() {
    let mut stage = Lists::subscribed(100_000, 1);
    for stamp in [99_000, 0, 200_000] {
        let list = json!({"name": "orders", "groupName": "DEFAULT_GROUP", "lastRefTime": stamp});
        stage.pushed(&list);
    }
    stage.push(100_001, 2);
    assert_eq!((stage.shown(), stage.older(), stage.asked()), (vec![1, 2], vec![], 0));
}

#[test]
fn instances_that_did_not_change_are_shared_from_list_to_list_and_over_connections() {
    let mut stage = Lists::subscribed(100_000, 1);
    let before = stage.last();
    stage.push(100_001, 1);
    stage.reconnect();
    stage.answer(10, 1);
    assert_eq!(stage.shown(), [1, 1, 1]);
    assert!(Arc::ptr_eq(&stage.last().instances, &before.instances));
    stage.push(11, 2);
    assert_eq!(stage.last().since(&before).removed.len(), 1);
}

#[test]
fn list_with_an_instance_that_cannot_be_read_changes_nothing_and_is_asked_for() {
    let mut stage = Lists::subscribed(100_000, 1);
    let mut bad = list(100_001, 2);
    let hosts = bad["hosts"].as_array_mut().expect("a list");
    hosts.push(json!({"ip": "secret", "port": "secret"}));
    stage.pushed(&bad);
    assert_eq!((stage.shown(), stage.asked(), stage.unreadable()), (vec![1], 1, 1));
    // An answer like that is no answer: it is asked for again, after a while.
    stage.answer_with(&bad);
    assert_eq!((stage.shown(), stage.asked(), stage.unreadable()), (vec![1], 0, 2));
    stage.pass(5);
    stage.answer(100_001, 1);
    stage.push(100_002, 3);
    assert_eq!(stage.shown(), [1, 1, 3]);
}

#[test]
fn last_list_is_kept_for_as_long_as_somebody_subscribes() {
    let mut stage = Lists::subscribed(100_000, 1);
    assert_eq!(stage.0.session.naming.last_lists(), 1);
    stage.0.session.commands().withdraw(&subscription("orders"), GuardId(1));
    stage.0.settle();
    stage.push(100_001, 2);
    assert_eq!((stage.shown(), stage.0.session.naming.last_lists()), (vec![1], 0));
}

/// A session that subscribes to one service; lists are told apart by the port of their instance.
struct Lists(Stage);

impl Lists {
    fn subscribed(stamp: i64, port: u16) -> Self {
        let mut stage = Self(Stage::connected("a"));
        stage.0.session.commands().assert(subscription("orders"), GuardId(1), None);
        stage.0.settle();
        stage.answer(stamp, port);
        stage
    }

    /// Answers the first subscription under way.
    fn answer(&mut self, stamp: i64, port: u16) {
        self.answer_with(&list(stamp, port));
    }

    fn answer_with(&mut self, list: &Value) {
        let is_subscription = |sent: &Sent| sent.request.kind() == "SubscribeServiceRequest";
        let at = self.0.calls.iter().position(is_subscription).expect("it was asked");
        let sent = self.0.calls.remove(at);
        let body = json!({"resultCode": 200, "serviceInfo": list});
        self.0.answer(&sent, &Ok(message("SubscribeServiceResponse", &body)));
    }

    fn push(&mut self, stamp: i64, port: u16) {
        self.pushed(&list(stamp, port));
    }

    fn pushed(&mut self, list: &Value) {
        let push = message("NotifySubscriberRequest", &json!({"serviceInfo": list}));
        let link = self.0.serving();
        self.0.session.handle_push(self.0.now, link, &push);
        self.0.settle();
    }

    /// Loses the connection, and lets time pass until another one serves.
    fn reconnect(&mut self) {
        let link = self.0.serving();
        self.0.session.handle_lost(self.0.now, link, "reset");
        self.0.settle();
        while self.0.session.serving_link().is_none() {
            self.0.advance(SECOND);
        }
    }

    /// Lets time pass on a connection that is well.
    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            let link = self.0.serving();
            self.0.session.handle_heard(link, self.0.now);
            self.0.advance(SECOND);
        }
    }

    /// The last list that was shown.
    fn last(&self) -> Service {
        let mut shown = self.0.events.iter().filter_map(|event| match event {
            Event::Service(_, service) => Some(service.clone()),
            _ => None,
        });
        shown.next_back().expect("one was")
    }

    /// How many messages could not be read; none of them is quoted.
    fn unreadable(&self) -> usize {
        let whys = self.0.events.iter().filter_map(|event| match event {
            Event::Unreadable { why, .. } => Some(why),
            _ => None,
        });
        whys.inspect(|why| assert!(!why.contains("secret"), "{why}")).count()
    }

    /// The port of every list that was shown.
    fn shown(&self) -> Vec<u16> {
        let shown = self.0.events.iter().filter_map(|event| match event {
            Event::Service(_, service) => Some(service.instances[0].port),
            _ => None,
        });
        shown.collect()
    }

    /// Of every list that was older: whether it was shown.
    fn older(&self) -> Vec<bool> {
        let older = self.0.events.iter().filter_map(|event| match event {
            Event::Older { is_applied, .. } => Some(*is_applied),
            _ => None,
        });
        older.collect()
    }

    /// How many subscriptions are under way.
    fn asked(&self) -> usize {
        let kinds = self.0.calls.iter().map(|sent| sent.request.kind());
        kinds.filter(|kind| *kind == "SubscribeServiceRequest").count()
    }
}

fn list(stamp: i64, port: u16) -> Value {
    named("orders", stamp, port)
}

fn named(service: &str, stamp: i64, port: u16) -> Value {
    json!({
        "name": service, "groupName": "DEFAULT_GROUP", "lastRefTime": stamp,
        "hosts": [{"ip": "10.0.0.1", "port": port, "weight": 1.0, "healthy": true}],
    })
}
