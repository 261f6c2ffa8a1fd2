//! Who is let in: login, its refusals, and tokens that expire.
use std::{rc::Rc, time::Duration};

use nacos_core::{ErrorKind, Instance, Publish};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::{
    check::{Check, Observation, Theme, about, check},
    http::{self, Reply},
    subject::{Host, Subject, TOKEN_TTL, connected},
    wire::{Wire, document, eventually_at, instance, named, with},
};

pub(crate) const THEME: Theme = Theme { title: "Access", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("login", login),
    check!("login with a wrong password", wrong_password),
    check!("login of an unknown user", unknown_user),
    check!("login at the path of 3.x", third_generation),
    check!("login by GET", by_get),
    check!("query without a token", query).captured(|capture| capture.answer(NO_TOKEN, 0).said()),
    check!("publish without a token", publish)
        .captured(|capture| capture.answer(NO_TOKEN, 1).said()),
    check!("registration without a token", register)
        .captured(|capture| capture.answer(NO_TOKEN, 2).said()),
    check!("query with a bad token", bad_token)
        .captured(|capture| capture.answer("bad token", 0).said()),
    check!("query over HTTP without a token", over_http),
    check!("token of 20 s, until it is refused", expiry),
    check!("our client: user and password", ours),
    check!("our client: wrong password", ours_wrong),
    check!("our client: unknown user", ours_unknown),
    check!("our client: no credentials", ours_without),
    check!("our client: calls, when its first token has expired", ours_renewed),
];

const NO_TOKEN: &str = "no token";
/// Twenty seconds of asking.
const SLOWLY: Duration = Duration::from_millis(250);

const LOGIN: &str = "/nacos/v1/auth/users/login";

async fn login(subject: Rc<Subject>) -> Observation {
    let reply = log_in(&subject.guarded, "POST", LOGIN, "nacos", "nacos").await;
    let body: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert!(body["accessToken"].is_string(), "{body}");
    format!("{}, `tokenTtl` {}", reply.status, body["tokenTtl"])
}

async fn wrong_password(subject: Rc<Subject>) -> Observation {
    said(&log_in(&subject.guarded, "POST", LOGIN, "nacos", "wrong").await)
}

async fn unknown_user(subject: Rc<Subject>) -> Observation {
    said(&log_in(&subject.guarded, "POST", LOGIN, "nobody", "wrong").await)
}

async fn third_generation(subject: Rc<Subject>) -> Observation {
    let path = "/nacos/v3/auth/user/login";
    format!("{}", log_in(&subject.guarded, "POST", path, "nacos", "nacos").await.status)
}

async fn by_get(subject: Rc<Subject>) -> Observation {
    format!("{}", log_in(&subject.guarded, "GET", LOGIN, "nacos", "nacos").await.status)
}

async fn log_in(host: &Host, method: &str, path: &str, user: &str, password: &str) -> Reply {
    http::ask(host.addr(), method, path, &[("username", user), ("password", password)]).await
}

async fn token(host: &Host) -> String {
    let reply = log_in(host, "POST", LOGIN, "nacos", "nacos").await;
    let body: Value = serde_json::from_str(&reply.body).expect("JSON");
    body["accessToken"].as_str().expect("a token").to_owned()
}

/// The status, and the text or the message within the JSON.
fn said(reply: &Reply) -> Observation {
    let body: Option<Value> = serde_json::from_str(&reply.body).ok();
    let message = body.and_then(|body| body["message"].as_str().map(str::to_owned));
    format!("{} \"{}\"", reply.status, message.as_deref().unwrap_or(reply.body.trim()))
}

async fn query(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to_guarded(&subject, None).await;
    wire.ask("ConfigQueryRequest", document("x")).await.said()
}

async fn publish(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to_guarded(&subject, None).await;
    let body = with(&document("x"), json!({ "content": "x" }));
    wire.ask("ConfigPublishRequest", body).await.said()
}

async fn register(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to_guarded(&subject, None).await;
    let body = json!({ "type": "registerInstance", "instance": instance(1) });
    wire.ask("InstanceRequest", with(&named("x"), body)).await.said()
}

async fn bad_token(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to_guarded(&subject, Some("bad".to_owned())).await;
    wire.ask("ConfigQueryRequest", document("x")).await.said()
}

async fn over_http(subject: Rc<Subject>) -> Observation {
    let parameters = [("dataId", "x"), ("group", "g")];
    let path = "/nacos/v1/cs/configs";
    said(&http::ask(subject.guarded.addr(), "GET", path, &parameters).await)
}

async fn expiry(subject: Rc<Subject>) -> Observation {
    let token = token(&subject.guarded).await;
    let begun = Instant::now();
    let wire = Wire::to_guarded(&subject, Some(token)).await;
    wire.ask("ConfigQueryRequest", document("x")).await.said();
    let refused = async || wire.ask("ConfigQueryRequest", document("x")).await.code() == 403;
    eventually_at(interval(SLOWLY), refused).await;
    let lifetime = about(Instant::now().duration_since(begun));
    format!("{lifetime}, {}", wire.ask("ConfigQueryRequest", document("x")).await.said())
}

async fn ours(subject: Rc<Subject>) -> Observation {
    let nacos = connected(subject.guarded_builder().credentials("nacos", "nacos")).await;
    nacos.configs().publish(Publish::new("guarded", "1").expect("valid")).await.expect("published");
    let guard = nacos.naming().register("guarded", Instance::new("127.0.0.1", 1)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    "let in".to_owned()
}

async fn ours_wrong(subject: Rc<Subject>) -> Observation {
    denied(&subject, "nacos").await
}

async fn ours_unknown(subject: Rc<Subject>) -> Observation {
    denied(&subject, "nobody").await
}

async fn denied(subject: &Subject, user: &str) -> Observation {
    let mut kind = ErrorKind::Disconnected;
    // A busy server may take longer than a client waits for a login.
    for _ in 0..3 {
        let nacos = subject.guarded_builder().credentials(user, "wrong").connect().await;
        kind = nacos.expect_err("denied").kind();
        if kind != ErrorKind::Disconnected {
            break;
        }
    }
    format!("`ErrorKind::{kind:?}`")
}

async fn ours_without(subject: Rc<Subject>) -> Observation {
    let nobody = connected(subject.guarded_builder()).await;
    let error = nobody.configs().get("d").await.expect_err("denied");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)), "{error:?}");
    "`ErrorKind::Denied`, 403".to_owned()
}

/// A token that is younger than the client's shows when that must have expired.
async fn ours_renewed(subject: Rc<Subject>) -> Observation {
    let nacos = connected(subject.guarded_builder().credentials("nacos", "nacos")).await;
    let begun = Instant::now();
    let younger = Wire::to_guarded(&subject, Some(token(&subject.guarded).await)).await;
    let configs = nacos.configs();
    eventually_at(interval(SLOWLY), async || {
        configs.get("renewed").await.expect("at no moment without a good token");
        younger.ask("ConfigQueryRequest", document("x")).await.code() == 403
    })
    .await;
    configs.get("renewed").await.expect("with another token");
    assert!(Instant::now().duration_since(begun) >= TOKEN_TTL / 2, "it was good for a while");
    "answered throughout".to_owned()
}
