//! Logins that are refused: for a while, for good, for a reason that the server does not name.
use std::time::Duration;

use nacos_core::{
    ClaimState, Client, Denial, ErrorKind, Instance, SessionState,
    credentials::{StaticToken, UserPassword},
};
use nacos_testkit::{Behaviour, Server};
use tokio::time::Instant;

use crate::support::{BEHAVIOURS, after, becomes, builder, chain, guarded, soon};

fn denied(likely: Denial) -> impl Fn(&SessionState) -> bool {
    move |state| matches!(state, SessionState::Denied { likely: is, .. } if *is == likely)
}

#[tokio::test(start_paused = true)]
async fn connect_waits_for_a_server_that_is_still_reading_its_users() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        server.load_users(false);
        let loading = async {
            after(2).await;
            server.load_users(true);
        };
        let connecting = builder(&server).credentials("nacos", "s3cret").connect();
        let (client, ()) = tokio::join!(connecting, loading);
        client.expect("the password is right").configs().get("d").await.expect("let in");
    }
}

#[tokio::test(start_paused = true)]
async fn connect_names_both_causes_and_both_remedies_when_the_time_is_over() {
    for behaviour in
        [Behaviour::Nacos2_5, Behaviour::Nacos3_0, Behaviour::Nacos3_3, Behaviour::RNacos]
    {
        let server = guarded(behaviour).await;
        server.load_users(false);
        let began = Instant::now();
        let connecting = builder(&server).credentials("nacos", "s3cret").connect();
        let error = connecting.await.expect_err("nobody is known there");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert_eq!((Instant::now() - began).as_secs(), 5, "the connect timeout");
        let error = chain(&error);
        for text in ["started", "passes by itself", "password is wrong", "NACOS_PASSWORD"] {
            assert!(error.contains(text), "{error}");
        }
        assert!(!error.contains("gRPC"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn client_of_a_restarted_server_is_back_seconds_after_the_users_are() {
    for (behaviour, seconds) in BEHAVIOURS.into_iter().zip([1, 7, 15, 2, 4]) {
        let server = guarded(behaviour).await;
        let client = builder(&server).credentials("nacos", "s3cret").connect().await;
        let client = client.expect("logs in");
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid").ready().await.expect("registered");
        server.load_users(false);
        // Tokens are forgotten with the connection.
        server.expire_tokens();
        server.drop_connections();
        let mut state = client.state();
        becomes(&mut state, denied(Denial::NotReady)).await;
        // A request meanwhile waits, and is answered.
        let asked = tokio::spawn({
            let configs = client.configs();
            async move { configs.get("d").await }
        });
        after(seconds).await;
        server.load_users(true);
        let loaded = Instant::now();
        becomes(&mut state, SessionState::is_connected).await;
        becomes(&mut guard.claim(), |claim| *claim == ClaimState::Held).await;
        let took = Instant::now() - loaded;
        assert!(took <= Duration::from_millis(6100), "{took:?} after {seconds} s");
        let asked = asked.await.expect("no panic");
        let in_time = Duration::from_secs(seconds) + took < Duration::from_secs(9);
        assert!(asked.is_ok() || !in_time, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn password_that_never_worked_is_wrong_after_three_more_tries() {
    let server = guarded(Behaviour::Nacos3_3).await;
    let client = builder(&server).credentials("nacos", "guess").connect_lazy().expect("valid");
    let mut state = client.state();
    becomes(&mut state, denied(Denial::NotReady)).await;
    let began = Instant::now();
    becomes(&mut state, denied(Denial::Wrong)).await;
    let took = (Instant::now() - began).as_secs_f64();
    assert!((5.5..8.5).contains(&took), "1, 2 and 4 s, give or take a fifth: {took}");
    assert_eq!(server.refused_logins(), 4);
    let error = client.configs().get("d").await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(chain(&error).contains("either the server has just started"), "{error:?}");
    after(300).await;
    assert!((8..=9).contains(&server.refused_logins()), "{}", server.refused_logins());
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_most_likely_a_wrong_password_is_called_so_at_once_and_names_the_other_cause()
 {
    for (behaviour, texts, waits) in [
        (Behaviour::Nacos3_0, &["NACOS_PASSWORD", "inside the server", "log"][..], true),
        (Behaviour::Nacos2_3, &["NACOS_PASSWORD", "status 0"], false),
    ] {
        let server = guarded(behaviour).await;
        let began = Instant::now();
        let wrong = builder(&server).credentials("nacos", "guess");
        let error = wrong.clone().connect_timeout(Duration::from_secs(20)).connect().await;
        let error = error.expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Denied);
        // Three more tries, where something may have failed for the moment.
        let took = (Instant::now() - began).as_secs_f64();
        assert!(if waits { (5.5..8.5).contains(&took) } else { took < 1.0 }, "{took}");
        assert!(texts.iter().all(|text| chain(&error).contains(text)), "{error:?}");
        // Requests do not wait for that. It is tried again all the same.
        let client = wrong.connect_lazy().expect("valid");
        becomes(&mut client.state(), denied(Denial::Wrong)).await;
        let (before, now) = (server.refused_logins(), Instant::now());
        client.configs().get("d").await.expect_err("denied");
        assert_eq!(Instant::now(), now);
        after(10).await;
        assert_eq!(server.refused_logins() - before, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn connect_waits_for_authentication_that_fails_without_a_word_for_the_moment() {
    // 3.0 says the same of a wrong password, and of an exception that has no text.
    let server = guarded(Behaviour::Nacos3_0).await;
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), "guess").expect("written");
    let credentials = UserPassword::with_password_file("nacos", password.path());
    let mending = async {
        after(2).await;
        std::fs::write(password.path(), "s3cret").expect("written");
    };
    let connecting = builder(&server).with_credentials(credentials).connect();
    let (client, ()) = tokio::join!(connecting, mending);
    client.expect("it was for the moment").configs().get("d").await.expect("let in");
}

#[tokio::test(start_paused = true)]
async fn second_restart_within_a_minute_costs_seconds_too() {
    for (behaviour, first, second) in [
        (Behaviour::Nacos3_0, 50, 15),
        (Behaviour::Nacos2_5, 55, 30),
        (Behaviour::RNacos, 30, 45),
        (Behaviour::Nacos2_3, 59, 20),
    ] {
        let server = guarded(behaviour).await;
        let client = builder(&server).credentials("nacos", "s3cret").connect().await;
        let client = client.expect("logs in");
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid").ready().await.expect("registered");
        // The first start ends before its users are there, in the middle of the second they are.
        server.load_users(false);
        for seconds in [first, second] {
            server.expire_tokens();
            server.drop_connections();
            after(seconds).await;
        }
        server.load_users(true);
        let loaded = Instant::now();
        becomes(&mut client.state(), SessionState::is_connected).await;
        becomes(&mut guard.claim(), |claim| *claim == ClaimState::Held).await;
        let took = Instant::now() - loaded;
        assert!(took <= Duration::from_millis(6100), "{took:?} at {behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_is_lost_twice_within_a_minute_is_replaced_twice() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        let client = builder(&server).credentials("nacos", "s3cret").connect().await;
        let client = client.expect("logs in");
        for _ in 0..2 {
            after(20).await;
            server.expire_tokens();
            server.drop_connections();
            after(1).await;
            client.configs().get("d").await.expect("logged in anew");
        }
        assert_eq!(server.logins(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_ends_while_its_renewal_is_refused_costs_those_who_wait_nothing() {
    let server = Server::builder().credentials("nacos", "s3cret");
    let server = crate::support::start(server.token_ttl(Duration::from_secs(20))).await;
    let client = builder(&server).credentials("nacos", "s3cret").connect().await.expect("logs in");
    let naming = client.naming();
    let _held = naming.register("stock", Instance::new("10.0.0.1", 80)).expect("valid");
    after(5).await;
    server.load_users(false);
    after(14).await;
    client.configs().get("d").await.expect("the token is still good");
    after(2).await;
    // It is not any more, and what servers say of that is not the last word.
    let (guard, asked) = (naming.register("orders", Instance::new("10.0.0.1", 80)), Instant::now());
    let guard = guard.expect("valid");
    let told = async {
        let refused = |claim: &ClaimState| matches!(claim, ClaimState::Refused { .. });
        guard.claim().wait_for(refused).await;
    };
    let waiting = async {
        let loading = async {
            after(3).await;
            server.load_users(true);
        };
        let configs = client.configs();
        let (document, ()) = tokio::join!(configs.get("d"), loading);
        document.expect("it was only to wait");
        assert!(Instant::now() - asked < Duration::from_secs(9));
        becomes(&mut guard.claim(), |claim| *claim == ClaimState::Held).await;
    };
    tokio::select! {
        () = waiting => {}
        () = told => panic!("refused for want of a token that is on its way"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_starting_server_of_several_keeps_nobody_out() {
    for _ in 0..10 {
        let (starting, ready) =
            (guarded(Behaviour::Nacos3_0).await, guarded(Behaviour::Nacos3_0).await);
        starting.load_users(false);
        let began = Instant::now();
        let addresses = format!("{},{}", starting.addr(), ready.addr());
        let client = Client::builder().server_addr(addresses).credentials("nacos", "s3cret");
        let client = client.connect().await.expect("the other one knows the user");
        assert!(Instant::now() - began < Duration::from_secs(1));
        assert_eq!(ready.logins(), 1);
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_password_is_asked_of_three_servers_and_no_more() {
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(guarded(Behaviour::Nacos2_5).await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.addr().to_string()).collect();
    let client = Client::builder().server_addr(addresses.join(",")).credentials("nacos", "guess");
    let client = client.connect_lazy().expect("valid");
    becomes(&mut client.state(), denied(Denial::NotReady)).await;
    let refused: u64 = servers.iter().map(Server::refused_logins).sum();
    assert_eq!(refused, 3);
}

#[tokio::test(start_paused = true)]
async fn token_that_is_refused_by_a_server_that_has_just_started_is_tried_again_soon() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let token = StaticToken::new(server.issue_token());
    let client = builder(&server).with_credentials(token).connect().await.expect("connects");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
    let guard = guard.expect("valid").ready().await.expect("registered");
    server.answer_always("InstanceRequest", Some(403));
    server.drop_connections();
    becomes(&mut guard.claim(), |claim| matches!(claim, ClaimState::Refused { .. })).await;
    after(3).await;
    server.answer_always("InstanceRequest", None);
    let known = Instant::now();
    becomes(&mut guard.claim(), |claim| *claim == ClaimState::Held).await;
    assert!(Instant::now() - known < Duration::from_secs(5), "not half a minute");
}

#[tokio::test(start_paused = true)]
async fn authentication_that_crashes_denies_nobody() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.crash_authentication(true);
    let error = builder(&server).credentials("nacos", "s3cret").connect().await;
    let error = error.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    assert!(error.is_retryable());
    assert!(chain(&error).contains("500") && !chain(&error).contains("gRPC"), "{error:?}");

    let client = builder(&server).credentials("nacos", "s3cret").connect_lazy().expect("valid");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Backoff { .. })).await;
    server.crash_authentication(false);
    becomes(&mut guard.claim(), |claim| *claim == ClaimState::Held).await;

    // Nor on a request: what is claimed is claimed again, the login stands.
    server.crash_authentication(true);
    let error = client.configs().get("d").await.expect_err("it fails");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some(500)));
    let other = client.naming().register("stock", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut other.claim(), |claim| {
        matches!(claim, ClaimState::Refused { code: 500, retrying: true, .. })
    })
    .await;
    assert!(client.state().get().is_connected());
    server.crash_authentication(false);
    let back = Instant::now();
    becomes(&mut other.claim(), |claim| *claim == ClaimState::Held).await;
    assert!(Instant::now() - back < Duration::from_secs(2));
    assert_eq!(server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_login_has_all_the_time_that_there_is_to_connect() {
    for (seconds, within) in [(4, 5), (12, 15)] {
        let server = guarded(Behaviour::Nacos3_0).await;
        server.delay_logins(Duration::from_secs(seconds));
        let client = builder(&server).credentials("nacos", "s3cret");
        let client = client.connect_timeout(Duration::from_secs(within)).connect().await;
        client.expect("it was only slow");
        assert_eq!(server.logins(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn login_that_takes_longer_than_connect_waits_is_reached_in_the_end() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.delay_logins(Duration::from_secs(17));
    let client = builder(&server).credentials("nacos", "s3cret").connect_lazy().expect("valid");
    becomes(&mut client.state(), SessionState::is_connected).await;
    assert!(server.logins() <= 4, "{}", server.logins());
}

#[tokio::test(start_paused = true)]
async fn next_server_is_asked_beside_a_slow_one() {
    for _ in 0..10 {
        let (slow, quick) =
            (guarded(Behaviour::Nacos3_0).await, guarded(Behaviour::Nacos3_0).await);
        slow.delay_logins(Duration::from_secs(4));
        let began = Instant::now();
        let addresses = format!("{},{}", slow.addr(), quick.addr());
        let client = Client::builder().server_addr(addresses).credentials("nacos", "s3cret");
        let _client = soon(client.connect()).await.expect("one is quick");
        assert!(Instant::now() - began < Duration::from_millis(400));
    }
}

#[tokio::test(start_paused = true)]
async fn http_is_never_explained_by_the_port_of_grpc() {
    // An address server without a list, and a login that no server takes.
    let gone = guarded(Behaviour::Nacos3_0).await.addr();
    let list = Client::builder().endpoint(format!("http://{gone}/nowhere")).connect().await;
    let error = chain(&list.expect_err("no list"));
    assert!(!error.contains("gRPC"), "{error}");
    let nobody = Client::builder().server_addr(gone.to_string()).connect().await;
    let error = chain(&nobody.expect_err("nobody is there"));
    assert!(error.contains("main port + 1000 (gRPC)"), "{error}");
}
