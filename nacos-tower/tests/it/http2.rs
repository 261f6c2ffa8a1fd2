//! HTTP/2 connections to real sockets on loopback.
use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::USER_AGENT};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nacos_core::Instance;
use nacos_testkit::TimeLimit;
use nacos_tower::{Balance, ErrorKind, Http2Connection, Http2Connector};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tower::{Service, ServiceExt};

use crate::network::{Set, service, text};

type Calls = Balance<Http2Connection<Full<Bytes>>>;

#[tokio::test]
async fn requests_go_over_one_connection_with_the_authority_of_their_endpoint() {
    let server = Server::start().await;
    let (_set, balance) = server.balance(Http2Connector::new());
    for _ in 0..3 {
        let answer = call(&balance, "/orders?a=1").await;
        assert_eq!(answer, format!("1: http://{}/orders?a=1 hello", server.address));
    }
}

#[tokio::test]
async fn agent_is_the_requests_own_or_the_connectors() {
    let server = Server::start().await;
    let (_set, balance) = server.balance(Http2Connector::new());
    assert!(call(&balance, "/agent").await.starts_with("nacos-tower/"));
    let connector = Http2Connector::new().user_agent(HeaderValue::from_static("orders/7"));
    let (_set, balance) = server.balance(connector);
    assert_eq!(call(&balance, "/agent").await, "orders/7");
    let mut own = request("/agent");
    own.headers_mut().insert(USER_AGENT, HeaderValue::from_static("own"));
    assert_eq!(text(balance.oneshot(own).await.expect("answered")).await, "own");
}

#[tokio::test]
async fn server_that_is_gone_costs_no_task_and_fails_calls_unsent() {
    let server = Server::start().await;
    let (_set, balance) = server.balance(Http2Connector::new());
    call(&balance, "/").await;
    drop(server);
    let error = loop {
        match balance.clone().oneshot(request("/")).await {
            // Under way when the socket was closed.
            Err(error) if error.kind() == ErrorKind::Lost => {}
            Err(error) => break error,
            Ok(_) => panic!("nobody answers"),
        }
    };
    assert!(error.is_unsent(), "{error}");
}

#[tokio::test]
async fn requests_that_are_given_up_before_they_are_sent_are_not_sent() {
    let server = Server::start().await;
    let (_set, balance) = server.balance(Http2Connector::new());
    call(&balance, "/").await;
    for _ in 0..1000 {
        drop(balance.clone().call(request("/never")));
    }
    assert!(call(&balance, "/").await.starts_with("1: "));
    assert_eq!(server.waiting(), 0);
}

#[tokio::test]
async fn requests_that_are_given_up_and_answered_cost_nothing() {
    let server = Server::start().await;
    let (_set, balance) = server.balance(Http2Connector::new());
    call(&balance, "/").await;
    for _ in 0..10 {
        give_up_64(&balance, "/").await;
        assert!(call(&balance, "/").await.starts_with("1: "));
    }
}

#[tokio::test]
async fn connection_on_which_many_wait_to_be_reset_is_left_and_ends_what_it_has() {
    let server = Server::start().await;
    let (_set, balance) = server.balance(Http2Connector::new());
    call(&balance, "/").await;
    let slow = balance.clone().call(request("/slow"));
    // 10 are reset at once, 64 may wait.
    give_up_64(&balance, "/never").await;
    assert!(call(&balance, "/").await.starts_with("1: "));
    give_up_64(&balance, "/never").await;
    while !call(&balance, "/").await.starts_with("2: ") {}
    server.slow.notify_one();
    assert!(text(slow.await.expect("answered")).await.starts_with("1: "));
    // With the last of its requests that a caller waits for, the connection has gone.
    while server.waiting() > 0 {
        tokio::task::yield_now().await;
    }
}

/// All are sent before the server sees the first of them, and given up at once.
async fn give_up_64(balance: &Calls, path: &str) {
    let requests: Vec<_> = (0..64).map(|_| balance.clone().call(request(path))).collect();
    // The connection's task is in the queue before this one, and the server's is not yet.
    tokio::spawn(async {}).await.expect("no panic");
    drop(requests);
}

/// Answers over HTTP/2 alone. Dropping it closes its connections.
struct Server {
    address: SocketAddr,
    /// Lets a slow request be answered.
    slow: Arc<Notify>,
    /// One more for each request that waits.
    waiting: Arc<()>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        TimeLimit::for_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut tasks = JoinSet::new();
        let (slow, waiting) = (Arc::new(Notify::new()), Arc::new(()));
        let (free, token) = (Arc::clone(&slow), Arc::downgrade(&waiting));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let number = connections.len() + 1;
                let (free, token) = (Arc::clone(&free), Weak::clone(&token));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (free, token) = (Arc::clone(&free), token.upgrade());
                    async move {
                        match request.uri().path() {
                            "/slow" => free.notified().await,
                            "/never" => pending().await,
                            _ => {}
                        }
                        drop(token);
                        answer(number, request).await
                    }
                });
                connections.spawn(
                    http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), answer),
                );
            }
        });
        Self { address, slow, waiting, _tasks: tasks }
    }

    fn waiting(&self) -> usize {
        Arc::strong_count(&self.waiting) - 1
    }

    fn balance(&self, connector: Http2Connector<Full<Bytes>>) -> (Set, Calls) {
        let (set, services) = Set::new(service(&[]));
        let instance = Instance::new(self.address.ip().to_string(), self.address.port());
        set.publish_instances(vec![instance]);
        (set, Balance::builder(connector).follow(services))
    }
}

async fn answer(
    connection: usize,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("whole").to_bytes();
    let text = match head.uri.path() {
        "/agent" => head.headers[USER_AGENT].to_str().expect("text").to_owned(),
        _ => format!("{connection}: {} {}", head.uri, String::from_utf8_lossy(&body)),
    };
    Ok(Response::new(Full::from(text)))
}

async fn call(balance: &Calls, path: &str) -> String {
    text(balance.clone().oneshot(request(path)).await.expect("answered")).await
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from("hello")).expect("valid")
}

#[tokio::test]
async fn endpoint_that_accepts_and_says_nothing_gets_no_request() {
    let server = Server::start().await;
    // The kernel accepts.
    let frozen = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (set, services) = Set::new(service(&[]));
    let of = |address: SocketAddr| Instance::new(address.ip().to_string(), address.port());
    let frozen_at = frozen.local_addr().expect("bound");
    set.publish_instances(vec![of(server.address), of(frozen_at)]);
    let balance: Calls = Balance::builder(Http2Connector::new()).follow(services);
    for _ in 0..20 {
        assert!(call(&balance, "/").await.contains(&server.address.to_string()));
    }
}
