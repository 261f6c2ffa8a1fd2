//! An HTTP/2 proxy: it ends the client's connection, and sends what it carries over others.
//!
//! A Nacos server takes the connection that reaches it for the client. A proxy that knows HTTP/2,
//! such as nginx with `grpc_pass` or Envoy, has connections of its own behind it, and shares them
//! out as it likes: [`Upstreams`] says how.
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client, server::SendResponse};
use http::{Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    time::timeout,
};

use crate::{
    ports::{GRPC_OFFSET, free_pair},
    tasks::{Spawner, TransportTasks},
};

/// Over which connections a proxy sends what comes over one of a client's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Upstreams {
    /// One for each of the clients', as if there were no proxy.
    Own,
    /// Two for each of the clients': one carries streams, and both carry calls in turn.
    Split,
    /// One for all.
    Pooled,
    /// One for each of the clients', until it has carried `calls`: those that follow go over
    /// another, while the stream stays.
    Renewed {
        /// Calls before that.
        calls: usize,
    },
    /// Two for each of the clients': one carries streams, the other calls.
    Apart,
}

/// An HTTP/2 proxy on 127.0.0.1, in front of the gRPC port of one Nacos server.
///
/// It runs on the runtime that started it; dropping it closes every socket.
///
/// ```
/// use nacos_testkit::{Server, proxy::{HttpProxy, Upstreams}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = Server::start().await?;
/// let proxy = HttpProxy::nacos(server.addr(), Upstreams::Pooled).await?;
/// // `proxy.addr()` is for the client under test.
/// assert_eq!(proxy.upstreams(), 0, "it connects when it has something to carry");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpProxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    tasks: TransportTasks,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    mode: Upstreams,
    /// How long either side of a stream may say nothing.
    idle: Option<Duration>,
    opened: AtomicUsize,
    /// How often clients were told to leave.
    leaving: watch::Sender<()>,
    pool: Mutex<Option<Upstream>>,
}

type Upstream = client::SendRequest<Bytes>;

