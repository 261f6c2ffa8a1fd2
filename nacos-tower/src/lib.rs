//! Discovery and load balancing over Nacos services, as tower services.
//!
//! A [`Balance`] is a `tower::Service` for HTTP requests that go to the live instances of a
//! service. A [`Connect`] makes the connections that carry them: `Http2Connector` (feature `http2`)
//! speaks HTTP/2, and `nacos-tonic` makes gRPC channels of it. [`ServiceConnection`] wraps any
//! tower service. A [`Policy`] picks the endpoint of each request, and can be your own.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), nacos_tower::BoxError> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
//! # use bytes::Bytes;
//! # use http::Response;
//! # use http_body_util::Full;
//! # type Answers = Result<Response<Full<Bytes>>, BoxError>;
//! # fn greeter(endpoint: Endpoint) -> impl tower::Service<
//! #     Request<()>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send,
//! # > + Clone + Send + Sync + 'static {
//! #     tower::service_fn(move |_: Request<()>| {
//! #         let address = endpoint.address().to_owned();
//! #         async { Answers::Ok(Response::new(Full::from(address))) }
//! #     })
//! # }
//! use http::Request;
//! use nacos_core::Instance;
//! use nacos_tower::{Balance, BoxError, Endpoint, ServiceConnection, WeightedP2c};
//! use tower::ServiceExt;
//!
//! # tokio::spawn(async move {
//! let _guard = nacos.naming().register("orders", Instance::new("10.0.0.7", 8080))?.ready().await?;
//!
//! let connector = async |endpoint: Endpoint| {
//!     Ok::<_, BoxError>(ServiceConnection::new(greeter(endpoint)))
//! };
//! let orders =
//!     Balance::builder(connector).policy(WeightedP2c::strict()).connect(&nacos, "orders").await?;
//! let response = orders.oneshot(Request::new(())).await?;
//! assert!(response.status().is_success());
//! # Ok::<_, BoxError>(()) }).await??;
//! # Ok(()) }
//! ```
//!
//! # How it is built
//!
//! ```text
//!   Subscription ─ full sets ─▶ controller, one task ─ immutable snapshot ─▶ pick, per request
//!                                 │ dials, notices ends, backs off              │ two draws by weight,
//!                                 ▼                                             ▼ constant time
//!                               connections ◀───── held until responses end ─ leases
//! ```
//!
//! - **Requests take no lock and wait for no task.** They read a snapshot, write counters of their
//!   own endpoint, and hold a share of its connection until the response's body has ended.
//! - **Each set of endpoints is complete**, and the newest one wins. No request sees half of a
//!   change.
//! - **Connections are shared.** A connection closes when the controller and the last request have
//!   released it, so no change of the set loses a request.
//! - **A request that was certainly not sent goes to another endpoint.** One that may have been
//!   sent does not, unless a [`Retry`] may repeat it.
//! - **Everything has a time limit**: attempts to connect, waiting for endpoints, waiting for
//!   responses. The task ends with the last handle.
//!
//! # What is absent
//!
//! Buffers and queues; `tower::discover` (it can say neither "all of these" nor "another weight");
//! panic thresholds of our own (Nacos has one, at the server); ejection of endpoints by their error
//! rates (failures count as latency instead, which [`WeightedP2c::balanced`] avoids); clusters,
//! zones, subsets, consistent hashing, slow start.
mod balance;
#[doc(hidden)]
pub mod bench;
mod control;
mod endpoint;
mod error;
mod pick;
mod request;
mod retry;
mod tasks;
mod time;
mod transport;

pub use balance::{Balance, Builder};
pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind};
pub use pick::{Candidate, Candidates, PickArgs, Policy, Random, WeightedP2c, WeightedRandom};
pub use request::{Body, Deadline, ResponseFuture};
pub use retry::{Idempotent, Replay, Retry, RetryFuture, RetryLayer};
pub use transport::{
    BoxError, Connect, Connection, SendError, SendRequest, ServiceConnection, ServiceFuture,
};
#[cfg(feature = "http2")]
pub use transport::{Http2Body, Http2Connection, Http2Connector, Http2Error, Http2Future};
