//! Users, passwords, tokens.
use std::time::Duration;

use nacos_core::{ErrorKind, Instance, Publish, SessionState};
use nacos_testkit::{Behaviour, Server};
use tokio::time::Instant;

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
    assert!(!format!("{builder:?}").contains("cret"));
    let client = builder.connect().await.expect("logs in");
    assert!(!format!("{client:?}").contains("cret"));
}