impl HttpProxy {
    /// Starts a proxy in front of the Nacos server with this main port. Nothing listens on the
    /// proxy's own main port: logins do not go through it.
    ///
    /// # Errors
    ///
    /// When no pair of free ports is found.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    pub async fn nacos(server: SocketAddr, upstreams: Upstreams) -> io::Result<Self> {
        Self::open(server, upstreams, None).await
    }

    /// The same, and a stream on which neither side says anything for `idle` is reset, as nginx
    /// does after its `grpc_read_timeout` of 60 s. Health checks of Nacos clients are calls, and
    /// keep no stream.
    ///
    /// # Errors
    ///
    /// When no pair of free ports is found.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    pub async fn with_idle_limit(server: SocketAddr, idle: Duration) -> io::Result<Self> {
        Self::open(server, Upstreams::Own, Some(idle)).await
    }

    async fn open(server: SocketAddr, mode: Upstreams, idle: Option<Duration>) -> io::Result<Self> {
        let (main, listener) = free_pair().await?;
        let addr = main.local_addr()?;
        let upstream = SocketAddr::new(server.ip(), server.port().saturating_add(GRPC_OFFSET));
        let (opened, pool) = (AtomicUsize::new(0), Mutex::new(None));
        let leaving = watch::Sender::new(());
        let shared = Arc::new(Shared { upstream, mode, idle, opened, leaving, pool });
        let tasks = TransportTasks::default();
        let spawner = tasks.downgrade();
        spawner.spawn(accept(main, listener, Arc::clone(&shared), spawner.clone()));
        Ok(Self { shared, addr, tasks })
    }

    /// The address for clients: gRPC is 1000 ports above it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends GOAWAY on every connection of a client, as a proxy does that is configured anew, or
    /// finds a connection too old: what is under way on it goes on, streams among it, and nothing
    /// new is taken.
    pub fn go_away(&self) {
        self.shared.leaving.send_replace(());
    }

    /// How many connections to the server it has opened so far.
    #[must_use]
    pub fn upstreams(&self) -> usize {
        self.shared.opened.load(Ordering::Relaxed)
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

async fn accept(main: TcpListener, listener: TcpListener, shared: Arc<Shared>, tasks: Spawner) {
    // Reserved, so that no other process listens where a client would log in.
    let _main = main;
    while let Ok((socket, _)) = listener.accept().await {
        tasks.spawn(carry(socket, Arc::clone(&shared), tasks.clone()));
    }
}

/// Carries one connection of a client. Its own upstreams end with it.
async fn carry(socket: TcpStream, shared: Arc<Shared>, tasks: Spawner) {
    // A paused clock does not wait for delayed acknowledgements.
    let _ = socket.set_nodelay(true);
    let Ok(mut down) = h2::server::handshake(socket).await else { return };
    let own = TransportTasks::default();
    let _end = End(own.clone());
    let mut upstreams = Vec::new();
    let count = match shared.mode {
        Upstreams::Own => 1,
        Upstreams::Split | Upstreams::Renewed { .. } | Upstreams::Apart => 2,
        Upstreams::Pooled => 0,
    };
    for _ in 0..count {
        let Ok(upstream) = shared.connect(&own.downgrade()).await else { return };
        upstreams.push(upstream);
    }
    let mut turn = 0;
    let mut leaving = shared.leaving.subscribe();
    loop {
        let next = tokio::select! {
            next = down.accept() => next,
            _ = leaving.changed() => {
                down.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = next else { return };
        let is_stream = request.uri().path().contains("BiRequestStream");
        let upstream = match shared.mode {
            Upstreams::Pooled => shared.pooled(&tasks).await,
            _ if is_stream => upstreams.first().cloned(),
            Upstreams::Renewed { calls } => {
                turn += 1;
                upstreams.get(usize::from(turn > calls)).cloned()
            }
            Upstreams::Apart => upstreams.last().cloned(),
            _ => {
                turn += 1;
                upstreams.get(turn % upstreams.len().max(1)).cloned()
            }
        };
        let Some(upstream) = upstream else { return };
        let idle = shared.idle.filter(|_| is_stream);
        own.downgrade().spawn(forward(request, respond, upstream, idle));
    }
}

/// Ends its tasks when it is dropped.
struct End(TransportTasks);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shared {
    async fn connect(&self, tasks: &Spawner) -> io::Result<Upstream> {
        let socket = TcpStream::connect(self.upstream).await?;
        socket.set_nodelay(true)?;
        let (upstream, work) = client::handshake(socket).await.map_err(io::Error::other)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        tasks.spawn(async move {
            // Its end shows in what is sent over it.
            let _ = work.await;
        });
        Ok(upstream)
    }

    /// The one for all; another if it has ended.
    async fn pooled(&self, tasks: &Spawner) -> Option<Upstream> {
        let mut pool = self.pool.lock().await;
        if let Some(upstream) = pool.clone()
            && let Ok(upstream) = upstream.ready().await
        {
            return Some(upstream);
        }
        *pool = self.connect(tasks).await.ok();
        pool.clone()
    }
}

/// Carries one request and its answer.
async fn forward(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    upstream: Upstream,
    idle: Option<Duration>,
) {
    let refuse = |respond: &mut SendResponse<Bytes>| respond.send_reset(Reason::INTERNAL_ERROR);
    let Ok(mut upstream) = upstream.ready().await else { return refuse(&mut respond) };
    let (head, body) = request.into_parts();
    let Ok((answer, send)) = upstream.send_request(Request::from_parts(head, ()), false) else {
        return refuse(&mut respond);
    };
    let there = async {
        let answer = answer.await.ok()?;
        let (head, body) = answer.into_parts();
        let ends = body.is_end_stream();
        let send = respond.send_response(Response::from_parts(head, ()), ends).ok()?;
        if ends { None } else { Some((body, send)) }
    };
    let back = async {
        match there.await {
            Some((body, send)) => pump(body, send, idle).await,
            None => Ok(()),
        }
    };
    tokio::select! {
        ended = back => if ended.is_err() { respond.send_reset(Reason::INTERNAL_ERROR) },
        () = async {
            if pump(body, send, None).await.is_ok() {
                // The answer may take longer than the question.
                std::future::pending::<()>().await;
            }
        } => respond.send_reset(Reason::CANCEL),
    }
}

/// Hands on one half of a stream; an error if it was reset, or was silent for too long.
async fn pump(
    mut from: RecvStream,
    mut to: SendStream<Bytes>,
    idle: Option<Duration>,
) -> Result<(), Reason> {
    loop {
        let next = from.data();
        let next = match idle {
            Some(idle) => timeout(idle, next).await.map_err(|_| Reason::INTERNAL_ERROR)?,
            None => next.await,
        };
        match next {
            Some(Ok(bytes)) => {
                let _ = from.flow_control().release_capacity(bytes.len());
                to.send_data(bytes, false).map_err(|_| Reason::CANCEL)?;
            }
            Some(Err(error)) => {
                let reason = error.reason().unwrap_or(Reason::CANCEL);
                to.send_reset(reason);
                return Err(reason);
            }
            None => break,
        }
    }
    match from.trailers().await {
        Ok(Some(trailers)) => to.send_trailers(trailers).map_err(|_| Reason::CANCEL),
        Ok(None) => to.send_data(Bytes::new(), true).map_err(|_| Reason::CANCEL),
        Err(error) => Err(error.reason().unwrap_or(Reason::CANCEL)),
    }
}
