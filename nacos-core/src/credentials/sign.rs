//! Signatures of requests with an Aliyun access key (RAM), both versions.
//!
//! Pure: the time comes in. The signed text differs between documents and services, and so do the
//! names of the headers.
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::headers::RequestHeaders;
use crate::{
    key::{ConfigKey, ServiceKey},
    resource::Resource,
    secret::Secret,
};

/// An access key as it is at one time. `Debug` shows nothing of it.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Key {
    pub(super) id: Secret,
    pub(super) secret: Secret,
    /// Of a temporary key (STS).
    pub(super) token: Option<Secret>,
    /// The region to which a signature of the fourth version is bound; otherwise it is the first.
    pub(super) region: Option<String>,
}

impl Key {
    /// Signs a request that is sent at `at`.
    pub(super) fn sign(&self, resource: &Resource, at: SystemTime, headers: &mut RequestHeaders) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (millis, days) = (since.as_millis(), since.as_secs() / SECONDS_A_DAY);
        match resource {
            Resource::Document(_) | Resource::Documents => {
                let text = match resource {
                    Resource::Document(key) => format!("{}+{millis}", document(key)),
                    // Those of a batch stand in many groups: none is named.
                    _ => millis.to_string(),
                };
                headers.insert("Spas-AccessKey", self.id.expose());
                headers.insert("Timestamp", millis.to_string());
                headers.insert("Spas-Signature", self.signature(&text, days));
            }
            Resource::Service(_) | Resource::Services => {
                let text = match resource {
                    Resource::Service(key) => format!("{millis}@@{}", service(key)),
                    _ => millis.to_string(),
                };
                headers.insert("ak", self.id.expose());
                headers.insert("signature", self.signature(&text, days));
                headers.insert("data", text);
            }
            Resource::Connection => return,
        }
        if let Some(token) = &self.token {
            headers.insert("Spas-SecurityToken", token.expose());
        }
        if self.region.is_some() {
            headers.insert("signatureVersion", "v4");
        }
    }

    fn signature(&self, text: &str, days: u64) -> String {
        let signature = match &self.region {
            None => hmac::<Hmac<Sha1>>(self.secret.expose().as_bytes(), text),
            Some(region) => hmac::<Hmac<Sha1>>(self.derived(days, region).as_bytes(), text),
        };
        STANDARD.encode(&*signature)
    }

    /// The key of the fourth version: good for one day (in UTC) in one region. Its Base64 text
    /// itself is what signs, with the same digest as in the first version.
    fn derived(&self, days: u64, region: &str) -> Zeroizing<String> {
        let first = Zeroizing::new(format!("{PREFIX}{}", self.secret.expose()));
        let mut key = Zeroizing::new(first.as_bytes().to_vec());
        for part in [date(days).as_str(), region, PRODUCT, SUFFIX] {
            key = hmac::<Hmac<Sha256>>(&key, part);
        }
        Zeroizing::new(STANDARD.encode(&*key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

fn document(key: &ConfigKey) -> String {
    match key.tenant() {
        "" => key.group().to_string(),
        tenant => format!("{tenant}+{}", key.group()),
    }
}

fn service(key: &ServiceKey) -> String {
    format!("{}@@{}", key.group(), key.name())
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Zeroizing<Vec<u8>> {
    // These take keys of every length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Zeroizing::default() };
    mac.update(text.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// The day that begins so many days after 1 January 1970, as `yyyyMMdd`.
fn date(days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // Whole cycles of the calendar first, so that a clock that is far off costs no time either.
    let (mut year, mut left) = (1970 + days / CYCLE * 400, days % CYCLE);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}{month:02}{:02}", left + 1)
}

/// Days in 400 years, after which the calendar repeats itself.
const CYCLE: u64 = 146_097;
const PREFIX: &str = "aliyun_v4";
const PRODUCT: &str = "mse-nacos";
const SECONDS_A_DAY: u64 = 86_400;
const SUFFIX: &str = "aliyun_v4_request";

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    fn key() -> Key {
        Key { id: Secret::new("ak123"), secret: Secret::new("sk123"), token: None, region: None }
    }

    fn signed(key: &Key, resource: &Resource) -> Vec<(String, String)> {
        let mut headers = HashMap::new();
        let at = UNIX_EPOCH + Duration::from_secs(1_712_000_000);
        key.sign(resource, at, &mut RequestHeaders(&mut headers));
        let mut headers: Vec<_> = headers.into_iter().collect();
        headers.sort();
        headers
    }

    fn expected(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        headers.collect()
    }

    fn document_in(namespace: &str) -> Resource {
        let key = ConfigKey::try_from("d").expect("valid");
        Resource::Document(key.in_namespace(namespace.parse().expect("valid")))
    }

    fn svc() -> Resource {
        Resource::Service(ServiceKey::try_from("svc").expect("valid"))
    }

    /// The signatures were computed from the rules, without this code.
    #[test]
    fn first_version_is_as_documented() {
        let spas = |signature| {
            expected(&[
                ("Spas-AccessKey", "ak123"),
                ("Spas-Signature", signature),
                ("Timestamp", "1712000000000"),
            ])
        };
        let key = key();
        assert_eq!(signed(&key, &document_in("ns")), spas("1RoUtUpWpSsvXWG6RoO8jmdRUnE="));
        assert_eq!(signed(&key, &document_in("")), spas("k3N6W+JyuDEzdjv7JPbtPxNrExE="));
        assert_eq!(signed(&key, &Resource::Documents), spas("/duMroQEWjyJE8IWjode9qdZpT0="));
        let naming = [
            ("ak", "ak123"),
            ("data", "1712000000000@@DEFAULT_GROUP@@svc"),
            ("signature", "KP98EXpFAbWWvCLV8vc8pfUOhw4="),
        ];
        assert_eq!(signed(&key, &svc()), expected(&naming));
        let list = [
            ("ak", "ak123"),
            ("data", "1712000000000"),
            // The same text as that of a batch listen.
            ("signature", "/duMroQEWjyJE8IWjode9qdZpT0="),
        ];
        assert_eq!(signed(&key, &Resource::Services), expected(&list));
        assert_eq!(signed(&key, &Resource::Connection), []);
    }

    /// The signatures were computed without this code, the second with Python's `hmac`: key
    /// `3SiWcow6+SM/isUpoSRcImyrl1IDOvR072Bf8216+/Y=`, text `1712000000000@@DEFAULT_GROUP@@svc`.
    #[test]
    fn fourth_version_and_temporary_keys_are_as_documented() {
        let key = Key {
            region: Some("cn-hangzhou".to_owned()),
            token: Some(Secret::new("sts")),
            ..key()
        };
        assert_eq!(date(1_712_000_000 / SECONDS_A_DAY), "20240401");
        let derived = key.derived(1_712_000_000 / SECONDS_A_DAY, "cn-hangzhou");
        assert_eq!(*derived, "3SiWcow6+SM/isUpoSRcImyrl1IDOvR072Bf8216+/Y=");
        let spas = [
            ("Spas-AccessKey", "ak123"),
            ("Spas-SecurityToken", "sts"),
            ("Spas-Signature", "7EAwcITn0QX1cDpbSWs8W73EAwY="),
            ("Timestamp", "1712000000000"),
            ("signatureVersion", "v4"),
        ];
        assert_eq!(signed(&key, &document_in("ns")), expected(&spas));
        let naming = [
            ("Spas-SecurityToken", "sts"),
            ("ak", "ak123"),
            ("data", "1712000000000@@DEFAULT_GROUP@@svc"),
            ("signature", "2WWgmZZZaJ5s+2uHhvaT2RBB6MM="),
            ("signatureVersion", "v4"),
        ];
        assert_eq!(signed(&key, &svc()), expected(&naming));
    }

    /// Computed with Python's `datetime`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, "19700101"),
            (58, "19700228"),
            (59, "19700301"),
            (364, "19701231"),
            (365, "19710101"),
            (11_016, "20000229"),
            (11_322, "20001231"),
            (19_782, "20240229"),
            (19_783, "20240301"),
            (20_088, "20241231"),
            (47_540, "21000228"),
            (47_541, "21000301"),
            (2_932_896, "99991231"),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn hostile_clocks_do_no_harm() {
        date(u64::MAX / SECONDS_A_DAY);
        let mut headers = HashMap::new();
        let before = UNIX_EPOCH - Duration::from_secs(1);
        key().sign(&Resource::Documents, before, &mut RequestHeaders(&mut headers));
        assert_eq!(headers["Timestamp"], "0");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", key()), "Key { .. }");
    }
}
