//! A server under test: the test server in one of its behaviours, or a real one.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nacos_core::{Client, ClientBuilder, SessionState};
use nacos_testkit::{Behaviour, Server};
use servers::{Given, JavaNacos, Kind, Product, RNacos, Running};

use crate::trace;

/// A kind of server, twice: one that lets all clients in, and one that demands a login.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) open: Host,
    /// Its user and its password are `nacos` unless it is [`given`](Self::given), its tokens live
    /// for [`TOKEN_TTL`].
    pub(crate) guarded: Host,
    /// The line of servers it is of, or imitates.
    pub(crate) kind: Kind,
    /// The token for requests to the open server, where it is a given one that demands a login.
    pub(crate) token: Option<String>,
    given: Option<&'static Given>,
}

/// Short, so that one can be seen to expire.
pub(crate) const TOKEN_TTL: Duration = Duration::from_secs(20);

/// One server.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    Given { addr: SocketAddr, grpc: SocketAddr },
    Testkit(Arc<Server>),
    Real { running: Arc<Mutex<Running>>, addr: SocketAddr, grpc: SocketAddr },
}

impl Subject {
    pub(crate) async fn testkit(behaviour: Behaviour) -> Self {
        let builder = Server::builder().behaviour(behaviour).observed_timing();
        let builder = builder.authentication(false);
        let guarded = builder.clone().authentication(true).token_ttl(TOKEN_TTL);
        let open = builder.start().await.expect("free ports");
        let guarded = guarded.start().await.expect("free ports");
        let [open, guarded] = [open, guarded].map(|server| Host::Testkit(Arc::new(server)));
        Self { open, guarded, kind: kind_of(behaviour), token: None, given: None }
    }

    /// One given server for both.
    pub(crate) fn given(given: &'static Given) -> Self {
        let token = given.log_in().expect("its user may log in");
        let host = Host::Given { addr: given.addr(), grpc: given.grpc_addr() };
        let (open, guarded) = (host.clone(), host);
        Self { open, guarded, kind: given.kind(), token, given: Some(given) }
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
        let kind = match product {
            Product::RNacos => Kind::RNacos,
            Product::JavaNacos => Kind::Nacos2_3,
        };
        Self { open, guarded, kind, token: None, given: None }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The user of the guarded server: a name and a password.
    pub(crate) fn user(&self) -> (&'static str, &'static str) {
        self.given.and_then(Given::credentials).unwrap_or(("nacos", "nacos"))
    }

    /// A client of ours, connected.
    pub(crate) async fn client(&self) -> Client {
        connected(self.builder()).await
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = builder_to(&self.open);
        match self.given.and_then(Given::credentials) {
            Some((user, password)) => builder.credentials(user, password),
            None => builder,
        }
    }

    /// Of a client without credentials, to the server that demands them.
    pub(crate) fn guarded_builder(&self) -> ClientBuilder {
        builder_to(&self.guarded)
    }
}

fn builder_to(host: &Host) -> ClientBuilder {
    Client::builder().server_addr(host.addr().to_string()).namespace(trace::namespace())
}

fn kind_of(behaviour: Behaviour) -> Kind {
    match behaviour {
        Behaviour::Nacos2_3 => Kind::Nacos2_3,
        Behaviour::Nacos2_5 => Kind::Nacos2_5,
        Behaviour::Nacos3_0 => Kind::Nacos3_0,
        Behaviour::Nacos3_3 => Kind::Nacos3_3,
        Behaviour::RNacos => Kind::RNacos,
        other => panic!("no column for {other:?}"),
    }
}

/// Connects, however long that takes: the first connections of a server that was just started may
/// take longer than [`ClientBuilder::connect`] has for all of its passes.
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
            Self::Given { addr, .. } | Self::Real { addr, .. } => *addr,
        }
    }

    pub(crate) fn grpc_addr(&self) -> SocketAddr {
        match self {
            Self::Testkit(server) => server.grpc_addr(),
            Self::Given { grpc, .. } | Self::Real { grpc, .. } => *grpc,
        }
    }

    /// Stops it and starts it again, with the same ports and the same data.
    pub(crate) async fn restart(&self) {
        match self {
            Self::Given { .. } => panic!("it is not the suite's to restart"),
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
