//! Users, passwords, tokens.
use std::time::Duration;

use nacos_core::{Client, ErrorKind, Instance, Publish, SessionState, credentials::UserPassword};
use nacos_testkit::{Behaviour, Server, TimeLimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::support::{self, BEHAVIOURS, becomes, builder, soon};

async fn guarded(behaviour: Behaviour, ttl: Duration) -> Server {
    support::start(
        Server::builder().behaviour(behaviour).credentials("nacos", "se&cret=").token_ttl(ttl),
    )
    .await
}

const HOURS: Duration = Duration::from_secs(18_000);

#[tokio::test(start_paused = true)]
async fn user_and_password_log_in_on_every_server() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour, HOURS).await;
        let client =
            builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
        client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        assert_eq!(server.logins(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn login_may_take_as_long_as_connecting_may() {
    for seconds in [25, 40, 58] {
        let server = guarded(Behaviour::Nacos3_0, HOURS).await;
        server.delay_logins(Duration::from_secs(seconds));
        let client = builder(&server).credentials("nacos", "se&cret=");
        let began = Instant::now();
        let client = client.connect_timeout(Duration::from_secs(60)).connect().await;
        client.expect("a slow login is a login");
        let took = Instant::now() - began;
        assert_eq!((took.as_secs(), server.logins()), (seconds, 1), "it is asked for once");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_password_is_denied_and_never_tried_in_a_hot_loop() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour, HOURS).await;
        let wrong = builder(&server).credentials("nacos", "wrong");
        let began = Instant::now();
        let error = wrong.clone().connect().await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!error.is_retryable());
        // To the others it may mean that the user is not known yet, or that something fails.
        let at_once = Instant::now() - began < Duration::from_secs(1);
        assert_eq!(at_once, behaviour == Behaviour::Nacos2_3);

        let lazy = wrong.connect_lazy().expect("valid options");
        becomes(&mut lazy.state(), |state| matches!(state, SessionState::Denied { .. })).await;
        let error = lazy.configs().get("d").await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let before = server.refused_logins();
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(300)).await;
        let tries = server.refused_logins() - before;
        assert!(tries <= 9, "{tries} logins in five minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn token_is_renewed_before_it_expires() {
    let server = guarded(Behaviour::Nacos3_0, Duration::from_secs(20)).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    for _ in 0..60 {
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(5)).await;
        client.configs().get("d").await.expect("never a moment without a valid token");
    }
    // Five minutes of tokens that live for 20 s, each renewed in its last tenth.
    assert!((14..=18).contains(&server.logins()), "{}", server.logins());
}

#[tokio::test(start_paused = true)]
async fn refused_token_is_replaced_and_the_request_repeated() {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.expire_tokens();
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    assert_eq!(server.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn connection_lost_during_a_new_login_does_not_make_a_request_denied() {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.publish("", "DEFAULT_GROUP", "d", "1");
    server.expire_tokens();
    let configs = client.configs();
    let query = configs.get("d");
    let fault = async {
        server.until(|server| server.requests("ConfigQueryRequest") == 1).await;
        // The answer is given already; the login it causes takes a second.
        tokio::time::sleep(Duration::from_millis(1)).await;
        server.drop_connections();
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.delay(Duration::ZERO);
    };
    server.delay(Duration::ZERO);
    let slow = async {
        server.until(|server| server.requests("ConfigQueryRequest") == 1).await;
        server.delay(Duration::from_secs(1));
    };
    let (document, (), ()) = soon(async { tokio::join!(query, fault, slow) }).await;
    assert!(document.expect("the new token is good").is_some());
    assert!(client.stats().get().losses >= 1, "the connection was lost meanwhile");
}

#[tokio::test(start_paused = true)]
async fn many_refused_requests_cause_one_login() {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    server.expire_tokens();
    let configs = client.configs();
    let requests: Vec<_> = (0..50)
        .map(|n| {
            let configs = configs.clone();
            tokio::spawn(async move { configs.get(format!("d{n}").as_str()).await })
        })
        .collect();
    // And the session's own.
    drop(guard);
    let watch = client.configs().watch("watched").expect("valid");
    for request in requests {
        soon(request).await.expect("no panic").expect("answered with the new token");
    }
    becomes(&mut watch.claim(), |state| *state == nacos_core::ClaimState::Held).await;
    assert_eq!(server.logins(), 2);
    assert!((51..=100).contains(&server.requests("ConfigQueryRequest")));
}

#[tokio::test(start_paused = true)]
async fn login_that_a_refusal_caused_and_that_fails_is_tried_once_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("password");
    std::fs::write(&password, "se&cret=").expect("written");
    let server = guarded(Behaviour::Nacos2_5, HOURS).await;
    let credentials = UserPassword::with_password_file("nacos", &password);
    let client = builder(&server).with_credentials(credentials).connect().await.expect("logs in");
    std::fs::write(&password, "another").expect("written");
    server.expire_tokens();
    let end = Instant::now() + Duration::from_secs(300);
    while Instant::now() < end {
        let error = soon(client.configs().get("d")).await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(1)).await;
    }
    // A password that has never worked: three tries soon, and then by the minute.
    assert!((6..=9).contains(&server.refused_logins()), "{}", server.refused_logins());
}

