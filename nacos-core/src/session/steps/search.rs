//! Looking for a connection, and for another beside a suspect.
use super::*;

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
    assert_eq!(
        stage.session.connecting.links().all().keys().copied().collect::<Vec<_>>(),
        [suspect]
    );
    // The end of the health check that went unanswered is no news.
    stage.answer_all(&Err(CallError::Timeout));
    assert!(stage.calls.is_empty());
    stage.advance(4 * SECOND);
    assert_eq!((stage.dialled.len(), stage.serving()), (2, suspect));
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
