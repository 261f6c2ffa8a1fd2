//! One more try elsewhere.
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use nacos_tower::{Balance, Deadline, Error, ErrorKind, Idempotent, RetryLayer, WeightedRandom};
use tower::{Layer, ServiceExt};

use crate::network::{Manner, Network, Set, Wire, service, until_ready};

#[tokio::test(start_paused = true)]
async fn marked_request_that_was_lost_is_made_again_elsewhere() {
    let test = Test::new(Manner::Loses).await;
    for _ in 0..50 {
        let response = test.call(post(b"abc", true)).await.expect("b answers");
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(test.network.received("b:1"), 50, "the endpoint of the first try was avoided");
}

#[tokio::test(start_paused = true)]
async fn unmarked_request_is_not_made_again() {
    let test = Test::new(Manner::Loses).await;
    let error = test.call(post(b"abc", false)).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Lost);
    let get = Request::get("/").body(Full::default()).expect("valid");
    test.call(get).await.expect("a method may be mark enough");
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_says_it_cannot_is_left_for_another() {
    let test = Test::new(Manner::Unavailable).await;
    let status = test.call(post(b"abc", true)).await.expect("answered").status();
    assert_eq!(status, StatusCode::OK);
    let status = test.call(post(b"abc", false)).await.expect("answered").status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn large_request_is_made_once() {
    let test = Test::new(Manner::Loses).await;
    let large = vec![0; 64 * 1024 + 1];
    let error = test.call(post(&large, true)).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert_eq!(test.network.received("b:1"), 0);
}

#[tokio::test(start_paused = true)]
async fn late_request_is_made_again_only_if_there_is_time() {
    let test = Test::new(Manner::Holds).await;
    test.call(post(b"abc", true)).await.expect("b answers after 30 s of silence from a");
    let mut request = post(b"abc", true);
    request.extensions_mut().insert(Deadline::within(std::time::Duration::from_millis(50)));
    let error = test.call(request).await.expect_err("late");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(test.network.received("b:1"), 1);
}

#[tokio::test(start_paused = true)]
async fn retries_are_limited_when_everything_fails() {
    let mut test = Test::new(Manner::Loses).await;
    test.network.set("b:1", Manner::Loses);
    test.layer = RetryLayer::with_budget(10, 5);
    for _ in 0..200 {
        test.call(post(b"abc", true)).await.expect_err("everything fails");
    }
    let sent = test.network.received("a:1") + test.network.received("b:1");
    assert_eq!(sent, 200 + 5 + 20);
}

struct Test {
    network: Network,
    balance: Balance<Wire>,
    layer: RetryLayer,
    _set: Set,
}

impl Test {
    /// Two endpoints: first tries go to `a`, which has this manner, and second ones to `b`.
    async fn new(manner: Manner) -> Self {
        let network = Network::new();
        network.set("a:1", manner);
        // So uneven that a draw of `b` is out of the question; and failures change no draw.
        let (set, services) = Set::new(service(&[("a", 10_000.0), ("b", 1e-9)]));
        let balance = network.builder().policy(WeightedRandom).follow(services);
        until_ready(&balance, 2).await;
        Self { network, balance, layer: RetryLayer::with_budget(100, 100), _set: set }
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> Result<Response<()>, Error> {
        let calls = self.layer.layer(self.balance.clone());
        calls.oneshot(request).await.map(|response| response.map(drop))
    }
}

fn post(body: &[u8], idempotent: bool) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::copy_from_slice(body));
    let mut request = Request::post("/").body(body).expect("valid");
    if idempotent {
        request.extensions_mut().insert(Idempotent);
    }
    request
}
