//! The server: its ports, its tasks, its life.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, time::Instant};

use crate::{
    Behaviour, grpc, http,
    line::Gate,
    ports::{GRPC_OFFSET, free_pair},
    shared::{Plan, Shared, work_off},
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
    ports: Mutex<Ports>,
    _events: Task,
}

impl Server {
    pub(crate) async fn open(plan: Plan) -> io::Result<Self> {
        let (main, grpc) = free_pair().await?;
        let probe_silence = plan.probe_silence;
        let shared = Arc::new(Shared::new(plan, main.local_addr()?));
        if probe_silence {
            let scan = shared.behaviour().silence().scan;
            shared.schedule.enter(Instant::now() + scan, Event::Scan);
        }
        Ok(Self {
            ports: Mutex::new(Ports {
                main: Some(Port::main(&shared, main)),
                grpc: Some(Port::grpc(&shared, grpc)),
                main_is_closed: false,
            }),
            _events: tasks::spawn(work_off(Arc::clone(&shared))),
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

    /// The issuer of the provider that [`oidc`](crate::Builder::oidc) puts beside the server: its
    /// document is at `/.well-known/openid-configuration` below it, and its token endpoint at
    /// `/token`. [`answer_at`](Self::answer_at) plans its answers (`/oidc/token`), and
    /// [`delay_logins`](Self::delay_logins) delays them.
    #[must_use]
    pub fn oidc_issuer(&self) -> String {
        format!("http://{}{}", self.addr(), http::oidc::ISSUER)
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
        self.ports().close();
        self.shared.forget_everything_but_documents();
    }

    /// Opens the ports again, the same ones. Does nothing on a server that is not stopped.
    ///
    /// # Errors
    ///
    /// When another process has taken one of the ports; the server is still stopped then.
    pub async fn resume(&self) -> io::Result<()> {
        let main_is_closed = {
            let ports = self.ports();
            if ports.grpc.is_some() {
                return Ok(());
            }
            ports.main_is_closed
        };
        let main = if main_is_closed { None } else { Some(TcpListener::bind(self.addr()).await?) };
        let grpc = TcpListener::bind(self.grpc_addr()).await?;
        let mut ports = self.ports();
        ports.main = main.map(|main| Port::main(&self.shared, main));
        ports.grpc = Some(Port::grpc(&self.shared, grpc));
        Ok(())
    }

    /// Closes the main port alone, so that logins are refused like any connection, or opens it
    /// again: behind a proxy that exposes the gRPC port only, or at a server that opens its ports
    /// one after the other. It stays closed over [`stop`](Self::stop), [`resume`](Self::resume) and
    /// [`restart`](Self::restart).
    ///
    /// # Errors
    ///
    /// When another process has taken the port; it is still closed then.
    pub async fn close_main_port(&self, closed: bool) -> io::Result<()> {
        let opens = {
            let mut ports = self.ports();
            if closed {
                ports.main = None;
                ports.main_is_closed = true;
            }
            // A stopped one opens it when it resumes.
            let opens = !closed && ports.main.is_none() && ports.grpc.is_some();
            ports.main_is_closed = closed || opens;
            opens
        };
        if opens {
            let main = TcpListener::bind(self.addr()).await?;
            let mut ports = self.ports();
            ports.main = Some(Port::main(&self.shared, main));
            ports.main_is_closed = false;
        }
        Ok(())
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
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
        self.ports().close();
        self.shared.forget_everything_but_documents();
    }
}

/// The ports, as far as they are open.
#[derive(Debug)]
struct Ports {
    main: Option<Port>,
    grpc: Option<Port>,
    /// The main port opens with the other one only if it is not to stay closed.
    main_is_closed: bool,
}

impl Ports {
    fn close(&mut self) {
        self.main = None;
        self.grpc = None;
    }
}

/// An open port. Dropping it closes it at once, and ends the task behind it.
#[derive(Debug)]
struct Port {
    gate: Arc<Gate>,
    _serving: Task,
}

impl Port {
    fn main(shared: &Arc<Shared>, listener: TcpListener) -> Self {
        let gate = Gate::new(listener);
        let serving = tasks::spawn(http::serve(Arc::clone(&gate), Arc::clone(shared)));
        Self { gate, _serving: serving }
    }

    fn grpc(shared: &Arc<Shared>, listener: TcpListener) -> Self {
        let gate = Gate::new(listener);
        let serving = tasks::spawn(grpc::serve(Arc::clone(&gate), Arc::clone(shared)));
        Self { gate, _serving: serving }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.gate.close();
    }
}

fn grpc_addr(main: SocketAddr) -> SocketAddr {
    SocketAddr::new(main.ip(), main.port().saturating_add(GRPC_OFFSET))
}
