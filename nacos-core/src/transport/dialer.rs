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
mod tests {
    use nacos_testkit::TimeLimit;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };

    use super::*;
    use crate::{
        tasks,
        transport::{Caller, Headers, Limit, TlsSettings, frame},
        wire::{Payload, Request, connection::ServerCheckRequest},
    };

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

    /// Takes every connection and refuses each request, as a server does that is starting.
    async fn refuse(listener: &TcpListener) {
        let body = br#"{"resultCode":500,"errorCode":300,"message":"Server is starting"}"#;
        let refusal = frame::encode(&Payload::new("ErrorResponse", body.to_vec()));
        let mut open = Vec::new();
        loop {
            let (socket, _) = listener.accept().await.expect("a client");
            let refusal = refusal.clone();
            open.push(tasks::spawn(async move {
                let mut peer = h2::server::handshake(socket).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = peer.accept().await {
                    let head = http::Response::builder();
                    let head = head.header("content-type", "application/grpc").body(());
                    let head = head.expect("valid");
                    let mut stream = respond.send_response(head, false).expect("open");
                    stream.send_data(refusal.clone(), false).expect("open");
                    let status =
                        ("grpc-status".parse().expect("valid"), "0".parse().expect("valid"));
                    let trailers = http::HeaderMap::from_iter([status]);
                    stream.send_trailers(trailers).expect("open");
                }
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
                let link = dialer.grpc_at(addresses, &server, None, Within::DEFAULT, 1024).await;
                drop(link.expect("one of them lives"));
                assert!(Instant::now() - began < 2 * BESIDE, "pass {pass}");
            }
            let alone = async { Ok(vec![frozen]) };
            let server = server_at(frozen);
            let error = dialer.grpc_at(alone, &server, None, Within::DEFAULT, 1024).await;
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
    async fn address_where_no_server_serves_is_the_last_of_the_next_pass() {
        let ((first, a), (second, b)) = (listening().await, listening().await);
        let dialer = Dialer::plain();
        let mut reached = Vec::new();
        let connecting = async {
            for pass in 0..8 {
                let addresses = async { Ok(vec![a, b]) };
                let server = server_at(a);
                let opened = dialer.grpc_at(addresses, &server, None, Within::DEFAULT, 1024).await;
                let opened = opened.expect("both answer");
                assert!(opened.has_others);
                reached.push(opened.reached.address());
                let answered = answer_of(opened.link, opened.work).await;
                assert_eq!(answered.expect("an answer").kind(), "ErrorResponse");
                // Then a server serves there.
                if pass >= 4 {
                    opened.reached.prove();
                }
            }
        };
        tokio::select! {
            () = connecting => {}
            () = refuse(&first) => {}
            () = refuse(&second) => {}
        }
        assert_eq!(reached, [a, b, a, b, a, a, a, a]);
    }

    #[tokio::test(start_paused = true)]
    async fn address_that_is_to_be_left_is_not_dialled_again() {
        let ((first, a), (second, b)) = (listening().await, listening().await);
        let dialer = Dialer::plain();
        let connecting = async {
            let server = server_at(a);
            for (addresses, reached) in [(vec![a, b], Some(b)), (vec![a], None)] {
                let addresses = async { Ok(addresses) };
                let opened = dialer.grpc_at(addresses, &server, Some(a), Within::DEFAULT, 1024);
                let opened = opened.await;
                assert_eq!(opened.as_ref().ok().map(|opened| opened.reached.address()), reached);
                let error = opened.err().map(|error| error.to_string());
                let expected = reached.is_none().then_some("the name has no other address");
                assert_eq!(error.as_deref(), expected);
            }
        };
        tokio::select! {
            () = connecting => {}
            () = greet(&first) => {}
            () = greet(&second) => {}
        }
    }

    async fn answer_of(link: Http2Link, work: Work) -> Result<Payload, CallError> {
        let limit = Limit {
            idle: Duration::from_secs(60),
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let check = ServerCheckRequest::new().outgoing();
        tokio::select! {
            answer = link.call(Caller::Session, check.payload, Headers::new(), limit) => answer,
            why = work => panic!("{why}"),
        }
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
