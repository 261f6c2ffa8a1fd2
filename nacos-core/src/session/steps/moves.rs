//! When a server that still serves is left: because it asks for that, or does nothing else.
use super::*;

#[test]
fn server_that_answers_health_checks_only_is_left_and_that_is_said_once() {
    let mut stage = Stage::connected("a,b");
    stage.session.commands().assert(subscription("stock"), GuardId(1), None);
    stage.register(GuardId(2));
    let former = stage.serving();
    let mute = stage.dialled.pop().expect("it serves");
    stage.dialled.clear();
    stage.answer_health_checks_only(8);
    assert_eq!(stage.unresponsive(), [], "it may be a pause");
    stage.answer_health_checks_only(6);
    assert_eq!(stage.unresponsive(), [(true, true)]);
    assert_ne!(stage.serving(), former);
    assert_ne!(stage.dialled, [mute]);
    assert!(stage.session.is_unresponsive(), "nobody has answered yet");

    for sent in std::mem::take(&mut stage.calls) {
        stage.answer(&sent, &ok(&sent.request.kind().replace("Request", "Response")));
    }
    assert!(!stage.session.is_unresponsive());
    let serving = stage.serving();
    stage.answer_health_checks_only(30);
    assert_eq!((stage.serving(), stage.unresponsive().len()), (serving, 1));
}

#[test]
fn only_server_is_dialled_anew_ever_more_rarely_while_it_holds_nothing() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.dialled.clear();
    stage.answer_health_checks_only(3600);
    assert!((20..80).contains(&stage.dialled.len()), "{} in an hour", stage.dialled.len());
    let firsts = stage.unresponsive().iter().filter(|(_, first)| *first).count();
    assert_eq!(firsts, 1, "it is said once");
}

#[test]
fn only_server_is_not_dialled_anew_where_that_could_lose_what_it_holds() {
    let mut stage = Stage::connected("a");
    stage.hold_one_and_ask_for_another();
    let serving = stage.serving();
    stage.answer_health_checks_only(600);
    assert_eq!(stage.unresponsive(), [(false, true)], "and that is said once");
    assert_eq!(stage.serving(), serving);
}

#[test]
fn update_that_nobody_answers_is_no_reason_to_dial_the_only_server_anew() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    let heavier = Instance::new("10.0.0.1", 80).with_weight(2.0);
    let heavier = Some(Arc::new(heavier));
    stage.session.commands().assert(instances("orders"), GuardId(1), heavier);
    stage.settle();
    let serving = stage.serving();
    stage.answer_health_checks_only(600);
    assert_eq!(stage.unresponsive(), [(false, true)], "it may hold what came before");
    assert_eq!(stage.serving(), serving);
}

#[test]
fn only_server_is_dialled_anew_once_nothing_can_be_lost_by_that() {
    let mut stage = Stage::connected("a");
    stage.hold_one_and_ask_for_another();
    let serving = stage.serving();
    stage.answer_health_checks_only(60);
    assert_eq!((stage.unresponsive(), stage.serving()), (vec![(false, true)], serving));
    stage.withdraw(GuardId(1));
    stage.answer_health_checks_only(60);
    assert_ne!(stage.serving(), serving);
    assert_eq!(stage.unresponsive().first(), Some(&(true, false)));
}

#[test]
fn server_that_is_listed_later_is_tried_in_place_of_an_unresponsive_one() {
    let mut stage = Stage::locating(false);
    stage.begin();
    stage.list("a");
    stage.hold_one_and_ask_for_another();
    let serving = stage.serving();
    stage.answer_health_checks_only(20);
    assert_eq!((stage.unresponsive(), stage.serving()), (vec![(false, true)], serving));
    let list = Server::parse_list("a,b", 1000).expect("valid");
    stage.session.handle_servers(stage.now, Ok(list));
    stage.dialled.clear();
    stage.answer_health_checks_only(60);
    assert!(stage.dialled.contains(&"b".to_owned()), "{:?}", stage.dialled);
    assert_ne!(stage.serving(), serving);
}

#[test]
fn unresponsive_server_is_not_left_for_itself_by_who_has_something_there() {
    let mut stage = Stage::connected("a,b");
    let serving = stage.dialled.pop().expect("it serves");
    stage.down = if serving == "a" { "b" } else { "a" };
    stage.dialled.clear();
    stage.hold_one_and_ask_for_another();
    let link = stage.serving();
    stage.answer_health_checks_only(120);
    assert_eq!(stage.serving(), link);
    assert!(!stage.dialled.contains(&serving) && !stage.dialled.is_empty());
    // As soon as it answers, nobody else is looked for.
    stage.answer_all(&ok("SubscribeServiceResponse"));
    let dialled = stage.dialled.len();
    stage.answer_health_checks_only(4);
    assert_eq!(stage.dialled.len(), dialled);
}

