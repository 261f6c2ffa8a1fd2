//! Requests that were certainly not sent.
use http::Request;
use nacos_core::inspect::Tree;
use nacos_tower::ErrorKind;
use tower::ServiceExt;

use crate::network::{Manner, Network, until_ready};

#[tokio::test(start_paused = true)]
async fn request_that_comes_back_goes_to_another_endpoint_whatever_it_is() {
    let network = Network::new();
    network.set("a:1", Manner::Returns);
    let (_set, balance) = network.balance(&[("a", 1000.0), ("b", 1.0)]);
    until_ready(&balance, 2).await;
    let request = Request::post("/pay").body("once".to_owned()).expect("valid");
    balance.clone().oneshot(request).await.expect("b takes it");
    assert_eq!(network.received("b:1"), 1);
    assert_eq!(balance.inspect().report().get("resent"), Some(&Tree::Count(1)));
}

#[tokio::test(start_paused = true)]
async fn request_that_nobody_takes_is_not_offered_for_ever() {
    let network = Network::new();
    let hosts = ["a", "b", "c", "d", "e"];
    for ip in hosts {
        network.set(&format!("{ip}:1"), Manner::Returns);
    }
    let (_set, balance) = network.balance(&hosts.map(|ip| (ip, 1.0)));
    until_ready(&balance, 5).await;
    let error = balance.clone().oneshot(Request::new(())).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unsent);
    assert!(error.is_unsent());
    assert_eq!(balance.inspect().report().get("resent"), Some(&Tree::Count(2)));
}

#[tokio::test(start_paused = true)]
async fn request_that_may_have_been_sent_is_not_sent_again() {
    let network = Network::new();
    network.set("a:1", Manner::Loses);
    let (_set, balance) = network.balance(&[("a", 1000.0), ("b", 0.001)]);
    until_ready(&balance, 2).await;
    let error = balance.oneshot(Request::new(())).await.expect_err("lost");
    assert_eq!((error.kind(), error.endpoint()), (ErrorKind::Lost, Some("a:1")));
    assert!(!error.is_unsent());
    assert_eq!(network.received("a:1") + network.received("b:1"), 1);
}
