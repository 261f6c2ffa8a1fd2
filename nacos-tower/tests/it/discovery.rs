//! The balancer over a Nacos server.
use std::time::Duration;

use http::Request;
use nacos_core::{Client, ErrorKind};
use nacos_testkit::{Instance, Server, TimeLimit};
use nacos_tower::Balance;
use tokio::time::{interval, sleep};
use tower::ServiceExt;

use crate::network::{Network, Wire, states, until_ready};

#[tokio::test]
async fn instances_are_followed_as_the_server_tells_them() {
    let server = server().await;
    let nacos = client(&server).await;
    let network = Network::new();
    let balance = network.builder().connect(&nacos, "orders").await.expect("subscribed");
    let error = balance.clone().oneshot(Request::new(())).await.expect_err("nobody");
    assert_eq!(error.kind(), nacos_tower::ErrorKind::NoEndpoint);

    let instance = Instance::new("a", 1);
    server.register("", "DEFAULT_GROUP", "orders", instance.clone());
    until_ready(&balance, 1).await;
    balance.clone().oneshot(Request::new(())).await.expect("answered");
    server.deregister("", "DEFAULT_GROUP", "orders", &instance);
    until_ready(&balance, 0).await;
}

#[tokio::test]
async fn balancer_keeps_session_and_subscription_and_can_be_looked_into() {
    let server = server().await;
    let nacos = client(&server).await;
    let network = Network::new();
    server.register("", "DEFAULT_GROUP", "orders", Instance::new("a", 1));
    let balance = network.builder().connect(&nacos, "orders").await.expect("subscribed");
    until_ready(&balance, 1).await;
    let parts = nacos.inspected();
    let part = parts.iter().find(|part| part.name() == "balance:public/DEFAULT_GROUP@@orders");
    assert_eq!(states(&part.expect("registered").report()), ["ready"]);
    drop(parts);

    drop(nacos);
    server.drop_connections();
    server.until(|server| server.subscribers("", "DEFAULT_GROUP", "orders") == 1).await;
    server.register("", "DEFAULT_GROUP", "orders", Instance::new("b", 1));
    until_ready(&balance, 2).await;
    drop(balance);
    server.until(|server| server.connections() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn restart_of_the_only_server_loses_no_call() {
    let server = server().await;
    let providers = ["a", "b"].map(|ip| Instance::new(ip, 1));
    let come = |provider: &Instance| {
        server.register("", "DEFAULT_GROUP", "orders", provider.clone());
    };
    providers.iter().for_each(come);
    let nacos = client(&server).await;
    let network = Network::new();
    let balance = network.builder().connect(&nacos, "orders").await.expect("subscribed");
    let literal = nacos.naming().subscribe("orders").expect("valid").ready().await;
    let literal = literal.expect("an answer");
    let at_its_word = network.builder().follow(literal.raw());
    until_ready(&balance, 2).await;
    until_ready(&at_its_word, 2).await;
    let [calls, literal_calls] = [balance, at_its_word].map(|it| tokio::spawn(call(it)));

    sleep(Duration::from_secs(2)).await;
    server.stop().await;
    for provider in &providers {
        server.deregister("", "DEFAULT_GROUP", "orders", provider);
    }
    sleep(Duration::from_secs(2)).await;
    server.resume().await.expect("the same ports");
    // The consumer is the first that is back, and the providers follow, one after the other.
    let mut stats = nacos.stats();
    stats.wait_for(|stats| stats.connects == 2).await.expect("the client lives");
    sleep(Duration::from_millis(500)).await;
    for provider in &providers {
        come(provider);
        sleep(Duration::from_secs(2)).await;
    }
    let (lost, lost_at_its_word) = (calls.await.expect("ends"), literal_calls.await.expect("ends"));
    assert!(lost.is_empty(), "{} calls: {lost:?}", lost.len());
    assert!(lost_at_its_word.len() > 20, "the server did not even list nobody");
    assert!(lost_at_its_word.iter().all(|kind| *kind == nacos_tower::ErrorKind::NoEndpoint));
}

/// Fifty calls a second for ten seconds; returns why those failed that did.
async fn call(balance: Balance<Wire>) -> Vec<nacos_tower::ErrorKind> {
    let mut pace = interval(Duration::from_millis(20));
    let mut lost = Vec::new();
    for _ in 0..500 {
        pace.tick().await;
        if let Err(error) = balance.clone().oneshot(Request::new(())).await {
            lost.push(error.kind());
        }
    }
    lost
}

#[tokio::test]
async fn invalid_name_is_refused_before_anything_is_sent() {
    let server = server().await;
    let nacos = client(&server).await;
    let network = Network::new();
    let error = network.builder().connect_lazy(&nacos, "or ders").expect_err("invalid");
    assert_eq!(error.kind(), ErrorKind::InvalidName);
}

/// The server of a test that has a time limit from here on.
async fn server() -> Server {
    TimeLimit::for_test();
    Server::start().await.expect("a server")
}

async fn client(server: &Server) -> Client {
    let builder = Client::builder().server_addr(server.addr().to_string());
    builder.connect().await.expect("connected")
}
