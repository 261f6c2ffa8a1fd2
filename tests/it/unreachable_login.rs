//! Logins that reach no server: a port that is closed, a path that nobody knows, a page.
use std::time::Duration;

use nacos_core::{Access, Client, ErrorKind, Instance, Publish, SessionState};
use nacos_testkit::{Behaviour, Server};
use tokio::time::{Instant, timeout};

use crate::support::{BEHAVIOURS, after, becomes, builder, chain, guarded, server_like, soon};

/// Obstacles of a login, each with words of its cause.
const WAYS: [(Way, &str); 6] = [
    (Way::Closed, "refused"),
    (Way::Answer(404, ""), "404"),
    (Way::Answer(405, "<html>"), "405"),
    (Way::Answer(410, r#"{"code":40000,"message":"API deprecated"}"#), "410"),
    (Way::Answer(200, "<html>welcome</html>"), "no JSON"),
    (Way::Answer(500, "the plugin crashed"), "500"),
];

#[derive(Clone, Copy, Debug)]
enum Way {
    /// As behind a proxy that exposes gRPC only.
    Closed,
    Answer(u16, &'static str),
}

async fn stand_in_the_way(server: &Server, way: Way) {
    match way {
        Way::Closed => server.close_main_port(true).await.expect("nothing is opened"),
        Way::Answer(status, text) => server.answer_logins(Some((status, text))),
    }
}

fn without_login(state: &SessionState) -> Option<&str> {
    match state {
        SessionState::Connected { access: Access::WithoutLogin { cause }, .. } => Some(cause),
        _ => None,
    }
}

fn granted(state: &SessionState) -> bool {
    matches!(state, SessionState::Connected { access: Access::Granted, .. })
}

#[tokio::test(start_paused = true)]
async fn server_that_demands_no_login_is_used_without_one_that_reaches_nobody() {
    for (behaviour, (way, why)) in BEHAVIOURS.iter().flat_map(|kind| WAYS.map(|way| (*kind, way))) {
        let server = server_like(behaviour).await;
        stand_in_the_way(&server, way).await;
        let began = Instant::now();
        let client = builder(&server).credentials("ann", "s3cret").connect().await;
        let client = client.unwrap_or_else(|error| panic!("{behaviour:?} {way:?}: {error:?}"));
        assert!(Instant::now() - began < Duration::from_secs(1));
        let state = client.state().get();
        assert!(without_login(&state).is_some_and(|cause| cause.contains(why)), "{state:?}");
        client.configs().get("d").await.expect("answered");
        let sent = server.last_request("ConfigQueryRequest").expect("sent");
        assert!(!sent.headers.contains_key("accessToken"));
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let _guard = guard.expect("valid").ready().await.expect("registered");
        // However often the login is tried.
        let mut state = client.state();
        let other = state.wait_for(|state| without_login(state).is_none());
        assert!(timeout(Duration::from_secs(300), other).await.is_err(), "{way:?}");
        let tries = server.refused_logins();
        // At half of each delay: seven in 32 s, then one in 30 s. Each asks at two paths.
        assert!(tries <= 2 * 18, "{tries} requests for logins in five minutes");
        client.shutdown(Duration::from_secs(1)).await;
    }
}

/// A login is demanded, but not for everything.
#[tokio::test(start_paused = true)]
async fn what_everybody_may_read_is_read_while_the_login_reaches_nobody() {
    for (behaviour, (way, _)) in BEHAVIOURS.iter().flat_map(|kind| WAYS.map(|way| (*kind, way))) {
        let server = guarded(behaviour).await;
        stand_in_the_way(&server, way).await;
        server.open_to_all(&["public:PUBLIC:config/*"]);
        let client = builder(&server).credentials("nacos", "s3cret");
        let client = client.connect_lazy().expect("valid");
        let in_vain = |state: &SessionState| matches!(state, SessionState::Backoff { .. });
        becomes(&mut client.state(), in_vain).await;
        soon(client.configs().get(("limits", "PUBLIC"))).await.expect("open to all");
        let mut state = client.state();
        soon(state.wait_for(|state| without_login(state).is_some())).await.expect("let in");
        client.shutdown(Duration::from_secs(1)).await;
    }
}

/// A server that demands no login while something stands in its way, and a client that has one.
async fn let_in_without_login(way: Way) -> (Server, Client) {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.demand_login(false);
    stand_in_the_way(&server, way).await;
    let client = builder(&server).credentials("nacos", "s3cret").connect().await;
    (server, client.expect("requests need no user"))
}

#[tokio::test(start_paused = true)]
async fn login_that_can_be_reached_again_is_made_within_the_minute() {
    for (way, _) in WAYS {
        let (server, client) = let_in_without_login(way).await;
        after(600).await;
        assert!(client.state().get().is_without_login());
        server.close_main_port(false).await.expect("the port is free");
        server.answer_logins(None);
        let began = Instant::now();
        becomes(&mut client.state(), granted).await;
        assert!(Instant::now() - began <= Duration::from_secs(61));
        assert_eq!(server.connects(), 1, "the connection is the same");
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_demands_the_login_which_it_lets_nobody_reach_is_waited_for() {
    for (behaviour, (way, why)) in BEHAVIOURS.iter().flat_map(|kind| WAYS.map(|way| (*kind, way))) {
        let server = guarded(behaviour).await;
        stand_in_the_way(&server, way).await;
        let client = builder(&server).credentials("nacos", "s3cret");
        let error = client.clone().connect().await.expect_err("no login");
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
        assert!(chain(&error).contains("login: ") && chain(&error).contains(why), "{error:?}");
        assert!(!chain(&error).contains("gRPC"), "{error:?}");
        let client = client.connect_lazy().expect("valid");
        let mut state = client.state();
        let fails = |state: &SessionState| matches!(state, SessionState::Backoff { .. });
        becomes(&mut state, fails).await;
        let denied = |state: &SessionState| matches!(state, SessionState::Denied { .. });
        assert!(timeout(Duration::from_secs(60), state.wait_for(denied)).await.is_err());
        let error = soon(client.configs().get("d")).await.expect_err("nobody is let in");
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
        let configs = client.configs();
        let waits = tokio::spawn(async move { configs.publish(Publish::new("d", "1")?).await });
        after(1).await;
        server.restart().await.expect("the ports are free");
        server.close_main_port(false).await.expect("the port is free");
        server.answer_logins(None);
        soon(waits).await.expect("no panic").expect("it was waited for");
        assert!(granted(&client.state().get()));
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_opens_its_ports_one_after_the_other_has_its_clients_back_within_seconds() {
    for seconds in [1, 2, 5, 10] {
        let server = guarded(Behaviour::Nacos3_0).await;
        let client = builder(&server).credentials("nacos", "s3cret");
        server.stop().await;
        server.close_main_port(true).await.expect("nothing is opened");
        let client = client.connect_lazy().expect("valid");
        after(10).await;
        // gRPC answers, and authentication is not there yet.
        server.demand_login(false);
        server.resume().await.expect("the ports are free");
        becomes(&mut client.state(), |state| without_login(state).is_some()).await;
        after(1).await;
        server.demand_login(true);
        let configs = client.configs();
        let waits = tokio::spawn(async move { configs.get("d").await });
        after(seconds).await;
        let questions = server.requests("ServiceQueryRequest");
        // One a connection, and one for each try of the login.
        assert!(questions <= 7, "{questions} questions in {seconds} s");
        server.close_main_port(false).await.expect("the port is free");
        let began = Instant::now();
        becomes(&mut client.state(), granted).await;
        let took = Instant::now() - began;
        // Delays double, and at least half of each is kept: the next try is not further away than
        // some two times the time that it has failed for.
        assert!(took <= Duration::from_secs(5 + 2 * seconds), "{took:?} after {seconds} s");
        let answer = soon(waits).await.expect("no panic");
        if seconds < 5 {
            answer.expect("it was waited for");
        }
        client.configs().get("d").await.expect("logged in");
    }
}

#[tokio::test(start_paused = true)]
async fn authentication_that_is_switched_on_is_answered_with_a_login_that_can_be_reached_by_now() {
    for (way, _) in WAYS {
        let (server, client) = let_in_without_login(way).await;
        // So long that the next try of the login is a minute away.
        after(600).await;
        server.demand_login(true);
        server.close_main_port(false).await.expect("the port is free");
        server.answer_logins(None);
        let began = Instant::now();
        client.configs().get("d").await.expect("logged in, and asked again");
        assert!(Instant::now() - began < Duration::from_secs(1));
        assert!(granted(&client.state().get()));
    }
}

#[tokio::test(start_paused = true)]
async fn authentication_that_is_switched_on_keeps_out_whose_login_still_reaches_nobody() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.demand_login(false);
    server.close_main_port(true).await.expect("nothing is opened");
    let client = builder(&server).credentials("nacos", "s3cret").connect().await;
    let client = client.expect("requests need no user");
    after(600).await;
    server.demand_login(true);
    let error = soon(client.configs().get("d")).await.expect_err("not let in");
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    let state = client.state().get();
    assert!(!state.is_connected(), "{state:?}");
    assert!(!matches!(*state, SessionState::Denied { .. }), "{state:?}");
    server.demand_login(false);
    becomes(&mut client.state(), SessionState::is_without_login).await;
    client.configs().get("d").await.expect("let in again");
}

#[tokio::test(start_paused = true)]
async fn request_that_is_refused_for_want_of_a_login_that_reached_nobody_says_so() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.open_to_all(&["public:DEFAULT_GROUP:naming/*"]);
    server.answer_logins(Some((404, "")));
    let client = builder(&server).credentials("ann", "s3cret").connect().await.expect("let in");
    let error = client.configs().get("d").await.expect_err("not let in");
    assert_eq!(error.kind(), ErrorKind::Denied);
    for text in ["login has failed", "no login path is known there"] {
        assert!(chain(&error).contains(text), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn login_that_is_required_and_reaches_nobody_keeps_the_client_out() {
    let server = server_like(Behaviour::Nacos3_0).await;
    server.close_main_port(true).await.expect("nothing is opened");
    let client = builder(&server).credentials("ann", "s3cret").require_login(true);
    let error = client.clone().connect().await.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let client = client.connect_lazy().expect("valid");
    let mut state = client.state();
    let connects = state.wait_for(SessionState::is_connected);
    assert!(timeout(Duration::from_secs(120), connects).await.is_err());
    assert_eq!(server.requests("ServiceQueryRequest"), 0, "nothing is asked of it");
}

#[tokio::test(start_paused = true)]
async fn client_that_is_there_before_its_server_logs_in_and_asks_no_question() {
    for demands in [true, false] {
        let server = guarded(Behaviour::Nacos3_0).await;
        server.demand_login(demands);
        server.stop().await;
        let client = builder(&server).credentials("nacos", "s3cret").connect_lazy().expect("valid");
        after(20).await;
        server.resume().await.expect("the ports are free");
        let mut state = client.state();
        let state = soon(state.wait_for(SessionState::is_connected)).await.expect("it lives");
        assert!(granted(&state), "{state:?}");
        assert_eq!(server.requests("ServiceQueryRequest"), 0);
    }
}
