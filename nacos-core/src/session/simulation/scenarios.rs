//! Histories with a name, and the promise that each of them is about.
use std::time::Duration;

use serde_json::json;

use super::{faults::Faults, server::error, world::World, *};

#[test]
fn connects_and_asserts_what_was_claimed_before() {
    let mut world = World::new(1, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.watch("limits", GuardId(2));
    world.subscribe("stock", GuardId(3));
    world.run(Duration::from_secs(1));
    world.assert_consistent();
    assert!(world.states.last().is_some_and(SessionState::is_connected));
}

#[test]
fn a_change_during_an_outage_is_seen_right_after_it() {
    let mut world = World::new(2, Faults::none());
    world.watch("limits", GuardId(1));
    world.run(Duration::from_secs(1));
    world.server.go_down();
    world.lose_links();
    world.server.documents.insert("limits".to_owned(), "1".to_owned());
    world.run(Duration::from_secs(20));
    world.server.come_up();
    world.run(Duration::from_secs(1));
    world.assert_consistent();
}

#[test]
fn claims_are_back_within_300_ms_of_a_server_that_was_away_for_a_minute() {
    for seed in 0..50 {
        let mut world = World::new(seed, Faults::none());
        world.register("orders", GuardId(1), Instance::new("a", 1));
        world.run(Duration::from_secs(10));
        world.server.go_down();
        world.lose_links();
        // Up to a minute, and the start of the server.
        world.run(Duration::from_secs(15 + seed));
        world.server.come_up();
        world.run(Duration::from_millis(300));
        world.assert_consistent();
    }
}

#[test]
fn black_hole_is_replaced_and_the_claims_move() {
    let mut world = World::new(3, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    let first = world.session.serving_link().expect("connected");
    world.server.black_holes.insert(first);
    world.run(Duration::from_millis(6200));
    assert_ne!(world.session.serving_link(), Some(first));
    // The former connection is kept for as long as a request may take.
    world.run(Duration::from_secs(3));
    world.assert_consistent();
}

#[test]
fn silent_server_is_not_left_for_one_slow_answer() {
    let mut world = World::new(4, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    let first = world.session.serving_link();
    // A pause of three seconds, of the whole server: nothing answers, nothing is accepted.
    world.server.paused = true;
    world.run(Duration::from_secs(8));
    world.server.paused = false;
    world.run(Duration::from_secs(3));
    world.assert_consistent();
    assert!(first.is_some());
    assert_eq!(world.server.vanished, 0, "the registration was never gone");
}

#[test]
fn reset_makes_before_it_breaks() {
    let mut world = World::new(5, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    let first = world.session.serving_link().expect("connected");
    world.push(first, "ConnectResetRequest", &json!({"requestId": "1"}));
    world.run(Duration::from_secs(5));
    assert_ne!(world.session.serving_link(), Some(first));
    world.assert_consistent();
    assert_eq!(world.server.vanished, 0, "the registration was never gone");
}

#[test]
fn wrong_password_is_shown_and_never_tried_in_a_hot_loop() {
    let mut world = World::new(6, Faults { denies_login: true, ..Faults::none() });
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(300));
    assert!(matches!(world.states.last(), Some(SessionState::Denied { .. })));
    assert!(world.logins <= 9, "{} logins in five minutes", world.logins);
    assert_eq!(world.server.held_addresses("orders"), Vec::<String>::new());
}

/// A server that was restarted opens its ports before it has read its users, and holds nothing.
#[test]
fn claims_are_back_soon_after_a_restarted_server_has_read_its_users() {
    for (seed, seconds) in (0..60).map(|seed| (seed * 3, seed % 16)) {
        let mut world = World::new(seed, Faults::none());
        world.register("orders", GuardId(1), Instance::new("a", 1));
        world.watch("limits", GuardId(2));
        world.run(Duration::from_secs(30));
        world.server.go_down();
        world.lose_links();
        world.run(Duration::from_secs(2));
        world.server.users_loaded = false;
        world.server.come_up();
        // Tokens are good no more, and a login is refused.
        world.session.handle_denied(world.now);
        world.session.settle(world.now);
        world.run(Duration::from_secs(seconds));
        world.server.users_loaded = true;
        // Six seconds between two tries at most.
        world.run(Duration::from_millis(6500));
        world.assert_consistent();
        let wrong = |state: &SessionState| state.is_refused();
        assert!(!world.states.iter().any(wrong), "{:?}", world.states);
    }
}

#[test]
fn server_that_knows_no_user_and_demands_none_is_used_without_a_login() {
    let mut world = World::new(3, Faults::none());
    (world.server.guards, world.server.knows_user) = (false, false);
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    world.assert_consistent();
    assert!(world.states.last().is_some_and(SessionState::is_without_login));
    let before = world.logins;
    world.run(Duration::from_secs(600));
    assert!((8..=10).contains(&(world.logins - before)), "{} in ten minutes", world.logins);
    // There is a user from now on.
    (world.server.guards, world.server.knows_user) = (true, true);
    world.run(Duration::from_secs(75));
    world.assert_consistent();
    let state = world.states.last().expect("states");
    assert!(state.is_connected() && !state.is_without_login(), "{state:?}");
}

#[test]
fn server_that_demands_no_login_is_used_while_nobody_answers_one() {
    let mut world = World::new(3, Faults::none());
    (world.server.guards, world.server.logins_down) = (false, true);
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    world.assert_consistent();
    assert!(world.states.last().is_some_and(SessionState::is_without_login));
    let before = world.logins;
    world.run(Duration::from_secs(600));
    assert!((10..=20).contains(&(world.logins - before)), "{} in ten minutes", world.logins);
    // It restarts, answers logins from now on, and demands them.
    world.server.go_down();
    world.lose_links();
    world.run(Duration::from_secs(5));
    (world.server.guards, world.server.logins_down) = (true, false);
    world.server.come_up();
    world.run(Duration::from_secs(2));
    world.assert_consistent();
    let state = world.states.last().expect("states");
    assert!(state.is_connected() && !state.is_without_login(), "{state:?}");
}

#[test]
fn server_that_is_told_to_demand_a_login_denies_who_has_none() {
    for seed in [3, 4] {
        let mut world = World::new(seed, Faults::none());
        (world.server.guards, world.server.knows_user) = (false, false);
        world.register("orders", GuardId(1), Instance::new("a", 1));
        world.run(Duration::from_secs(1));
        world.assert_consistent();
        world.server.guards = true;
        world.watch("limits", GuardId(2));
        world.run(Duration::from_secs(2));
        let denied = matches!(world.states.last(), Some(SessionState::Denied { .. }));
        assert!(denied, "{:?}", world.states);
        assert_eq!(world.server.held_addresses("orders"), ["a:1"], "what is there stays there");
        world.server.guards = false;
        world.run(Duration::from_secs(75));
        world.assert_consistent();
    }
}

#[test]
fn server_that_takes_and_drops_us_is_not_asked_in_a_hot_loop() {
    let mut world = World::new(7, Faults::none());
    for _ in 0..200 {
        world.run(Duration::from_millis(100));
        world.lose_links();
    }
    // 20 s: some ten attempts a second at first, then no more than four.
    assert!(world.dials < 200, "{} dials in twenty seconds", world.dials);
}

#[test]
fn closing_withdraws_everything_first_and_then_does_nothing() {
    let mut world = World::new(8, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.subscribe("stock", GuardId(2));
    world.run(Duration::from_secs(1));
    world.session.commands().close(world.now + Duration::from_secs(5));
    world.session.settle(world.now);
    world.run(Duration::from_secs(1));
    assert!(world.session.is_closed());
    assert_eq!(world.session.remaining(), 0, "every withdrawal was acknowledged");
    world.session.handle_timeout(world.now);
    assert_eq!(world.session.poll_timeout(world.now), None);
    assert!(world.session.poll_effect().is_none());
}

#[test]
fn closing_with_a_silent_server_ends_at_its_deadline() {
    let mut world = World::new(9, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    world.server.paused = true;
    world.session.commands().close(world.now + Duration::from_secs(2));
    world.session.settle(world.now);
    world.run(Duration::from_millis(1900));
    assert!(!world.session.is_closed());
    world.run(Duration::from_millis(200));
    assert!(world.session.is_closed());
}

#[test]
fn one_refused_claim_changes_neither_the_session_nor_its_siblings() {
    let mut world = World::new(10, Faults::none());
    world.server.refused_service = Some(("broken".to_owned(), 400));
    world.register("broken", GuardId(1), Instance::new("a", 1));
    world.register("orders", GuardId(2), Instance::new("b", 1));
    world.run(Duration::from_secs(60));
    assert_eq!(world.dials, 1);
    assert_eq!(world.server.held_addresses("orders"), ["b:1"]);
    let refused = ClaimState::Refused { code: 400, message: "no".into(), retrying: false };
    assert_eq!(world.claims.get(&GuardId(1)), Some(&refused));
    assert!(world.server.requests("InstanceRequest") < 4, "a hot loop");
}

#[test]
fn documents_watched_together_are_one_listen() {
    let mut world = World::new(11, Faults::none());
    world.run(Duration::from_secs(1));
    for n in 0..500 {
        world.watch_later(&format!("d{n}"), GuardId(n));
    }
    world.session.settle(world.now);
    world.run(Duration::from_secs(1));
    assert_eq!(world.server.requests("ConfigBatchListenRequest"), 1);
    world.assert_consistent();
}

#[test]
fn old_list_does_not_overwrite_a_newer_one() {
    let mut world = World::new(12, Faults::none());
    world.subscribe("stock", GuardId(1));
    world.run(Duration::from_secs(1));
    let link = world.session.serving_link().expect("connected");
    let list = |time: i64, ip: &str| {
        json!({"requestId": "1", "serviceInfo": {"name": "stock", "groupName": "DEFAULT_GROUP",
               "lastRefTime": time, "hosts": [{"ip": ip, "port": 1, "weight": 1.0, "healthy": true}]}})
    };
    world.push(link, "NotifySubscriberRequest", &list(i64::MAX, "new"));
    world.run(Duration::from_millis(1));
    world.push(link, "NotifySubscriberRequest", &list(i64::MAX - 1, "old"));
    world.run(Duration::from_millis(1));
    let service = world.readers.values().next().expect("a view").get();
    assert_eq!(service.instances[0].ip, "new");
}

#[test]
fn document_that_returns_is_seen_though_its_removal_forgot_the_listeners() {
    let mut world = World::new(13, Faults::none());
    world.server.additive = true;
    world.change_document("limits", Some("1".to_owned()));
    world.watch("limits", GuardId(1));
    world.run(Duration::from_secs(1));
    world.change_document("limits", None);
    world.run(Duration::from_secs(1));
    world.change_document("limits", Some("2".to_owned()));
    world.run(Duration::from_secs(1));
    world.assert_consistent();
}

/// The interval between two checks, and its fifth more.
const CHECK_WITHIN: Duration = Duration::from_secs(72);

#[test]
fn publication_that_the_server_lost_without_a_word_is_back_within_two_checks() {
    for seed in 0..50 {
        let mut world = World::new(seed, Faults::none());
        world.server.additive = seed % 2 == 0;
        world.register("orders", GuardId(1), Instance::new("a", 1));
        world.register("orders", GuardId(2), Instance::new("b", 1).with_weight(3.0));
        world.register("stock", GuardId(3), Instance::new("c", 1));
        // Also one that is lost again right after it was healed.
        for lost in 1..=3 {
            world.run(CHECK_WITHIN * 2);
            world.server.lose("orders");
            assert_eq!(world.server.held_addresses("orders").len(), 0);
            world.run(CHECK_WITHIN * 2);
            world.assert_consistent();
            assert_eq!(world.lost, vec![("orders".to_owned(), true); lost]);
        }
        assert_eq!(world.dials, 1, "the session never changed");
    }
}

#[test]
fn instance_that_an_operator_disabled_is_not_fought_over() {
    for additive in [false, true] {
        let mut world = World::new(15, Faults::none());
        world.server.additive = additive;
        world.register("orders", GuardId(1), Instance::new("a", 1));
        world.register("orders", GuardId(2), Instance::new("b", 1));
        world.run(CHECK_WITHIN * 2);
        let before = world.server.registrations();
        world.server.hidden.insert("a:1".to_owned());
        world.run(Duration::from_secs(12 * 3600));
        let told = world.server.registrations() - before;
        assert!((1..20).contains(&told), "registered {told} times in twelve hours");
        assert_eq!(world.lost.iter().filter(|(_, first)| *first).count(), 1, "said once");
        assert_eq!(world.claims.get(&GuardId(1)), Some(&ClaimState::Held));
        // The operator undoes it; instances that are lost after that are registered again as ever.
        world.server.hidden.clear();
        world.run(CHECK_WITHIN);
        world.server.lose("orders");
        world.run(CHECK_WITHIN * 2);
        world.assert_consistent();
    }
}

#[test]
fn what_nobody_is_shown_is_not_looked_for() {
    let mut world = World::new(16, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1).with_enabled(false));
    world.register("stock", GuardId(2), Instance::new("a", 1).with_healthy(false));
    world.run(Duration::from_secs(3600));
    assert_eq!(world.server.requests("ServiceQueryRequest"), 0);
    assert_eq!(world.server.requests("InstanceRequest"), 2);
}

#[test]
fn check_that_is_refused_or_unreadable_says_nothing() {
    let mut world = World::new(18, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    for answer in [error(403), error(500), Payload::new("<html>", Vec::new())] {
        world.server.odd_check = Some(answer);
        world.run(Duration::from_secs(600));
    }
    assert_eq!(world.server.registrations(), 1);
    assert!(world.lost.is_empty());
    assert_eq!(world.dials, 1);
    assert_eq!(world.server.requests("ServiceQueryRequest"), 30, "once a minute");
}

#[test]
fn many_services_are_asked_for_spread_over_the_minute() {
    let mut world = World::new(17, Faults::none());
    for n in 0..600 {
        world.register(&format!("s{n}"), GuardId(n), Instance::new("a", 1));
    }
    world.run(Duration::from_secs(1));
    let mut most = 0;
    for _ in 0..600 {
        let before = world.server.requests("ServiceQueryRequest");
        world.run(Duration::from_secs(1));
        most = most.max(world.server.requests("ServiceQueryRequest") - before);
    }
    let all = world.server.requests("ServiceQueryRequest");
    assert!((5000..7000).contains(&all), "{all} in ten minutes");
    assert!(most < 40, "{most} in one second");
}

#[test]
fn servers_that_change_their_addresses_keep_every_registration() {
    let mut world = World::locating(14, Faults::none());
    world.register("orders", GuardId(1), Instance::new("a", 1));
    world.run(Duration::from_secs(1));
    let first = world.session.serving_link().expect("connected");
    world.server.list = Some("t");
    world.run(Duration::from_secs(90));
    assert_ne!(world.session.serving_link(), Some(first));
    world.assert_consistent();
    assert_eq!(world.server.vanished, 0, "the registration was never gone");
}
