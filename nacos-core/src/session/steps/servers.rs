//! The list of servers: when it is read, and who is left or tried for it.
use super::*;

#[test]
fn nothing_is_dialled_and_nobody_logs_in_before_the_servers_are_known() {
    let mut stage = Stage::locating(true);
    stage.begin();
    assert_eq!((stage.locates, stage.dialled.len(), stage.logins), (1, 0, 0));
    stage.server_list(Err("refused".to_owned()));
    let shown = &stage.session.shown;
    assert!(matches!(shown, SessionState::Backoff { cause, .. } if &**cause == "refused"));
    stage.list("a");
    stage.session.handle_timeout(stage.now);
    stage.log_in();
    assert_eq!((stage.dialled.len(), stage.logins), (1, 1));
    assert!(stage.session.can_send(stage.now));
}

#[test]
fn address_server_that_fails_is_not_asked_in_a_hot_loop() {
    let mut stage = Stage::locating(false);
    stage.begin();
    let end = stage.now + 60 * SECOND;
    let mut asked = 0;
    while stage.now < end {
        asked += 1;
        stage.server_list(if asked % 2 == 0 { Ok(Vec::new()) } else { Err("refused".to_owned()) });
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
    assert!(stage.session.can_send(stage.now));
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
        stage.server_list(Err("refused".to_owned()));
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
fn empty_or_unreadable_list_replaces_none() {
    let mut stage = Stage::locating(false);
    stage.begin();
    stage.list("a");
    let first = stage.serving();
    for _ in 0..5 {
        stage.server_list(Ok(Vec::new()));
        stage.server_list(Err("<html>".to_owned()));
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
    assert!(stage.session.can_send(stage.now));
    assert!(stage.now - began <= SECOND * 3 / 2, "{:?}", stage.now - began);
}
