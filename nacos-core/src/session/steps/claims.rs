//! Claims, one step after the other: what is sent, in which order, and what an answer means.
use super::*;

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
        stage.session.commands().assert(subscription(&format!("s{n}")), GuardId(n), None);
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
        stage.session.commands().assert(subscription(&format!("s{n}")), GuardId(n), None);
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
    stage.session.commands().assert(subscription("orders"), GuardId(2), None);
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
fn second_reader_of_a_refused_claim_is_told() {
    let mut stage = Stage::connected("a");
    stage.session.commands().assert(subscription("orders"), GuardId(1), None);
    stage.settle();
    stage.answer_all(&refused(400));
    stage.session.commands().assert(subscription("orders"), GuardId(2), None);
    stage.settle();
    assert_eq!(stage.calls.len(), 1, "the second one asks for itself");
    stage.answer_all(&refused(400));
    for guard in [GuardId(1), GuardId(2)] {
        assert!(matches!(stage.claim(guard), Some(ClaimState::Refused { code: 400, .. })));
    }
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
