//! The answer to a login, over HTTP.
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::secret::Secret;

/// A server's grant to a user that it knows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginAnswer {
    #[serde(default, deserialize_with = "secret")]
    pub(crate) access_token: Option<Secret>,
    /// How long the token is good for, in seconds; `None` if that is not said, or not as a number.
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) token_ttl: Option<u64>,
}

/// A number in any of its forms: plug-ins and gateways write `18000.0` or `"18000"`, too.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let seconds = Duration::try_from_secs_f64(text.trim().parse().unwrap_or(f64::NAN));
    Ok(seconds.ok().map(|seconds| seconds.as_secs()))
}

pub(super) fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_is_read_in_whatever_form_a_number_has() {
        let read = |ttl: &str| {
            let json = format!(r#"{{"accessToken":"t","tokenTtl":{ttl}}}"#);
            let answer: LoginAnswer = serde_json::from_str(&json).expect("a login");
            assert!(answer.access_token.is_some(), "{ttl}");
            answer.token_ttl
        };
        for ttl in ["18000", "18000.0", r#""18000""#, r#"" 18000""#, "1.8e4"] {
            assert_eq!(read(ttl), Some(18_000), "{ttl}");
        }
        for ttl in ["null", "-1", r#""soon""#, "true", "{}", "1e300"] {
            assert_eq!(read(ttl), None, "{ttl}");
        }
        let answer: LoginAnswer = serde_json::from_str("{}").expect("no login");
        assert_eq!(answer.token_ttl, None);
    }
}
