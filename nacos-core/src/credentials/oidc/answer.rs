//! The meaning of a provider's answers.
use std::time::Duration;

use http::StatusCode;

use super::{
    super::{Grant, GrantError, grant::GrantFailure},
    endpoint::{Endpoint, plain},
};
use crate::{
    error::clip,
    secret::Secret,
    wire::oidc::{BASIC, Discovery, POST, Refusal, TokenAnswer},
};

/// The token endpoint that a provider names.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) endpoint: Endpoint,
    /// Whether it takes the client's secret in the header alone.
    pub(super) wants_basic: bool,
}

/// The token endpoint in the answer to a request for the discovery document of `issuer`.
pub(super) fn found(
    status: StatusCode,
    body: &[u8],
    issuer: &str,
    allows_http: bool,
) -> Result<Found, GrantError> {
    if status != StatusCode::OK {
        return Err(GrantError::unavailable(answered(status)));
    }
    let document: Discovery = serde_json::from_slice(body)
        .map_err(|_| GrantError::unavailable("the answer is no discovery document"))?;
    // A provider that says nothing is taken at the address that it was asked at.
    if !document.issuer.is_empty() && plain(&document.issuer) != plain(issuer) {
        let shown = shown(&document.issuer, LONGEST_URL);
        let why = format!("this is the document of another issuer, {shown}: {OTHER_ISSUER}");
        return Err(GrantError::denied(why));
    }
    if document.token_endpoint.is_empty() {
        return Err(GrantError::unavailable("the discovery document names no token endpoint"));
    }
    let endpoint = Endpoint::parse(&document.token_endpoint, allows_http).map_err(|why| {
        GrantError::denied(format!("the token endpoint that it names is of no use: {why}"))
    })?;
    let takes = |method: &str| document.auth_methods.iter().any(|known| known == method);
    Ok(Found { endpoint, wants_basic: takes(BASIC) && !takes(POST) })
}

/// The grant in the answer to a request for a token. No part of an error shows one of `secrets`,
/// whatever the provider repeats.
pub(super) fn granted(
    status: StatusCode,
    body: &[u8],
    secrets: &[&Secret],
) -> Result<Grant, GrantError> {
    if status != StatusCode::OK {
        return Err(refused(status, body, secrets));
    }
    let answer: TokenAnswer = serde_json::from_slice(body)
        .map_err(|_| GrantError::unavailable("the answer is no JSON with a token"))?;
    let token = answer.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| GrantError::unavailable("the answer has no access token"))?;
    if !answer.token_type.is_empty() && !answer.token_type.eq_ignore_ascii_case(BEARER) {
        let kind = shown(&answer.token_type, LONGEST_CODE);
        return Err(GrantError::denied(format!(
            "the token is of the type {kind}, and servers take bearer tokens alone"
        )));
    }
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(GrantError::unavailable("the token cannot stand in a header"));
    }
    let bearer = Secret::new([BEARER, " ", token.expose()].concat());
    let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFETIME));
    Ok(Grant::access_token(token).header("Authorization", bearer).lifetime(lifetime))
}

/// An answer that grants nothing.
fn refused(status: StatusCode, body: &[u8], secrets: &[&Secret]) -> GrantError {
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let Some(refusal) = refusal.filter(|refusal| !refusal.error.is_empty()) else {
        let is_page = body.trim_ascii_start().first() == Some(&b'<');
        // HTTP means the client's credentials by that; a page is somebody else's word.
        return if status == StatusCode::UNAUTHORIZED && !is_page {
            GrantError::denied(format!("{}: {SECRET_IS_WRONG}", answered(status)))
        } else {
            GrantError::unavailable(answered(status))
        };
    };
    let repeats = |text: &str| secrets.iter().any(|secret| text.contains(secret.expose()));
    let mut why = answered(status);
    for (text, most) in [(&refusal.error, LONGEST_CODE), (&refusal.description, LONGEST_TEXT)] {
        if !text.is_empty() && !repeats(text) {
            why = format!("{why}, {}", shown(text, most));
        }
    }
    let passes = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || PASSING.contains(&refusal.error.as_str());
    if passes {
        return GrantError::unavailable(why);
    }
    // The provider has understood the request and will say the same of the next one.
    let helps = match refusal.error.as_str() {
        "invalid_client" => SECRET_IS_WRONG,
        "unauthorized_client" | "unsupported_grant_type" => NO_MACHINE,
        "invalid_scope" => "the provider does not know this scope (`oidc_scope`)",
        "invalid_target" => "the provider does not know this resource (`oidc_resource`)",
        _ => "the request itself is refused (the options `oidc_…`)",
    };
    GrantError::with(GrantFailure::Denied, format!("{why}: {helps}"))
}

