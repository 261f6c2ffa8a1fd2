//! tonic servers from their first call to their last, on a paused clock.
#![cfg(feature = "server")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use nacos_core::{
    Client, Error,
    lifecycle::{Lifecycle, LifecycleReport, Outcome, Shutdown, Step},
};
use nacos_testkit::{Server, TimeLimit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tonic::{
    Status, body::Body, server::NamedService, service::Routes, transport::server::TcpConnectInfo,
};

#[tokio::test(start_paused = true)]
async fn registers_the_listener_and_answers_until_nobody_calls() {
    let mut world = World::start().await;
    let [instance] = instances(&world.server).try_into().expect("one");
    assert_eq!(instance.port, u32::from(world.address.port()));
    let mut caller = world.call().await;
    assert_eq!(caller.call("Get").await.expect("answered"), "0");
    world.shutdown.begin();
    world.server.until(|server| instances(server).is_empty()).await;
    assert_eq!(caller.call("Get").await.expect("still serves"), "0");
    assert_eq!(world.call().await.call("Get").await.expect("still accepts"), "0");
    let report = world.end().await;
    assert!(report.steps.iter().all(|step| step.outcome == Outcome::Completed), "{report}");
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn call_under_way_ends_and_stuck_one_is_cut() {
    let mut world = World::start().await;
    let (mut slow, mut stuck) = (world.call().await, world.call().await);
    let slow = tokio::spawn(async move { slow.call("Slow").await });
    let stuck = tokio::spawn(async move { stuck.call("Stuck").await });
    // Both have arrived.
    world.arrived.recv().await.expect("alive");
    world.arrived.recv().await.expect("alive");
    world.shutdown.begin();
    world.server.until(|server| instances(server).is_empty()).await;
    world.release.notify_one();
    assert_eq!(slow.await.expect("no panic").expect("answered"), "0");
    let report = world.end().await;
    assert_eq!((report.cut, outcome(&report, Step::Drain)), (1, Outcome::TimedOut), "{report}");
    assert!(stuck.await.expect("no panic").is_err());
    assert_eq!(world.arrived.recv().await, None, "no handler is left");
}

/// A Nacos, and a service that it knows, in a test that has a time limit.
struct World {
    server: Server,
    address: SocketAddr,
    shutdown: Shutdown,
    release: Arc<Notify>,
    arrived: mpsc::Receiver<()>,
    ended: Option<JoinHandle<Result<LifecycleReport, Error>>>,
}

impl World {
    async fn start() -> Self {
        TimeLimit::for_test();
        let server = Server::start().await.expect("ports");
        let builder = Client::builder().server_addr(server.addr().to_string());
        let nacos = builder.connect().await.expect("connects");
        let (lifecycle, shutdown) = (Lifecycle::of(&nacos), Shutdown::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (calls, arrived) = mpsc::channel(8);
        let release = Arc::new(Notify::new());
        let inventory = Inventory { release: Arc::clone(&release), calls };
        let router = tonic::transport::Server::builder().add_routes(Routes::new(inventory));
        let serving = nacos_tonic::serve(listener, router)
            .with_nacos(&lifecycle, "inventory")
            .with_drain_limit(Duration::from_secs(2))
            .with_shutdown(&shutdown)
            .without_signals();
        let ended = Some(tokio::spawn(serving.into_future()));
        lifecycle.readiness().wait_for(|now| now.is_ready()).await.expect("alive");
        Self { server, address, shutdown, release, arrived, ended }
    }

    async fn call(&self) -> Caller {
        let socket = TcpStream::connect(self.address).await.expect("accepts");
        // Delayed acknowledgements are real time, and the clock would run away meanwhile.
        socket.set_nodelay(true).expect("an option");
        let (h2, connection) = h2::client::handshake(socket).await.expect("speaks HTTP/2");
        Caller { h2, _connection: tokio::spawn(async move { drop(connection.await) }) }
    }

    async fn end(&mut self) -> LifecycleReport {
        self.shutdown.begin();
        let ended = self.ended.take().expect("ended once");
        ended.await.expect("no panic").expect("ends well")
    }
}

/// One connection to the service.
struct Caller {
    h2: SendRequest<Bytes>,
    _connection: JoinHandle<()>,
}

impl Caller {
    /// The gRPC status of the answer.
    async fn call(&mut self, method: &str) -> Result<String, h2::Error> {
        let uri = format!("http://inventory/test.Inventory/{method}");
        let request =
            Request::post(uri).header("content-type", "application/grpc").body(()).expect("valid");
        let (answer, _) = self.h2.send_request(request, true)?;
        let headers: HeaderMap = answer.await?.into_parts().0.headers;
        Ok(headers["grpc-status"].to_str().expect("a number").to_owned())
    }
}

/// Answers `Get` at once, `Slow` once it is released, `Stuck` never.
#[derive(Clone)]
struct Inventory {
    release: Arc<Notify>,
    calls: mpsc::Sender<()>,
}

impl NamedService for Inventory {
    const NAME: &'static str = "test.Inventory";
}

impl tower_service::Service<Request<Body>> for Inventory {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { release, calls } = self.clone();
        Box::pin(async move {
            assert!(request.extensions().get::<TcpConnectInfo>().is_some());
            match request.uri().path().rsplit('/').next() {
                Some("Slow") => {
                    let _ = calls.send(()).await;
                    release.notified().await;
                }
                Some("Stuck") => {
                    let _ = calls.send(()).await;
                    std::future::pending::<()>().await;
                }
                _ => {}
            }
            Ok(Status::ok("").into_http())
        })
    }
}

fn instances(server: &Server) -> Vec<nacos_testkit::Instance> {
    server.instances("", "DEFAULT_GROUP", "inventory")
}

fn outcome(report: &LifecycleReport, step: Step) -> Outcome {
    report.step(step).expect("taken").outcome
}
