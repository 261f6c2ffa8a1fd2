//! Single steps of the session: one thing happens, and what follows is looked at.
//!
//! Where the simulation beside this module asks whether any history ends well, each test here
//! names one history and the promise that it once broke.
mod endings;
mod listens;
mod lists;
mod moves;
mod registrations;

use std::time::{Duration, Instant};

use nacos_testkit::TimeLimit;
use serde_json::{Value, json};

use super::*;
use crate::{
    error::ErrorKind,
    wire::{DENIED, SERVER_ERROR},
};

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
    // What the former server still says is about nobody, and then its stream ends, twice.
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
    assert_eq!(stage.session.connecting.links().len(), 1);
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
fn claims_are_pending_while_nobody_serves() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Held));
    let link = stage.serving();
    stage.session.handle_lost(stage.now, link, "reset");
    stage.perform();
    assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Pending));
    assert_eq!(stage.session.unsettled(), 1);
}

#[test]
fn former_connections_answers_take_no_room() {
    let mut stage = Stage::connected("a,b");
    for n in 0..300 {
        stage.session.assert(subscription(&format!("s{n}")), GuardId(n), None);
    }
    stage.settle();
    assert!(stage.calls.len() < 300, "as many as may be under way, all of them unanswered");
    stage.calls.clear();
    stage.reset();
    stage.advance(SECOND);
    let new = stage.serving();
    assert!(stage.calls.iter().any(|sent| sent.link == new));
}

#[test]
fn registrations_are_sent_before_any_number_of_subscriptions() {
    let mut stage = Stage::connected("a,b");
    for n in 0..2000 {
        stage.session.assert(subscription(&format!("s{n}")), GuardId(n), None);
    }
    stage.register(GuardId(2000));
    while !stage.calls.is_empty() {
        stage.answer_all(&ok("InstanceResponse"));
    }
    stage.reset();
    stage.advance(SECOND);
    let new = stage.serving();
    let sent: Vec<_> = stage.calls.iter().filter(|sent| sent.link == new).collect();
    assert_eq!(sent[0].request.kind(), "InstanceRequest");
    assert!(sent.len() > 100, "and the rest beside it");
}

#[test]
fn withdrawal_does_not_overtake_the_subscription_that_is_to_see_it() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    stage.session.assert(subscription("orders"), GuardId(2), None);
    stage.withdraw(GuardId(1));
    let sent: Vec<_> = stage.calls.iter().map(|sent| sent.request.kind()).collect();
    assert_eq!(sent, ["SubscribeServiceRequest", "InstanceRequest"]);
}

#[test]
fn withdrawal_under_way_is_settled_by_a_move() {
    let mut stage = Stage::connected("a,b");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    stage.withdraw(GuardId(1));
    assert_eq!(stage.calls.len(), 1);
    assert!(!stage.is_settled());
    stage.reset();
    stage.advance(SECOND);
    assert!(stage.is_settled());
    assert_eq!(stage.session.remaining(), 0);
}

