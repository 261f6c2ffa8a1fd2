//! An axum application on a listener whose connections can be cut.
use std::{any::Any, error::Error, io, net::SocketAddr};

use axum::{
    Router,
    serve::{Listener, ListenerExt},
};
use nacos_core::lifecycle::{Connections, Serve, Tracked};
use tokio::net::TcpStream;
use tracing::debug;

pub(crate) struct App<L> {
    listener: L,
    router: Router,
}

impl<L> App<L> {
    pub(crate) fn new(listener: L, router: Router) -> Self {
        Self { listener, router }
    }
}

impl<L: Listener<Addr = SocketAddr>> Serve for App<L> {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    async fn serve(
        self,
        connections: Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let listener = Tracking { listener: self.listener, connections };
        // Tapped, because axum tells handlers the address of a peer for its own listeners only.
        let listener = listener.tap_io(|io| set_nodelay(io.get_ref()));
        let app = self.router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).with_graceful_shutdown(stop).await?;
        Ok(())
    }
}

/// A listener that makes what it accepts one of its server's connections.
struct Tracking<L> {
    listener: L,
    connections: Connections,
}

impl<L: Listener> Listener for Tracking<L> {
    type Io = Tracked<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.listener.accept().await;
        (self.connections.track(io), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Without it, an answer in several pieces waits for the peer's delayed acknowledgement. A listener
/// of another kind than TCP looks after its sockets itself.
fn set_nodelay(io: &dyn Any) {
    if let Some(tcp) = io.downcast_ref::<TcpStream>()
        && let Err(error) = tcp.set_nodelay(true)
    {
        // It has been closed meanwhile, which reading from it shows, too.
        debug!(%error, "a connection keeps Nagle's algorithm");
    }
}
