//! Which sockets are plain and which are under TLS.
use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::OnceLock};

use tokio::{
    net::{TcpStream, lookup_host},
    time::Duration,
};

use super::{
    CallError, Within,
    dial::{BESIDE, Time, dial, in_turn},
    link::Http2Link,
    socket::Socket,
    tls::{Alpn, Tls, TlsProblem},
    unproven::{Reached, Unproven},
};
use crate::{address::Scheme, origin::Origin, server::Server};

/// Opens every socket of a client. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    /// The option `tls`.
    wanted: Option<bool>,
    tls: Tls,
    unproven: Unproven,
}

/// The work of a connection, which a task of its own has to do; ends with the reason for which the
/// connection did.
pub(crate) type Work = Pin<Box<dyn Future<Output = String> + Send>>;

/// A connection that has been opened.
pub(crate) struct Opened {
    pub(crate) link: Http2Link,
    pub(crate) work: Work,
    pub(crate) reached: Reached,
    /// Whether the name of the server has other addresses as well.
    pub(crate) has_others: bool,
}

impl Dialer {
    /// Without a word about TLS, the scheme of a server's address decides for both of its ports.
    pub(crate) fn new(wanted: Option<bool>, tls: Tls) -> Self {
        Self { wanted, tls, unproven: Unproven::default() }
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
    /// one that says nothing does not send a password in clear text where the option asks for TLS.
    pub(crate) fn secures_http(&self, server: &Server) -> bool {
        match server.scheme() {
            Some(scheme) => scheme == Scheme::Https,
            None => self.wanted == Some(true),
        }
    }

    /// A connection to the gRPC port of a server that has said its first words, at another address
    /// than `other_than`.
    ///
    /// Those are a part of the attempt at an address, as TLS is: one that accepts and says nothing
    /// more hides no other, and neither does one that goes on to serve nobody.
    pub(crate) async fn grpc(
        &self,
        server: &Server,
        other_than: Option<SocketAddr>,
        within: Within,
        receive_limit: usize,
    ) -> io::Result<Opened> {
        let addresses = resolve((server.host(), server.grpc_port()));
        self.grpc_at(addresses, server, other_than, within, receive_limit).await
    }

    async fn grpc_at(
        &self,
        addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>,
        server: &Server,
        other_than: Option<SocketAddr>,
        within: Within,
        receive_limit: usize,
    ) -> io::Result<Opened> {
        let at = (server.host(), server.grpc_port());
        let name = self.name_of(server);
        let alpn = self.secures_grpc(server).then_some(Alpn::H2);
        let known = OnceLock::new();
        let addresses = async {
            let mut addresses = self.unproven.last(at, addresses.await?);
            let all = known.get_or_init(|| addresses.clone()).len();
            addresses.retain(|address| Some(*address) != other_than);
            if all > 0 && addresses.is_empty() {
                return Err(io::Error::other("the name has no other address"));
            }
            Ok(addresses)
        };
        let known = &known;
        dial(addresses, within, BESIDE, |address, time| async move {
            let socket = self.open(address, time, at, name, alpn).await?;
            let opening = async {
                let (link, work) = Http2Link::open(socket, server, receive_limit).await?;
                let mut work: Work = Box::pin(work);
                link.greeted(&mut work).await?;
                Ok::<_, CallError>((link, work))
            };
            let opened = time.give(opening, "accepted, and said nothing").await?;
            let (link, work) = opened.map_err(io::Error::other)?;
            let is_other = |other: &SocketAddr| *other != address;
            let has_others = known.get().is_some_and(|known| known.iter().any(is_other));
            Ok(Opened { link, work, reached: self.unproven.won(at, address), has_others })
        })
        .await
    }

    /// The outcome of `exchange` over a socket to the main port, `within` that time at the latest,
    /// unless that is short. The caller gives the deadline.
    pub(super) async fn http<T, X: Future<Output = io::Result<T>>>(
        &self,
        server: &Server,
        within: Duration,
        exchange: impl Fn(Socket) -> X,
    ) -> io::Result<T> {
        let alpn = self.secures_http(server).then_some(Alpn::Http1);
        let at = (server.host(), server.port());
        self.ask(resolve(at), within, at, self.name_of(server), alpn, exchange).await
    }

    /// The outcome of `exchange` over a socket to `origin`, whose name is its own. The caller gives
    /// the deadline.
    pub(super) async fn origin<T, X: Future<Output = io::Result<T>>>(
        &self,
        origin: &Origin,
        exchange: impl Fn(Socket) -> X,
    ) -> io::Result<T> {
        let alpn = (origin.scheme == Scheme::Https).then_some(Alpn::Http1);
        let at = (origin.host.as_str(), origin.port);
        self.ask(resolve(at), ANSWER, at, &origin.host, alpn, exchange).await
    }

    /// The answer is a part of the attempt: HTTP/1 has no first words.
    pub(super) async fn ask<T, X: Future<Output = io::Result<T>>>(
        &self,
        addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>,
        within: Duration,
        at: (&str, u16),
        name: &str,
        alpn: Option<Alpn>,
        exchange: impl Fn(Socket) -> X,
    ) -> io::Result<T> {
        let exchange = &exchange;
        let all = within.max(ANSWER);
        dial(addresses, Within { each: all, all }, BESIDE_ANSWER, |address, time| async move {
            // TLS may take its time, as the answer may: another address is tried beside it.
            let socket = self.open(address, time, at, name, alpn).await?;
            time.give(exchange(socket), "accepted, and did not answer").await?
        })
        .await
    }

    fn name_of<'a>(&'a self, server: &'a Server) -> &'a str {
        self.tls.server_name().unwrap_or(server.host())
    }

    async fn open(
        &self,
        address: SocketAddr,
        time: Time,
        at: (&str, u16),
        name: &str,
        alpn: Option<Alpn>,
    ) -> io::Result<Socket> {
        let socket = time.give(connect(address), "no connection").await??;
        match alpn {
            Some(alpn) => {
                let secured = self.tls.connect(socket, at, name, alpn);
                time.give(secured, "accepted, and did not answer over TLS").await?
            }
            None => Ok(Socket::Plain(socket)),
        }
    }
}

/// The families in turn, otherwise in the resolver's order. Names are looked up anew each time, so
/// that a server that moved is found.
async fn resolve(at: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
    Ok(in_turn(lookup_host(at).await?.collect()))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Without it the body of a request waits until its headers are acknowledged, which delayed
    // acknowledgements stretch to 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// For one request over HTTP/1, the answer included, at least; most callers give less.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// If an address has not answered by then, the next one is asked beside it. A login is slow, and
/// should not be sent twice without need.
const BESIDE_ANSWER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
