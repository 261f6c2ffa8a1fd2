//! A gRPC channel over the live instances of a service.
mod builder;
mod future;
mod status;
mod timeout;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use nacos_core::{Client, Error, InvalidName, ServiceKey, inspect::Inspect};
use nacos_tower::{Balance, Deadline, Http2Connection, Http2Connector, Replay, Retry};
use tonic::{Status, body::Body};
use tower_service::Service;

pub use self::{builder::ChannelBuilder, future::ResponseFuture};

/// A channel for generated clients, balanced over the instances that Nacos knows.
///
/// Cheap to clone; clones share connections. It stands where `tonic::transport::Channel` stands,
/// and keeps one HTTP/2 connection to each instance: calls pick one when they are made, without a
/// lock or a queue in between. [`nacos_tower::Balance`] tells how calls and endpoints fare; here is
/// what gRPC adds.
///
/// - The timeout of a call (`tonic::Request::set_timeout`) is kept here as well as sent along. It
///   ends when the response begins.
/// - Calls that carry [`Idempotent`](crate::Idempotent) in their extensions are tried once more at
///   another instance, if the first one is lost, late or `UNAVAILABLE`.
/// - Calls fail with `UNAVAILABLE` if no instance can be reached, `DEADLINE_EXCEEDED` if no
///   response began in time, and with gRPC's own codes if an instance reset the stream. The
///   [`nacos_tower::Error`] is the source of the status.
///
/// Dropping a call's future or response resets its stream: ten at once, then one in 250 ms, because
/// servers end connections on which many are reset. Most have been answered by then. Connections
/// are in clear text.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use std::time::Duration;
///
/// use nacos_tonic::{Channel, WeightedP2c};
///
/// let channel = Channel::builder()
///     .policy(WeightedP2c::strict())
///     .connect_timeout(Duration::from_millis(300))
///     .connect(&nacos, "inventory")
///     .await?;
/// // As in generated clients: `InventoryClient::new(channel)`.
/// let inventory = tonic::client::Grpc::new(channel);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Channel {
    calls: Retry<Balance<Connection>>,
    balance: Balance<Connection>,
}

impl Channel {
    /// A channel to a service, with nothing but defaults. See [`ChannelBuilder::connect`].
    ///
    /// # Errors
    ///
    /// The name is invalid, the server refused or did not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the subscription.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new<N>(client: &Client, service: N) -> impl Future<Output = Result<Self, Error>> + Send
    where
        N: TryInto<ServiceKey>,
        InvalidName: From<N::Error>,
    {
        Self::builder().connect(client, service)
    }

    /// Begins a channel with options.
    pub fn builder() -> ChannelBuilder {
        ChannelBuilder::new()
    }

    /// The endpoints and their statistics, for people.
    ///
    /// A channel that was made for a client is one of the parts of [`Client::inspected`] already.
    #[must_use]
    pub fn inspect(&self) -> Arc<dyn Inspect> {
        self.balance.inspect()
    }

    fn new_over(calls: Retry<Balance<Connection>>, balance: Balance<Connection>) -> Self {
        Self { calls, balance }
    }
}

/// The connections of a channel: small requests can be sent twice.
type Connection = Http2Connection<Replay<Body>>;
type Connector = Http2Connector<Replay<Body>>;

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = ResponseFuture;

    /// Never waits: see [`nacos_tower::Balance`].
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.calls.poll_ready(cx).map_err(status::of_call)
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        if let Some(timeout) = timeout::timeout(request.headers()) {
            request.extensions_mut().insert(Deadline::within(timeout));
        }
        ResponseFuture::new(self.calls.call(request))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("service", &self.balance.service()).finish_non_exhaustive()
    }
}
