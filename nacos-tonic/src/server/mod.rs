//! tonic servers that others find through Nacos.
mod incoming;
mod routed;

use std::{error::Error, io, net::SocketAddr};

use nacos_core::lifecycle::{Bound, Connections, Serve};
use tokio::net::TcpListener;

use self::incoming::Io;
pub use self::routed::Routed;

/// Serves `routes` on `listener`, once it is told as [what](Bound::with_nacos) and awaited.
///
/// It is registered once it accepts and is ready, under the listener's real port. On SIGTERM or
/// SIGINT it is deregistered first, and answers while callers learn of that; only then does it
/// accept no more connections, lets calls under way end, and cuts those that do not.
/// [`nacos_core::lifecycle`] has the details, [`Serving`](nacos_core::lifecycle::Serving) the
/// options.
///
/// `routes` are tonic's [`Routes`](tonic::service::Routes), or the
/// [`Router`](tonic::transport::server::Router) that [`tonic::transport::Server`] makes of them
/// together with limits and layers. That builder's TCP options do not count: connections have
/// Nagle's algorithm switched off. Handlers learn the peer's address from their request, as
/// they would from tonic's own listener.
///
/// The ip to register is that of `NACOS_REGISTER_IP`, unless
/// [`with_ip`](nacos_core::lifecycle::Serving::with_ip) names one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// # let shutdown = nacos_core::lifecycle::Shutdown::new();
/// # shutdown.begin();
/// use tokio::net::TcpListener;
/// use tonic::service::Routes;
///
/// // With `InventoryServer::new(..)` added to them.
/// let routes = Routes::default();
/// let listener = TcpListener::bind("0.0.0.0:0").await?;
/// nacos_tonic::serve(listener, routes).with_nacos(&nacos, "inventory")
/// #   .with_shutdown(&shutdown)
///     .await?;
/// # Ok(()) }
/// ```
pub fn serve(listener: TcpListener, routes: impl Routed) -> Bound<impl Serve> {
    Bound::from_env(Tonic { listener, routes })
}

struct Tonic<R> {
    listener: TcpListener,
    routes: R,
}

impl<R: Routed> Serve for Tonic<R> {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    async fn serve(
        self,
        connections: Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.routes.serve(incoming::accept(self.listener, connections), stop).await?;
        Ok(())
    }
}
