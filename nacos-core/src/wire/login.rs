//! The answer to a login, over HTTP.
use serde::{Deserialize, Deserializer};

use crate::secret::Secret;

/// A server's grant to a user that it knows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginAnswer {
    #[serde(default, deserialize_with = "secret")]
    pub(crate) access_token: Option<Secret>,
    /// How long the token is good for, in seconds.
    pub(crate) token_ttl: Option<u64>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}