#[test]
fn replaced_connection_stays_for_requests_and_no_longer_than_one_may_take() {
    let mut stage = Stage::connected("a,b");
    let former = stage.serving();
    stage.reset();
    stage.advance(SECOND);
    let moved = stage.now;
    while stage.session.connecting.links().contains_key(&former) {
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
    assert!(stage.session.connecting.links().contains_key(&former));
    stage.session.handle_lost(stage.now, former, "the socket is closed");
    stage.settle();
    assert!(!stage.session.connecting.links().contains_key(&former));
}

#[test]
fn replaced_connection_is_closed_with_the_first_instance_that_is_withdrawn_or_moves() {
    type Change = fn(&mut Stage);
    let withdraw: Change = |stage| stage.withdraw(GuardId(1));
    let moves: Change = |stage| {
        let other = Instance::new("10.0.0.9", 80);
        stage.session.assert(instances("orders"), GuardId(1), Some(Arc::new(other)));
        stage.settle();
    };
    for change in [withdraw, moves] {
        let mut stage = Stage::connected("a,b");
        stage.register(GuardId(1));
        let other = Instance::new("10.0.0.2", 80);
        stage.session.assert(instances("orders"), GuardId(2), Some(Arc::new(other)));
        stage.settle();
        stage.answer_all(&ok("InstanceResponse"));
        let former = stage.serving();
        stage.reset();
        stage.advance(SECOND);
        assert!(stage.session.connecting.links().contains_key(&former), "make before break");
        change(&mut stage);
        assert!(!stage.session.connecting.links().contains_key(&former), "it would show there");
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
    assert!(!stage.session.connecting.links().contains_key(&former), "it would show there");
}

#[test]
fn unreadable_answer_counts_as_possibly_done() {
    for answer in [
        Err(CallError::Unreadable("a compressed message".to_owned())),
        Err(CallError::Status { code: 13, message: "internal".to_owned() }),
        Ok(Payload::new("<html>", b"<html>502</html>".to_vec())),
    ] {
        let mut stage = Stage::connected("a");
        stage.register(GuardId(1));
        stage.answer_all(&answer);
        assert!(stage.calls.is_empty(), "not sent again at once");
        stage.withdraw(GuardId(1));
        let [sent] = stage.calls.as_slice() else { panic!("one withdrawal") };
        assert_eq!(sent.body()["type"], "deregisterInstance");
    }
}

#[test]
fn refusal_of_a_replaced_token_is_sent_again_at_once() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.log_in();
    for n in 0..2 {
        stage.session.assert(subscription(&format!("s{n}")), GuardId(n), None);
    }
    stage.settle();
    let (first, late) = (stage.calls.remove(0), stage.calls.remove(0));
    stage.answer(&first, &refused(DENIED));
    stage.session.handle_timeout(stage.now);
    stage.log_in();
    assert_eq!(stage.calls.len(), 1, "what was refused is sent with the new token");
    stage.answer(&late, &refused(DENIED));
    assert_eq!(stage.calls.len(), 2, "and so is what was refused later");
    assert_eq!(stage.logins, 2, "the late refusal causes no login");
    assert!((0..2).all(|n| stage.claim(GuardId(n)) == Some(ClaimState::Pending)));
}

#[test]
fn login_is_tried_at_once_when_a_server_is_back() {
    for seconds in [300, 310, 320, 330] {
        let mut stage = Stage::new("a", true, 1.0);
        stage.down = "a";
        stage.begin();
        let end = stage.now + seconds * SECOND;
        while stage.now < end {
            stage.fail_login();
            stage.wait();
        }
        stage.fail_login();
        stage.down = "";
        while stage.session.serving_link().is_none() {
            stage.wait();
            stage.fail_login();
        }
        stage.session.handle_timeout(stage.now);
        stage.log_in();
        assert!(stage.session.can_send());
    }
}

#[test]
fn one_odd_health_answer_ends_neither_session_nor_pulse() {
    let busy = CallError::Status { code: 8, message: "busy".to_owned() };
    for odd in [Err(busy), refused(SERVER_ERROR), Ok(Payload::new("<html>", Vec::new()))] {
        let mut stage = Stage::connected("a");
        let end = stage.now + 120 * SECOND;
        let mut checks = 0;
        while stage.now < end {
            checks += stage.calls.len();
            stage.answer_all(&odd);
            stage.wait();
        }
        assert!(checks > 10, "{checks} health checks in two minutes");
        assert_eq!(stage.dialled.len(), 1);
    }
}

#[test]
fn answer_of_a_suspect_ends_the_search_for_another() {
    let mut stage = Stage::connected("a,b");
    let suspect = stage.serving();
    stage.silent = "ab";
    stage.advance(5 * SECOND);
    assert_eq!(stage.calls.len(), 1, "a health check");
    stage.advance(SECOND);
    assert_eq!(stage.dialled.len(), 2, "another server is tried beside the suspect");
    stage.session.handle_heard(suspect, stage.now);
    stage.settle();
    assert_eq!(stage.session.connecting.links().keys().copied().collect::<Vec<_>>(), [suspect]);
    // The end of the health check that went unanswered is no news.
    stage.answer_all(&Err(CallError::Timeout));
    assert!(stage.calls.is_empty());
    stage.advance(4 * SECOND);
    assert_eq!((stage.dialled.len(), stage.serving()), (2, suspect));
}

#[test]
fn login_that_ends_after_the_session_shows_nothing() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.session.assert(listen("orders"), GuardId(1), None);
    stage.settle();
    stage.close();
    assert!(stage.session.is_closed());
    stage.events.clear();
    stage.fail_login();
    assert!(stage.events.is_empty(), "{:?}", stage.events);
}

#[test]
fn closing_while_denied_ends_at_once() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.session.connecting.require_login();
    let denied = Err(LoginFailure::Denied("no".to_owned()));
    stage.session.handle_login(stage.now, Tried::default(), denied);
    stage.register(GuardId(1));
    stage.close();
    assert!(stage.session.is_closed());
}

