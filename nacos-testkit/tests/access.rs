//! Logging in, and being let in.

mod client;

use std::time::Duration;

use client::{Client, http};
use nacos_testkit::{Behaviour, Server};
use serde_json::{Value, json};

#[tokio::test]
async fn login_takes_its_parameters_from_query_and_form() {
    let server = guarded(Behaviour::Nacos3_0).await;
    for (path, form) in [
        ("/nacos/v1/auth/users/login?username=nacos", "password=secret"),
        ("/nacos/v1/auth/login?username=nacos&password=secret", ""),
        ("/nacos/v3/auth/user/login", "username=nacos&password=secret"),
    ] {
        let (status, body) = http(server.addr(), "POST", path, form).await.expect("answered");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["tokenTtl"]), (200, &json!(18_000)), "{path}");
    }
    assert_eq!((server.logins(), server.refused_logins()), (3, 0));
}

#[tokio::test]
async fn refused_login_is_worded_as_each_server_does() {
    let unavailable = "Handle API Compatibility failed, please see log for detail.";
    for (behaviour, path, user, status, text) in [
        (Behaviour::RNacos, V1, "nacos", 403, "unknown user!"),
        (Behaviour::RNacos, V3, "nacos", 403, "unknown user!"),
        (Behaviour::Nacos2_5, V1, "nacos", 403, "user not found!"),
        (Behaviour::Nacos2_5, V1, "ann", 403, "user not found!"),
        (Behaviour::Nacos3_0, V3, "nacos", 500, "No message available"),
        (Behaviour::Nacos3_0, V3, "ann", 403, "Access Denied"),
        (Behaviour::Nacos3_0, V1, "nacos", 500, unavailable),
        (Behaviour::Nacos3_0, V1, "ann", 500, unavailable),
        (Behaviour::Nacos3_3, V3, "nacos", 403, "access denied"),
        (Behaviour::Nacos3_3, V3, "ann", 403, "access denied"),
    ] {
        let server = guarded(behaviour).await;
        let form = format!("username={user}&password=guess");
        let login = http(server.addr(), "POST", path, &form).await.expect("answered");
        let is_json = login.1.starts_with('{');
        assert!(login.0 == status && login.1.contains(text), "{behaviour:?} {path}: {login:?}");
        assert_eq!(is_json, status == 500, "{behaviour:?} {path}: {login:?}");
        assert_eq!((server.logins(), server.refused_logins()), (0, 1));
    }
}

/// As 2.3.2 does it: with a status that HTTP does not know, and for an unknown user with another.
#[tokio::test]
async fn second_generation_refuses_without_a_status() {
    let server = guarded(Behaviour::Nacos2_3).await;
    let path = "/nacos/v1/auth/users/login";
    let wrong = http(server.addr(), "POST", path, "username=nacos&password=guess").await;
    let error = wrong.expect_err("no library reads that");
    let error = error.get_ref().and_then(|error| error.downcast_ref::<hyper::Error>());
    assert!(error.is_some_and(hyper::Error::is_parse_status), "{error:?}");
    let unknown = http(server.addr(), "POST", path, "username=ann&password=guess").await;
    let refusal = (500, "caused: User ann not found;".to_owned());
    assert_eq!(unknown.expect("answered"), refusal);
    assert_eq!((server.logins(), server.refused_logins()), (0, 2));
}

#[tokio::test]
async fn planned_answer_stands_in_the_way_of_every_login() {
    let server = client::server().await;
    server.answer_logins(Some((405, "<html>")));
    for path in ["/nacos/v1/auth/users/login", "/nacos/v3/auth/user/login", "/v9/login"] {
        let login = http(server.addr(), "POST", path, "username=ann&password=p").await;
        assert_eq!(login.expect("answered"), (405, "<html>".to_owned()));
    }
    assert_eq!(server.refused_logins(), 3);
    server.answer_logins(None);
    let login = http(server.addr(), "POST", V3, "username=ann&password=p").await;
    assert_eq!(login.expect("answered").0, 403);
}

#[tokio::test]
async fn second_generation_has_no_third_generation_login() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos2_5] {
        let server = guarded(behaviour).await;
        let login = http(server.addr(), "POST", V3, "username=nacos").await;
        assert_eq!(login.expect("answered").0, 404);
    }
}

#[tokio::test]
async fn without_users_r_nacos_grants_any_login_and_java_none() {
    for (behaviour, path, status) in [
        (Behaviour::RNacos, V1, 200),
        (Behaviour::Nacos2_3, V1, 500),
        (Behaviour::Nacos2_5, V1, 403),
        (Behaviour::Nacos3_0, V1, 500),
        (Behaviour::Nacos3_0, V3, 403),
        (Behaviour::Nacos3_3, V3, 403),
    ] {
        let builder = Server::builder().behaviour(behaviour).authentication(false);
        let server = client::start(builder).await;
        let login = http(server.addr(), "POST", path, "username=ann&password=p").await;
        let (answered, body) = login.expect("answered");
        assert_eq!(answered, status, "{behaviour:?}");
        assert_eq!(body.contains("AUTH_DISABLED"), status == 200);
        // Clients need no login all the same.
        let client = Client::set_up(&server).await;
        assert_eq!(code(&client, "").await, 300);
    }
}

