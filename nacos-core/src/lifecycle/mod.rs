//! The life of a server that others find through Nacos, for any framework.
//!
//! ```text
//! bind ▶ ready ▶ register ▶ serve ─signal▶ withdraw ▶ observe ▶ grace ▶ drain ▶ close
//!                └ acknowledged ┘          └─ acknowledged, still serving ─┘
//! ```
//!
//! Consumers learn of the server once it can answer, and it answers until they call it no more. It
//! deregisters, waits until Nacos has told a subscriber (itself) that it is gone, and a moment
//! longer, before it accepts no more connections. Then open connections may end by themselves;
//! those that are left at the hard limit are cut. One deadline limits all of that, from the signal
//! on: 25 s by default, which fits the 30 s that Kubernetes gives. Nacos delays the end by a few
//! seconds at most, also when it does not answer. A second signal ends everything at once.
//!
//! `nacos-axum` and `nacos-tonic` consist of this module and a [`Serve`] each; another framework
//! needs the same thirty lines:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
//! use nacos_core::lifecycle::{Bound, Connections, Serve, Shutdown};
//! use tokio::{io::AsyncWriteExt, net::TcpListener};
//!
//! /// Tells everybody hello.
//! struct Hello(TcpListener);
//!
//! impl Serve for Hello {
//!     fn local_addr(&self) -> std::io::Result<std::net::SocketAddr> {
//!         self.0.local_addr()
//!     }
//!
//!     async fn serve(
//!         self,
//!         connections: Connections,
//!         stop: impl Future<Output = ()> + Send + 'static,
//!     ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!         let accept = async {
//!             loop {
//!                 let (socket, _) = self.0.accept().await?;
//!                 connections.track(socket).write_all(b"hello").await?;
//!             }
//!         };
//!         tokio::select! {
//!             error = accept => error,
//!             () = stop => Ok(()),
//!         }
//!     }
//! }
//!
//! let shutdown = Shutdown::new();
//! # shutdown.begin();
//! let hello = Hello(TcpListener::bind("127.0.0.1:0").await?);
//! let report = Bound::new(hello).with_nacos(&nacos, "hello").with_shutdown(&shutdown).await?;
//! println!("{report}");
//! # Ok(()) }
//! ```
//!
//! # What is absent
//!
//! This module spawns only the task that waits for signals. A process that is killed withdraws
//! nothing: Nacos sees its connection end, or, where the host is gone too, misses its answers for
//! some 20 s.
mod connections;
mod desired;
mod ramp;
mod readiness;
mod registrar;
mod report;
mod run;
mod serving;
mod shutdown;
mod signals;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::warn;

pub use self::{
    connections::{Connections, Tracked},
    readiness::Readiness,
    report::{LifecycleReport, Outcome, Step, StepReport},
    serving::{Bound, Serve, Serving},
    shutdown::Shutdown,
};
use crate::{
    client::Client,
    inspect::{Inspect, Tree},
    live::{Live, LiveWriter, live},
    tasks::Task,
};

/// The common life of the servers of one client: they end together, and the last one closes the
/// client.
///
/// There is one for each client, for as long as a server or a clone of it lives: every server that
/// is [given the client](Bound::with_nacos) joins it. Cheap to clone; every clone is the same one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use nacos_core::lifecycle::{Lifecycle, Readiness};
///
/// let lifecycle = Lifecycle::of(&nacos);
/// // For a readiness probe, which a handler answers.
/// let readiness = lifecycle.readiness();
/// assert_eq!(*readiness.get(), Readiness::Starting);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    shutdown: Shutdown,
    readiness: LiveWriter<Readiness>,
    servers: Mutex<RunningServers>,
    listens: AtomicBool,
    /// None: nothing to listen to, or not yet.
    signals: OnceLock<Task<()>>,
}

#[derive(Debug, Default)]
struct RunningServers {
    running: usize,
    ready: usize,
    unhealthy: usize,
    keep_client: bool,
}

impl Lifecycle {
    /// The lifecycle of the servers of `client`. It keeps the client.
    #[must_use]
    pub fn of(client: &Client) -> Self {
        let (shared, is_new) = client.extension(|| Shared {
            client: client.clone(),
            shutdown: Shutdown::new(),
            readiness: live(Readiness::Starting).0,
            servers: Mutex::default(),
            listens: AtomicBool::new(false),
            signals: OnceLock::new(),
        });
        if is_new {
            let inspect: Arc<dyn Inspect> = Arc::clone(&shared) as _;
            client.inspect(&inspect);
        }
        Self { shared }
    }

