//! When the session logs in, and what a refusal causes.
use super::*;

#[test]
fn refusal_of_a_replaced_token_is_sent_again_at_once() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.log_in();
    for n in 0..2 {
        stage.session.commands().assert(subscription(&format!("s{n}")), GuardId(n), None);
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
        assert!(stage.session.can_send(stage.now));
    }
}

#[test]
fn login_that_ends_after_the_session_shows_nothing() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.session.commands().assert(listen("orders"), GuardId(1), None);
    stage.settle();
    stage.close();
    assert!(stage.session.is_closed());
    stage.events.clear();
    stage.fail_login();
    assert!(stage.events.is_empty(), "{:?}", stage.events);
}

#[test]
fn denied_claims_cause_one_login_together_and_one_a_minute_after() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.log_in();
    for n in 0..50 {
        stage.session.commands().assert(subscription(&format!("s{n}")), GuardId(n), None);
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
                Ok(TokenLease { lifetime: Some(10_000 * SECOND), changed: true }),
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
