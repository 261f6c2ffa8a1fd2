//! Login: a name and a password for a token.

use http::{HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Call, Reply,
    reply::{as_json, result, text},
    zero::without_status,
};
use crate::Behaviour;

pub(super) fn login(call: &Call<'_>) -> Reply {
    if call.method != Method::POST && call.behaviour().is_java() {
        return wrong_method(call);
    }
    if call.shared.read(|state| state.guard.crashes) {
        return crashed(call);
    }
    let Some(user) = &call.shared.plan.credentials else { return without_users(call) };
    if call.shared.read(|state| state.guard.knows_nobody) {
        call.shared.change(|state| state.counters.refused_logins += 1);
        return not_loaded(call);
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

/// Whoever logs in where nobody has to gets a token from r-nacos that means nothing; Java knows no
/// such user.
fn without_users(call: &Call<'_>) -> Reply {
    if call.behaviour().is_java() {
        call.shared.change(|state| state.counters.refused_logins += 1);
        return not_loaded(call);
    }
    call.shared.change(|state| state.counters.logins += 1);
    let name = call.form.text("username").unwrap_or_default();
    granted("AUTH_DISABLED", call.shared.plan.token_ttl.as_secs(), &name)
}

fn wrong_method(call: &Call<'_>) -> Reply {
    if call.behaviour() != Behaviour::Nacos2_3 {
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

/// What a server says of a user whom it does not know, or not yet: Java 3.x reads its users in the
/// first seconds after its port opens.
fn not_loaded(call: &Call<'_>) -> Reply {
    match call.behaviour() {
        Behaviour::Nacos3_0 => text(StatusCode::FORBIDDEN, "Access Denied"),
        _ => refused(call, false),
    }
}

/// What Spring makes of an exception that nobody caught.
fn crashed(call: &Call<'_>) -> Reply {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let body = json!({
        "timestamp": "2026-11-23T04:23:32.578+00:00", "status": status.as_u16(),
        "error": "Internal Server Error", "message": "planned by the test", "path": call.path,
    });
    as_json(status, &body)
}

fn refused(call: &Call<'_>, known: bool) -> Reply {
    match call.behaviour() {
        Behaviour::Nacos3_0 if call.path.contains("/v3/") => {
            let text = "user not found!".into();
            result(StatusCode::FORBIDDEN, 10_001, "access denied", &text)
        }
        Behaviour::Nacos2_3 if known => without_status(),
        Behaviour::Nacos2_3 => {
            let name = call.form.text("username").unwrap_or_default();
            let refusal = format!("caused: User {name} not found;");
            text(StatusCode::INTERNAL_SERVER_ERROR, &refusal)
        }
        _ => text(StatusCode::FORBIDDEN, "unknown user!"),
    }
}
