//! Servers that keep a connection and do nothing else, or send clients away again.
use std::time::Duration;

use nacos_core::{
    Client, ClientBuilder, ErrorKind, Instance,
    credentials::{Credentials, Grant, GrantContext, GrantFuture, Resource},
};
use nacos_testkit::{Server, within};
use tokio::time::{Instant, timeout};

use crate::support::{becomes, builder, chain, connected, server, soon};

fn held(server: &Server) -> usize {
    server.instances("", "DEFAULT_GROUP", "orders").len()
}

fn builder_among(servers: [&Server; 2]) -> ClientBuilder {
    Client::builder().server_addr(servers.map(|server| server.addr().to_string()).join(","))
}

async fn among(servers: [&Server; 2]) -> Client {
    builder_among(servers).connect().await.expect("they are there")
}

/// A client at a server that answers health checks only; both have the document `d`.
async fn at_a_mute_one_of_two(
    with: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Client, [Server; 2]) {
    let servers = [server().await, server().await];
    for server in &servers {
        server.publish("", "DEFAULT_GROUP", "d", "7");
    }
    let client = with(builder_among(servers.each_ref())).connect().await.expect("they are there");
    let mute = servers.iter().find(|server| server.connections() == 1).expect("connected");
    mute.answer_health_checks_only(true);
    (client, servers)
}

#[tokio::test(start_paused = true)]
async fn server_that_answers_health_checks_only_is_left_for_one_that_works() {
    let (one, other) = (server().await, server().await);
    let client = among([&one, &other]).await;
    let (mute, works) = if one.connections() == 1 { (one, other) } else { (other, one) };
    mute.answer_health_checks_only(true);
    let began = Instant::now();
    let _guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    within(Duration::from_secs(60), works.until(|server| held(server) == 1)).await;
    let took = Instant::now() - began;
    assert!(took < Duration::from_secs(15), "{took:?}");
    becomes(&mut client.stats(), |stats| !stats.unresponsive).await;
}

#[tokio::test(start_paused = true)]
async fn requests_of_users_are_enough_to_find_a_server_unresponsive() {
    let (client, _servers) = at_a_mute_one_of_two(|all| all).await;
    let asked = async { while client.configs().get("d").await.is_err() {} };
    within(Duration::from_secs(60), asked).await;
}

#[tokio::test(start_paused = true)]
async fn client_whose_requests_have_little_time_finds_an_unresponsive_server_too() {
    for limit in [Duration::from_millis(500), Duration::from_secs(2)] {
        let (client, _servers) = at_a_mute_one_of_two(|all| all.request_timeout(limit)).await;
        let asked = async { while client.configs().get("d").await.is_err() {} };
        within(Duration::from_secs(60), asked).await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_early_find_an_unresponsive_server_too() {
    for patience in [Duration::from_millis(100), Duration::from_secs(2)] {
        let (client, _servers) = at_a_mute_one_of_two(|all| all).await;
        let began = Instant::now();
        let asked = async {
            while !matches!(timeout(patience, client.configs().get("d")).await, Ok(Ok(_))) {}
        };
        within(Duration::from_secs(60), asked).await;
        let took = Instant::now() - began;
        assert!(took < Duration::from_secs(25), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_wait_for_a_slow_server_say_nothing_against_it() {
    let server = server().await;
    let client = connected(&server).await;
    server.delay(Duration::from_millis(800));
    let configs = client.configs();
    let asked = async {
        loop {
            let asked = timeout(Duration::from_millis(100), configs.get("d"));
            assert!(asked.await.is_err(), "too slow for that");
        }
    };
    assert!(timeout(Duration::from_secs(120), asked).await.is_err());
    let stats = client.stats().get();
    assert_eq!((stats.connects, stats.unresponsive), (1, false));
}

#[tokio::test(start_paused = true)]
async fn signer_that_panics_is_no_answer_of_the_server() {
    /// Can sign all but what is about services.
    #[derive(Debug)]
    struct Panics;

    impl Credentials for Panics {
        fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
            let grant = Grant::new().signed_by(|about, _, _| {
                assert!(!matches!(about, Resource::Service(_)), "on purpose");
            });
            Box::pin(std::future::ready(Ok(grant)))
        }
    }

    let (client, _servers) = at_a_mute_one_of_two(|all| all.with_credentials(Panics)).await;
    let _guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let began = Instant::now();
    let asked = async { while client.configs().get("d").await.is_err() {} };
    within(Duration::from_secs(60), asked).await;
    let took = Instant::now() - began;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// So many that some find no place to be sent, which says nothing about the server.
#[tokio::test(start_paused = true)]
async fn crowd_of_users_does_not_hide_that_a_server_is_unresponsive() {
    let (client, _servers) = at_a_mute_one_of_two(|all| all).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..600 {
        let configs = client.configs();
        crowd.spawn(async move { while configs.get("d").await.is_err() {} });
    }
    within(Duration::from_secs(60), crowd.join_all()).await;
}

#[tokio::test(start_paused = true)]
async fn only_server_that_answers_nothing_is_named_as_such_and_not_dialled_in_a_loop() {
    let server = server().await;
    let client = connected(&server).await;
    server.answer_health_checks_only(true);
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut client.stats(), |stats| stats.unresponsive).await;
    let error = client.configs().get("d").await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let other = client.naming().register("stock", Instance::new("10.0.0.1", 80)).expect("valid");
    let error = other.ready().await.expect_err("nobody answers");
    assert!(chain(&error).contains("answers health checks, and none"), "{}", chain(&error));
    // Another is tried within the hour, some 50 times; nothing ends that wait.
    let ever = server.until(|server| server.connects() > 100);
    assert!(timeout(Duration::from_secs(3600), ever).await.is_err(), "{}", server.connects());
    assert!(server.connects() > 10, "a new connection may help: {}", server.connects());

    server.answer_health_checks_only(false);
    soon(guard.ready()).await.map(drop).expect("done as soon as somebody works again");
    assert!(!client.stats().get().unresponsive);
}

#[tokio::test(start_paused = true)]
async fn servers_that_send_each_other_whoever_comes_are_not_followed_in_a_loop() {
    let (one, other) = (server().await, server().await);
    let client = among([&one, &other]).await;
    let mut stats = client.stats();
    let send_away = async {
        loop {
            for (from, to) in [(&one, &other), (&other, &one)] {
                from.reset_connections(Some(to.addr()));
            }
            let served = client.stats().get().connects;
            becomes(&mut stats, |stats| stats.connects > served).await;
        }
    };
    assert!(timeout(Duration::from_secs(1800), send_away).await.is_err());
    let connects = client.stats().get().connects;
    assert!((10..70).contains(&connects), "{connects} connections in half an hour");
    assert!(client.state().get().is_connected());
}

#[tokio::test(start_paused = true)]
async fn health_checks_alone_are_all_that_an_idle_client_wants() {
    let server = server().await;
    let client = builder(&server).connect().await.expect("the server is there");
    server.answer_health_checks_only(true);
    let more = server.until(|server| server.connects() > 1);
    assert!(timeout(Duration::from_secs(600), more).await.is_err());
    assert!(!client.stats().get().unresponsive);
}
