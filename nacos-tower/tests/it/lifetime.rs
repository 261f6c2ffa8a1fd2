//! How long connections, attempts and responses live.
use http::Request;
use http_body_util::BodyExt;
use nacos_core::inspect::Tree;
use tower::ServiceExt;

use crate::network::{Manner, Network, until_ready};

#[tokio::test(start_paused = true)]
async fn last_handle_closes_connections_and_ends_attempts() {
    let network = Network::new();
    network.set("b:1", Manner::Down);
    let (_set, balance) = network.balance(&[("a", 1.0), ("b", 1.0)]);
    until_ready(&balance, 1).await;
    let clone = balance.clone();
    drop(balance);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(network.open("a:1"), 1, "there is another handle");
    drop(clone);
    tokio::task::yield_now().await;
    assert_eq!(network.open("a:1"), 0);
    let dials = network.dials("b:1");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(network.dials("b:1"), dials);
}

#[tokio::test(start_paused = true)]
async fn response_outlives_the_last_handle() {
    let network = Network::new();
    let (_set, balance) = network.balance(&[("a", 1.0)]);
    let response = balance.oneshot(Request::new(())).await.expect("answered");
    tokio::task::yield_now().await;
    assert_eq!(network.open("a:1"), 1);
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(body, "a:1");
    tokio::task::yield_now().await;
    assert_eq!(network.open("a:1"), 0, "the end of the body is the end of the request");
}

#[tokio::test(start_paused = true)]
async fn reports_keep_nothing_alive() {
    let network = Network::new();
    let (_set, balance) = network.balance(&[("a", 1.0)]);
    until_ready(&balance, 1).await;
    let part = balance.inspect();
    assert_eq!(part.name(), "balance:DEFAULT_GROUP@@orders");
    drop(balance);
    tokio::task::yield_now().await;
    assert_eq!(network.open("a:1"), 0);
    assert_eq!(part.report(), Tree::Nothing);
}
