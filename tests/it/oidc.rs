//! Machines that have their tokens from an OIDC provider: by the specification of 3.2 and later,
//! *not seen* with a real server.
use std::time::Duration;

use nacos_core::{
    Client, ClientOptions, ErrorKind, Instance, Publish, SessionState,
    credentials::{OidcAuthMethod, OidcClient, OidcProvider},
};
use nacos_testkit::{Behaviour, Builder, Received, Server};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{self, after, becomes, builder, chain, soon};

fn settings() -> Builder {
    Server::builder().behaviour(Behaviour::Nacos3_3).oidc("orders", "s3&cret=")
}

async fn server() -> Server {
    support::start(settings()).await
}

fn issuer(server: &Server) -> OidcProvider {
    OidcProvider::Issuer(server.oidc_issuer())
}

fn orders(server: &Server) -> OidcClient {
    OidcClient::new(issuer(server), "orders", "s3&cret=")
}

async fn connected(server: &Server) -> Client {
    builder(server).with_credentials(orders(server)).connect().await.expect("is granted a token")
}

fn last_token_request(server: &Server) -> Received {
    server.last_request(TOKEN).expect("the provider was asked")
}

#[tokio::test(start_paused = true)]
async fn token_of_a_provider_is_on_every_request_in_two_headers() {
    let server = server().await;
    let client = connected(&server).await;
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    for request in ["ConfigPublishRequest", "InstanceRequest"] {
        let headers = server.last_request(request).expect("sent").headers;
        let token = headers.get("accessToken").expect("a token");
        assert_eq!(headers.get("Authorization"), Some(&format!("Bearer {token}")), "{request}");
    }
    let asked = (server.requests(DISCOVERY), server.requests(TOKEN), server.logins());
    assert_eq!(asked, (1, 1, 1));
    assert_eq!(server.requests("POST /nacos/v3/auth/user/login"), 0);
}

