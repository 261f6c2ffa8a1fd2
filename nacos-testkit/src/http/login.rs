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
    let Some(user) = &call.shared.plan.credentials else { return without_users(call) };
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

/// Whoever logs in where nobody has to gets a token that means nothing.
fn without_users(call: &Call<'_>) -> Reply {
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
