//! axum services from their first request to their last, on a paused clock.
use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::rt::TokioIo;
use nacos_axum::{Lifecycle, LifecycleReport, Outcome, Shutdown, Step};
use nacos_core::{Client, Error};
use nacos_testkit::{Server, TimeLimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

#[tokio::test(start_paused = true)]
async fn registers_the_listener_with_its_real_port() {
    let mut world = World::start(|_| ()).await;
    let [instance] = world.instances().try_into().expect("one");
    assert_eq!(instance.port, u32::from(world.address.port()));
    assert_eq!(instance.metadata["version"], "2");
    let (answer, port) = world.get("/peer").await.expect("answered");
    assert_eq!(answer, format!("127.0.0.1:{port}"));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn answers_until_nobody_calls() {
    let mut world = World::start(|_| ()).await;
    world.shutdown.begin();
    world.server.until(|server| instances(server).is_empty()).await;
    assert_eq!(world.get("/").await.expect("still serves").0, "hello");
    let report = world.end().await;
    assert!(report.steps.iter().all(|step| step.outcome == Outcome::Completed), "{report}");
    assert!(world.get("/").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn request_in_flight_is_answered_and_idle_connection_is_not_waited_for() {
    let release = Arc::new(Notify::new());
    let mut world = World::start(|app| {
        let release = Arc::clone(&release);
        *app = app.clone().route("/slow", get(|| async move { release.notified().await }));
    })
    .await;
    let mut idle = TcpStream::connect(world.address).await.expect("accepts");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
    idle.read_u8().await.expect("is answered");
    let mut slow = TcpStream::connect(world.address).await.expect("accepts");
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
    world.shutdown.begin();
    // Closed by the server, once it drains.
    idle.read_to_end(&mut Vec::new()).await.expect("ends");
    release.notify_one();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("is answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let report = world.end().await;
    assert_eq!((report.cut, outcome(&report, Step::Drain)), (0, Outcome::Completed), "{report}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_stuck_is_cut_at_the_limit() {
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let mut world = World::start(|app| {
        let stuck = {
            let alive = alive.clone();
            || async move {
                let _alive = alive;
                std::future::pending::<()>().await;
            }
        };
        let endless = {
            let alive = alive.clone();
            || async move { Body::new(Endless(alive)) }
        };
        let upgraded = {
            let alive = alive.clone();
            |request| async move { upgrade(request, alive) }
        };
        *app = app
            .clone()
            .route("/stuck", get(stuck))
            .route("/endless", get(endless))
            .route("/upgraded", get(upgraded));
    })
    .await;
    drop(alive);
    let mut sockets = Vec::new();
    for path in ["/stuck", "/endless", "/upgraded"] {
        let mut socket = TcpStream::connect(world.address).await.expect("accepts");
        let request = "HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        socket.write_all(format!("GET {path} {request}").as_bytes()).await.expect("sends");
        if path != "/stuck" {
            socket.read_u8().await.expect("is answered");
        }
        sockets.push(socket);
    }
    let report = world.end().await;
    assert_eq!((report.cut, outcome(&report, Step::Drain)), (3, Outcome::TimedOut), "{report}");
    // Every handler is gone, wherever it was stuck.
    assert_eq!(ended.recv().await, None);
    for mut socket in sockets {
        // A clean end or a reset: what counts is that it ends.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_registration_is_an_error() {
    let server = server().await;
    server.answer_always("InstanceRequest", Some(403));
    let nacos = connect(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let serving = nacos_axum::serve(listener, Router::new()).with_nacos(&nacos, "orders");
    let error = serving.without_signals().await.expect_err("refused");
    assert_eq!(error.code(), Some(403), "{error:?}");
}

/// A Nacos, and a service that it knows.
struct World {
    server: Server,
    address: SocketAddr,
    shutdown: Shutdown,
    ended: Option<JoinHandle<Result<LifecycleReport, Error>>>,
}

impl World {
    async fn start(routes: impl FnOnce(&mut Router)) -> Self {
        let server = server().await;
        let nacos = connect(&server).await;
        let (lifecycle, shutdown) = (Lifecycle::of(&nacos), Shutdown::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
        let mut app = Router::new().route("/", get(|| async { "hello" })).route("/peer", get(peer));
        routes(&mut app);
        let serving = nacos_axum::serve(listener, app)
            .with_nacos(&lifecycle, "orders")
            .with_metadata("version", "2")
            .with_shutdown(&shutdown)
            .without_signals();
        let ended = Some(tokio::spawn(serving.into_future()));
        lifecycle.readiness().wait_for(|now| now.is_ready()).await.expect("alive");
        Self { server, address, shutdown, ended }
    }

    fn instances(&self) -> Vec<nacos_testkit::Instance> {
        instances(&self.server)
    }

    /// The answer's body, and the port that it was asked for from.
    async fn get(&self, path: &str) -> io::Result<(String, u16)> {
        let mut socket = TcpStream::connect(self.address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
        Ok((body.to_owned(), socket.local_addr()?.port()))
    }

    async fn end(&mut self) -> LifecycleReport {
        self.shutdown.begin();
        let ended = self.ended.take().expect("ended once");
        ended.await.expect("no panic").expect("ends well")
    }
}

/// A body that sends one byte, and never ends.
struct Endless(mpsc::Sender<()>);

impl hyper::body::Body for Endless {
    type Data = hyper::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        assert!(!self.0.is_closed());
        std::task::Poll::Pending
    }
}

/// Takes the connection over and waits for the peer for ever, as a web socket would.
fn upgrade(request: Request, alive: mpsc::Sender<()>) -> Response {
    tokio::spawn(async move {
        let _alive = alive;
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let _ = TokioIo::new(upgraded).read_u8().await;
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// The Nacos of a test that has a time limit from here on.
async fn server() -> Server {
    TimeLimit::for_test();
    Server::start().await.expect("ports")
}

async fn connect(server: &Server) -> Client {
    let builder = Client::builder().server_addr(server.addr().to_string());
    builder.connect().await.expect("connects")
}

fn instances(server: &Server) -> Vec<nacos_testkit::Instance> {
    server.instances("", "DEFAULT_GROUP", "orders")
}

fn outcome(report: &LifecycleReport, step: Step) -> Outcome {
    report.step(step).expect("taken").outcome
}