#[test]
fn closing_does_not_wait_for_a_withdrawal_that_is_refused() {
    for code in [DENIED, SERVER_ERROR, 503] {
        let mut stage = Stage::connected("a");
        stage.session.assert(subscription("orders"), GuardId(1), None);
        stage.settle();
        stage.answer_all(&refused(code));
        stage.close();
        stage.answer_all(&refused(code));
        assert!(stage.session.is_closed(), "code {code}");
    }
}

#[test]
fn closing_does_not_wait_for_a_withdrawal_that_was_refused_before() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    stage.withdraw(GuardId(1));
    stage.answer_all(&refused(DENIED));
    stage.close();
    stage.calls.retain(|sent| sent.request.kind() == "InstanceRequest");
    assert_eq!(stage.calls.len(), 1, "it is tried once more, now");
    stage.answer_all(&refused(DENIED));
    assert!(stage.session.is_closed());
}

#[test]
fn server_that_drops_us_at_once_is_asked_ever_more_rarely() {
    let mut stage = Stage::new("a", false, 1.0);
    stage.begin();
    let end = stage.now + 600 * SECOND;
    let mut last = Duration::ZERO;
    while stage.now < end {
        if let Some(link) = stage.session.serving_link() {
            stage.now += SECOND / 10;
            stage.session.handle_lost(stage.now, link, "dropped");
            let next = stage.session.poll_timeout(stage.now).expect("another try");
            let delay = next - stage.now;
            assert!(delay >= last, "{delay:?} after {last:?}");
            last = delay;
        }
        stage.wait();
    }
    assert_eq!(last, CAP);
}

#[test]
fn second_reader_of_a_refused_claim_is_told() {
    let mut stage = Stage::connected("a");
    stage.session.assert(subscription("orders"), GuardId(1), None);
    stage.settle();
    stage.answer_all(&refused(400));
    stage.session.assert(subscription("orders"), GuardId(2), None);
    stage.settle();
    assert_eq!(stage.calls.len(), 1, "the second one asks for itself");
    stage.answer_all(&refused(400));
    for guard in [GuardId(1), GuardId(2)] {
        assert!(matches!(stage.claim(guard), Some(ClaimState::Refused { code: 400, .. })));
    }
}

#[test]
fn request_that_cannot_be_sent_ends_the_connection() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    assert_eq!(stage.calls.len(), 1);
    stage.answer_all(&Err(CallError::NotSent("the server leaves".to_owned())));
    assert_eq!(stage.session.serving_link(), None);
    assert!(stage.calls.is_empty(), "no time has passed");
    assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Pending));
    stage.advance(SECOND);
    assert_eq!(stage.calls.len(), 1, "sent over the next connection");
}

#[test]
fn refused_listen_makes_the_document_unreachable() {
    let mut stage = Stage::connected("a");
    stage.session.assert(listen("orders"), GuardId(1), None);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&refused(DENIED));
    let told = stage.events.iter().find_map(|event| match event {
        Event::Document(_, document) => Some(document.clone()),
        _ => None,
    });
    let Some(DocumentState::Unreachable { last: None, why, .. }) = told else { panic!("{told:?}") };
    assert_eq!(why, ErrorKind::Denied);
}

#[test]
fn instance_is_registered_again_after_a_refused_deregistration() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    stage.withdraw(GuardId(1));
    stage.answer_all(&refused(400));
    assert!(stage.is_settled(), "whoever waits for it is told");
    stage.register(GuardId(2));
    assert_eq!(stage.claim(GuardId(2)), Some(ClaimState::Pending));
    let [sent] = stage.calls.as_slice() else { panic!("one registration") };
    assert_eq!(sent.body()["type"], "registerInstance");
    stage.answer_all(&ok("InstanceResponse"));
    assert_eq!(stage.claim(GuardId(2)), Some(ClaimState::Held));
}

