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

/// Answers health checks until the next login is asked; says how long that took.
fn until_login(stage: &mut Stage) -> Duration {
    let began = stage.now;
    while !stage.login_under_way {
        stage.wait();
        stage.answer_all(&ok("HealthCheckResponse"));
    }
    stage.now - began
}

/// The states that were shown since this was last asked.
fn states(stage: &mut Stage) -> Vec<SessionState> {
    let shown = std::mem::take(&mut stage.events).into_iter().filter_map(|event| match event {
        Event::State(shown) => Some(shown),
        _ => None,
    });
    shown.collect()
}

#[test]
fn login_that_reaches_nobody_is_followed_by_the_question_whether_one_is_needed() {
    let mut stage = Stage::new("a", true, 1.0);
    stage.begin();
    assert!(!stage.session.can_send(stage.now));
    stage.fail_login();
    assert!(stage.session.can_send(stage.now));
    let shown = states(&mut stage);
    assert!(shown.last().is_some_and(SessionState::is_without_login), "{shown:?}");
    let failed = |state: &SessionState| matches!(state, SessionState::Backoff { .. });
    assert!(!shown.iter().any(failed), "nothing has failed for who is let in: {shown:?}");
    for tries in 1..20 {
        assert_eq!(stage.questions, tries, "one for each try");
        assert!(until_login(&mut stage) <= 60 * SECOND);
        stage.fail_login();
        assert!(stage.session.can_send(stage.now));
        assert_eq!(states(&mut stage), [], "it is as it was");
    }
    until_login(&mut stage);
    stage.log_in();
    let granted = states(&mut stage);
    let [SessionState::Connected { access, .. }] = &granted[..] else { panic!("{granted:?}") };
    assert_eq!(*access, crate::state::Access::Granted);
}

#[test]
fn login_that_reaches_nobody_and_is_demanded_is_waited_for() {
    let mut stage = Stage::new("a", true, 1.0);
    stage.demands_login = true;
    stage.begin();
    for tries in 1..20 {
        stage.fail_login();
        assert!(!stage.session.can_send(stage.now));
        let shown = states(&mut stage);
        match shown.last() {
            Some(SessionState::Backoff { cause, .. }) => assert_eq!(&**cause, "login: refused"),
            other => panic!("{other:?}"),
        }
        let denied = |state: &SessionState| matches!(state, SessionState::Denied { .. });
        assert!(!shown.iter().any(denied), "{shown:?}");
        assert_eq!(stage.questions, 2 * tries, "of a service and of a document, for each try");
        until_login(&mut stage);
    }
    stage.log_in();
    assert!(stage.session.can_send(stage.now));
}

#[test]
fn refused_request_of_a_session_without_a_login_that_reaches_nobody_asks_for_one_at_once() {
    let mut stage = Stage::new("a", true, 1.0);
    stage.begin();
    for _ in 0..10 {
        stage.fail_login();
        until_login(&mut stage);
    }
    stage.fail_login();
    stage.session.handle_denied(stage.now);
    stage.begin();
    assert!(stage.login_under_way, "not in a minute");
    assert!(stage.session.is_renewing());
    stage.demands_login = true;
    stage.fail_login();
    assert!(!stage.session.can_send(stage.now), "it was demanded indeed");
    stage.demands_login = false;
    until_login(&mut stage);
    stage.fail_login();
    assert!(stage.session.can_send(stage.now));
    stage.session.handle_denied(stage.now);
    stage.begin();
    assert!(stage.login_under_way);
    stage.fail_login();
    stage.session.handle_denied(stage.now);
    stage.begin();
    assert!(!stage.login_under_way, "a right that is missing is not gained by asking");
}

#[test]
fn login_that_found_nobody_is_tried_before_a_server_that_is_back_is_asked_about_it() {
    for ends in [true, false] {
        let mut stage = Stage::new("a", true, 1.0);
        stage.down = "a";
        stage.begin();
        for _ in 0..5 {
            stage.fail_login();
            stage.wait();
        }
        stage.fail_login();
        stage.down = "";
        while stage.session.serving_link().is_none() {
            stage.wait();
        }
        stage.begin();
        assert!(stage.login_under_way && stage.questions == 0);
        if ends {
            stage.log_in();
        } else {
            // It may have to wait for long.
            stage.advance(SECOND);
            assert_eq!(stage.questions, 1);
        }
        assert!(stage.session.can_send(stage.now));
        stage.advance(SECOND);
        assert_eq!(stage.questions, usize::from(!ends), "once");
    }
}

#[test]
fn session_that_was_let_in_without_a_login_asks_the_next_server_at_once() {
    let mut stage = Stage::new("a", true, 1.0);
    stage.begin();
    stage.fail_login();
    let (first, questions) = (stage.serving(), stage.questions);
    stage.session.handle_lost(stage.now, first, "reset");
    stage.perform();
    while stage.session.serving_link().is_none() {
        stage.wait();
    }
    assert_eq!(stage.questions, questions + 1);
    assert!(stage.session.can_send(stage.now));
    assert!(!stage.login_under_way || stage.logins > 1, "beside the login");
}

#[test]
fn watch_is_told_of_a_login_that_reaches_nobody_only_where_it_is_demanded() {
    for demands in [false, true] {
        let mut stage = Stage::new("a", true, 0.5);
        stage.demands_login = demands;
        stage.begin();
        stage.session.commands().assert(listen("orders"), GuardId(1), None);
        stage.settle();
        stage.fail_login();
        // The question is about what is claimed.
        let question = stage
            .calls
            .iter()
            .position(|sent| demands && sent.request.kind() == "ConfigQueryRequest");
        if let Some(question) = question.map(|at| stage.calls.remove(at)) {
            stage.answer(&question, &refused(DENIED));
        }
        let told = stage
            .events
            .iter()
            .any(|event| matches!(event, Event::Document(_, DocumentState::Unreachable { .. })));
        assert_eq!(told, demands);
    }
}
