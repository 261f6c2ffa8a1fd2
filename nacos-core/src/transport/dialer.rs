//! Which sockets are plain and which are under TLS.
use std::{io, net::SocketAddr};

use tokio::net::{TcpStream, lookup_host};

use super::{
    dial::{Within, dial},
    socket::Socket,
    tls::{Alpn, Tls, TlsProblem},
};
use crate::{
    locator::Endpoint,
    server::{Scheme, Server},
};

/// Opens every socket of a client. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    /// What the option `tls` says.
    wanted: Option<bool>,
    tls: Tls,
}

impl Dialer {
    /// Without a word about TLS, the scheme of a server's address decides for both of its ports.
    pub(crate) fn new(wanted: Option<bool>, tls: Tls) -> Self {
        Self { wanted, tls }
    }

    /// One that knows of no TLS.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self::new(None, Tls::new(super::TlsSettings::default()))
    }

    /// Reads the files of certificates now, so that what is wrong with them is said at once.
    pub(crate) fn check(&self) -> Result<(), TlsProblem> {
        self.tls.check()
    }

    /// Whether gRPC goes over TLS.
    pub(crate) fn secures_grpc(&self, server: &Server) -> bool {
        self.wanted.unwrap_or(server.scheme() == Some(Scheme::Https))
    }

    /// Whether HTTP goes over TLS.
    ///
    /// Servers switch TLS on for each of their ports apart, so an address may say it for this one;
    /// one that says nothing does not send a password in clear text to whom TLS was asked for.
    pub(crate) fn secures_http(&self, server: &Server) -> bool {
        match server.scheme() {
            Some(scheme) => scheme == Scheme::Https,
            None => self.wanted == Some(true),
        }
    }

    /// A socket to the gRPC port.
    pub(crate) async fn grpc(&self, server: &Server, within: Within) -> io::Result<Socket> {
        let alpn = self.secures_grpc(server).then_some(Alpn::H2);
        self.open((server.host(), server.grpc_port()), self.name_of(server), alpn, within).await
    }

    /// A socket to the main port. The caller gives the deadline.
    pub(crate) async fn http(&self, server: &Server) -> io::Result<Socket> {
        let alpn = self.secures_http(server).then_some(Alpn::Http1);
        let at = (server.host(), server.port());
        self.open(at, self.name_of(server), alpn, Within::DEFAULT).await
    }

    /// A socket to the address server, whose name is its own. The caller gives the deadline.
    pub(crate) async fn endpoint(&self, endpoint: &Endpoint) -> io::Result<Socket> {
        let alpn = (endpoint.scheme == Scheme::Https).then_some(Alpn::Http1);
        let at = (endpoint.host.as_str(), endpoint.port);
        self.open(at, &endpoint.host, alpn, Within::DEFAULT).await
    }

    fn name_of<'a>(&'a self, server: &'a Server) -> &'a str {
        self.tls.server_name().unwrap_or(server.host())
    }

    /// TLS is a part of the attempt at an address: one that accepts and says nothing more hides no
    /// other.
    async fn open(
        &self,
        (host, port): (&str, u16),
        name: &str,
        alpn: Option<Alpn>,
        within: Within,
    ) -> io::Result<Socket> {
        dial(resolve(host, port), within, |address| async move {
            let socket = connect(address).await?;
            match alpn {
                Some(alpn) => self.tls.connect(socket, (host, port), name, alpn).await,
                None => Ok(Socket::Plain(socket)),
            }
        })
        .await
    }
}

/// Names are looked up anew each time, so that a server that moved is found.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((host, port)).await?.collect())
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Without it the body of a request waits until its headers are acknowledged, which delayed
    // acknowledgements stretch to 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::transport::TlsSettings;

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        (listener, address)
    }

    async fn opened(host: &str, port: u16) -> io::Result<Socket> {
        let dialer = Dialer::new(None, Tls::new(TlsSettings::default()));
        dialer.open((host, port), host, None, Within::DEFAULT).await
    }

    #[tokio::test]
    async fn every_socket_has_nodelay() {
        let (_listener, address) = listening().await;
        let stream = connect(address).await.expect("connects");
        assert!(stream.nodelay().expect("an option"));
    }

    #[tokio::test]
    async fn failure_names_the_addresses() {
        let (listener, address) = listening().await;
        drop(listener);
        let error = opened("127.0.0.1", address.port()).await.expect_err("nobody listens");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        // Bound to IPv4 only: `localhost` may be `::1` first.
        let (_listener, address) = listening().await;
        opened("localhost", address.port()).await.expect("one of its addresses accepts");
    }

    #[test]
    fn option_decides_for_grpc_and_the_address_for_http() {
        let secured = |wanted, address| {
            let dialer = Dialer::new(wanted, Tls::new(TlsSettings::default()));
            let server = Server::parse_list(address, 1000).expect("valid").remove(0);
            (dialer.secures_grpc(&server), dialer.secures_http(&server))
        };
        assert_eq!(secured(None, "a"), (false, false));
        assert_eq!(secured(None, "http://a"), (false, false));
        assert_eq!(secured(None, "https://a"), (true, true));
        assert_eq!(secured(Some(true), "a"), (true, true));
        assert_eq!(secured(Some(true), "http://a"), (true, false));
        assert_eq!(secured(Some(true), "https://a"), (true, true));
        assert_eq!(secured(Some(false), "a"), (false, false));
        assert_eq!(secured(Some(false), "https://a"), (false, true));
    }
}