/// Everything that a server answers to a claim, and what becomes of it. No
/// server of today says when to come back: 503 is a text, and the delay grows by itself.
#[test]
fn each_code_has_its_consequence() {
    const AGAIN: bool = true;
    for (code, retried) in [
        (300, AGAIN),
        (302, !AGAIN),
        (400, !AGAIN),
        (404, !AGAIN),
        (500, AGAIN),
        (502, !AGAIN),
        (503, AGAIN),
        (-503, AGAIN),
        (22_001, !AGAIN),
    ] {
        let mut stage = Stage::connected("a");
        let serving = stage.serving();
        stage.register(GuardId(1));
        stage.answer_all(&refused(code));
        let told = ClaimState::Refused { code, message: "no".into(), retrying: retried };
        assert_eq!(stage.claim(GuardId(1)), Some(told), "code {code}");
        assert!(stage.calls.is_empty(), "code {code} is repeated at once");
        let mut delays = Vec::new();
        let (mut last, end) = (stage.now, stage.now + 3600 * SECOND);
        while stage.now < end {
            stage.wait();
            for sent in std::mem::take(&mut stage.calls) {
                if sent.request.kind() == "HealthCheckRequest" {
                    stage.answer(&sent, &ok("HealthCheckResponse"));
                } else {
                    delays.push(stage.now - last);
                    last = stage.now;
                    stage.answer(&sent, &refused(code));
                }
            }
        }
        assert_eq!(delays.is_empty(), !retried, "code {code}");
        assert!(delays.len() < 100, "code {code}: {} tries in an hour", delays.len());
        assert!(delays.iter().all(|delay| *delay >= SECOND / 4), "code {code}: {delays:?}");
        assert!(delays.is_sorted(), "code {code}: {delays:?}");
        assert_eq!((stage.serving(), stage.dialled.len()), (serving, 1), "code {code}");
    }
}

#[test]
fn connection_that_the_server_does_not_know_is_replaced_and_the_claim_goes_there() {
    for code in [301, -401] {
        let mut stage = Stage::connected("a");
        let former = stage.serving();
        stage.register(GuardId(1));
        stage.answer_all(&refused(code));
        assert_eq!(stage.session.serving_link(), None, "code {code}");
        assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Pending), "code {code}");
        stage.advance(SECOND);
        assert_ne!(stage.serving(), former);
        stage.answer_all(&ok("InstanceResponse"));
        assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Held), "code {code}");
    }
}

#[test]
fn denied_claims_cause_one_login_together_and_one_a_minute_after() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.log_in();
    for n in 0..50 {
        stage.session.assert(subscription(&format!("s{n}")), GuardId(n), None);
    }
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.session.handle_timeout(stage.now);
    stage.log_in();
    assert_eq!((stage.logins, stage.calls.len()), (2, 50), "all again with the new token");
    // The rights are missing, whatever the token.
    let end = stage.now + 600 * SECOND;
    while stage.now < end {
        stage.answer_all(&refused(DENIED));
        if std::mem::take(&mut stage.login_under_way) {
            stage.session.handle_login(
                stage.now,
                Tried::default(),
                Ok(Lease { lifetime: Some(10_000 * SECOND), changed: true }),
            );
            stage.perform();
        } else {
            stage.wait();
        }
    }
    assert!((3..=13).contains(&stage.logins), "{} logins in ten minutes", stage.logins);
    assert!((0..50).all(|n| {
        matches!(
            stage.claim(GuardId(n)),
            Some(ClaimState::Refused { code: DENIED, retrying: true, .. })
        )
    }));
}

#[test]
fn nothing_is_dialled_and_nobody_logs_in_before_the_servers_are_known() {
    let mut stage = Stage::locating(true);
    stage.begin();
    assert_eq!((stage.locates, stage.dialled.len(), stage.logins), (1, 0, 0));
    stage.locate(Err("refused".to_owned()));
    let shown = &stage.session.shown;
    assert!(matches!(shown, SessionState::Backoff { cause, .. } if &**cause == "refused"));
    stage.list("a");
    stage.session.handle_timeout(stage.now);
    stage.log_in();
    assert_eq!((stage.dialled.len(), stage.logins), (1, 1));
    assert!(stage.session.can_send());
}

#[test]
fn address_server_that_fails_is_not_asked_in_a_hot_loop() {
    let mut stage = Stage::locating(false);
    stage.begin();
    let end = stage.now + 60 * SECOND;
    let mut asked = 0;
    while stage.now < end {
        asked += 1;
        stage.locate(if asked % 2 == 0 { Ok(Vec::new()) } else { Err("refused".to_owned()) });
        stage.wait();
    }
    assert!((5..=16).contains(&asked), "{asked} times in a minute");
}

#[test]
fn address_server_is_left_alone_while_it_knows_nothing_better() {
    let mut stage = Stage::locating(false);
    stage.down = "a";
    stage.begin();
    stage.list("a");
    let began = stage.now;
    let times = (0..8).map(|_| {
        stage.list("a");
        stage.now - began
    });
    let last = times.last().expect("some");
    assert!(last > 120 * SECOND, "asked eight times within {last:?}");
    stage.down = "";
    stage.advance(60 * SECOND);
    assert!(stage.session.can_send());
    stage.advance(6 * SECOND);
    stage.list("a");
    stage.down = "a";
    let (began, link) = (stage.now, stage.serving());
    stage.session.handle_lost(began, link, "lost");
    stage.list("a");
    assert!(stage.now - began < 2 * SECOND, "the next outage begins from scratch");
}

