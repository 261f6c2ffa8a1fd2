//! Makes HTTP/2 connections.
use std::{fmt, marker::PhantomData, net::SocketAddr, time::Duration};

use http::HeaderValue;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::watch,
};
use tracing::{Instrument, Span, info_span};

use super::{
    connection::Http2Connection,
    driver::{drive, executor},
    given_up::GivenUp,
    origin::Origin,
    reach::{Greeted, first},
};
use crate::{
    endpoint::Endpoint,
    tasks,
    transport::{BoxError, Connect},
};

/// Connects to endpoints with HTTP/2 in clear text, for requests with bodies of type `B`.
///
/// Servers must speak it with prior knowledge, as gRPC servers do: nothing is negotiated. A request
/// whose URI is a path goes to the authority of its endpoint; one that names an authority keeps it.
///
/// An endpoint is connected once its first frame has come: every HTTP/2 server begins with one, and
/// what accepts sockets and says nothing gets no request. The addresses of a host name are tried in
/// their order, the next one when one has failed, or 250 ms after the one before it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use nacos_tower::{Balance, Http2Connector};
///
/// let connector = Http2Connector::<Full<Bytes>>::new();
/// let orders = Balance::builder(connector).connect(&nacos, "orders").await?;
/// # Ok(()) }
/// ```
pub struct Http2Connector<B> {
    keep_alive: Option<Duration>,
    user_agent: HeaderValue,
    bodies: PhantomData<fn(B)>,
}

impl<B> Http2Connector<B> {
    /// A connector without keep-alive.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keep_alive: None,
            user_agent: HeaderValue::from_static(USER_AGENT),
            bodies: PhantomData,
        }
    }

    /// Pings endpoints that have been silent for this long while requests are under way, and closes
    /// the connection to one that does not answer within 20 s. Never by default.
    ///
    /// It finds endpoints that vanished without closing their connections before their requests
    /// time out. Many servers close connections on which they are pinged more often than they like:
    /// for gRPC's own implementations that is every five minutes, unless configured otherwise.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// The `user-agent` of requests that have none. `nacos-tower` and its version by default.
    #[must_use]
    pub fn user_agent(mut self, agent: HeaderValue) -> Self {
        self.user_agent = agent;
        self
    }
}

impl<B> Connect for Http2Connector<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Connection = Http2Connection<B>;

    async fn connect(&self, endpoint: Endpoint) -> Result<Http2Connection<B>, BoxError> {
        // A root span: the request that dials may be over long before the connection.
        let span = info_span!(parent: None, "http2 connection", endpoint = endpoint.address());
        let origin = Origin::parse(endpoint.address(), self.user_agent.clone())?;
        let addresses = lookup_host(endpoint.address()).await?;
        first(addresses, |address| self.connect_to(address, origin.clone(), span.clone())).await
    }
}

impl<B> Http2Connector<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// A connection to one address, once the peer has said its first words: a kernel or a proxy
    /// accepts sockets, too, and a request that goes there is lost.
    async fn connect_to(
        &self,
        address: SocketAddr,
        origin: Origin,
        span: Span,
    ) -> Result<Http2Connection<B>, BoxError> {
        let socket = TcpStream::connect(address).await?;
        // A call is one small write: it must not wait for the acknowledgement of the one before.
        socket.set_nodelay(true)?;
        let (socket, greeted) = Greeted::new(socket);
        let (executor, jobs) = executor();
        let given_up = GivenUp::new(executor.downgrade());
        let mut builder = http2::Builder::new(executor);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(self.keep_alive)
            // Answers that still come on streams that were reset are no fault of the endpoint's,
            // however many there are in the life of a connection. Of more than 50 streams that are
            // reset within a second, h2 forgets the rest, and counts what comes on them.
            .max_local_error_reset_streams(None);
        // Within the span: the protocol below makes one of its own for as long as it lives.
        let shaking = builder.handshake(TokioIo::new(socket)).instrument(span.clone());
        let (sender, connection) = shaking.await?;
        let (over, ended) = watch::channel(false);
        let driver = tasks::spawn(span, drive(connection, jobs, over));
        greeted.await.map_err(|_| "the connection was closed before its first words")?;
        Ok(Http2Connection::new(sender, origin, ended, given_up, driver))
    }
}

impl<B> Clone for Http2Connector<B> {
    fn clone(&self) -> Self {
        let Self { keep_alive, ref user_agent, bodies } = *self;
        Self { keep_alive, user_agent: user_agent.clone(), bodies }
    }
}

impl<B> Default for Http2Connector<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> fmt::Debug for Http2Connector<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connector")
            .field("keep_alive", &self.keep_alive)
            .field("user_agent", &self.user_agent)
            .finish()
    }
}

const USER_AGENT: &str = concat!("nacos-tower/", env!("CARGO_PKG_VERSION"));
