//! Servers that demand no login, that demand one after all, and clients that have none.
use std::time::Duration;

use nacos_core::{
    Access, ClaimState, Client, ClientOptions, Denial, ErrorKind, Instance, SessionState,
};
use nacos_testkit::{Behaviour, RawAnswer, Server};
use tokio::time::{Instant, timeout};

use crate::support::{self, BEHAVIOURS, after, becomes, builder, chain, guarded, soon};

async fn open(behaviour: Behaviour) -> Server {
    support::start(Server::builder().behaviour(behaviour)).await
}

/// Those whose authentication is off by default.
const JAVA: [Behaviour; 3] = [Behaviour::Nacos3_0, Behaviour::Nacos2_5, Behaviour::Nacos2_3];

#[tokio::test(start_paused = true)]
async fn server_that_demands_no_login_is_used_without_one_that_it_refuses() {
    for behaviour in JAVA {
        let server = open(behaviour).await;
        let began = Instant::now();
        let client = builder(&server).credentials("ann", "s3cret").connect().await;
        let client = client.expect("requests need no user");
        assert!(Instant::now() - began < Duration::from_secs(1));
        let state = client.state().get();
        assert!(state.is_without_login(), "{state:?}");
        let SessionState::Connected { access: Access::WithoutLogin { cause }, .. } = &*state else {
            panic!("it just was")
        };
        assert!(cause.contains("NACOS_USERNAME"), "{cause}");
        client.configs().get("d").await.expect("answered");
        assert!(
            !server
                .last_request("ConfigQueryRequest")
                .expect("sent")
                .headers
                .contains_key("accessToken")
        );
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let _guard = guard.expect("valid").ready().await.expect("registered");
        let before = server.refused_logins();
        after(600).await;
        let tries = server.refused_logins() - before;
        assert!((8..=10).contains(&tries), "{tries} logins in ten minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn login_that_is_required_is_denied_where_none_is_demanded() {
    let server = open(Behaviour::Nacos3_0).await;
    let options = r#"{ "requireLogin": true, "username": "ann", "password": "s3cret" }"#;
    let options: ClientOptions = serde_json::from_str(options).expect("readable");
    let error = builder(&server).options(options).connect().await.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(server.requests("ServiceQueryRequest"), 0, "nothing is asked of it");
    let client = builder(&server).credentials("ann", "s3cret").require_login(true);
    let client = client.connect_lazy().expect("valid");
    let _watch = client.configs().watch("d").expect("valid");
    after(60).await;
    assert!(matches!(*client.state().get(), SessionState::Denied { .. }));
    assert_eq!(server.requests("ConfigBatchListenRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn user_that_is_created_later_is_logged_in_within_the_minute() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.demand_login(false);
    server.load_users(false);
    let client = builder(&server).credentials("nacos", "s3cret").connect().await;
    let client = client.expect("requests need no user");
    assert!(client.state().get().is_without_login());
    server.load_users(true);
    let granted = |state: &SessionState| {
        matches!(state, SessionState::Connected { access: Access::Granted, .. })
    };
    let began = Instant::now();
    becomes(&mut client.state(), granted).await;
    assert!(Instant::now() - began <= Duration::from_secs(73));
    assert_eq!(server.connects(), 1, "the connection is the same");
}

#[tokio::test(start_paused = true)]
async fn authentication_that_is_switched_on_denies_who_was_let_in_without() {
    let server = open(Behaviour::Nacos3_0).await;
    let client = builder(&server).credentials("ann", "s3cret").connect().await;
    let client = client.expect("requests need no user");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
    let guard = guard.expect("valid").ready().await.expect("registered");
    server.demand_login(true);
    let logins = server.refused_logins();
    let error = soon(client.configs().get("d")).await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert_eq!(server.refused_logins() - logins, 1, "a login was tried");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Denied { .. })).await;
    assert_eq!(*guard.claim().get(), ClaimState::Held, "what is there stays there");
    server.demand_login(false);
    becomes(&mut client.state(), SessionState::is_without_login).await;
    client.configs().get("d").await.expect("let in again");
}

#[tokio::test(start_paused = true)]
async fn authentication_that_is_switched_on_is_answered_with_a_login_that_works() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.demand_login(false);
    server.load_users(false);
    let client = builder(&server).credentials("nacos", "s3cret").connect().await;
    let client = client.expect("requests need no user");
    server.load_users(true);
    server.demand_login(true);
    client.configs().get("d").await.expect("logged in, and asked again");
    assert_eq!(server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn client_without_credentials_is_told_that_it_needs_some() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        let began = Instant::now();
        let error = builder(&server).connect().await.expect_err("a login is demanded");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!error.is_retryable());
        assert!(Instant::now() - began < Duration::from_secs(1));
        let error = chain(&error);
        let named =
            ["demands a login", "`username`", "`password`", "NACOS_USERNAME", "NACOS_PASSWORD"];
        assert!(named.iter().all(|text| error.contains(text)), "{error}");
        assert_eq!(server.logins() + server.refused_logins(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn client_without_credentials_learns_it_from_its_first_request_too() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        let client = builder(&server).connect_lazy().expect("valid");
        let error = client.configs().get("d").await.expect_err("denied");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        assert!(chain(&error).contains("demands a login"), "{error:?}");
        let missing = |state: &SessionState| {
            matches!(state, SessionState::Denied { likely: Denial::Missing, .. })
        };
        becomes(&mut client.state(), missing).await;
        let asked = server.requests("ConfigQueryRequest");
        let error = client.configs().get("d").await.expect_err("denied");
        assert!(chain(&error).contains("NACOS_USERNAME"), "{error:?}");
        assert_eq!(server.requests("ConfigQueryRequest"), asked + 1, "asked once more, in vain");
        // By the minute it is asked whether that is still so.
        server.demand_login(false);
        let began = Instant::now();
        becomes(&mut client.state(), SessionState::is_connected).await;
        assert!(Instant::now() - began <= Duration::from_secs(73));
        client.configs().get("d").await.expect("let in");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_claim_of_a_client_without_credentials_says_what_is_missing() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let client = builder(&server).connect_lazy().expect("valid");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let mut claim = guard.claim();
    becomes(&mut claim, |claim| {
        matches!(claim, ClaimState::Refused { code: 403, message, .. } if message.contains("NACOS_USERNAME"))
    })
    .await;
    server.demand_login(false);
    becomes(&mut claim, |claim| *claim == ClaimState::Held).await;
}

#[tokio::test(start_paused = true)]
async fn authentication_that_is_switched_on_denies_a_client_without_credentials() {
    let server = open(Behaviour::Nacos3_0).await;
    let client = builder(&server).connect().await.expect("nobody asks who it is");
    let access = |state: &SessionState| {
        matches!(state, SessionState::Connected { access: Access::Anonymous, .. })
    };
    assert!(access(&client.state().get()));
    server.demand_login(true);
    client.configs().get("d").await.expect_err("denied");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Denied { .. })).await;
    // Also over the next connection.
    server.drop_connections();
    after(5).await;
    assert!(matches!(*client.state().get(), SessionState::Denied { .. }));
    server.demand_login(false);
    becomes(&mut client.state(), SessionState::is_connected).await;
}

#[tokio::test(start_paused = true)]
async fn rule_about_services_alone_keeps_nobody_out() {
    let server = open(Behaviour::Nacos3_0).await;
    let refuse = || {
        let body = r#"{"resultCode":500,"errorCode":403,"message":"Code: 401, Message: no."}"#;
        let message_type = "QueryServiceResponse".to_owned();
        RawAnswer::Message { message_type, body: body.to_owned() }
    };
    server.answer_next_raw("ServiceQueryRequest", refuse());
    let client = builder(&server).connect().await.expect("documents are open");
    client.configs().get("d").await.expect("answered");
    server.answer_next_raw("ServiceQueryRequest", refuse());
    let client = builder(&server).credentials("ann", "s3cret").connect().await;
    assert!(client.expect("documents are open").state().get().is_without_login());
    assert_eq!(server.requests("ConfigQueryRequest"), 3, "each asked for a document, too");
}

/// A part of a server that everybody may use, as what is claimed there.
const PUBLIC: &str = "public:PUBLIC:naming/*";

#[tokio::test(start_paused = true)]
async fn what_everybody_may_do_is_done_where_all_else_demands_a_login() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        server.open_to_all(&[PUBLIC]);
        for client in [builder(&server), builder(&server).credentials("nacos", "guess")] {
            let client = client.connect_lazy().expect("valid");
            let naming = client.naming();
            let orders = naming.register(("orders", "PUBLIC"), Instance::new("10.0.0.1", 80));
            let orders = orders.expect("valid");
            becomes(&mut orders.claim(), |claim| *claim == ClaimState::Held).await;
            // The refusal of one claim leaves the other alone.
            let stock = naming.register("stock", Instance::new("10.0.0.1", 80)).expect("valid");
            becomes(&mut stock.claim(), |claim| matches!(claim, ClaimState::Refused { .. })).await;
            after(130).await;
            assert!(client.state().get().is_connected(), "{:?}", client.state().get());
            assert_eq!(*orders.claim().get(), ClaimState::Held);
            server.drop_connections();
            after(5).await;
            becomes(&mut orders.claim(), |claim| *claim == ClaimState::Held).await;
            client.shutdown(Duration::from_secs(1)).await;
        }
    }
}