#[test]
fn server_that_left_the_list_is_left_for_another() {
    let mut stage = Stage::locating(false);
    stage.begin();
    stage.list("a");
    let first = stage.serving();
    stage.list("b");
    stage.advance(2 * SECOND);
    assert_eq!(stage.serving(), first, "one answer may be a flap");
    stage.list("b");
    assert_eq!(stage.serving(), first, "not all clients move at the same time");
    stage.advance(SECOND);
    assert_eq!(stage.dialled, ["a", "b"]);
    assert_ne!(stage.serving(), first);
    for _ in 0..5 {
        stage.list("b,a");
        stage.advance(2 * SECOND);
    }
    assert_eq!(stage.dialled.len(), 2, "and it stays there");
}

#[test]
fn server_that_is_back_on_the_list_is_not_left() {
    let mut stage = Stage::locating(false);
    stage.begin();
    stage.list("a");
    let first = stage.serving();
    for _ in 0..5 {
        stage.list("b");
        stage.locate(Err("refused".to_owned()));
        stage.list("a,b");
    }
    stage.down = "b";
    stage.list("b");
    stage.list("b");
    stage.advance(SECOND);
    assert!(stage.dialled.len() > 1, "it is on its way to the other");
    stage.list("a,b");
    stage.down = "";
    stage.advance(4 * SECOND);
    assert_eq!(stage.serving(), first);
    assert!(!stage.session.connecting.plans_to_move());
}

#[test]
fn server_that_leaves_the_list_while_another_is_looked_for_causes_no_hot_loop() {
    let mut stage = Stage::locating(false);
    stage.begin();
    stage.list("a");
    stage.list("b");
    stage.silent = "ab";
    // The last health check was answered half an interval after that.
    for _ in 0..4 {
        stage.advance(5 * SECOND);
        stage.answer_all(&ok("HealthCheckResponse"));
    }
    stage.advance(5 * SECOND);
    stage.advance(SECOND);
    assert_eq!(stage.dialled, ["a", "b"], "another server is tried beside the suspect");
    let list = Server::parse_list("b", 1000).expect("valid");
    stage.session.handle_servers(stage.now, Ok(list));
    stage.perform();
    assert!(stage.session.connecting.plans_to_move());
    let began = stage.now;
    for _ in 0..100 {
        stage.wait();
    }
    assert!(stage.now - began > SECOND, "{:?}", stage.now - began);
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

#[test]
fn empty_or_unreadable_list_replaces_none() {
    let mut stage = Stage::locating(false);
    stage.begin();
    stage.list("a");
    let first = stage.serving();
    for _ in 0..5 {
        stage.locate(Ok(Vec::new()));
        stage.locate(Err("<html>".to_owned()));
    }
    assert_eq!((stage.serving(), stage.dialled.len()), (first, 1));
}

#[test]
fn new_list_is_asked_for_and_tried_at_once_when_nobody_takes_us() {
    let mut stage = Stage::locating(false);
    stage.down = "a";
    stage.begin();
    stage.list("a");
    let began = stage.now;
    stage.list("b");
    stage.advance(Duration::ZERO);
    assert!(stage.session.can_send());
    assert!(stage.now - began <= SECOND * 3 / 2, "{:?}", stage.now - began);
}

#[test]
fn right_to_ask_is_not_gained_by_logging_in() {
    let mut stage = Stage::new("a", true, 0.0);
    stage.begin();
    stage.log_in();
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    let check = stage.until_checked();
    stage.answer(&check, &refused(DENIED));
    stage.session.handle_timeout(stage.now);
    stage.perform();
    assert_eq!(stage.logins, 1);
    assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Held));
}

#[test]
fn check_overtaken_by_a_change_or_a_withdrawal_repeats_nothing() {
    let empty = || {
        let info = json!({"name": "orders", "groupName": "DEFAULT_GROUP", "hosts": []});
        Ok(message("QueryServiceResponse", &json!({"resultCode": 200, "serviceInfo": info})))
    };
    for withdraws in [true, false] {
        let mut stage = Stage::connected("a");
        stage.register(GuardId(1));
        stage.answer_all(&ok("InstanceResponse"));
        let check = stage.until_checked();
        if withdraws {
            stage.withdraw(GuardId(1));
        } else {
            stage.register(GuardId(2));
        }
        stage.answer_all(&ok("InstanceResponse"));
        stage.answer_all(&ok("HealthCheckResponse"));
        stage.answer(&check, &empty());
        assert!(stage.calls.is_empty(), "it said nothing about the newest claim");
        assert!(!stage.events.iter().any(|event| matches!(event, Event::Lost { .. })));
    }
}

