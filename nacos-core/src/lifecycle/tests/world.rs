//! A Nacos, and servers for it.
use std::{error::Error as StdError, io, net::SocketAddr, sync::Arc, time::Duration};

use nacos_testkit::{Server as Nacos, TimeLimit, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use super::super::{
    Bound, Connections, Lifecycle, LifecycleReport, Outcome, Serve, Serving, Shutdown, Step,
    registrar::Registrar,
};
use crate::{Client, Error, Instance, naming::AddressPolicy};

pub(super) type Ended = JoinHandle<Result<LifecycleReport, Error>>;

/// A Nacos, a client of it, and a trigger, in a test that has a time limit.
pub(super) struct World {
    pub(super) server: Nacos,
    pub(super) nacos: Client,
    pub(super) lifecycle: Lifecycle,
    pub(super) shutdown: Shutdown,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Nacos::builder()).await
    }

    pub(super) async fn with(builder: nacos_testkit::Builder) -> Self {
        TimeLimit::for_test();
        let server = builder.start().await.expect("ports");
        let builder = Client::builder().server_addr(server.addr().to_string());
        let nacos = builder.connect().await.expect("connects");
        let lifecycle = Lifecycle::of(&nacos);
        Self { server, nacos, lifecycle, shutdown: Shutdown::new() }
    }

    pub(super) async fn bound(&self) -> (Line, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        (Line::new(listener), address)
    }

    pub(super) fn on(&self, line: Line) -> Serving<Line> {
        let serving = Bound::new(line).with_nacos(&self.lifecycle, "orders");
        serving.with_shutdown(&self.shutdown).without_signals()
    }

    /// A registrar of a server that is reached at `ip`, as the route to Nacos says.
    pub(super) fn routed(&self, ip: &str) -> Registrar {
        let service = "orders".try_into().expect("valid");
        let bound = "0.0.0.0:80".parse().expect("an address");
        let policy = AddressPolicy::default();
        let instance = Instance::new("", 0);
        let mut registrar = Registrar::new(self.nacos.clone(), service, bound, &policy, instance)
            .expect("nothing is asked for");
        registrar.route_through(ip);
        registrar
    }

    pub(super) fn instances(&self) -> Vec<nacos_testkit::Instance> {
        self.server.instances("", "DEFAULT_GROUP", "orders")
    }

    pub(super) async fn registered(&self, count: usize) {
        let instances = |server: &Nacos| server.instances("", "DEFAULT_GROUP", "orders").len();
        within(LONG, self.server.until(|server| instances(server) == count)).await;
        if count > 0 {
            let mut readiness = self.lifecycle.readiness();
            within(LONG, readiness.wait_for(|now| now.is_ready())).await.expect("alive");
        }
    }
}

/// Answers each byte with itself: `p` at once, `w` once it is released, `s` never. A connection
/// ends after its answer once the server is asked to.
pub(super) struct Line {
    pub(super) listener: TcpListener,
    pub(super) release: Arc<Notify>,
    /// Told once it accepts no more.
    pub(super) stopped: Arc<Notify>,
}

impl Line {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, release: Arc::default(), stopped: Arc::default() }
    }
}

impl Serve for Line {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    async fn serve(
        self,
        connections: Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let Self { listener, release, stopped } = self;
        let mut tasks = JoinSet::new();
        let accept = async {
            loop {
                let (socket, _) = listener.accept().await?;
                let (mut socket, release) = (connections.track(socket), Arc::clone(&release));
                tasks.spawn(async move {
                    let question = socket.read_u8().await?;
                    match question {
                        b'w' => release.notified().await,
                        // The connection's end ends it, as it does in any framework.
                        b's' => drop(socket.read_u8().await?),
                        _ => {}
                    }
                    socket.write_u8(question).await
                });
            }
        };
        let accepted: io::Result<()> = tokio::select! {
            outcome = accept => outcome,
            () = stop => Ok(()),
        };
        accepted?;
        drop(listener);
        stopped.notify_one();
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

pub(super) fn run(serving: Serving<Line>) -> Ended {
    tokio::spawn(serving.into_future())
}

pub(super) async fn finish(ended: Ended) -> LifecycleReport {
    within(LONG, ended).await.expect("no panic").expect("ends well")
}

pub(super) async fn ask(address: SocketAddr, question: u8) -> io::Result<u8> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_u8(question).await?;
    socket.read_u8().await
}

pub(super) fn outcomes(report: &LifecycleReport) -> Vec<Outcome> {
    report.steps.iter().map(|step| step.outcome).collect()
}

pub(super) fn outcome(report: &LifecycleReport, step: Step) -> Outcome {
    report.step(step).expect("taken").outcome
}

pub(super) fn took(report: &LifecycleReport, step: Step) -> Duration {
    report.step(step).expect("taken").took
}

/// More than any life here takes.
const LONG: Duration = Duration::from_secs(3600);
