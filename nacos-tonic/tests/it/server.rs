//! Real servers that can die like processes do, in tests that cannot hang for ever.
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use nacos_core::{Instance, LiveWriter, Service, ServiceKey, inspect::Tree};
use nacos_testkit::{TimeLimit, within};
use nacos_tonic::Channel;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, oneshot},
};
use tonic::transport::server::TcpIncoming;

use crate::inventory::Inventory;

/// A tonic server on a free port, on a runtime of its own: dropping it drops all at once, sockets
/// included.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) inventory: Inventory,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self::on(listener, name)
    }

    /// Starts again where another one was.
    pub(crate) fn start_at(address: SocketAddr, name: &str) -> Self {
        Self::on(TcpListener::bind(address).expect("the port is free again"), name)
    }

    fn on(listener: TcpListener, name: &str) -> Self {
        TimeLimit::for_test();
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let inventory = Inventory {
            name: name.into(),
            calls: Arc::new(AtomicUsize::new(0)),
            permits: Arc::new(Semaphore::new(0)),
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (stop, stopped) = oneshot::channel::<()>();
        let service = inventory.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
            let incoming = TcpIncoming::from(listener);
            let server = tonic::transport::Server::builder().add_service(service);
            let _stopped = server
                .serve_with_incoming_shutdown(incoming, async {
                    let _gone = stopped.await;
                })
                .await;
        });
        Self { address, inventory, runtime: Some(runtime), stop: Some(stop) }
    }

    pub(crate) fn calls(&self) -> usize {
        self.inventory.calls.load(SeqCst)
    }

    /// Lets so many slow calls or streamed answers go on.
    pub(crate) fn permit(&self, count: usize) {
        self.inventory.permits.add_permits(count);
    }

    /// Keeps the server's thread busy, which reads nothing until this is dropped.
    pub(crate) fn occupy(&self) -> mpsc::Sender<()> {
        let (over, free) = mpsc::channel();
        let runtime = self.runtime.as_ref().expect("until it is dropped");
        runtime.spawn(async move {
            let _dropped: Result<(), _> = free.recv();
        });
        over
    }

    /// Stops politely: says good-bye on every connection and finishes what it has.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    pub(crate) fn instance(&self) -> Instance {
        Instance::new(self.address.ip().to_string(), self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // On a thread, because runtimes may not wait inside of one another; and joined, so that
            // the dead are dead when this returns.
            let end = std::thread::spawn(move || drop(runtime));
            end.join().expect("no panic");
        }
    }
}

/// A channel over instances that the test lists.
pub(crate) fn channel(instances: Vec<Instance>) -> (LiveWriter<Service>, Channel) {
    TimeLimit::for_test();
    let (writer, services) = nacos_core::live(service(instances));
    (writer, Channel::builder().follow(services))
}

pub(crate) fn service(instances: Vec<Instance>) -> Service {
    Service::new(ServiceKey::try_from("inventory").expect("valid"), instances, false)
}

/// Waits until so many endpoints are connected.
pub(crate) async fn until_ready(channel: &Channel, count: usize) {
    let part = channel.inspect();
    let mut changes = part.changed().expect("channels tell");
    within(LONG, async {
        while ready(&part.report()) != count {
            changes.changed().await.expect("the channel lives");
        }
    })
    .await;
}

fn ready(report: &Tree) -> usize {
    let Some(Tree::List(endpoints)) = report.get("endpoints") else { return 0 };
    let ready = Tree::from("ready");
    endpoints.iter().filter(|endpoint| endpoint.get("state") == Some(&ready)).count()
}

/// Far beyond what anything takes: reached only if it never comes.
const LONG: Duration = Duration::from_secs(60);