#[test]
fn nothing_is_looked_for_while_it_closes() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.answer_all(&ok("InstanceResponse"));
    stage.close();
    let [withdrawal] = stage.calls.as_slice() else { panic!("one withdrawal") };
    assert_eq!(withdrawal.body()["type"], "deregisterInstance");
    for _ in 0..20 {
        stage.advance(SECOND);
    }
    assert!(!stage.calls.iter().any(|sent| sent.request.kind() == "ServiceQueryRequest"));
}

#[test]
fn server_that_is_slow_to_take_us_is_reached_in_the_end() {
    let step = SECOND / 10;
    for (check, ack) in [(12 * step, step), (step, 15 * step), (48 * step, 48 * step)] {
        let mut stage = Stage::new("a", false, 0.5);
        (stage.check_takes, stage.ack_takes) = (check, ack);
        stage.begin();
        let end = stage.now + 60 * SECOND;
        while stage.session.serving_link().is_none() {
            assert!(stage.now < end, "{check:?} and {ack:?}: {:?}", stage.session);
            stage.wait();
        }
        let backoff = |event: &Event| matches!(event, Event::State(SessionState::Backoff { .. }));
        assert!(!stage.events.iter().any(backoff), "nothing has failed yet");
    }
}

#[test]
fn nothing_begins_at_the_moment_of_the_end() {
    let mut stage = Stage::connected("a,b");
    stage.register(GuardId(1));
    stage.close();
    // Longer than everything that is due before: a health check, an audit, another server.
    stage.now += 600 * SECOND;
    stage.session.handle_timeout(stage.now);
    assert!(stage.session.is_closed());
    while let Some(action) = stage.session.poll_action() {
        assert!(matches!(action, Action::Close { .. }), "{action:?}");
    }
}

#[test]
fn server_that_stays_silent_is_in_backoff_once_it_had_all_the_time_there_is() {
    let mut stage = Stage::new("a", false, 0.5);
    stage.check_takes = 3600 * SECOND;
    stage.begin();
    let began = stage.now;
    while !matches!(stage.session.shown, SessionState::Backoff { .. }) {
        stage.wait();
    }
    let took = stage.now - began;
    assert!((12..14).contains(&took.as_secs()), "{took:?}");
    assert_eq!(stage.dialled.len(), 4);
}

#[test]
fn pass_that_runs_out_of_time_tells_of_every_server() {
    let mut stage = Stage::new("a,b,c", false, 0.0);
    stage.down = "b";
    stage.check_takes = SECOND / 2;
    stage.ack_takes = 3600 * SECOND;
    stage.silent = "c";
    stage.begin();
    while stage.session.connecting.last_error().is_none() {
        stage.wait();
    }
    let told = stage.session.connecting.last_error().unwrap_or_default();
    assert_eq!(
        &*told,
        "b:8848: refused; a:8848: the setup was not acknowledged within 1s; \
         c:8848: no HTTP/2 connection yet"
    );
}

#[test]
fn documents_are_not_asked_for_while_it_closes() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.session.assert(listen("limits"), GuardId(2), None);
    stage.close();
    let serving = stage.serving();
    let notice = json!({"requestId": "1", "dataId": "limits", "group": "DEFAULT_GROUP"});
    let notice = message("ConfigChangeNotifyRequest", &notice);
    stage.session.handle_push(stage.now, serving, &notice);
    stage.perform();
    assert!(stage.calls.iter().all(|sent| sent.request.kind() != "ConfigQueryRequest"));
}

/// A session with servers that take it at once, and leave every other request to the test.
struct Stage {
    /// Ends a test on whose clock time does not go on.
    _limit: TimeLimit,
    session: Session,
    now: Instant,
    /// The hosts, of one letter each, that refuse connections.
    down: &'static str,
    /// The hosts to which dialling takes for ever.
    silent: &'static str,
    /// How long servers take for their part of the handshake.
    check_takes: Duration,
    ack_takes: Duration,
    /// What they will have done when.
    taking: Vec<(Instant, Taking)>,
    dialled: Vec<String>,
    login_under_way: bool,
    logins: usize,
    /// How often the list of servers was asked for.
    locates: usize,
    /// What was sent and not answered yet, handshakes apart.
    calls: Vec<Sent>,
    /// When each was sent, where that matters.
    asked: HashMap<CallId, Instant>,
    events: Vec<Event>,
}