#[test]
fn only_server_is_left_for_another_address_of_its_name_and_for_no_other_reason_dialled_anew() {
    for down in ["", "a"] {
        let mut stage = Stage::new("a", false, 0.5);
        stage.addresses = Addresses::More;
        stage.begin();
        stage.hold_one_and_ask_for_another();
        let serving = stage.serving();
        stage.down = down;
        stage.answer_health_checks_only(12);
        assert_eq!(stage.unresponsive().first(), Some(&(true, true)));
        assert_eq!(stage.other_than, Some(serving), "what it holds is not to be lost");
        assert_eq!(stage.serving() == serving, down == "a");
    }
}

#[test]
fn server_that_ceases_to_serve_is_left_by_who_only_subscribes() {
    let mut stage = Stage::connected("a,b");
    stage.subscribe("orders", "stock");
    let serving = stage.serving();
    stage.answer_health_checks_only(143);
    assert_eq!((stage.serving(), stage.unresponsive().len()), (serving, 0));
    stage.answer_health_checks_only(90);
    assert_eq!(stage.unresponsive().first(), Some(&(true, true)));
    assert_ne!(stage.serving(), serving);
}

#[test]
fn idle_server_is_asked_for_one_subscription_in_three_minutes_each_in_its_turn() {
    let mut stage = Stage::connected("a");
    stage.subscribe("orders", "stock");
    let mut asked = Vec::new();
    for _ in 0..3600 {
        stage.advance(SECOND);
        for sent in std::mem::take(&mut stage.calls) {
            let kind = sent.request.kind().replace("Request", "Response");
            if kind == "SubscribeServiceResponse" {
                asked.push(sent.body()["serviceName"].as_str().expect("a name").to_owned());
            }
            stage.answer(&sent, &ok(&kind));
        }
    }
    assert!((16..=25).contains(&asked.len()), "{} in an hour", asked.len());
    assert!(asked.windows(2).all(|two| two[0] != two[1]), "{asked:?}");
    for guard in [GuardId(1), GuardId(2)] {
        let service = if guard == GuardId(1) { "orders" } else { "stock" };
        stage.session.commands().withdraw(&subscription(service), guard);
    }
    stage.settle();
    stage.answer_all(&ok("SubscribeServiceResponse"));
    stage.advance(600 * SECOND);
    assert!(stage.calls.iter().all(|sent| sent.request.kind() == "HealthCheckRequest"));
}

#[test]
fn requests_of_users_that_nobody_answers_count_like_our_own() {
    let mut stage = Stage::connected("a,b");
    let former = stage.serving();
    for _ in 0..3 {
        stage.answer_health_checks_only(3);
        stage.session.handle_unanswered(stage.now, former, 1);
        stage.perform();
    }
    stage.answer_health_checks_only(2);
    assert_ne!(stage.serving(), former);
    for _ in 0..9 {
        stage.answer_health_checks_only(3);
        let serving = stage.serving();
        stage.session.handle_unanswered(stage.now, serving, 1);
        stage.session.handle_answered(serving);
        stage.perform();
    }
    assert_eq!(stage.unresponsive().len(), 1, "one that answers others is at work");
}

#[test]
fn servers_that_ask_each_newcomer_to_leave_are_left_ever_more_rarely() {
    // Anywhere, and back and forth between two.
    for redirects in [false, true] {
        let mut stage = Stage::connected("a,b");
        stage.dialled.clear();
        let mut asked = None;
        for _ in 0..3600 {
            if asked != Some(stage.serving()) {
                asked = Some(stage.serving());
                let there = stage.dialled.last().is_some_and(|host| host == "a");
                let to = if there { "b" } else { "a" };
                if redirects {
                    stage.reset_to(&json!({"requestId": "1", "serverIp": to}));
                } else {
                    stage.reset();
                }
            }
            stage.answer_health_checks_only(1);
        }
        let moves = stage.dialled.len();
        assert!((40..140).contains(&moves), "{moves} in an hour; redirected: {redirects}");
    }
}

#[test]
fn server_that_asks_again_and_again_is_left_all_the_same() {
    let mut stage = Stage::connected("a,b");
    let former = stage.serving();
    for _ in 0..20 {
        if stage.serving() != former {
            return;
        }
        stage.reset();
        stage.advance(SECOND / 10);
    }
    panic!("it was put off each time");
}