/// The same for whoever claims nothing there.
#[tokio::test(start_paused = true)]
async fn who_only_asks_for_what_everybody_may_read_is_not_denied_for_what_is_refused() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        server.open_to_all(&["public:PUBLIC:config/*"]);
        server.publish("", "PUBLIC", "limits", "1");
        let client = builder(&server).connect_lazy().expect("valid");
        let configs = client.configs();
        for data_id in ["limits", "absent"] {
            configs.get((data_id, "PUBLIC")).await.expect("open to all");
            for _ in 0..2 {
                let error = configs.get("secret").await.expect_err("not open");
                assert_eq!(error.kind(), ErrorKind::Denied);
                // As often as a refused request makes the client ask.
                after(70).await;
                let state = client.state().get();
                assert!(state.is_connected(), "{behaviour:?} {state:?}");
            }
        }
        let asked = server.requests("ConfigQueryRequest");
        // A part that is open to nobody any more denies the client, until it is open again.
        server.open_to_all(&[]);
        configs.get(("limits", "PUBLIC")).await.expect_err("not open any more");
        becomes(&mut client.state(), |state| matches!(state, SessionState::Denied { .. })).await;
        assert!(server.requests("ConfigQueryRequest") > asked);
        server.open_to_all(&["public:PUBLIC:config/*"]);
        let began = Instant::now();
        becomes(&mut client.state(), SessionState::is_connected).await;
        assert!(Instant::now() - began <= Duration::from_secs(73));
        configs.get(("limits", "PUBLIC")).await.expect("open to all");
    }
}

