//! A TCP proxy that fails on demand, between any client and any server.
//!
//! The faults of [`Server`](crate::Server) are a server's; those of [`FaultProxy`] are the
//! network's, beneath HTTP/1 and HTTP/2. The server may be the one of this crate or a real one.
//!
//! ```
//! use nacos_testkit::{Server, proxy::{Command, FaultProxy}};
//! use tokio::{io::AsyncReadExt, net::TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let server = Server::start().await?;
//! let proxy = FaultProxy::nacos(server.addr()).await?;
//!
//! // `proxy.addr()` is for the client under test.
//! let mut client = TcpStream::connect(proxy.addr()).await?;
//! proxy.until(|proxy| proxy.connections() == 1).await;
//! proxy.apply(Command::reset())?;
//! let error = client.read(&mut [0]).await.expect_err("the connection is gone");
//! assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
//! # Ok(())
//! # }
//! ```
//!
//! Every [`Command`] is for one direction or both, for open connections, new ones or all. A
//! [`Script`] is a sequence of them, written down or drawn from a seed.
//!
//! # What it carries, and what not
//!
//! Bytes, FIN and RST, each in its direction and in order; `TCP_NODELAY` is set on both sides. A
//! connection is accepted before the server is dialled, so a client whose server refuses sees its
//! connection reset instead. The queue in each direction of a connection has a bound: 1 MiB
//! while there is a delay, 64 KiB otherwise. A sender whose receiver does not read is slowed down,
//! after the buffers of the systems have filled as well.

mod command;
mod connection;
mod flight;
mod front;
mod http2;
mod link;
mod pace;
mod pump;
mod random;
mod script;
mod shared;

use std::{io, net::SocketAddr, sync::Arc};

use crate::{
    ports::{GRPC_OFFSET, free_pair},
    tasks::TransportTasks,
};

use command::What;
use front::{Front, free_port};
use shared::Shared;

pub use command::{Command, Direction};
pub use http2::{HttpProxy, Upstreams};
pub use script::Script;

/// A TCP proxy on 127.0.0.1, in front of one server.
///
/// It runs on the runtime that started it and starts no thread. A command is in effect when
/// [`apply`](Self::apply) returns, and peers learn of it as soon as the runtime gets to it. Timers
/// are tokio's: on a paused clock delays take no time. Dropping the proxy closes every socket at
/// once, ports included, and ends every task.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    main: Front,
    grpc: Option<Front>,
    tasks: TransportTasks,
}