#[tokio::test(start_paused = true)]
async fn request_for_a_token_says_what_the_options_say_and_has_the_secret_in_one_place() {
    let server = server().await;
    let basic = json!({
        "oidc_issuer": server.oidc_issuer(), "oidcClientId": "orders",
        "oidc-client-secret": "s3&cret=", "oidc_scope": "a b", "oidc_audience": "nacos server",
        "oidc_resource": "https://nacos/", "oidc_auth_method": "client_secret_basic",
    });
    let post = json!({
        "nacos.client.auth.oidc.token-endpoint": format!("{}/token", server.oidc_issuer()),
        "nacos.client.auth.oidc.client-id": "orders",
        "nacos.client.auth.oidc.client-secret": "s3&cret=",
    });
    let blank = json!({
        "oidc_issuer": format!("{}/", server.oidc_issuer()), "oidc_client_id": "orders",
        "oidc_client_secret": "s3&cret=", "oidc_scope": " ",
    });
    let in_body = |more: serde_json::Value| {
        let mut body = json!({
            "grant_type": "client_credentials", "client_id": "orders", "client_secret": "s3&cret=",
        });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let asked_for = json!({
        "grant_type": "client_credentials", "scope": "a b", "audience": "nacos server",
        "resource": "https://nacos/",
    });
    for (options, body, has_header, documents) in [
        (basic, asked_for, true, 1),
        (post, in_body(json!({ "scope": "openid" })), false, 1),
        (blank, in_body(json!({})), false, 2),
    ] {
        let options: ClientOptions = serde_json::from_value(options).expect("readable");
        builder(&server).options(options).connect().await.expect("is granted a token");
        let request = last_token_request(&server);
        assert_eq!(request.body, body);
        assert_eq!(request.headers.contains_key("authorization"), has_header, "{body}");
        assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(server.requests(DISCOVERY), documents, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn secret_goes_where_the_provider_alone_takes_it() {
    let server = server().await;
    let endpoint = format!("{}/token", server.oidc_issuer());
    let document = json!({
        "token_endpoint": endpoint,
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
    });
    server.answer_at(DOCUMENT, Some((200, &document.to_string())));
    connected(&server).await;
    assert!(last_token_request(&server).headers.contains_key("authorization"));
    let post = orders(&server).auth_method(OidcAuthMethod::ClientSecretPost);
    builder(&server).with_credentials(post).connect().await.expect("a word of the user's decides");
    assert!(!last_token_request(&server).headers.contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn token_of_a_provider_is_renewed_before_it_expires() {
    let server = support::start(settings().token_ttl(Duration::from_secs(20))).await;
    let client = connected(&server).await;
    for _ in 0..60 {
        after(5).await;
        client.configs().get("d").await.expect("never a moment without a valid token");
    }
    // Five minutes of tokens that live for 20 s, each renewed in its last tenth.
    assert!((14..=18).contains(&server.logins()), "{}", server.logins());
    assert_eq!(server.requests(DISCOVERY), 1, "nothing has failed");
}

#[tokio::test(start_paused = true)]
async fn token_that_servers_refuse_is_replaced_once_and_the_request_repeated() {
    let server = server().await;
    let client = connected(&server).await;
    server.expire_tokens();
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    assert_eq!(server.logins(), 2);
    // A server without the plugin takes none, whatever is fetched.
    let builder_of_3_0 = Server::builder().oidc("orders", "s3&cret=");
    let older = support::start(builder_of_3_0).await;
    let client = connected(&older).await;
    let end = Instant::now() + Duration::from_secs(300);
    while Instant::now() < end {
        let error = soon(client.configs().get("d")).await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        after(1).await;
    }
    assert!((2..=7).contains(&older.logins()), "{} tokens in five minutes", older.logins());
}

#[tokio::test(start_paused = true)]
async fn wrong_secret_is_denied_and_never_tried_in_a_hot_loop() {
    let server = server().await;
    let wrong = builder(&server).with_credentials(OidcClient::new(issuer(&server), "orders", "no"));
    let error = wrong.clone().connect().await.expect_err("denied");
    let text = chain(&error);
    assert_eq!(error.kind(), ErrorKind::Denied, "{text}");
    for part in
        ["invalid_client", "Invalid client credentials", "oidc_client_secret", "/oidc/token"]
    {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let lazy = wrong.connect_lazy().expect("valid options");
    becomes(&mut lazy.state(), |state| matches!(state, SessionState::Denied { .. })).await;
    let before = server.refused_logins();
    after(300).await;
    let tries = server.refused_logins() - before;
    assert!((4..=9).contains(&tries), "{tries} requests in five minutes");
}

#[tokio::test(start_paused = true)]
async fn secret_of_a_client_is_read_again_for_each_token() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, "wrong").expect("written");
    let client = OidcClient::with_secret_file(issuer(&server), "orders", &path);
    let client = builder(&server).with_credentials(client).connect_lazy().expect("valid");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Denied { .. })).await;
    std::fs::write(&path, "s3&cret=\n").expect("written");
    becomes(&mut client.state(), SessionState::is_connected).await;
    client.configs().get("d").await.expect("let in");
}

#[tokio::test(start_paused = true)]
async fn provider_that_is_away_costs_nothing_while_the_token_is_good() {
    for answer in [(503, ""), (400, r#"{"error":"temporarily_unavailable"}"#)] {
        let server = support::start(settings().token_ttl(Duration::from_secs(600))).await;
        let client = connected(&server).await;
        server.answer_at("/oidc/token", Some(answer));
        // A new one is asked for at some time in the last tenth, after 540 s.
        after(595).await;
        assert!(server.requests(TOKEN) > 1, "{answer:?}");
        client.configs().get("d").await.expect("the former token serves on");
        server.answer_at("/oidc/token", None);
        soon(server.until(|server| server.logins() == 2)).await;
        client.configs().get("d").await.expect("there is a new one");
        assert!(server.requests(DISCOVERY) > 1, "the provider may have moved");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_no_use_are_named_and_never_taken_for_a_token() {
    let huge = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(70_000));
    let page = "<html>sorry</html>";
    for (path, status, answer, why) in [
        (DOCUMENT, 200, page, "no discovery document"),
        (DOCUMENT, 200, "{}", "no token endpoint"),
        (DOCUMENT, 200, r#"{"token_endpoint":"http://idp.example.com/t"}"#, "oidc_allow_http"),
        (DOCUMENT, 200, r#"{"issuer":"https://evil","token_endpoint":"http://[::1]/"}"#, "another"),
        (DOCUMENT, 200, &huge, "too long"),
        (DOCUMENT, 301, "", "no redirection is followed"),
        (DOCUMENT, 404, page, "404"),
        ("/oidc/token", 200, page, "no JSON"),
        ("/oidc/token", 200, "{}", "no access token"),
        ("/oidc/token", 200, r#"{"access_token":"a b"}"#, "cannot stand in a header"),
        ("/oidc/token", 200, r#"{"access_token":"a","token_type":"mac"}"#, "bearer tokens alone"),
        ("/oidc/token", 200, &huge, "too long"),
        ("/oidc/token", 307, "", "no redirection is followed"),
        ("/oidc/token", 502, page, "502"),
    ] {
        let server = server().await;
        server.answer_at(path, Some((status, answer)));
        let error = builder(&server).with_credentials(orders(&server)).connect().await;
        let error = chain(&error.expect_err("nothing was granted"));
        assert!(error.contains(why) && error.contains("/oidc/"), "{path} {status}: {error}");
        let lazy = builder(&server).with_credentials(orders(&server)).connect_lazy();
        let lazy = lazy.expect("valid options");
        server.answer_at(path, None);
        becomes(&mut lazy.state(), SessionState::is_connected).await;
        lazy.configs().get("d").await.expect("it is as if nothing had been");
    }
}

#[tokio::test(start_paused = true)]
async fn authentication_that_is_switched_on_at_run_time_finds_a_token_on_every_request() {
    let server = support::start(settings().authentication(false)).await;
    let (with, without) = (connected(&server).await, support::connected(&server).await);
    for demanded in [false, true, false] {
        server.demand_login(demanded);
        with.configs().get("d").await.expect("let in either way");
        let asked = soon(without.configs().get("d")).await;
        assert_eq!(asked.is_err(), demanded);
    }
    assert_eq!(server.logins(), 1);
}

const DISCOVERY: &str = "GET /oidc/.well-known/openid-configuration";
const DOCUMENT: &str = "/oidc/.well-known/openid-configuration";
const TOKEN: &str = "POST /oidc/token";
