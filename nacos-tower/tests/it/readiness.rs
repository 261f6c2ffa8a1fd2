//! Requests that find no connected endpoint: how long they wait, and how they fail.
use std::time::Duration;

use http::Request;
use nacos_core::{Instance, Service};
use nacos_tower::{Deadline, ErrorKind};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::network::{Manner, Network, Set, key, until_ready};

#[tokio::test(start_paused = true)]
async fn first_request_waits_for_the_first_list_and_connection() {
    let (set, services) = Set::new(Service::unknown(key()));
    let balance = Network::new().builder().follow(services);
    let call = tokio::spawn(balance.oneshot(Request::new(())));
    tokio::task::yield_now().await;
    assert!(!call.is_finished());
    set.publish(&[("a", 1.0)]);
    assert!(call.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_first_list_ends() {
    let (_set, services) = Set::new(Service::unknown(key()));
    let balance =
        Network::new().builder().ready_timeout(Duration::from_millis(300)).follow(services);
    let begin = Instant::now();
    let error = balance.oneshot(Request::new(())).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Undiscovered);
    assert!(error.is_unsent());
    assert_eq!(begin.elapsed_since_start(), 300);
}

#[tokio::test(start_paused = true)]
async fn list_without_anybody_to_call_fails_at_once_and_says_why() {
    let (set, balance) = Network::new().balance(&[]);
    let begin = Instant::now();
    let error = balance.clone().oneshot(Request::new(())).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::NoEndpoint);
    assert_eq!(cause(&error), "no instance is registered");

    set.publish_instances(vec![
        Instance::new("a", 1).with_healthy(false),
        Instance::new("b", 1).with_weight(0.0),
    ]);
    tokio::task::yield_now().await;
    let error = balance.oneshot(Request::new(())).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::NoEndpoint);
    let why = "of 2 instances 1 are healthy, 2 enabled and 1 of a weight above 0";
    assert_eq!(cause(&error), why);
    assert_eq!(begin.elapsed_since_start(), 0);
}

#[tokio::test(start_paused = true)]
async fn request_fails_as_soon_as_every_attempt_has_failed() {
    let network = Network::new();
    network.set("a:1", Manner::Down);
    let (_set, balance) = network.balance(&[("a", 1.0)]);
    let begin = Instant::now();
    let error = balance.oneshot(Request::new(())).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::NotReady);
    assert_eq!(cause(&error), "refused");
    assert_eq!(begin.elapsed_since_start(), 0);
}

#[tokio::test(start_paused = true)]
async fn silent_endpoint_is_given_up_and_delays_nobody() {
    let network = Network::new();
    network.set("a:1", Manner::Silent);
    let (_set, balance) = network.balance(&[("a", 1000.0), ("b", 1.0)]);
    let begin = Instant::now();
    balance.clone().oneshot(Request::new(())).await.expect("b answers");
    assert_eq!(begin.elapsed_since_start(), 0);

    network.set("b:1", Manner::Down);
    let error = balance.oneshot(Request::new(())).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::NotReady);
    // The attempt was a second old at most when the request came.
    assert_eq!(begin.elapsed_since_start(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_comes_back_is_found_again() {
    let network = Network::new();
    let (_set, balance) = network.balance(&[("a", 1.0)]);
    until_ready(&balance, 1).await;
    network.set("a:1", Manner::Down);
    until_ready(&balance, 0).await;
    // Some attempts fail in the meantime, each one later than the one before.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let dials = network.dials("a:1");
    assert!((8..20).contains(&dials), "{dials}");
    network.set("a:1", Manner::Answers);
    until_ready(&balance, 1).await;
    balance.oneshot(Request::new(())).await.expect("it is back");
}

#[tokio::test(start_paused = true)]
async fn response_that_does_not_come_is_given_up() {
    let network = Network::new();
    network.set("a:1", Manner::Holds);
    let (_set, balance) = network.balance(&[("a", 1.0)]);
    let begin = Instant::now();
    let error = balance.clone().oneshot(Request::new(())).await.expect_err("held");
    assert_eq!((error.kind(), error.endpoint()), (ErrorKind::Timeout, Some("a:1")));
    assert!(!error.is_unsent());
    assert_eq!(begin.elapsed_since_start(), 30_000);

    let mut request = Request::new(());
    request.extensions_mut().insert(Deadline::within(Duration::from_millis(20)));
    let begin = Instant::now();
    let error = balance.oneshot(request).await.expect_err("held");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(begin.elapsed_since_start(), 20);
}

fn cause(error: &nacos_tower::Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

trait Elapsed {
    /// Milliseconds on the paused clock, to the nearest hundredth of a second: timers are coarse.
    fn elapsed_since_start(self) -> u128;
}

impl Elapsed for Instant {
    fn elapsed_since_start(self) -> u128 {
        Instant::now().duration_since(self).as_millis() / 10 * 10
    }
}
