//! The answer to a login, over HTTP (nacos-protocol 5.1).
use serde::Deserialize;

/// What a server grants to a user whom it knows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginAnswer {
    pub(crate) access_token: Option<String>,
    /// How long the token is good for, in seconds.
    pub(crate) token_ttl: Option<u64>,
}
