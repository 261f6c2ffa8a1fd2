//! The server: its ports, its tasks, its life.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, time::Instant};

use crate::{
    Behaviour, events, grpc, http,
    line::Gate,
    ports::{GRPC_OFFSET, free_pair},
    shared::{Plan, Shared},
    state::Event,
    tasks::{self, Task},
};

/// A Nacos server inside the test's process, on two ports of 127.0.0.1.
///
/// It runs on the runtime that started it and starts no thread. All its methods take `&self`; what
/// they change is changed when they return, and clients learn of it as soon as the runtime gets to
/// it. Dropping it closes every socket at once and ends every task.
pub struct Server {
    pub(crate) shared: Arc<Shared>,
    ports: Mutex<Option<Ports>>,
    _events: Task,
}

impl Server {
    /// Starts a server that imitates [`Behaviour::Nacos3_0`] and lets all clients in.
    ///
    /// # Errors
    ///
    /// When no pair of free ports is found.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    pub(crate) async fn open(plan: Plan) -> io::Result<Self> {
        let (main, grpc) = free_pair().await?;
        let probe_silence = plan.probe_silence;
        let shared = Arc::new(Shared::new(plan, main.local_addr()?));
        if probe_silence {
            let scan = shared.behaviour().silence().scan;
            shared.schedule.enter(Instant::now() + scan, Event::Scan);
        }
        Ok(Self {
            ports: Mutex::new(Some(Ports::open(&shared, main, grpc))),
            _events: tasks::spawn(events::work_off(Arc::clone(&shared))),
            shared,
        })
    }

    /// The main port: what a client takes for the server's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// The gRPC port, 1000 above the main port.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        grpc_addr(self.addr())
    }

    /// The server that is imitated.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        self.shared.behaviour()
    }

    /// Ends and begins again, in no time: every socket is closed, connections and all that lived in
    /// them are forgotten, tokens are worthless. Configurations, persistent instances and those of
    /// [`register`](Self::register) stay, counters go on, faults remain. A stopped server resumes.
    ///
    /// # Errors
    ///
    /// When the server was stopped and another process has taken one of its ports.
    pub async fn restart(&self) -> io::Result<()> {
        self.shared.forget_everything_but_documents();
        self.resume().await
    }

    /// Closes both ports, so that connections are refused, and forgets what a
    /// [restart](Self::restart) forgets. Stopping a stopped server changes nothing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is done before the first wait.
    #[expect(
        clippy::unused_async,
        reason = "the counterpart of `resume`, and free to wait one day"
    )]
    pub async fn stop(&self) {
        *self.ports() = None;
        self.shared.forget_everything_but_documents();
    }

    /// Opens the ports again, the same ones. Does nothing on a server that is not stopped.
    ///
    /// # Errors
    ///
    /// When another process has taken one of the ports; the server is still stopped then.
    pub async fn resume(&self) -> io::Result<()> {
        if self.ports().is_some() {
            return Ok(());
        }
        let main = TcpListener::bind(self.addr()).await?;
        let grpc = TcpListener::bind(self.grpc_addr()).await?;
        *self.ports() = Some(Ports::open(&self.shared, main, grpc));
        Ok(())
    }

    fn ports(&self) -> MutexGuard<'_, Option<Ports>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows where it listens and what it imitates: no document, and no credentials.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr())
            .field("behaviour", &self.behaviour())
            .finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.ports() = None;
        self.shared.forget_everything_but_documents();
    }
}

/// The open ports. Dropping them closes them at once, and ends the tasks behind them.
#[derive(Debug)]
struct Ports {
    gates: [Arc<Gate>; 2],
    _serving: [Task; 2],
}

impl Ports {
    fn open(shared: &Arc<Shared>, main: TcpListener, grpc: TcpListener) -> Self {
        let (main, grpc) = (Gate::new(main), Gate::new(grpc));
        let serving = [
            tasks::spawn(http::serve(Arc::clone(&main), Arc::clone(shared))),
            tasks::spawn(grpc::serve(Arc::clone(&grpc), Arc::clone(shared))),
        ];
        Self { gates: [main, grpc], _serving: serving }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.gates.iter().for_each(|gate| gate.close());
    }
}

fn grpc_addr(main: SocketAddr) -> SocketAddr {
    SocketAddr::new(main.ip(), main.port().saturating_add(GRPC_OFFSET))
}
