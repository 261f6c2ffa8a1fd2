//! A server's question about the documents that a client holds: the one push that is answered with
//! something other than an acknowledgement.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Payload, connection::CLIENT_VERSION, or_default, parse, push};
use crate::key::{ConfigKey, Namespace};

/// A client's report about itself: sizes and digests, never content.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Names the client among those of its host.
    pub(crate) client: String,
    /// How many documents are watched.
    pub(crate) watched: usize,
    /// Of each one that was asked for.
    pub(crate) values: BTreeMap<String, String>,
}

/// Which documents a server asks about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MetricsQuery {
    #[serde(deserialize_with = "or_default")]
    metrics_keys: Vec<MetricsKey>,
}

/// One document, of those that are held or of those that are kept on disk.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MetricsKey {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    key: String,
}

/// The question in `payload`, if it is one. A question that cannot be read is about nothing.
pub(crate) fn query(payload: &Payload) -> Option<MetricsQuery> {
    push::is_question(payload).then(|| parse(payload).unwrap_or_default())
}

/// The answer to the question in `payload`.
pub(crate) fn answer(payload: &Payload, metrics: &Metrics) -> Option<Payload> {
    let text = serde_json::to_string(&MetricReport {
        listen_config_size: metrics.watched,
        client_version: CLIENT_VERSION,
        metric_values: &metrics.values,
    });
    let metrics = BTreeMap::from([(metrics.client.as_str(), text.ok()?)]);
    push::answer(payload, Some(&metrics))
}

impl MetricsQuery {
    /// The keys that are asked for, as far as this client answers at once.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &MetricsKey> {
        self.metrics_keys.iter().filter(|key| key.key.len() <= MAX_KEY).take(MAX_KEYS)
    }
}

impl MetricsKey {
    /// The document, if it is one that this client may hold in memory.
    pub(crate) fn document(&self) -> Option<ConfigKey> {
        if self.kind != "cacheData" {
            return None;
        }
        // Joined by `+`, which no name of ours can hold, escaped or not.
        let mut parts = self.key.split('+');
        let (data_id, group) = (parts.next()?, parts.next()?);
        let namespace = Namespace::parse(parts.next().unwrap_or_default()).ok()?;
        let key = ConfigKey::try_from((data_id, group)).ok()?;
        parts.next().is_none().then(|| key.in_namespace(namespace))
    }

    /// How Java clients spell it in their answers.
    pub(crate) fn spelled(&self) -> String {
        let kind = if self.kind == "cacheData" { "cacheData" } else { "snapshotData" };
        format!("MetricsKey{{type='{kind}', key='{}'}}", self.key)
    }
}

/// The part of the answer that is JSON within JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricReport<'a> {
    listen_config_size: usize,
    client_version: &'a str,
    metric_values: &'a BTreeMap<String, String>,
}

/// Data id, group and namespace, each of its greatest length, take less.
const MAX_KEY: usize = 512;
/// Servers ask about one document, twice.
const MAX_KEYS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn question(json: &str) -> MetricsQuery {
        query(&Payload::new("ClientConfigMetricRequest", json.as_bytes().to_vec())).expect("one")
    }

    #[test]
    fn documents_are_read_from_group_keys() {
        let document = |kind: &str, key: &str| {
            let key = MetricsKey { kind: kind.to_owned(), key: key.to_owned() };
            key.document().map(|document| document.to_string())
        };
        assert_eq!(document("cacheData", "d+g").as_deref(), Some("public/g/d"));
        assert_eq!(document("cacheData", "d+g+").as_deref(), Some("public/g/d"));
        assert_eq!(document("cacheData", "d+g+public").as_deref(), Some("public/g/d"));
        assert_eq!(document("cacheData", "d+g+t").as_deref(), Some("t/g/d"));
        for nothing in ["", "d", "d+", "+g", "d+g+t+x", "a%2Bb+g", "d+g+a b"] {
            assert_eq!(document("cacheData", nothing), None, "{nothing}");
        }
        assert_eq!(document("snapshotData", "d+g"), None);
    }

    #[test]
    fn unreadable_question_is_about_nothing_and_still_answered() {
        for json in [r#"{"requestId":"1"}"#, r#"{"requestId":"1","metricsKeys":7}"#] {
            assert_eq!(question(json).keys().count(), 0);
            let payload = Payload::new("ClientConfigMetricRequest", json.as_bytes().to_vec());
            let answer = answer(&payload, &Metrics::default()).expect("an answer");
            assert_eq!(answer.kind(), "ClientConfigMetricResponse");
            assert!(String::from_utf8_lossy(answer.json()).contains(r#""requestId":"1""#));
        }
        assert!(query(&Payload::new("ClientDetectionRequest", b"{}".to_vec())).is_none());
    }

    #[test]
    fn hostile_question_has_a_small_answer() {
        let long = "x".repeat(MAX_KEY + 1);
        let key = r#"{"type":"cacheData","key":"d+g"}"#;
        let json = format!(
            r#"{{"metricsKeys":[{{"type":"cacheData","key":"{long}"}},{}]}}"#,
            [key; 1000].join(",")
        );
        let question = question(&json);
        assert_eq!(question.keys().count(), MAX_KEYS);
        assert!(question.keys().all(|key| key.key == "d+g"));
    }
}
