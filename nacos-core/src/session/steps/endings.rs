//! The causes that are shown of connections that end because of a proxy before the server.
use super::*;

/// Ends the stream `after` seconds; something is pushed on it at second `pushed`.
fn end_stream(stage: &mut Stage, after: u32, pushed: Option<u32>) {
    let link = stage.serving();
    for second in 1..=after {
        stage.advance(SECOND);
        stage.answer_all(&ok("HealthCheckResponse"));
        if pushed == Some(second) {
            let push = message("ConfigChangeNotifyRequest", &json!({"requestId": "1"}));
            stage.session.handle_push(stage.now, link, &push);
            stage.perform();
        }
    }
    stage.session.handle_stream_ended(stage.now, link, "the stream ended");
    stage.perform();
}

/// The causes in the states, and how many findings of a proxy were shown, since the last call.
fn said(stage: &mut Stage) -> (String, usize) {
    let events = std::mem::take(&mut stage.events);
    let told = events.iter().filter(|event| matches!(event, Event::Proxied { .. })).count();
    let causes = events.iter().filter_map(|event| match event {
        Event::State(shown) => shown.cause().map(ToString::to_string),
        _ => None,
    });
    (causes.collect::<Vec<_>>().join("\n"), told)
}

#[test]
fn limit_on_silence_is_in_the_state_also_where_something_is_pushed() {
    let mut stage = Stage::connected("a");
    for (round, pushed) in [(1, None), (2, Some(7)), (3, Some(40)), (4, Some(21))] {
        end_stream(&mut stage, 60 + pushed.unwrap_or_default(), pushed);
        let (cause, told) = said(&mut stage);
        assert!(cause.contains("the stream ended"), "{cause}");
        let named = cause.contains("60s after the last message") && cause.contains("nginx");
        assert_eq!((named, told), (round > 2, usize::from(round > 2)), "{cause}");
        stage.advance(SECOND);
    }
}

#[test]
fn limit_on_age_is_in_the_state_whatever_is_pushed() {
    let mut stage = Stage::connected("a");
    for (round, pushed) in [(1, 10), (2, 50), (3, 90)] {
        end_stream(&mut stage, 100, Some(pushed));
        let (cause, told) = said(&mut stage);
        let named = cause.contains("100s after they began");
        assert_eq!((named, told), (round > 2, usize::from(round > 2)), "{cause}");
        stage.advance(SECOND);
    }
}

#[test]
fn connections_that_end_as_a_whole_or_by_chance_are_taken_for_no_limit() {
    let mut stage = Stage::connected("a");
    for round in 0..6 {
        end_stream(&mut stage, 60, None);
        assert_eq!(said(&mut stage).1, 0);
        stage.advance(SECOND);
        if round % 2 == 1 {
            let link = stage.serving();
            stage.session.handle_lost(stage.now, link, "the server was restarted");
            stage.perform();
            stage.advance(SECOND);
        }
    }
}

/// Loses the connection after ten seconds; returns what the state says then.
fn lose(stage: &mut Stage) -> String {
    for _ in 0..10 {
        stage.advance(SECOND);
        stage.answer_all(&ok("HealthCheckResponse"));
    }
    stage.events.clear();
    let link = stage.serving();
    stage.session.handle_lost(stage.now, link, "the peer has closed it");
    stage.perform();
    let (cause, _) = said(stage);
    stage.advance(SECOND);
    cause
}

#[test]
fn proxy_that_splits_is_in_the_state_also_after_a_long_time_and_until_a_connection_is_whole() {
    let mut stage = Stage::new("a", false, 0.5);
    // In the handshake, and twice after the first health check.
    stage.names = [A, A, B, C, C, C].into();
    stage.begin();
    let cause = lose(&mut stage);
    assert!(cause.contains("the peer has closed it") && cause.contains("splits"), "{cause}");
    let cause = lose(&mut stage);
    assert!(cause.contains("the peer has closed it") && !cause.contains("splits"), "{cause}");
}

#[test]
fn proxy_that_pools_is_in_the_state_also_after_a_long_time() {
    let mut stage = Stage::new("a", false, 0.5);
    stage.names = [A, A, A, A, A, A, C, C, C].into();
    stage.begin();
    let cause = lose(&mut stage);
    assert!(!cause.contains("carries several"), "{cause}");
    let cause = lose(&mut stage);
    assert!(cause.contains("carries several"), "{cause}");
    let cause = lose(&mut stage);
    assert!(!cause.contains("carries several"), "{cause}");
}

/// The server answers health checks for so many seconds, and then says that it does not know the
/// connection.
fn forget(stage: &mut Stage, after: u32) -> LinkId {
    let link = stage.serving();
    for _ in 0..after {
        stage.advance(SECOND);
        stage.answer_all(&ok("HealthCheckResponse"));
    }
    while stage.session.serving_link() == Some(link) {
        stage.wait();
        stage.answer_all(&refused(301));
    }
    link
}

#[test]
fn proxy_that_sends_calls_another_way_after_a_while_is_named() {
    let mut stage = Stage::new("a", false, 0.5);
    // In the handshake, twice after the first health check, and when it is not known any more.
    stage.names = [A, A, A, B].into();
    stage.begin();
    forget(&mut stage, 40);
    let (cause, told) = said(&mut stage);
    assert_eq!(told, 1, "{cause}");
    stage.advance(SECOND);
    stage.names = [C, C, C, C].into();
    forget(&mut stage, 40);
    let (cause, told) = said(&mut stage);
    assert!(told == 0 && cause.contains("splits"), "it explains the next end, too: {cause}");
}

#[test]
fn connection_that_is_not_known_any_more_is_closed_once_it_is_named_or_after_a_second() {
    for answers in [true, false] {
        let mut stage = Stage::connected("a");
        if !answers {
            stage.check_takes = 60 * SECOND;
        }
        let link = forget(&mut stage, 3);
        assert_eq!(stage.session.connecting.links().all().contains_key(&link), !answers);
        stage.advance(SECOND);
        assert!(!stage.session.connecting.links().all().contains_key(&link));
    }
}

#[test]
fn proxy_that_carries_stream_and_calls_apart_is_named_and_asked_ever_more_seldom() {
    let mut stage = Stage::connected("a");
    forget(&mut stage, 0);
    assert_eq!(said(&mut stage).1, 0, "it may have been an accident");
    let began = stage.now;
    let mut dialled = stage.dialled.len();
    while stage.now - began < 120 * SECOND {
        stage.wait();
        stage.answer_all(&refused(301));
    }
    let (cause, told) = said(&mut stage);
    assert!(told > 0 && cause.contains("splits"), "{cause}");
    dialled = stage.dialled.len() - dialled;
    assert!(dialled < 40, "{dialled} connections in two minutes");
}

#[test]
fn connection_that_is_unknown_now_and_then_is_no_proxy() {
    let mut stage = Stage::connected("a");
    for after in [0, 30, 0, 30] {
        forget(&mut stage, after);
        stage.advance(SECOND);
    }
    assert_eq!(said(&mut stage).1, 0);
}

const A: &str = "1795392095873_127.0.0.1_58454";
const B: &str = "1795392095874_127.0.0.1_58455";
const C: &str = "1795392096000_127.0.0.1_58456";