impl FaultProxy {
    /// Starts a proxy with one port in front of a server with one port. Everything passes.
    ///
    /// The server is dialled for each connection, not now.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let proxy = nacos_testkit::proxy::FaultProxy::start(upstream.local_addr()?).await?;
    /// let client = tokio::net::TcpStream::connect(proxy.addr()).await?;
    /// let (server, _) = upstream.accept().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = free_port().await?;
        Self::open((listener, upstream), None)
    }

    /// Starts a proxy in front of a Nacos server with this main port: two ports, 1000 apart as
    /// clients expect it, to the server's main port and to its gRPC port, 1000 above. Commands and
    /// counters are for both.
    ///
    /// # Errors
    ///
    /// When no pair of free ports is found, or there is no port 1000 above the server's.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let server = nacos_testkit::Server::start().await?;
    /// let proxy = nacos_testkit::proxy::FaultProxy::nacos(server.addr()).await?;
    /// let grpc = proxy.grpc_addr().expect("in front of a Nacos server");
    /// assert_eq!(grpc.port(), proxy.addr().port() + 1000);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn nacos(upstream: SocketAddr) -> io::Result<Self> {
        let Some(port) = upstream.port().checked_add(GRPC_OFFSET) else {
            let message = format!("{upstream} has no gRPC port: there is none 1000 above it");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let (main, grpc) = free_pair().await?;
        Self::open((main, upstream), Some((grpc, SocketAddr::new(upstream.ip(), port))))
    }

    fn open(main: Route, grpc: Option<Route>) -> io::Result<Self> {
        let (shared, tasks) = (Arc::new(Shared::default()), TransportTasks::default());
        let spawner = tasks.downgrade();
        let front = |(listener, upstream)| Front::open(listener, upstream, &shared, &spawner);
        let (main, grpc) = (front(main)?, grpc.map(front).transpose()?);
        Ok(Self { shared, main, grpc, tasks })
    }

    /// Where clients connect; in front of a Nacos server, what they take for the server's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.main.addr()
    }

    /// The gRPC port, 1000 above the other, if it is in front of a [Nacos server](Self::nacos).
    #[must_use]
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(Front::addr)
    }

    /// Changes the network.
    ///
    /// # Errors
    ///
    /// Only [`Command::accept`] can fail, when another process has taken a port. The other port is
    /// open then, this one is not, and another try may succeed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::ErrorKind, time::Duration};
    /// # use nacos_testkit::proxy::{Command, FaultProxy};
    /// # use tokio::net::TcpStream;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let proxy = FaultProxy::nacos(server.addr()).await?;
    /// proxy.apply(Command::delay(Duration::from_millis(50), Duration::ZERO).to_client())?;
    /// proxy.apply(Command::refuse())?;
    /// let error = TcpStream::connect(proxy.addr()).await.expect_err("nobody listens");
    /// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    /// proxy.apply(Command::accept())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply(&self, command: Command) -> io::Result<()> {
        let fronts = [Some(&self.main), self.grpc.as_ref()].into_iter().flatten();
        match command.what {
            What::Accept => {
                let spawner = self.tasks.downgrade();
                let opened = fronts.map(|front| front.accept(&self.shared, &spawner));
                // Both are tried: a port that is taken must not keep the other closed.
                return opened.fold(Ok(()), Result::and);
            }
            What::Refuse => fronts.for_each(Front::refuse),
            _ => self.shared.handle_command(command),
        }
        Ok(())
    }

    /// Connections that are open now: accepted, and neither cut nor ended in both directions.
    ///
    /// See [`until`](Self::until) for an example.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.read(shared::State::open)
    }

    /// Connections ever accepted, those that were reset at once included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.read(|state| state.accepted)
    }

    /// Bytes ever delivered in a direction: handed to the socket of the receiver, read or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use nacos_testkit::proxy::{Direction, FaultProxy};
    /// # use tokio::{io::AsyncWriteExt, net::TcpStream};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let proxy = FaultProxy::nacos(server.addr()).await?;
    /// let mut client = TcpStream::connect(proxy.addr()).await?;
    /// client.write_all(b"GET /").await?;
    /// proxy.until(|proxy| proxy.delivered(Direction::ToServer) == 5).await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn delivered(&self, direction: Direction) -> u64 {
        self.shared.read(|state| *state.delivered.of(direction))
    }

    fn delivered_at_all(&self) -> u64 {
        self.shared.read(|state| state.delivered.to_client + state.delivered.to_server)
    }

    /// Waits until the condition holds; looks again after whatever happens: a connection that comes
    /// or goes, bytes that are delivered, a command.
    ///
    /// It has no deadline of its own, and returns at once when the condition holds already.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only looks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use nacos_testkit::proxy::FaultProxy;
    /// # use tokio::net::TcpStream;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let proxy = FaultProxy::nacos(server.addr()).await?;
    /// let client = TcpStream::connect(proxy.addr()).await?;
    /// proxy.until(|proxy| proxy.connections() == 1).await;
    /// drop(client);
    /// proxy.until(|proxy| proxy.connections() == 0).await;
    /// assert_eq!(proxy.accepted(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes();
        while !condition(self) {
            if changes.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.close();
        self.tasks.end();
    }
}

/// A port that is listened to, and where its connections go.
type Route = (tokio::net::TcpListener, SocketAddr);