    /// Whether all servers are ready for traffic. Ends with the lifecycle.
    #[must_use]
    pub fn readiness(&self) -> Live<Readiness> {
        self.shared.readiness.reader()
    }

    /// The trigger that ends all servers; a signal pulls it too.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shared.shutdown
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Listens to signals, once, however often it is called.
    fn listen_to_signals(&self) {
        if self.shared.listens.swap(true, Ordering::Relaxed) {
            return;
        }
        // Not within the cell, where others would wait: the span is seen by the log's subscriber.
        match signals::listen(self.shutdown().clone()) {
            // It was empty.
            Ok(task) => drop(self.shared.signals.set(task)),
            Err(error) => warn!(%error, "no signal will end the servers"),
        }
    }

    /// One more server.
    fn join(&self) -> RunningServer {
        self.shared.change(|servers| servers.running += 1);
        RunningServer { lifecycle: self.clone(), is_ready: false, is_healthy: true }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut RunningServers)) {
        change(&mut self.servers());
        // Not under the lock, which a task that is woken may take. Of two that change it at the
        // same time, the one that publishes last has looked last, too.
        let mut now = self.now();
        loop {
            self.readiness.publish_if_changed(now);
            let then = std::mem::replace(&mut now, self.now());
            if then == now {
                return;
            }
        }
    }

    /// The readiness of all servers together.
    fn now(&self) -> Readiness {
        let servers = self.servers();
        if self.shutdown.has_begun() {
            Readiness::Stopping
        } else if servers.running == 0 || servers.running > servers.ready {
            Readiness::Starting
        } else if servers.unhealthy > 0 {
            Readiness::Unhealthy
        } else {
            Readiness::Ready
        }
    }

    fn servers(&self) -> MutexGuard<'_, RunningServers> {
        // A panic under the lock cannot leave the counts half-changed.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One server's part in a lifecycle.
#[derive(Debug)]
struct RunningServer {
    lifecycle: Lifecycle,
    is_ready: bool,
    is_healthy: bool,
}

impl RunningServer {
    fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            self.lifecycle.shared.change(|servers| servers.ready += 1);
        }
    }

    /// Is ready from now on, while it is healthy. Never ends.
    async fn ready_while(&mut self, mut health: Option<Live<bool>>) -> Infallible {
        self.set_healthy(health.as_ref().is_none_or(|health| *health.get()));
        self.ready();
        if let Some(health) = &mut health {
            while let Some(is_healthy) = health.changed().await {
                self.set_healthy(*is_healthy);
            }
        }
        std::future::pending().await
    }

    fn set_healthy(&mut self, is_healthy: bool) {
        if std::mem::replace(&mut self.is_healthy, is_healthy) != is_healthy {
            self.lifecycle.shared.change(|servers| {
                if is_healthy {
                    servers.unhealthy -= 1;
                } else {
                    servers.unhealthy += 1;
                }
            });
        }
    }

    fn stopping(&self) {
        self.lifecycle.shared.change(|_| {});
    }

    fn keep_client(&self) {
        self.lifecycle.shared.change(|servers| servers.keep_client = true);
    }

    /// Whether the client is to be closed when this one leaves.
    fn closes_client(&self) -> bool {
        let servers = self.lifecycle.shared.servers();
        servers.running == 1 && !servers.keep_client
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.lifecycle.shared.change(|servers| {
            servers.running -= 1;
            servers.ready -= usize::from(self.is_ready);
            servers.unhealthy -= usize::from(!self.is_healthy);
        });
    }
}

impl Inspect for Shared {
    fn name(&self) -> String {
        "lifecycle".to_owned()
    }

    fn report(&self) -> Tree {
        let servers = self.servers();
        Tree::branch([
            ("readiness", self.readiness.get().to_string().into()),
            ("servers", servers.running.into()),
            ("ready", servers.ready.into()),
        ])
    }
}

impl From<&Client> for Lifecycle {
    fn from(client: &Client) -> Self {
        Self::of(client)
    }
}

impl From<&Lifecycle> for Lifecycle {
    fn from(lifecycle: &Lifecycle) -> Self {
        lifecycle.clone()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("readiness", &self.readiness.get()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("readiness", &self.shared.readiness.get())
            .finish_non_exhaustive()
    }
}