/// What a server that takes us says.
enum Taking {
    Check(CallId),
    Question(CallId),
    Ack(LinkId),
}

struct Sent {
    link: LinkId,
    call: CallId,
    request: Payload,
}

impl Sent {
    fn body(&self) -> Value {
        serde_json::from_slice(self.request.json()).expect("our own JSON")
    }
}

impl Stage {
    fn new(servers: &str, has_credentials: bool, jitter: f64) -> Self {
        Self::with(servers, has_credentials, jitter, None)
    }

    /// A session that has to ask where the servers are.
    fn locating(has_credentials: bool) -> Self {
        Self::with("", has_credentials, 0.5, Some(30 * SECOND))
    }

    fn with(servers: &str, has_credentials: bool, jitter: f64, refresh: Option<Duration>) -> Self {
        let now = Instant::now();
        let options = Options {
            config_namespace: "".parse().expect("valid"),
            naming_namespace: "".parse().expect("valid"),
            app: "steps".to_owned(),
            client_id: "c0".to_owned(),
            has_credentials,
            require_login: false,
            backoff_cap: CAP,
            patience: Patience::DEFAULT,
            request_timeout: Duration::from_secs(10),
            refresh,
        };
        let servers = Server::parse_list(servers, 1000).expect("valid");
        Self {
            _limit: TimeLimit::start(),
            now,
            session: Session::new(now, servers, options, Box::new(move || jitter)),
            down: "",
            silent: "",
            check_takes: Duration::ZERO,
            ack_takes: Duration::ZERO,
            taking: Vec::new(),
            dialled: Vec::new(),
            login_under_way: false,
            logins: 0,
            locates: 0,
            calls: Vec::new(),
            asked: HashMap::new(),
            events: Vec::new(),
        }
    }

    fn connected(servers: &str) -> Self {
        let mut stage = Self::new(servers, false, 0.5);
        stage.begin();
        assert!(stage.session.can_send());
        stage
    }

    fn begin(&mut self) {
        self.session.handle_timeout(self.now);
        self.perform();
    }

    /// The list of servers is asked for, and is this one.
    fn list(&mut self, servers: &str) {
        let list = Server::parse_list(servers, 1000).expect("valid");
        self.locate(Ok(list));
    }

    fn locate(&mut self, outcome: Result<Vec<Server>, String>) {
        while self.locates == 0 {
            self.answer_all(&ok("HealthCheckResponse"));
            self.wait();
        }
        self.answer_all(&ok("HealthCheckResponse"));
        self.locates = 0;
        self.session.handle_servers(self.now, outcome);
        self.perform();
    }

    fn log_in(&mut self) {
        self.perform();
        assert!(std::mem::take(&mut self.login_under_way), "nobody logs in");
        let lease = Lease { lifetime: Some(100 * SECOND), changed: true };
        self.session.handle_login(self.now, Tried::default(), Ok(lease));
        self.perform();
    }

    fn fail_login(&mut self) {
        if std::mem::take(&mut self.login_under_way) {
            let outcome = Err(LoginFailure::Unreachable("refused".to_owned()));
            self.session.handle_login(self.now, Tried::default(), outcome);
            self.perform();
        }
    }

    fn register(&mut self, guard: GuardId) {
        self.session.assert(
            instances("orders"),
            guard,
            Some(Arc::new(Instance::new("10.0.0.1", 80))),
        );
        self.settle();
    }

    fn withdraw(&mut self, guard: GuardId) {
        self.events.clear();
        self.session.withdraw(&instances("orders"), guard);
        self.settle();
    }

    fn close(&mut self) {
        self.session.close(self.now + 25 * SECOND);
        self.settle();
    }

    /// The server that serves asks to be left.
    fn reset(&mut self) {
        self.reset_to(&json!({"requestId": "1"}));
    }

    fn reset_to(&mut self, body: &Value) {
        let link = self.serving();
        let reset = message("ConnectResetRequest", body);
        self.session.handle_push(self.now, link, &reset);
        self.perform();
    }

    fn settle(&mut self) {
        self.session.settle(self.now);
        self.perform();
    }

