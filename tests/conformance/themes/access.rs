//! Access: login, its refusals, and tokens that expire.
use std::{rc::Rc, time::Duration};

use nacos_core::{ClientBuilder, ErrorKind, Instance};
use serde_json::{Value, json};
use servers::Kind;
use tokio::time::{Instant, interval};

use crate::{
    check::{Check, Needs, Observation, Theme, about, check},
    http::{self, Reply},
    subject::{Host, Subject, TOKEN_TTL, connected},
    trace::written,
    wire::{Wire, document, eventually_at, instance, named, with},
};

pub(crate) const THEME: Theme = Theme { title: "Access", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("login", login).needs(Needs::Login),
    check!("login with a wrong password", wrong_password).needs(Needs::Login),
    check!("login of an unknown user", unknown_user).needs(Needs::Login),
    check!("login at the path of 3.x", third_generation).needs(Needs::Login),
    check!("login at the path of 2.x", older).needs(Needs::Login),
    check!("login at the path of 2.x with a wrong password", older_wrong_password)
        .needs(Needs::Login),
    check!("login at the path of 2.x of an unknown user", older_unknown_user).needs(Needs::Login),
    check!("login by GET", by_get).needs(Needs::Login),
    check!("query without a token", query)
        .needs(Needs::Login)
        .captured(|capture| capture.answer(NO_TOKEN, 0).said()),
    check!("publish without a token", publish)
        .needs(Needs::Login)
        .captured(|capture| capture.answer(NO_TOKEN, 1).said()),
    check!("registration without a token", register)
        .needs(Needs::Login)
        .captured(|capture| capture.answer(NO_TOKEN, 2).said()),
    check!("query with a bad token", bad_token)
        .needs(Needs::Login)
        .captured(|capture| capture.answer("bad token", 0).said()),
    check!("query over HTTP without a token", over_http).needs(Needs::Login),
    check!("token of 20 s, until it is refused", expiry).needs(Needs::Own),
    check!("our client: user and password", ours).needs(Needs::Login),
    check!("our client: wrong password", ours_wrong).needs(Needs::Login),
    check!("our client: unknown user", ours_unknown).needs(Needs::Login),
    check!("our client: no credentials", ours_without).needs(Needs::Login),
    check!("our client: calls, when its first token has expired", ours_renewed).needs(Needs::Own),
];

const NOBODY: &str = "nobody";
const NO_TOKEN: &str = "no token";
/// Twenty seconds of asking.
const SLOWLY: Duration = Duration::from_millis(250);

/// The path of v3 where there is one.
fn login_path(subject: &Subject) -> &'static str {
    subject.kind.login_path()
}

async fn login(subject: Rc<Subject>) -> Observation {
    let reply = log_in_rightly(&subject, "POST", login_path(&subject)).await;
    let body: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert!(body["accessToken"].is_string(), "{body}");
    // That of a given server is its operator's choice.
    let ttl =
        if subject.is_given() { json!(TOKEN_TTL.as_secs()) } else { body["tokenTtl"].clone() };
    format!("{}, `tokenTtl` {ttl}", reply.status)
}

async fn wrong_password(subject: Rc<Subject>) -> Observation {
    let (user, _) = subject.user();
    said(&log_in(&subject.guarded, "POST", login_path(&subject), user, "wrong").await)
}

async fn unknown_user(subject: Rc<Subject>) -> Observation {
    said(&log_in(&subject.guarded, "POST", login_path(&subject), NOBODY, "wrong").await)
}

/// At the path that clients of 2.x use, whatever the server.
async fn older_wrong_password(subject: Rc<Subject>) -> Observation {
    let (user, _) = subject.user();
    said(&log_in(&subject.guarded, "POST", Kind::Nacos2_3.login_path(), user, "wrong").await)
}

async fn older_unknown_user(subject: Rc<Subject>) -> Observation {
    said(&log_in(&subject.guarded, "POST", Kind::Nacos2_3.login_path(), NOBODY, "wrong").await)
}

async fn older(subject: Rc<Subject>) -> Observation {
    let path = Kind::Nacos2_3.login_path();
    format!("{}", log_in_rightly(&subject, "POST", path).await.status)
}

async fn third_generation(subject: Rc<Subject>) -> Observation {
    let path = Kind::Nacos3_0.login_path();
    format!("{}", log_in_rightly(&subject, "POST", path).await.status)
}

async fn by_get(subject: Rc<Subject>) -> Observation {
    format!("{}", log_in_rightly(&subject, "GET", login_path(&subject)).await.status)
}

async fn log_in_rightly(subject: &Subject, method: &str, path: &str) -> Reply {
    let (user, password) = subject.user();
    log_in(&subject.guarded, method, path, user, password).await
}

async fn log_in(host: &Host, method: &str, path: &str, user: &str, password: &str) -> Reply {
    http::ask(host.addr(), method, path, &[("username", user), ("password", password)]).await
}

async fn token(subject: &Subject) -> String {
    let reply = log_in_rightly(subject, "POST", login_path(subject)).await;
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
    let parameters = [("dataId", "x"), ("group", "g"), ("groupName", "g")];
    let has_v3 = subject.kind.has_v3();
    let path = if has_v3 { "/nacos/v3/client/cs/config" } else { "/nacos/v1/cs/configs" };
    said(&http::ask(subject.guarded.addr(), "GET", path, &parameters).await)
}

async fn expiry(subject: Rc<Subject>) -> Observation {
    // A busy server dates the token well before its answer arrives.
    let begun = Instant::now();
    let token = token(&subject).await;
    let wire = Wire::to_guarded(&subject, Some(token)).await;
    wire.ask("ConfigQueryRequest", document("x")).await.said();
    let refused = async || wire.ask("ConfigQueryRequest", document("x")).await.code() == 403;
    eventually_at(interval(SLOWLY), refused).await;
    let lifetime = about(Instant::now().duration_since(begun));
    format!("{lifetime}, {}", wire.ask("ConfigQueryRequest", document("x")).await.said())
}

async fn ours(subject: Rc<Subject>) -> Observation {
    let nacos = connected(as_user(&subject)).await;
    nacos.configs().publish(written("guarded", "1")).await.expect("published");
    let guard = nacos.naming().register("guarded", Instance::new("127.0.0.1", 1)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    "let in".to_owned()
}

fn as_user(subject: &Subject) -> ClientBuilder {
    let (user, password) = subject.user();
    subject.guarded_builder().credentials(user, password)
}

async fn ours_wrong(subject: Rc<Subject>) -> Observation {
    denied(&subject, subject.user().0).await
}

async fn ours_unknown(subject: Rc<Subject>) -> Observation {
    denied(&subject, NOBODY).await
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
    let nacos = connected(as_user(&subject)).await;
    let begun = Instant::now();
    let younger = Wire::to_guarded(&subject, Some(token(&subject).await)).await;
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
