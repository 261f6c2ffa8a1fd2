//! Tests of the dialer.
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
                let status = ("grpc-status".parse().expect("valid"), "0".parse().expect("valid"));
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
    let limit =
        Limit { idle: Duration::from_secs(60), deadline: Instant::now() + Duration::from_secs(60) };
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
    let answer =
        dialer.ask(async { Ok(vec![frozen]) }, ANSWER, at, at.0, Some(Alpn::Http1), |_| async {
            Ok(())
        });
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