fn answered(status: StatusCode) -> String {
    if status.is_redirection() {
        format!("answered with {status}, and no redirection is followed")
    } else {
        format!("answered with {status}")
    }
}

/// Somebody else's text, as far as it may be shown.
fn shown(text: &str, most: usize) -> String {
    format!("{:?}", clip(text, most))
}

const BEARER: &str = "Bearer";
/// For an answer that names no lifetime, in seconds: that of the Java client.
const DEFAULT_LIFETIME: u64 = 300;
/// Refusals that pass by themselves.
const PASSING: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];
const LONGEST_CODE: usize = 64;
const LONGEST_TEXT: usize = 200;
const LONGEST_URL: usize = 200;
/// The meanings of refusals, and what helps.
const SECRET_IS_WRONG: &str = "the id or the secret of this client is wrong, or is wanted in the \
     other place (`oidc_client_id`, `oidc_client_secret`, `oidc_client_secret_file`, \
     `oidc_auth_method`; NACOS_OIDC_CLIENT_SECRET)";
const NO_MACHINE: &str = "the provider does not allow this client the grant `client_credentials`";
const OTHER_ISSUER: &str = "`oidc_issuer` is as the issuer writes itself, or `oidc_token_endpoint` \
     says where to ask without discovery";

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).expect("a status")
    }

    fn token(code: u16, body: &str) -> Result<Grant, GrantError> {
        granted(status(code), body.as_bytes(), &[&Secret::new("hunter2")])
    }

    #[test]
    fn token_travels_in_both_headers_for_as_long_as_the_provider_says() {
        for (json, lifetime) in [
            (r#"{"access_token":"a.b-c","token_type":"bearer","expires_in":60}"#, 60),
            (r#"{"access_token":"a.b-c","token_type":"Bearer","expires_in":"60.0"}"#, 60),
            (r#"{"access_token":"a.b-c"}"#, 300),
            (r#"{"access_token":"a.b-c","token_type":null,"expires_in":-1}"#, 300),
            (r#"{"access_token":"a.b-c","expires_in":1e300}"#, 300),
            (r#"{"access_token":"a.b-c","expires_in":0}"#, 0),
        ] {
            let grant = token(200, json).expect(json);
            assert_eq!(grant.expires_after(), Some(Duration::from_secs(lifetime)), "{json}");
            let headers = grant.headers_for(|| crate::resource::Resource::Connection);
            let header = |name: &str| headers.get(name).map(String::as_str);
            assert_eq!(header("accessToken"), Some("a.b-c"));
            assert_eq!(header("Authorization"), Some("Bearer a.b-c"));
        }
    }

    #[test]
    fn refusals_are_told_from_what_passes() {
        let page = "<!DOCTYPE html><h1>hunter2</h1>";
        for (code, body, cause, says) in [
            (401, r#"{"error":"invalid_client"}"#, GrantFailure::Denied, "oidc_client_secret"),
            (400, r#"{"error":"invalid_client"}"#, GrantFailure::Denied, "400"),
            (400, r#"{"error":"unauthorized_client"}"#, GrantFailure::Denied, "allow"),
            (400, r#"{"error":"invalid_scope"}"#, GrantFailure::Denied, "`oidc_scope`"),
            (400, r#"{"error":"invalid_target"}"#, GrantFailure::Denied, "`oidc_resource`"),
            (400, r#"{"error":"AADSTS1"}"#, GrantFailure::Denied, "AADSTS1"),
            (401, "", GrantFailure::Denied, "secret"),
            (401, page, GrantFailure::Unavailable, "401"),
            (403, page, GrantFailure::Unavailable, "403"),
            (400, "{}", GrantFailure::Unavailable, "400"),
            (404, "", GrantFailure::Unavailable, "404"),
            (302, "", GrantFailure::Unavailable, "no redirection is followed"),
            (307, r#"{"error":"invalid_client"}"#, GrantFailure::Denied, "307"),
            (503, r#"{"error":"invalid_client"}"#, GrantFailure::Unavailable, "503"),
            (400, r#"{"error":"temporarily_unavailable"}"#, GrantFailure::Unavailable, "temp"),
            (429, r#"{"error":"slow_down"}"#, GrantFailure::Unavailable, "429"),
            (500, page, GrantFailure::Unavailable, "500"),
            (204, "", GrantFailure::Unavailable, "204"),
            (200, page, GrantFailure::Unavailable, "no JSON"),
            (200, "{}", GrantFailure::Unavailable, "no access token"),
            (200, r#"{"access_token":""}"#, GrantFailure::Unavailable, "no access token"),
            (200, r#"{"access_token":7}"#, GrantFailure::Unavailable, "no JSON"),
            (200, r#"{"access_token":"a\r\nb"}"#, GrantFailure::Unavailable, "header"),
            (200, r#"{"access_token":"a","token_type":"DPoP"}"#, GrantFailure::Denied, "DPoP"),
        ] {
            let error = token(code, body).expect_err(body);
            assert_eq!(error.cause, cause, "{code} {body}: {error}");
            assert!(error.why.contains(says), "{code} {body}: {error}");
            assert!(!error.why.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn description_is_shown_clipped_and_never_with_the_secret() {
        let said = |description: &str| {
            let body =
                serde_json::json!({ "error": "invalid_client", "error_description": description });
            token(401, &body.to_string()).expect_err("refused").why
        };
        assert!(said("Invalid client credentials\n").contains(r#""Invalid client credentials\n""#));
        assert!(!said("no such secret: hunter2").contains("hunter2"));
        assert!(said(&"x".repeat(9999)).len() < 600);
    }

    #[test]
    fn document_has_to_be_of_the_issuer_and_to_name_an_endpoint_of_use() {
        let read = |code, body: &str| found(status(code), body.as_bytes(), "http://[::1]/a", false);
        for (body, basic) in [
            (r#"{"issuer":"http://[::1]/a/","token_endpoint":"http://[::1]/t"}"#, false),
            (r#"{"token_endpoint":"http://[::1]/t"}"#, false),
            (
                r#"{"token_endpoint":"http://[::1]/t",
                    "token_endpoint_auth_methods_supported":["client_secret_basic"]}"#,
                true,
            ),
            (
                r#"{"token_endpoint":"http://[::1]/t","token_endpoint_auth_methods_supported":
                    ["client_secret_basic","client_secret_post"]}"#,
                false,
            ),
        ] {
            let found = read(200, body).expect(body);
            assert_eq!((&*found.endpoint.target, found.wants_basic), ("/t", basic), "{body}");
        }
        for (code, body, says) in [
            (200, "<html>", "no discovery document"),
            (200, "{}", "no token endpoint"),
            (200, r#"{"token_endpoint":"http://elsewhere/t"}"#, "unencrypted"),
            (200, r#"{"token_endpoint":"ftp://elsewhere/t"}"#, "of no use"),
            (200, r#"{"issuer":"http://[::1]/b","token_endpoint":"http://[::1]/t"}"#, "another"),
            (404, "", "404"),
            (301, "", "no redirection"),
        ] {
            let error = read(code, body).expect_err(body);
            assert!(error.why.contains(says), "{body}: {error}");
        }
    }
}