/// Not the test server, which takes the fields of a login from wherever they stand.
#[tokio::test(start_paused = true)]
async fn login_stands_in_the_body_alone_and_falls_back_to_the_older_path() {
    TimeLimit::for_test();
    let page = "<html>blocked</html>";
    for (status, page) in [
        ("404 Not Found", ""),
        ("501 Not Implemented", ""),
        ("410 Gone", ""),
        ("405 Method Not Allowed", page),
        ("400 Bad Request", ""),
        ("302 Found", ""),
        ("403 Forbidden", page),
        ("200 OK", page),
        ("200 OK", r#"{"code":404,"msg":"no such path"}"#),
        ("500 Internal Server Error", "caused: No static resource v3/auth/user/login.;"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        // Above 64535 there would be no gRPC port.
        let client = Client::builder().server_addr(address).grpc_port_offset(0);
        let client = client.credentials("nacos", "se&cret=").connect_lazy().expect("valid");
        let mut logins = Vec::new();
        while logins.len() < 2 {
            let (mut socket, _) = soon(listener.accept()).await.expect("accepted");
            let mut request = Vec::new();
            let is_login = |request: &[u8]| request.starts_with(b"POST ");
            while !request.ends_with(b"cret%3D") {
                // A connection for gRPC says something else first, and is turned away.
                if soon(socket.read_buf(&mut request)).await.unwrap_or(0) == 0
                    || !is_login(&request) && request.len() > 5
                {
                    break;
                }
            }
            if is_login(&request) {
                logins.push(String::from_utf8(request).expect("text"));
                let length = page.len();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{page}");
                soon(socket.write_all(answer.as_bytes())).await.expect("written");
            }
        }
        drop(client);
        let paths = ["/nacos/v3/auth/user/login", "/nacos/v1/auth/users/login"];
        for (login, path) in logins.iter().zip(paths) {
            let (head, body) = login.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
            assert!(!head.contains("cret") && !head.contains("nacos&"), "{head}");
            assert!(head.to_lowercase().contains("application/x-www-form-urlencoded"), "{head}");
            assert_eq!(body, "username=nacos&password=se%26cret%3D");
        }
    }
}

/// The first login that `client` posts to a server that knows no gRPC.
async fn first_login(client: nacos_core::ClientBuilder) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let client = client.server_addr(address).grpc_port_offset(0);
    let _client = client.credentials("nacos", "se&cret=").connect_lazy().expect("valid");
    loop {
        let (mut socket, _) = soon(listener.accept()).await.expect("accepted");
        let mut request = vec![0; 4096];
        let read = soon(socket.read(&mut request)).await.unwrap_or(0);
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        // A connection for gRPC says something else.
        if request.starts_with("POST ") {
            return request;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn login_stands_below_the_context_path() {
    TimeLimit::for_test();
    for (given, path) in [("/env/", "/env/v3/auth/user/login"), ("/", "/v3/auth/user/login")] {
        let options = format!(r#"{{ "contextPath": "{given}" }}"#);
        let options = serde_json::from_str(&options).expect("readable");
        let login = first_login(Client::builder().options(options)).await;
        assert!(login.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{login}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_server_of_three_delays_no_login() {
    for _ in 0..20 {
        let (silent, alive) =
            (guarded(Behaviour::Nacos3_0, HOURS).await, guarded(Behaviour::Nacos3_0, HOURS).await);
        silent.black_hole(true);
        let refused = server_that_is_gone().await;
        let addresses = format!("{},{refused},{}", silent.addr(), alive.addr());
        let began = Instant::now();
        let client = Client::builder().server_addr(addresses).credentials("nacos", "se&cret=");
        client.connect().await.expect("one is alive");
        let took = Instant::now() - began;
        assert!(took < Duration::from_millis(400), "{took:?}");
    }
}

/// The address of one that was there.
async fn server_that_is_gone() -> std::net::SocketAddr {
    guarded(Behaviour::Nacos3_0, HOURS).await.addr()
}

/// A client's state after `answer` to its login, at a server whose gRPC port is as it should be.
async fn state_after(answer: &str) -> SessionState {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let ports = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (one, other) = (ports().await, ports().await);
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let (http, grpc) = if port(&one) < port(&other) { (one, other) } else { (other, one) };
    let client = Client::builder().server_addr(http.local_addr().expect("bound").to_string());
    let client = client.grpc_port_offset(port(&grpc) - port(&http));
    let answering = async {
        loop {
            let (mut socket, _) = http.accept().await.expect("a client");
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    };
    let relaying = async {
        let (mut socket, _) = grpc.accept().await.expect("a client");
        let mut there = TcpStream::connect(server.grpc_addr()).await.expect("the server is there");
        let _ = tokio::io::copy_bidirectional(&mut socket, &mut there).await;
        std::future::pending::<()>().await;
    };
    let client = client.credentials("nacos", "se&cret=").connect_lazy().expect("valid");
    let settled = async {
        let mut state = client.state();
        let settled = |state: &SessionState| !matches!(state, SessionState::Connecting { .. });
        soon(state.wait_for(settled)).await.expect("it lives").as_ref().clone()
    };
    tokio::select! {
        state = settled => state,
        () = answering => unreachable!("it answers for ever"),
        () = relaying => unreachable!("it never ends"),
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_status_zero_is_a_wrong_password_of_what_is_no_answer_to_a_login() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<h1>hello</h1>\n";
    for (answer, why) in [
        (page, "no JSON"),
        ("HTTP/1.1 99999 Whatever\r\ncontent-length: 0\r\n\r\n", "status"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "version"),
    ] {
        match state_after(answer).await {
            SessionState::Backoff { cause, .. } => assert!(cause.contains(why), "{cause}"),
            other => panic!("{other:?} after {answer:?}"),
        }
    }
    let state = state_after("HTTP/1.1 0 \r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(state, SessionState::Denied { .. }), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn what_lets_no_login_through_is_named_with_what_it_said() {
    let wall = "HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\n<html>";
    match state_after(wall).await {
        SessionState::Denied { cause, .. } => assert!(cause.contains("403"), "{cause}"),
        other => panic!("{other:?}"),
    }
    match state_after("HTTP/1.1 405 Not Allowed\r\ncontent-length: 0\r\n\r\n").await {
        SessionState::Backoff { cause, .. } => {
            assert!(cause.contains("no login path is known there"), "{cause}");
            assert!(cause.contains("405"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_made_again_with_the_new_token() {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.expire_tokens();
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut guard.claim(), |state| *state == nacos_core::ClaimState::Held).await;
    assert_eq!(server.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_refused_cause_one_login_a_minute_and_are_denied() {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.expire_tokens();
    soon(client.configs().get("d")).await.expect("logged in again");
    for _ in 0..10 {
        server.expire_tokens();
        let error = soon(client.configs().get("d")).await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    assert_eq!(server.logins(), 2);
    assert!(client.state().get().is_connected());
}

#[tokio::test(start_paused = true)]
async fn password_is_in_no_debug_output() {
    let server = guarded(Behaviour::Nacos3_0, HOURS).await;
    let builder = builder(&server).credentials("nacos", "se&cret=");
    assert!(!format!("{builder:?}").contains("se&cret"));
    let client = builder.connect().await.expect("logs in");
    assert!(!format!("{client:?}").contains("se&cret"));
}