#[test]
fn dead_server_is_left_at_once_also_where_a_move_is_put_off() {
    let mut stage = Stage::connected("a,b");
    for _ in 0..9 {
        let former = stage.serving();
        stage.reset();
        while stage.serving() == former {
            stage.answer_health_checks_only(1);
        }
    }
    let silent = stage.serving();
    stage.reset();
    stage.advance(Duration::from_millis(4900));
    stage.advance(SECOND);
    stage.perform();
    assert_ne!(stage.serving(), silent, "six seconds, as ever");
}

impl Stage {
    /// The server holds an instance, and does not answer a subscription yet.
    /// Two services, and the server knows it.
    fn subscribe(&mut self, one: &str, other: &str) {
        self.session.commands().assert(subscription(one), GuardId(1), None);
        self.session.commands().assert(subscription(other), GuardId(2), None);
        self.settle();
        self.answer_all(&ok("SubscribeServiceResponse"));
    }

    fn hold_one_and_ask_for_another(&mut self) {
        self.register(GuardId(1));
        self.answer_all(&ok("InstanceResponse"));
        self.session.commands().assert(subscription("stock"), GuardId(2), None);
        self.settle();
    }

    /// Lets so many seconds pass, in which nothing but health checks is answered; any other request
    /// times out after three seconds.
    fn answer_health_checks_only(&mut self, seconds: u32) {
        let end = self.now + seconds * SECOND;
        while self.now < end {
            for sent in &self.calls {
                self.asked.entry(sent.call).or_insert(self.now);
            }
            let next = self.session.poll_timeout(self.now).unwrap_or(end);
            let due = self.calls.iter().filter_map(|sent| self.asked.get(&sent.call)).min();
            let due = due.map_or(end, |asked| *asked + 3 * SECOND);
            let next = next.min(due).min(end).max(self.now);
            self.advance(next - self.now);
            for sent in std::mem::take(&mut self.calls) {
                let asked = self.asked.get(&sent.call).copied().unwrap_or(self.now);
                if sent.request.kind() == "HealthCheckRequest" {
                    self.answer(&sent, &ok("HealthCheckResponse"));
                } else if asked + 3 * SECOND <= self.now {
                    self.answer(&sent, &Err(CallError::Timeout));
                } else {
                    self.calls.push(sent);
                }
            }
        }
    }

    /// Each time that a server was found to be unresponsive: whether it is left, and whether that
    /// is the first.
    fn unresponsive(&self) -> Vec<(bool, bool)> {
        let told = self.events.iter().filter_map(|event| match event {
            Event::Unresponsive { leaves, first, .. } => Some((*leaves, *first)),
            _ => None,
        });
        told.collect()
    }
}

#[test]
fn reset_goes_to_another_server_than_the_one_that_serves() {
    for (down, jitter) in [("", 0.0), ("a", 0.0), ("b", 0.4), ("ca", 0.8)] {
        let mut stage = Stage::new("a,b,c", false, jitter);
        stage.down = down;
        stage.begin();
        let serving = stage.dialled.pop().expect("one that takes us");
        stage.dialled.clear();
        stage.reset();
        stage.advance(SECOND);
        assert_ne!(stage.dialled.first(), Some(&serving));
    }
}

#[test]
fn recommended_server_that_is_dead_is_dialled_first_once_and_then_the_others() {
    // In any order of the servers, with and without a port that they have.
    for (jitter, ports) in [(0.0, ""), (0.4, "8848"), (0.7, "8848"), (0.9, "1")] {
        let mut stage = Stage::new("a,b,c,d", false, jitter);
        stage.begin();
        let serving = stage.dialled.pop().expect("one that takes us");
        let dead = if serving == "b" { "c" } else { "b" };
        stage.down = dead;
        stage.reset_to(&json!({"requestId": "1", "serverIp": dead, "serverPort": ports}));
        let former = stage.serving();
        stage.advance(SECOND);
        assert_ne!(stage.serving(), former);
        assert_eq!(stage.dialled.len(), 2, "{:?}", stage.dialled);
        assert_eq!(stage.dialled[0], dead);
        assert!(![dead, serving.as_str()].contains(&stage.dialled[1].as_str()));
        // It is forgotten after that.
        stage.dialled.clear();
        let link = stage.serving();
        stage.session.handle_lost(stage.now, link, "lost");
        stage.advance(SECOND);
        assert_ne!(stage.dialled[0], dead);
    }
}