#[tokio::test]
async fn users_that_are_not_loaded_yet_are_refused_and_tokens_are_not() {
    for behaviour in [Behaviour::RNacos, Behaviour::Nacos3_0, Behaviour::Nacos2_3] {
        let server = guarded(behaviour).await;
        let client = Client::set_up(&server).await;
        let form = "username=nacos&password=secret";
        let login = || http(server.addr(), "POST", "/nacos/v1/auth/users/login", form);
        server.load_users(false);
        assert!([403, 500].contains(&login().await.expect("answered").0));
        assert_eq!(code(&client, &server.issue_token()).await, 300);
        server.load_users(true);
        assert_eq!(login().await.expect("answered").0, 200);
        assert_eq!((server.logins(), server.refused_logins()), (1, 1));
    }
}

#[tokio::test]
async fn authentication_is_switched_at_run_time() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let client = Client::set_up(&server).await;
    for demanded in [false, true, false] {
        server.demand_login(demanded);
        assert_eq!(code(&client, "").await == 403, demanded);
    }
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.demand_login(true);
    assert_eq!(code(&client, "").await, 403);
}

#[tokio::test]
async fn authentication_that_crashes_is_500_to_everybody() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let client = Client::set_up(&server).await;
    let token = client::log_in(&server).await;
    server.crash_authentication(true);
    assert_eq!(code(&client, &token).await, 500);
    let form = "username=nacos&password=secret";
    let login = http(server.addr(), "POST", "/nacos/v3/auth/user/login", form).await;
    assert_eq!(login.expect("answered").0, 500);
    server.crash_authentication(false);
    assert_eq!(code(&client, &token).await, 300);
}

#[tokio::test(start_paused = true)]
async fn slow_login_delays_nothing_else() {
    let server = guarded(Behaviour::Nacos3_0).await;
    server.delay_logins(Duration::from_secs(9));
    let began = tokio::time::Instant::now();
    let client = Client::set_up(&server).await;
    assert_eq!(code(&client, "").await, 403);
    assert_eq!(tokio::time::Instant::now() - began, Duration::ZERO);
    client::log_in(&server).await;
    assert_eq!(tokio::time::Instant::now() - began, Duration::from_secs(9));
}

#[tokio::test]
async fn user_may_log_in_where_nobody_has_to() {
    let builder = Server::builder().credentials("nacos", "secret").authentication(false);
    let server = client::start(builder).await;
    let login = http(server.addr(), "POST", V3, "username=nacos&password=secret").await;
    assert_eq!(login.expect("answered").0, 200);
    let wrong = http(server.addr(), "POST", V3, "username=nacos&password=guess").await;
    assert_eq!(wrong.expect("answered").0, 500);
    let client = Client::set_up(&server).await;
    assert_eq!(code(&client, "").await, 300);
}

#[tokio::test]
async fn newest_server_demands_a_login_at_its_own_path_unless_told_otherwise() {
    let builder = Server::builder().behaviour(Behaviour::Nacos3_3);
    let server = client::start(builder).await;
    let client = Client::set_up(&server).await;
    assert_eq!(code(&client, "").await, 403);
    let form = "username=nacos&password=nacos";
    let (status, body) = http(server.addr(), "POST", V3, form).await.expect("answered");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(code(&client, body["accessToken"].as_str().expect("a token")).await, 300);
    for path in [V1, "/nacos/v1/auth/login", "/nacos/v1/cs/configs?dataId=d&group=g"] {
        assert_eq!(http(server.addr(), "POST", path, form).await.expect("answered").0, 404);
    }
    let builder = Server::builder().authentication(true);
    let older = client::start(builder).await;
    assert_eq!(code(&Client::set_up(&older).await, "").await, 403);
}

#[tokio::test(start_paused = true)]
async fn token_is_good_until_its_time_is_over() {
    let server = client::start(
        Server::builder()
            .credentials("nacos", "secret")
            .token_ttl(Duration::from_secs(20))
            .probe_silence(false),
    )
    .await;
    let client = Client::set_up(&server).await;
    let token = client::log_in(&server).await;
    assert_eq!(code(&client, &token).await, 300);
    tokio::time::advance(Duration::from_secs(21)).await;
    assert_eq!(code(&client, &token).await, 403);
}