    /// Lets `time` pass, without anything happening before its end.
    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.perform();
    }

    /// Lets time pass until the session has something to do.
    fn wait(&mut self) {
        let next = self.session.poll_timeout(self.now).expect("it is not closed");
        let next = self.taking.iter().map(|(at, _)| *at).fold(next, Instant::min);
        self.advance(next.saturating_duration_since(self.now));
    }

    /// Answers health checks until the session looks for what it registered.
    fn until_checked(&mut self) -> Sent {
        loop {
            self.wait();
            let is_check = |sent: &Sent| sent.request.kind() == "ServiceQueryRequest";
            if let Some(at) = self.calls.iter().position(is_check) {
                return self.calls.remove(at);
            }
            self.answer_all(&ok("HealthCheckResponse"));
        }
    }

    fn answer(&mut self, sent: &Sent, answer: &Result<Payload, CallError>) {
        self.session.handle_answer(self.now, sent.call, answer.clone());
        self.perform();
    }

    fn answer_all(&mut self, answer: &Result<Payload, CallError>) {
        for sent in std::mem::take(&mut self.calls) {
            self.answer(&sent, answer);
        }
    }

    fn perform(&mut self) {
        loop {
            self.act();
            let Some(at) = self.taking.iter().position(|(at, _)| *at <= self.now) else { break };
            match self.taking.remove(at).1 {
                Taking::Check(call) => {
                    let check = json!({"resultCode": 200, "supportAbilityNegotiation": true});
                    let answer = Ok(message("ServerCheckResponse", &check));
                    self.session.handle_answer(self.now, call, answer);
                }
                Taking::Question(call) => {
                    let answer = ok("QueryServiceResponse");
                    self.session.handle_answer(self.now, call, answer);
                }
                Taking::Ack(link) => {
                    let ack = message("SetupAckRequest", &json!({"abilityTable": {}}));
                    self.session.handle_push(self.now, link, &ack);
                }
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Dial { link, server, .. } => {
                    self.dialled.push(server.host().to_owned());
                    let down = self.down.contains(server.host());
                    let outcome = if down { Err("refused".to_owned()) } else { Ok(()) };
                    if !self.silent.contains(server.host()) {
                        self.session.handle_dialled(self.now, link, outcome);
                    }
                }
                Action::Call { call, request, .. } if request.kind() == "ServerCheckRequest" => {
                    self.taking.push((self.now + self.check_takes, Taking::Check(call)));
                }
                // Servers of these tests let everybody in.
                Action::Call { call, request, .. } if asks_for_nobody(&request) => {
                    self.taking.push((self.now, Taking::Question(call)));
                }
                Action::OpenStream { link, .. } => {
                    self.taking.push((self.now + self.ack_takes, Taking::Ack(link)));
                }
                Action::Call { link, call, request, .. } => {
                    self.calls.push(Sent { link, call, request });
                }
                Action::Close { link } => self.calls.retain(|sent| sent.link != link),
                Action::Locate => self.locates += 1,
                Action::Login { .. } => {
                    self.login_under_way = true;
                    self.logins += 1;
                }
            }
        }
    }

    fn serving(&self) -> LinkId {
        self.session.serving_link().expect("connected")
    }

    /// What `guard` was told last.
    fn claim(&self, guard: GuardId) -> Option<ClaimState> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Claim(told, state) if *told == guard => Some(state.clone()),
            _ => None,
        })
    }

    /// Whether the withdrawal is known to be done.
    fn is_settled(&self) -> bool {
        let key = instances("orders");
        self.events.iter().any(|event| matches!(event, Event::Settled(done) if *done == key))
    }
}

fn asks_for_nobody(request: &Payload) -> bool {
    request.kind() == "ServiceQueryRequest"
        && String::from_utf8_lossy(request.json()).contains(connecting::admission::NOBODY)
}

fn instances(name: &str) -> ClaimKey {
    ClaimKey::Instances(service(name))
}

fn subscription(name: &str) -> ClaimKey {
    ClaimKey::Subscription(service(name))
}

fn listen(name: &str) -> ClaimKey {
    let key = ConfigKey::try_from(name).expect("valid");
    ClaimKey::Listen(key.resolve(&"".parse().expect("valid")))
}

fn service(name: &str) -> ServiceKey {
    ServiceKey::try_from(name).expect("valid").resolve(&"".parse().expect("valid"))
}

fn message(kind: &str, body: &Value) -> Payload {
    Payload::new(kind, serde_json::to_vec(body).expect("JSON"))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, among answers that are errors")]
fn ok(kind: &str) -> Result<Payload, CallError> {
    Ok(message(kind, &json!({"resultCode": 200})))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, among answers that are errors")]
fn refused(code: i32) -> Result<Payload, CallError> {
    let body = json!({"resultCode": 500, "errorCode": code, "message": "no"});
    Ok(message("ErrorResponse", &body))
}

const CAP: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
