//! Login: a name and a password for a token.

use http::{HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Call, Reply,
    reply::{as_json, error_page, text},
    zero::without_status,
};
use crate::Behaviour;

/// The plan of the test for every path that is a login on some server.
pub(super) fn planned(call: &Call<'_>) -> Option<Reply> {
    if !call.path.ends_with("/login") {
        return None;
    }
    let (status, body) = call.shared.read(|state| state.authentication.answer.clone())?;
    call.shared.change(|state| state.counters.refused_logins += 1);
    Some(text(status, &body))
}

pub(super) fn login(call: &Call<'_>) -> Reply {
    if call.method != Method::POST && call.behaviour().is_java() {
        return wrong_method(call);
    }
    if call.shared.read(|state| state.authentication.crashes) {
        return failed(call, "planned by the test");
    }
    let Some(user) = &call.shared.plan.credentials else { return without_users(call) };
    if call.shared.read(|state| state.authentication.knows_nobody) {
        call.shared.change(|state| state.counters.refused_logins += 1);
        return refused(call, false);
    }
    let name = call.form.text("username").unwrap_or_default();
    let right =
        name == user.username && call.form.text("password").as_ref() == Some(&user.password);
    let ttl = call.shared.plan.token_ttl;
    let token = call.shared.change(|state| {
        if !right {
            state.counters.refused_logins += 1;
            return None;
        }
        state.counters.logins += 1;
        Some(state.tokens.issue(Instant::now(), ttl))
    });
    match token {
        Some(token) => granted(&token, ttl.as_secs(), &name),
        None => refused(call, name == user.username),
    }
}

/// Without a user, r-nacos grants any login a token that means nothing; Java knows no such user.
fn without_users(call: &Call<'_>) -> Reply {
    if call.behaviour().is_java() {
        call.shared.change(|state| state.counters.refused_logins += 1);
        return refused(call, false);
    }
    call.shared.change(|state| state.counters.logins += 1);
    let name = call.form.text("username").unwrap_or_default();
    granted("AUTH_DISABLED", call.shared.plan.token_ttl.as_secs(), &name)
}

fn wrong_method(call: &Call<'_>) -> Reply {
    if !matches!(call.behaviour(), Behaviour::Nacos2_3 | Behaviour::Nacos2_5) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let refusal = format!("caused: Request method &#39;{}&#39; not supported;", call.method);
    text(StatusCode::INTERNAL_SERVER_ERROR, &refusal)
}

fn granted(token: &str, ttl: u64, username: &str) -> Reply {
    let body = json!({
        "accessToken": token, "tokenTtl": ttl, "globalAdmin": true, "username": username,
    });
    let mut reply = as_json(StatusCode::OK, &body);
    if let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {token}")) {
        reply.headers_mut().insert(AUTHORIZATION, bearer);
    }
    reply
}

/// A server's answer to a wrong password, or to a user that it does not know, or not yet: Java
/// reads its users in the first seconds after its port opens.
fn refused(call: &Call<'_>, known: bool) -> Reply {
    match call.behaviour() {
        Behaviour::Nacos2_3 if known => without_status(),
        Behaviour::Nacos2_3 => {
            let name = call.form.text("username").unwrap_or_default();
            let refusal = format!("caused: User {name} not found;");
            text(StatusCode::INTERNAL_SERVER_ERROR, &refusal)
        }
        Behaviour::Nacos2_5 => text(StatusCode::FORBIDDEN, "user not found!"),
        // A handler's exception ends in the filter that keeps the old paths alive.
        Behaviour::Nacos3_0 if !call.path.contains("/v3/") => {
            failed(call, "Handle API Compatibility failed, please see log for detail.")
        }
        Behaviour::Nacos3_0 if known => failed(call, "No message available"),
        Behaviour::Nacos3_0 => text(StatusCode::FORBIDDEN, "Access Denied"),
        Behaviour::Nacos3_3 => text(StatusCode::FORBIDDEN, "access denied"),
        Behaviour::RNacos => text(StatusCode::FORBIDDEN, "unknown user!"),
    }
}

/// Java's answer to an exception that no handler caught.
fn failed(call: &Call<'_>, message: &str) -> Reply {
    error_page(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", message, &call.path)
}
