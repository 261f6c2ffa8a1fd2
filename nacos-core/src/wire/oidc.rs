//! The answers of an OIDC provider: where its token endpoint is, and what that says.
use serde::Deserialize;

use super::login::{seconds, secret};
use crate::secret::Secret;

/// The part of a provider's discovery document that matters here (OIDC Discovery 1.0, 3).
#[derive(Debug, Deserialize)]
pub(crate) struct Discovery {
    #[serde(default, deserialize_with = "super::or_default")]
    pub(crate) issuer: String,
    #[serde(default, deserialize_with = "super::or_default")]
    pub(crate) token_endpoint: String,
    /// The ways to show the client's secret; empty where the document does not say.
    #[serde(
        rename = "token_endpoint_auth_methods_supported",
        default,
        deserialize_with = "super::or_default"
    )]
    pub(crate) auth_methods: Vec<String>,
}

/// A granted token (RFC 6749, 5.1).
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    #[serde(default, deserialize_with = "secret")]
    pub(crate) access_token: Option<Secret>,
    #[serde(default, deserialize_with = "super::or_default")]
    pub(crate) token_type: String,
    /// In seconds; `None` if that is not said, or not as a number.
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) expires_in: Option<u64>,
}

/// A refusal (RFC 6749, 5.2).
#[derive(Deserialize)]
pub(crate) struct Refusal {
    #[serde(default, deserialize_with = "super::or_default")]
    pub(crate) error: String,
    #[serde(rename = "error_description", default, deserialize_with = "super::or_default")]
    pub(crate) description: String,
}

// The fields of a request for a token (RFC 6749, 4.4.2 and 2.3.1).
pub(crate) const GRANT_TYPE: (&str, &str) = ("grant_type", "client_credentials");
pub(crate) const CLIENT_ID: &str = "client_id";
pub(crate) const CLIENT_SECRET: &str = "client_secret";
pub(crate) const SCOPE: &str = "scope";
/// Of several providers, and of no standard.
pub(crate) const AUDIENCE: &str = "audience";
/// RFC 8707.
pub(crate) const RESOURCE: &str = "resource";
/// The ways to show the client's secret, as providers name them.
pub(crate) const BASIC: &str = "client_secret_basic";
pub(crate) const POST: &str = "client_secret_post";

/// Where the discovery document is, below the issuer.
pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_answers_are_read_whatever_else_is_in_them() {
        let document = r#"{"issuer":"https://idp","token_endpoint":"https://idp/t","jwks_uri":7,
            "token_endpoint_auth_methods_supported":["client_secret_basic"]}"#;
        let document: Discovery = serde_json::from_str(document).expect("a document");
        assert_eq!(document.token_endpoint, "https://idp/t");
        assert_eq!(document.auth_methods, [BASIC]);
        for lifetime in ["300", "300.0", r#""300""#, "3e2"] {
            let json = format!(r#"{{"access_token":"t","expires_in":{lifetime},"x":{{}}}}"#);
            let answer: TokenAnswer = serde_json::from_str(&json).expect("a token");
            assert!(answer.access_token.is_some(), "{lifetime}");
            assert_eq!((answer.expires_in, &*answer.token_type), (Some(300), ""), "{lifetime}");
        }
        let refusal = r#"{"error":"invalid_client","error_description":null}"#;
        let refusal: Refusal = serde_json::from_str(refusal).expect("a refusal");
        assert_eq!((&*refusal.error, &*refusal.description), ("invalid_client", ""));
    }
}