/// The client was denied for what it asked for first.
#[tokio::test(start_paused = true)]
async fn request_for_what_everybody_may_read_is_answered_though_the_client_is_denied() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        server.open_to_all(&["public:PUBLIC:config/*"]);
        server.publish("", "PUBLIC", "limits", "1");
        for client in [builder(&server), builder(&server).credentials("nacos", "guess")] {
            let client = client.connect_lazy().expect("valid");
            let configs = client.configs();
            let error = configs.get("secret").await.expect_err("not open");
            assert_eq!(error.kind(), ErrorKind::Denied);
            becomes(&mut client.state(), |state| matches!(state, SessionState::Denied { .. }))
                .await;
            let error = configs.get("secret").await.expect_err("not open");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)), "{error:?}");
            let limits = soon(configs.get(("limits", "PUBLIC"))).await.expect("open to all");
            assert_eq!(limits.map(|limits| limits.content.to_string()).as_deref(), Some("1"));
            soon(client.state().wait_for(SessionState::is_connected)).await.expect("let in");
            client.shutdown(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_want_of_the_login_that_was_refused_says_so() {
    let server = guarded(Behaviour::Nacos3_0).await;
    // The question whether a login is needed is let in, what is asked for is not.
    server.open_to_all(&["public:DEFAULT_GROUP:naming/*"]);
    let client = builder(&server).credentials("ann", "s3cret").connect().await.expect("let in");
    assert!(client.state().get().is_without_login());
    let error = client.configs().get("d").await.expect_err("not let in");
    assert_eq!(error.kind(), ErrorKind::Denied);
    for text in ["login has failed", "just started", "NACOS_USERNAME", "NACOS_PASSWORD"] {
        assert!(chain(&error).contains(text), "{error:?}");
    }
    let guard = client.naming().register(("orders", "OTHERS"), Instance::new("10.0.0.1", 80));
    becomes(&mut guard.expect("valid").claim(), |claim| {
        matches!(claim, ClaimState::Refused { code: 403, message, .. } if message.contains("NACOS_PASSWORD"))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn right_that_is_missing_is_not_taken_for_a_login_that_is() {
    let server = open(Behaviour::Nacos3_0).await;
    // "Code: 403, Message: authorization failed!."
    server.answer_always("ServiceQueryRequest", Some(403));
    server.answer_always("ConfigQueryRequest", Some(403));
    let client = builder(&server).connect().await.expect("nobody asks who it is");
    let error = client.configs().get("d").await.expect_err("forbidden");
    assert!(!chain(&error).contains("demands a login"), "{error:?}");
    after(5).await;
    assert!(client.state().get().is_connected());
}

#[tokio::test(start_paused = true)]
async fn question_that_nobody_answers_costs_connect_a_second_and_no_more() {
    for timeout in [Duration::from_millis(200), Duration::from_secs(5)] {
        let server = open(Behaviour::Nacos3_0).await;
        server.answer_next_raw("ServiceQueryRequest", RawAnswer::Silent);
        let began = Instant::now();
        let client = builder(&server).connect_timeout(timeout).connect().await;
        client.expect("it serves").configs().get("d").await.expect("answered");
        assert!(Instant::now() - began <= Duration::from_millis(1100));
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_comes_too_late_for_connect_still_counts() {
    for (delay, silent) in [(600, false), (1100, false), (2900, false), (0, true)] {
        let server = guarded(Behaviour::Nacos3_3).await;
        server.delay(Duration::from_millis(delay));
        if silent {
            server.answer_next_raw("ServiceQueryRequest", RawAnswer::Silent);
        }
        let connected = builder(&server).connect_timeout(Duration::from_secs(20)).connect().await;
        let Ok(client) = connected else {
            assert_eq!(delay, 600, "it was answered within a second");
            continue;
        };
        let missing = |state: &SessionState| {
            matches!(state, SessionState::Denied { likely: Denial::Missing, .. })
        };
        let told = timeout(Duration::from_secs(90), client.state().wait_for(missing)).await;
        assert!(told.is_ok(), "{delay} ms: {:?}", client.state().get());
    }
}

#[tokio::test(start_paused = true)]
async fn question_that_is_answered_with_nonsense_is_none() {
    for code in [500, 503, 302, 400] {
        let server = open(Behaviour::Nacos3_0).await;
        server.answer_always("ServiceQueryRequest", Some(code));
        let client = builder(&server).connect().await.expect("it serves");
        client.configs().get("d").await.expect("answered");
        assert!(client.state().get().is_connected());
    }
}

#[tokio::test(start_paused = true)]
async fn client_with_credentials_asks_no_question() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let client = builder(&server).credentials("nacos", "s3cret").connect().await.expect("logs in");
    client.configs().get("d").await.expect("let in");
    assert_eq!(server.requests("ServiceQueryRequest"), 0);
    let lazy = Client::builder().server_addr(server.addr().to_string()).connect_lazy();
    let _lazy = lazy.expect("valid");
    after(5).await;
    assert_eq!(server.requests("ServiceQueryRequest"), 0, "nor does one that is in no hurry");
}
