//! TLS in front of the test server, which speaks none: what a proxy does, with a memory.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use nacos_core::{Client, ClientBuilder};
use nacos_testkit::Server;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::ring,
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};

use super::authority::{Authority, Identity};

/// How it terminates.
pub(crate) struct Terms<'a> {
    pub(crate) identity: &'a Identity,
    /// Demands certificates that these have signed, at the main port and at the gRPC port.
    pub(crate) clients: [Option<&'a Authority>; 2],
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    /// The protocols that it takes there.
    pub(crate) alpn: [&'static [u8]; 2],
}

impl<'a> Terms<'a> {
    pub(crate) fn new(identity: &'a Identity) -> Self {
        Self { identity, clients: [None, None], versions: BOTH, alpn: [b"http/1.1", b"h2"] }
    }

    fn config(&self, port: usize) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(self.versions).expect("versions");
        let builder = match self.clients[port] {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.root()).expect("an authority");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let (chain, key) = (self.identity.chain(), self.identity.key());
        let mut config = builder.with_single_cert(chain, key).expect("an identity");
        if !self.alpn[port].is_empty() {
            config.alpn_protocols = vec![self.alpn[port].to_vec()];
        }
        config
    }
}

/// The client's side of a handshake that succeeded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Handshake {
    pub(crate) alpn: Option<String>,
    pub(crate) server_name: Option<String>,
    /// The certificate in DER, without its chain.
    pub(crate) certificate: Option<Vec<u8>>,
}

/// Two ports with TLS, in front of those of a server. They close when this is dropped.
pub(crate) struct Terminator {
    ports: [u16; 2],
    seen: Arc<Mutex<Vec<Handshake>>>,
    _ports: JoinSet<()>,
}

impl Terminator {
    pub(crate) async fn before(server: &Server, terms: &Terms<'_>) -> Self {
        Self::before_ports([server.addr(), server.grpc_addr()], terms).await
    }

    /// In front of whatever listens at these two.
    pub(crate) async fn before_ports(behind: [SocketAddr; 2], terms: &Terms<'_>) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..2 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        }
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        // The gRPC port is never below the main port.
        listeners.sort_by_key(port);
        let ports = [port(&listeners[0]), port(&listeners[1])];
        let seen = Arc::default();
        let mut tasks = JoinSet::new();
        for (at, (listener, addr)) in listeners.into_iter().zip(behind).enumerate() {
            let acceptor = TlsAcceptor::from(Arc::new(terms.config(at)));
            tasks.spawn(listen(listener, acceptor, addr, Arc::clone(&seen)));
        }
        Self { ports, seen, _ports: tasks }
    }

    /// A client of these two ports, on which nothing is said about TLS yet.
    pub(crate) fn builder(&self, scheme: &str, host: &str) -> ClientBuilder {
        let [main, grpc] = self.ports;
        Client::builder()
            .server_addr(format!("{scheme}{host}:{main}"))
            .grpc_port_offset(grpc - main)
    }

    pub(crate) fn main_port(&self) -> u16 {
        self.ports[0]
    }

    pub(crate) fn grpc_port(&self) -> u16 {
        self.ports[1]
    }

    pub(crate) fn seen(&self) -> Vec<Handshake> {
        self.seen.lock().expect("nobody panics").clone()
    }
}

async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    behind: SocketAddr,
    seen: Arc<Mutex<Vec<Handshake>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a client");
        // Bytes that wait for an acknowledgement wait in real time, and a paused clock does not.
        socket.set_nodelay(true).expect("an option");
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            let Ok(mut tls) = acceptor.accept(socket).await else { return };
            let (_, connection) = tls.get_ref();
            let certificates = connection.peer_certificates();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.lock().expect("nobody panics").push(Handshake {
                alpn: connection.alpn_protocol().map(text),
                server_name: connection.server_name().map(ToOwned::to_owned),
                certificate: certificates.and_then(|chain| chain.first()).map(|c| c.to_vec()),
            });
            let Ok(mut plain) = TcpStream::connect(behind).await else { return };
            plain.set_nodelay(true).expect("an option");
            // However it ends, it is over.
            let _ = copy_bidirectional(&mut tls, &mut plain).await;
        });
    }
}

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
pub(crate) const OLD: &[&SupportedProtocolVersion] = &[&TLS12];
pub(crate) const NEW: &[&SupportedProtocolVersion] = &[&TLS13];
