//! A session that closes: it waits for withdrawals, and does nothing new.
use super::*;

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
        stage.session.commands().assert(subscription("orders"), GuardId(1), None);
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
fn nothing_begins_at_the_moment_of_the_end() {
    let mut stage = Stage::connected("a,b");
    stage.register(GuardId(1));
    stage.close();
    // Longer than everything that is due before: a health check, an audit, another server.
    stage.now += 600 * SECOND;
    stage.session.handle_timeout(stage.now);
    assert!(stage.session.is_closed());
    while let Some(effect) = stage.session.poll_effect() {
        assert!(matches!(effect, Effect::Close { .. }), "{effect:?}");
    }
}

#[test]
fn documents_are_not_asked_for_while_it_closes() {
    let mut stage = Stage::connected("a");
    stage.register(GuardId(1));
    stage.session.commands().assert(listen("limits"), GuardId(2), None);
    stage.close();
    let serving = stage.serving();
    let notice = json!({"requestId": "1", "dataId": "limits", "group": "DEFAULT_GROUP"});
    let notice = message("ConfigChangeNotifyRequest", &notice);
    stage.session.handle_push(stage.now, serving, &notice);
    stage.perform();
    assert!(stage.calls.iter().all(|sent| sent.request.kind() != "ConfigQueryRequest"));
}
