//! Users, passwords, tokens.
use std::time::Duration;

use nacos_core::{Client, ErrorKind, Instance, Publish, SessionState, credentials::UserPassword};
use nacos_testkit::{Behaviour, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::support::{BEHAVIOURS, becomes, builder, soon};

async fn guarded(behaviour: Behaviour, ttl: Duration) -> Server {
    let server =
        Server::builder().behaviour(behaviour).credentials("nacos", "se&cret=").token_ttl(ttl);
    server.start().await.expect("ports on loopback")
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
async fn wrong_password_is_denied_at_once_and_never_tried_in_a_hot_loop() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour, HOURS).await;
        let wrong = builder(&server).credentials("nacos", "wrong");
        let error = wrong.clone().connect().await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!error.is_retryable());

        let lazy = wrong.connect_lazy().expect("valid options");
        becomes(&mut lazy.state(), |state| matches!(state, SessionState::Denied { .. })).await;
        let error = lazy.configs().get("d").await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let before = server.refused_logins();
        tokio::time::sleep_until(Instant::now() + Duration::from_secs(300)).await;
        let tries = server.refused_logins() - before;
        assert!(tries <= 6, "{tries} logins in five minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn without_credentials_a_guarded_server_denies() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour, HOURS).await;
        let client = builder(&server).connect().await.expect("connections are not guarded");
        let error = client.configs().get("d").await.expect_err("denied");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        assert_eq!(
            server.requests("ConfigQueryRequest"),
            1,
            "nothing helps, so nothing is repeated"
        );
        assert_eq!(server.logins(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn token_is_renewed_before_it_expires() {
    let server = guarded(Behaviour::Nacos3, Duration::from_secs(20)).await;
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
    let server = guarded(Behaviour::Nacos3, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.expire_tokens();
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    assert_eq!(server.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn connection_lost_during_a_new_login_does_not_make_a_request_denied() {
    let server = guarded(Behaviour::Nacos3, HOURS).await;
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
    assert!(client.vitals().get().losses >= 1, "the connection was lost meanwhile");
}

#[tokio::test(start_paused = true)]
async fn many_refused_requests_cause_one_login() {
    let server = guarded(Behaviour::Nacos3, HOURS).await;
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
    let server = guarded(Behaviour::Nacos3, HOURS).await;
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
    assert!((4..=6).contains(&server.refused_logins()), "{}", server.refused_logins());
}

/// Not the test server, which takes the fields of a login from wherever they stand.
#[tokio::test(start_paused = true)]
async fn login_stands_in_the_body_alone_and_falls_back_to_the_older_path() {
    for status in ["404 Not Found", "501 Not Implemented", "410 Gone"] {
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
                // What dials for gRPC says something else first, and is turned away.
                if soon(socket.read_buf(&mut request)).await.unwrap_or(0) == 0
                    || !is_login(&request) && request.len() > 5
                {
                    break;
                }
            }
            if is_login(&request) {
                logins.push(String::from_utf8(request).expect("text"));
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
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

#[tokio::test(start_paused = true)]
async fn claims_are_made_again_with_the_new_token() {
    let server = guarded(Behaviour::Nacos3, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.expire_tokens();
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut guard.claim(), |state| *state == nacos_core::ClaimState::Held).await;
    assert_eq!(server.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn missing_right_causes_one_login_a_minute_and_is_denied() {
    let server = guarded(Behaviour::Nacos3, HOURS).await;
    let client =
        builder(&server).credentials("nacos", "se&cret=").connect().await.expect("logs in");
    server.answer_always("ConfigQueryRequest", Some(403));
    for _ in 0..10 {
        let error = soon(client.configs().get("d")).await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    assert_eq!(server.logins(), 2);
    assert!(client.state().get().is_connected());
}

#[tokio::test(start_paused = true)]
async fn password_is_in_no_debug_output() {
    let server = guarded(Behaviour::Nacos3, HOURS).await;
    let builder = builder(&server).credentials("nacos", "se&cret=");
    assert!(!format!("{builder:?}").contains("se&cret"));
    let client = builder.connect().await.expect("logs in");
    assert!(!format!("{client:?}").contains("se&cret"));
}
