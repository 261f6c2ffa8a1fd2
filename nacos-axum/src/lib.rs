//! axum servers that register themselves with Nacos, in one line.
//!
//! ```
//! # type BoxError = Box<dyn std::error::Error + Send + Sync>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
//! # let shutdown = nacos_axum::Shutdown::new();
//! # shutdown.begin();
//! use axum::{Router, routing::get};
//! use tokio::net::TcpListener;
//!
//! # tokio::spawn(async move {
//! let app = Router::new().route("/", get(|| async { "hello" }));
//! let listener = TcpListener::bind("0.0.0.0:0").await?;
//! nacos_axum::serve(listener, app).with_nacos(&nacos, "orders")
//! #   .with_shutdown(&shutdown)
//!     .await?;
//! # Ok::<_, BoxError>(()) }).await??;
//! # Ok(()) }
//! ```
//!
//! The service is registered once the listener accepts and [the program is
//! ready](Serving::ready_when), under the listener's real port. On SIGTERM or SIGINT it is
//! deregistered first, and keeps answering while callers learn of that. Only then does it accept no
//! more connections, let the open ones end, and cut those that do not. One deadline limits the
//! whole shutdown, 25 s by default; a second signal ends it at once. [`nacos_core::lifecycle`] has
//! the details.
//!
//! # Environment
//!
//! `NACOS_REGISTER_IP` is the ip to register, unless [`Serving::with_ip`] names one. Set it where a
//! host cannot know the address by which others reach it: in Kubernetes, from `status.podIP`; in a
//! container with a mapped port, to the host's, together with [`Serving::with_port`].
//!
//! # What is absent
//!
//! There is no TLS: give [`serve`] a listener that has it. There are no Unix sockets, because
//! clients could not find them.
mod app;

use std::net::SocketAddr;

use axum::{Router, serve::Listener};
use nacos_core::lifecycle::Serve;
pub use nacos_core::lifecycle::{
    Bound, Lifecycle, LifecycleReport, Outcome, Readiness, Serving, Shutdown, Step, StepReport,
};

use self::app::App;

/// Serves `app` on `listener`, as [`axum::serve()`] does, once it is told as
/// [what](Bound::with_nacos) and awaited.
///
/// Handlers may ask for [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo). TCP connections
/// have Nagle's algorithm switched off. A service that is no router, such as one with layers around
/// its routes, becomes one as the fallback of an empty router.
///
/// # Examples
///
/// A service with a readiness probe, in version 2 of a group:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use axum::{Router, http::StatusCode, routing::get};
/// use nacos_axum::Lifecycle;
/// use tokio::net::TcpListener;
///
/// let lifecycle = Lifecycle::of(&nacos);
/// # lifecycle.shutdown().begin();
/// let readiness = lifecycle.readiness();
/// let probe = move || async move {
///     if readiness.get().is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
/// };
/// let app = Router::new().route("/readyz", get(probe));
/// let report = nacos_axum::serve(TcpListener::bind("127.0.0.1:0").await?, app)
///     .with_nacos(&lifecycle, "SHOP@@orders")
///     .with_metadata("version", "2")
///     .await?;
/// println!("{report}");
/// # Ok(()) }
/// ```
pub fn serve<L>(listener: L, app: Router) -> Bound<impl Serve>
where
    L: Listener<Addr = SocketAddr>,
{
    Bound::from_env(App::new(listener, app))
}
