//! Which sockets are plain and which are under TLS.
use std::{future::Future, io, net::SocketAddr, pin::Pin};

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
    unproven::Unproven,
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

    /// A connection to the gRPC port of a server that has said its first words.
    ///
    /// Those are a part of the attempt at an address, as TLS is: one that accepts and says nothing
    /// more hides no other, and neither does one that goes on to answer nothing.
    pub(crate) async fn grpc(
        &self,
        server: &Server,
        within: Within,
        receive_limit: usize,
    ) -> io::Result<(Http2Link, Work)> {
        let addresses = resolve((server.host(), server.grpc_port()));
        self.grpc_at(addresses, server, within, receive_limit).await
    }

    async fn grpc_at(
        &self,
        addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>,
        server: &Server,
        within: Within,
        receive_limit: usize,
    ) -> io::Result<(Http2Link, Work)> {
        let at = (server.host(), server.grpc_port());
        let name = self.name_of(server);
        let alpn = self.secures_grpc(server).then_some(Alpn::H2);
        let addresses = async { Ok(self.unproven.last(at, addresses.await?)) };
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
            self.unproven.won(at, address, link.answered());
            Ok((link, work))
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
    async fn ask<T, X: Future<Output = io::Result<T>>>(
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
mod tests {
    use nacos_testkit::TimeLimit;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };

    use super::*;
    use crate::{tasks, transport::TlsSettings};

    /// For a test that has a time limit from here on.
    async fn listening() -> (TcpListener, SocketAddr) {
        TimeLimit::for_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        (listener, address)
    }

    async fn opened(host: &str, port: u16) -> io::Result<()> {
        let at = (host, port);
        Dialer::plain().ask(resolve(at), ANSWER, at, host, None, |_| async { Ok(()) }).await
    }

    fn server_at(address: SocketAddr) -> Server {
        Server::parse_list(&address.to_string(), 0).expect("valid").remove(0)
    }

    /// Takes every connection of HTTP/2 and answers nothing.
    async fn greet(listener: &TcpListener) {
        let mut open = Vec::new();
        loop {
            let (socket, _) = listener.accept().await.expect("a client");
            open.push(tasks::spawn(async move {
                let mut peer = h2::server::handshake(socket).await.expect("HTTP/2");
                while peer.accept().await.is_some() {}
            }));
        }
    }

    /// Takes every connection and resets it.
    async fn reset(listener: &TcpListener) {
        loop {
            let (socket, _) = listener.accept().await.expect("a client");
            socket.set_zero_linger().expect("open");
        }
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

    #[tokio::test(start_paused = true)]
    async fn address_that_accepts_and_says_nothing_hides_no_other() {
        let (_silent, frozen) = listening().await;
        let (resets, proxy) = listening().await;
        let (listener, living) = listening().await;
        let dialer = Dialer::plain();
        let connecting = async {
            for pass in 0..3 {
                let addresses = async { Ok(vec![frozen, proxy, living]) };
                let began = Instant::now();
                let server = server_at(frozen);
                let link = dialer.grpc_at(addresses, &server, Within::DEFAULT, 1024).await;
                drop(link.expect("one of them lives"));
                assert!(Instant::now() - began < 2 * BESIDE, "pass {pass}");
            }
            let alone = async { Ok(vec![frozen]) };
            let server = server_at(frozen);
            let error = dialer.grpc_at(alone, &server, Within::DEFAULT, 1024).await;
            let error = error.map(drop).expect_err("nobody speaks").to_string();
            assert!(error.contains("accepted, and said nothing within 1s"), "{error}");
        };
        tokio::select! {
            () = connecting => {}
            () = greet(&listener) => {}
            () = reset(&resets) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn address_that_greets_and_answers_nothing_is_the_last_of_the_next_pass() {
        let ((first, a), (second, b)) = (listening().await, listening().await);
        let dialer = Dialer::plain();
        let mut reached = Vec::new();
        let connecting = async {
            for _ in 0..4 {
                let addresses = async { Ok(vec![a, b]) };
                let server = server_at(a);
                let link = dialer.grpc_at(addresses, &server, Within::DEFAULT, 1024).await;
                let (link, work) = link.expect("both greet");
                reached.push(dialer.unproven.newest((server.host(), server.grpc_port())));
                drop((link, work));
            }
        };
        tokio::select! {
            () = connecting => {}
            () = greet(&first) => {}
            () = greet(&second) => {}
        }
        assert_eq!(reached, [Some(a), Some(b), Some(a), Some(b)]);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_address_hides_no_other_over_http_either() {
        let (_silent, frozen) = listening().await;
        let (resets, proxy) = listening().await;
        let (listener, living) = listening().await;
        let dialer = Dialer::plain();
        let at = ("nacos", 8848);
        let ask = dialer.ask(
            async { Ok(vec![frozen, proxy, living]) },
            ANSWER,
            at,
            at.0,
            None,
            |mut socket| async move { socket.read_u8().await },
        );
        let answering = async {
            let mut open = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.expect("a client");
                socket.set_nodelay(true).expect("open");
                socket.write_u8(7).await.expect("open");
                open.push(socket);
            }
        };
        let began = Instant::now();
        tokio::select! {
            answer = ask => {
                assert_eq!(answer.expect("one of them answers"), 7);
                assert!(Instant::now() - began < 2 * BESIDE_ANSWER);
            }
            () = answering => {}
            () = reset(&resets) => {}
        }
    }

    /// A busy server takes as long for its part of TLS as for its answer.
    #[cfg(feature = "tls")]
    #[tokio::test(start_paused = true)]
    async fn handshake_of_tls_over_http_may_take_as_long_as_the_caller_waits() {
        let (_silent, frozen) = listening().await;
        let at = ("nacos", 8848);
        let dialer = Dialer::plain();
        let began = Instant::now();
        let answer = dialer.ask(
            async { Ok(vec![frozen]) },
            ANSWER,
            at,
            at.0,
            Some(Alpn::Http1),
            |_| async { Ok(()) },
        );
        let error = answer.await.expect_err("it says nothing").to_string();
        assert!(error.contains("did not answer over TLS in time"), "{error}");
        assert_eq!((Instant::now() - began).as_secs(), ANSWER.as_secs());
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
