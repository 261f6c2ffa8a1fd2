//! The balancer over a Nacos server.
use http::Request;
use nacos_core::{Client, ErrorKind};
use nacos_testkit::{Instance, Server};
use tower::ServiceExt;

use crate::network::{Network, states, until_ready};

#[tokio::test]
async fn instances_are_followed_as_the_server_tells_them() {
    let server = Server::start().await.expect("a server");
    let nacos = client(&server).await;
    let network = Network::default();
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
    let server = Server::start().await.expect("a server");
    let nacos = client(&server).await;
    let network = Network::default();
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

#[tokio::test]
async fn invalid_name_is_refused_before_anything_is_sent() {
    let server = Server::start().await.expect("a server");
    let nacos = client(&server).await;
    let network = Network::default();
    let error = network.builder().connect_lazy(&nacos, "or ders").expect_err("invalid");
    assert_eq!(error.kind(), ErrorKind::InvalidName);
}

async fn client(server: &Server) -> Client {
    let builder = Client::builder().server_addr(server.addr().to_string());
    builder.connect().await.expect("connected")
}
