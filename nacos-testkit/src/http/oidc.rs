//! An OIDC provider beside the server: discovery, and tokens for one machine client.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Call, Reply,
    form::Form,
    reply::{as_json, text},
};
use crate::{shared::OidcClient, state::Received};

/// The path of the issuer.
pub(crate) const ISSUER: &str = "/oidc";

/// Counts a request to the provider, whatever answers it.
pub(super) fn note(call: &Call<'_>) {
    if !call.path.starts_with(ISSUER) {
        return;
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = call.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let received = Received { headers: headers.collect(), body: call.form.to_json() };
    let name = format!("{} {}", call.method, call.path);
    call.shared.change(|state| state.counters.http(name, received));
}

/// The provider's answer at that path; `None` where it has nothing, or where there is none.
pub(super) fn answer(call: &Call<'_>) -> Option<Reply> {
    let client = call.shared.plan.oidc.as_ref()?;
    match call.path.strip_prefix(ISSUER)? {
        "/.well-known/openid-configuration" if call.method == Method::GET => Some(discovery(call)),
        "/token" if call.method == Method::POST => Some(token(call, client)),
        "/.well-known/openid-configuration" | "/token" => {
            Some(text(StatusCode::METHOD_NOT_ALLOWED, ""))
        }
        _ => None,
    }
}

fn discovery(call: &Call<'_>) -> Reply {
    let issuer = format!("http://{}{ISSUER}", call.shared.addr);
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    as_json(StatusCode::OK, &document)
}

fn token(call: &Call<'_>, client: &OidcClient) -> Reply {
    if let Err((status, error, description)) = check_client(call, client) {
        call.shared.change(|state| state.counters.refused_logins += 1);
        return refused(status, error, description);
    }
    match call.form.text("grant_type").as_deref() {
        Some("client_credentials") => granted(call),
        _ => refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", ""),
    }
}

/// A refusal: its status, its code and its description.
type Refusal = (StatusCode, &'static str, &'static str);

/// Whether it is the client: by the header or by the form, and not by both.
fn check_client(call: &Call<'_>, client: &OidcClient) -> Result<(), Refusal> {
    let invalid = |why| (StatusCode::BAD_REQUEST, "invalid_request", why);
    let in_form = call
        .form
        .text("client_secret")
        .map(|secret| (call.form.text("client_id").unwrap_or_default(), secret));
    let given = match (call.header("authorization"), in_form) {
        (Some(_), Some(_)) => return Err(invalid("the client is named twice")),
        (Some(header), None) => basic(&header).ok_or_else(|| invalid("no Basic header"))?,
        (None, Some(given)) => given,
        (None, None) => return Err(invalid("the client is not named")),
    };
    if given == (client.id.clone(), client.secret.clone()) {
        return Ok(());
    }
    Err((StatusCode::UNAUTHORIZED, "invalid_client", "Invalid client credentials"))
}

/// The client of a Basic header: its parts are encoded as in a form.
fn basic(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let form = Form::parse(&format!("id={id}&secret={secret}"));
    Some((form.text("id")?, form.text("secret")?))
}

fn granted(call: &Call<'_>) -> Reply {
    let ttl = call.shared.plan.token_ttl;
    let accepts = call.behaviour().accepts_oidc();
    let token = call.shared.change(|state| {
        state.counters.logins += 1;
        let token = state.tokens.issue(Instant::now(), ttl);
        // Servers without the plugin do not know what the provider has signed.
        if accepts { token } else { format!("oidc.{token}") }
    });
    let scope = call.form.text("scope").unwrap_or_default();
    let answer = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": ttl.as_secs(), "scope": scope,
    });
    as_json(StatusCode::OK, &answer)
}

fn refused(status: StatusCode, error: &str, description: &str) -> Reply {
    let description = if description.is_empty() { Value::Null } else { description.into() };
    as_json(status, &json!({ "error": error, "error_description": description }))
}