#[test]
fn late_end_of_a_replaced_connection_changes_nothing() {
    let mut stage = Stage::connected("a,b,c");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    let former = stage.serving();
    stage.reset();
    stage.advance(SECOND);
    stage.answer_all(&ok("InstanceResponse"));
    let serving = stage.serving();
    stage.events.clear();
    // The former server's messages concern nobody any more. Then its stream ends, twice.
    let reset = message("ConnectResetRequest", &json!({"requestId": "2"}));
    stage.session.handle_push(stage.now, former, &reset);
    stage.session.handle_unusable(stage.now, former);
    for _ in 0..2 {
        stage.session.handle_lost(stage.now, former, "the stream ended");
        stage.perform();
    }
    stage.session.handle_push(stage.now, former, &reset);
    stage.advance(3 * SECOND);
    assert!(stage.events.is_empty(), "{:?}", stage.events);
    let asks = |sent: &Sent| sent.request.kind() == "ServiceQueryRequest";
    assert!(stage.calls.iter().all(asks), "nothing is claimed again");
    assert_eq!((stage.serving(), stage.dialled.len()), (serving, 2));
    assert_eq!(stage.session.connecting.links().all().len(), 1);
    assert_eq!(stage.session.unsettled(), 0);
}

#[test]
fn answers_on_the_old_connection_do_not_cancel_a_planned_move() {
    let mut stage = Stage::connected("a,b");
    let old = stage.serving();
    stage.reset();
    stage.session.handle_heard(old, stage.now);
    stage.advance(SECOND);
    assert_ne!(stage.serving(), old);
}

#[test]
fn replaced_connection_stays_for_requests_and_no_longer_than_one_may_take() {
    let mut stage = Stage::connected("a,b");
    let former = stage.serving();
    stage.reset();
    stage.advance(SECOND);
    let moved = stage.now;
    while stage.session.connecting.links().all().contains_key(&former) {
        assert!(stage.now - moved < 11 * SECOND, "a request that nobody polls keeps it for ever");
        stage.session.handle_busy(stage.now, former);
        stage.advance(SECOND / 5);
        stage.answer_all(&ok("HealthCheckResponse"));
    }
    assert!(stage.now - moved > 8 * SECOND, "requests are under way");
}

#[test]
fn end_of_the_stream_of_a_replaced_connection_leaves_its_requests_alone() {
    let mut stage = Stage::connected("a,b");
    let former = stage.serving();
    stage.reset();
    stage.advance(SECOND);
    stage.session.handle_stream_ended(stage.now, former, "the server moves its clients");
    stage.settle();
    assert!(stage.session.connecting.links().all().contains_key(&former));
    stage.session.handle_lost(stage.now, former, "the socket is closed");
    stage.settle();
    assert!(!stage.session.connecting.links().all().contains_key(&former));
}

#[test]
fn replaced_connection_is_closed_with_the_first_instance_that_is_withdrawn_or_moves() {
    type Change = fn(&mut Stage);
    let withdraw: Change = |stage| stage.withdraw(GuardId(1));
    let moves: Change = |stage| {
        let other = Instance::new("10.0.0.9", 80);
        stage.session.commands().assert(instances("orders"), GuardId(1), Some(Arc::new(other)));
        stage.settle();
    };
    for change in [withdraw, moves] {
        let mut stage = Stage::connected("a,b");
        stage.register(GuardId(1));
        let other = Instance::new("10.0.0.2", 80);
        stage.session.commands().assert(instances("orders"), GuardId(2), Some(Arc::new(other)));
        stage.settle();
        stage.answer_all(&ok("InstanceResponse"));
        let former = stage.serving();
        stage.reset();
        stage.advance(SECOND);
        assert!(stage.session.connecting.links().all().contains_key(&former), "make before break");
        change(&mut stage);
        assert!(
            !stage.session.connecting.links().all().contains_key(&former),
            "it would show there"
        );
    }
}

#[test]
fn former_connection_that_was_never_told_of_a_withdrawal_is_closed_at_once() {
    let mut stage = Stage::connected("a,b");
    stage.register(GuardId(1));
    // The registration is under way, so the withdrawal waits.
    stage.withdraw(GuardId(1));
    let former = stage.serving();
    stage.reset();
    stage.advance(SECOND);
    assert!(stage.is_settled());
    assert!(!stage.session.connecting.links().all().contains_key(&former), "it would show there");
}

#[test]
fn reset_goes_to_another_server_also_after_the_list_has_changed() {
    for jitter in [0.0, 0.4, 0.8] {
        let mut stage = Stage::with("", false, jitter, Some(30 * SECOND));
        stage.begin();
        stage.list("b");
        stage.list("a,b,c");
        stage.dialled.clear();
        stage.reset();
        stage.advance(SECOND);
        assert_ne!(stage.dialled.first().map(String::as_str), Some("b"), "{jitter}");
        assert_eq!(stage.dialled.len(), 1);
    }
}
