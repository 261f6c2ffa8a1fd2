//! A server under test: the test server in one of its behaviours, or a real one.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nacos_core::{Client, ClientBuilder, SessionState};
use nacos_testkit::{Behaviour, Server};
use servers::{JavaNacos, Product, RNacos, Running};

/// A kind of server, twice: one that lets everybody in, and one that wants to know who asks.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) open: Host,
    /// Its user and its password are `nacos`, its tokens live for [`TOKEN_TTL`].
    pub(crate) guarded: Host,
}

/// Short, so that one can be seen to expire.
pub(crate) const TOKEN_TTL: Duration = Duration::from_secs(20);

/// One server.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    Testkit(Arc<Server>),
    Real { running: Arc<Mutex<Running>>, addr: SocketAddr, grpc: SocketAddr },
}

impl Subject {
    pub(crate) async fn testkit(behaviour: Behaviour) -> Self {
        let builder = Server::builder().behaviour(behaviour).observed_timing();
        let guarded = builder.clone().credentials("nacos", "nacos").token_ttl(TOKEN_TTL);
        let open = builder.start().await.expect("free ports");
        let guarded = guarded.start().await.expect("free ports");
        Self { open: Host::Testkit(Arc::new(open)), guarded: Host::Testkit(Arc::new(guarded)) }
    }

    /// Starts one after the other: two Java servers that start at the same time make both fail now
    /// and then, when their embedded databases do not come up in time.
    pub(crate) fn real(product: Product) -> Self {
        let ttl = u32::try_from(TOKEN_TTL.as_secs()).expect("some seconds");
        let start = |guarded: bool| {
            let running = match (product, guarded) {
                (Product::RNacos, false) => RNacos::builder().start(),
                (Product::RNacos, true) => {
                    RNacos::builder().credentials("nacos", "nacos").token_ttl_secs(ttl).start()
                }
                (Product::JavaNacos, false) => JavaNacos::builder().start(),
                (Product::JavaNacos, true) => {
                    JavaNacos::builder().authentication().token_ttl_secs(ttl).start()
                }
            };
            Host::of(running.expect("the server starts"))
        };
        let (open, guarded) = (start(false), start(true));
        println!("covered: {product}");
        Self { open, guarded }
    }

    /// A client of ours, connected.
    pub(crate) async fn client(&self) -> Client {
        connected(self.builder()).await
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder().server_addr(self.open.addr().to_string())
    }

    pub(crate) fn guarded_builder(&self) -> ClientBuilder {
        Client::builder().server_addr(self.guarded.addr().to_string())
    }
}

/// Connects, however long that takes: the first connections of a server that was just started may
/// take longer than the second that a server has in [`ClientBuilder::connect`].
pub(crate) async fn connected(builder: ClientBuilder) -> Client {
    let client = builder.connect_lazy().expect("valid options");
    let mut state = client.state();
    state.wait_for(SessionState::is_connected).await.expect("the client lives");
    client
}

impl Host {
    fn of(running: Running) -> Self {
        let (addr, grpc) = (running.addr(), running.grpc_addr());
        Self::Real { running: Arc::new(Mutex::new(running)), addr, grpc }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        match self {
            Self::Testkit(server) => server.addr(),
            Self::Real { addr, .. } => *addr,
        }
    }

    pub(crate) fn grpc_addr(&self) -> SocketAddr {
        match self {
            Self::Testkit(server) => server.grpc_addr(),
            Self::Real { grpc, .. } => *grpc,
        }
    }

    /// Stops it and starts it again, with the same ports and the same data.
    pub(crate) async fn restart(&self) {
        match self {
            Self::Testkit(server) => server.restart().await.expect("its ports are free"),
            Self::Real { running, .. } => {
                let running = Arc::clone(running);
                let restart = tokio::task::spawn_blocking(move || {
                    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
                    running.restart().expect("it comes back");
                });
                restart.await.expect("it comes back");
            }
        }
    }
}