#[tokio::test]
async fn expired_tokens_are_denied_and_new_ones_are_not() {
    let server = guarded(Behaviour::RNacos).await;
    let client = Client::set_up(&server).await;
    let token = client::log_in(&server).await;
    server.expire_tokens();
    assert_eq!(code(&client, &token).await, 403);
    let token = client::log_in(&server).await;
    assert_eq!(code(&client, &token).await, 300);
}

#[tokio::test]
async fn token_that_is_handed_out_is_as_good_as_one_of_a_login() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let client = Client::set_up(&server).await;
    assert_eq!(code(&client, &server.issue_token()).await, 300);
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn open_api_is_guarded_too() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let path = "/nacos/v1/cs/configs?dataId=d&group=g";
    assert_eq!(http(server.addr(), "GET", path, "").await.expect("answered").0, 403);
    let token = client::log_in(&server).await;
    let path = format!("{path}&accessToken={token}");
    assert_eq!(http(server.addr(), "GET", &path, "").await.expect("answered").0, 404);
}

#[tokio::test]
async fn health_needs_no_token_and_stands_where_each_server_has_it() {
    for (behaviour, path, text) in [
        (Behaviour::Nacos2_3, "/nacos/v1/console/health/readiness", "OK"),
        (Behaviour::Nacos2_3, "/nacos/v2/console/health/readiness", "\"ok\""),
        (Behaviour::Nacos3_0, "/nacos/v3/admin/core/state/readiness", "\"ok\""),
        (Behaviour::RNacos, "/health", "success"),
        (Behaviour::RNacos, "/metrics", "grpc_conn_size 0"),
    ] {
        let server = guarded(behaviour).await;
        let (status, body) = http(server.addr(), "GET", path, "").await.expect("answered");
        assert!(status == 200 && body.contains(text), "{path}: {status} {body}");
    }
    let server = guarded(Behaviour::Nacos3_0).await;
    let gone = http(server.addr(), "GET", "/nacos/v1/console/health/readiness", "").await;
    assert_eq!(gone.expect("answered").0, 404);
}

#[tokio::test]
async fn address_server_names_the_main_port() {
    let server = guarded(Behaviour::Nacos3_0).await;
    let (_, list) = http(server.addr(), "GET", "/nacos/serverlist", "").await.expect("answered");
    assert_eq!(list, format!("{}\n", server.addr()));
}

#[tokio::test]
async fn provider_grants_its_client_a_token_that_the_newest_server_lets_in() {
    for behaviour in [Behaviour::Nacos3_3, Behaviour::Nacos3_0] {
        let builder = Server::builder().behaviour(behaviour).oidc("orders", "secret");
        let server = client::start(builder).await;
        let client = Client::set_up(&server).await;
        assert_eq!(code(&client, "").await, 403);
        let path = "/oidc/.well-known/openid-configuration";
        let (_, document) = http(server.addr(), "GET", path, "").await.expect("answered");
        let document: Value = serde_json::from_str(&document).expect("JSON");
        assert_eq!(document["issuer"], server.oidc_issuer());
        assert_eq!(document["token_endpoint"], format!("{}/token", server.oidc_issuer()));
        let who = "client_id=orders&client_secret";
        for (form, status, says) in [
            (format!("{who}=secret&grant_type=client_credentials"), 200, "Bearer"),
            (format!("{who}=guess&grant_type=client_credentials"), 401, "invalid_client"),
            (format!("{who}=secret&grant_type=password"), 400, "unsupported_grant_type"),
            ("grant_type=client_credentials".to_owned(), 400, "invalid_request"),
        ] {
            let answer = http(server.addr(), "POST", "/oidc/token", &form).await.expect("answered");
            assert!(answer.0 == status && answer.1.contains(says), "{form}: {answer:?}");
            let answer: Value = serde_json::from_str(&answer.1).expect("JSON");
            if let Some(token) = answer["access_token"].as_str() {
                let is_let_in = code(&client, token).await == 300;
                assert_eq!(is_let_in, behaviour == Behaviour::Nacos3_3);
            }
        }
        assert_eq!((server.logins(), server.refused_logins()), (1, 2));
        assert_eq!(server.requests("POST /oidc/token"), 4);
    }
    let without = guarded(Behaviour::Nacos3_3).await;
    assert_eq!(http(without.addr(), "POST", "/oidc/token", "").await.expect("answered").0, 404);
}

const V1: &str = "/nacos/v1/auth/users/login";
const V3: &str = "/nacos/v3/auth/user/login";

async fn guarded(behaviour: Behaviour) -> Server {
    let builder = Server::builder().behaviour(behaviour).credentials("nacos", "secret");
    client::start(builder).await
}

async fn code(client: &Client, token: &str) -> i64 {
    let query = json!({ "dataId": "d", "group": "g", "tenant": "" });
    let answer = client.call_as(token, "ConfigQueryRequest", &query).await.expect("answered");
    answer.1["errorCode"].as_i64().expect("a code")
}
