//! Fuzzy watches: which documents or services exist, by pattern (servers since 3.0).
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::{Ability, Request, answer, or_default};
use crate::{
    key::{ConfigKey, ConfigPattern, Namespace},
    resource::Resource,
};

/// Watches which documents exist, by pattern (servers since 3.0).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigFuzzyWatchRequest {
    group_key_pattern: String,
    // The keys that are known already: the server sends the difference.
    received_group_keys: Vec<String>,
    watch_type: WatchType,
    // The servers read `initializing`; `isInitializing` would be ignored.
    initializing: bool,
    module: &'static str,
}

impl ConfigFuzzyWatchRequest {
    /// Watches `pattern`, of which `known` is known. If it is `initial`, the server says when it
    /// has sent the whole difference.
    pub(crate) fn watch<'a>(
        pattern: &ConfigPattern,
        known: impl IntoIterator<Item = &'a ConfigKey>,
        initial: bool,
    ) -> Self {
        let known = known.into_iter().map(group_key).collect();
        Self::new(pattern, known, WatchType::Watch, initial)
    }

    /// Watches it no more.
    pub(crate) fn cancel(pattern: &ConfigPattern) -> Self {
        Self::new(pattern, Vec::new(), WatchType::CancelWatch, false)
    }

    fn new(
        pattern: &ConfigPattern,
        known: Vec<String>,
        watch_type: WatchType,
        initializing: bool,
    ) -> Self {
        Self {
            group_key_pattern: pattern.as_sent(),
            received_group_keys: known,
            watch_type,
            initializing,
            module: "config",
        }
    }
}

impl Request for ConfigFuzzyWatchRequest {
    const TYPE: &'static str = "ConfigFuzzyWatchRequest";
    type Answer = ConfigFuzzyWatchResponse;
    const NEEDS: Option<Ability> = Some(Ability::FuzzyWatch);

    fn resource(&self) -> Resource {
        Resource::Documents
    }
}

answer! {
    /// The watch stands; what it matches follows as pushes.
    ConfigFuzzyWatchResponse {}
}

/// Watches which services exist, by pattern (servers since 3.0).
#[allow(dead_code, reason = "understood and acknowledged; the client does not ask for them yet")]
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamingFuzzyWatchRequest<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) group_key_pattern: &'a str,
    pub(crate) received_group_keys: Vec<&'a str>,
    pub(crate) watch_type: WatchType,
    pub(crate) initializing: bool,
    pub(crate) module: &'static str,
}

impl Request for NamingFuzzyWatchRequest<'_> {
    const TYPE: &'static str = "NamingFuzzyWatchRequest";
    type Answer = NamingFuzzyWatchResponse;
    const NEEDS: Option<Ability> = Some(Ability::FuzzyWatch);

    fn resource(&self) -> Resource {
        Resource::Services
    }
}

answer! {
    /// The watch stands; what it matches follows as pushes.
    NamingFuzzyWatchResponse {}
}

/// The kind of things that a fuzzy watch is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Watched {
    Documents,
    Services,
}

/// One batch of a fuzzy watch's matches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FuzzySync {
    #[serde(deserialize_with = "or_default")]
    pub(crate) group_key_pattern: String,
    #[serde(deserialize_with = "or_default")]
    sync_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) contexts: Vec<FuzzyContext>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) total_batch: u32,
    /// From 1.
    #[serde(deserialize_with = "or_default")]
    pub(crate) current_batch: u32,
}

impl FuzzySync {
    /// Whether every batch of a first list has come and was acknowledged.
    pub(crate) fn is_finish(&self) -> bool {
        self.sync_type == "FINISH_FUZZY_WATCH_INIT_NOTIFY"
    }

    /// Whether it is a batch of the answer to a request that was `initial`.
    pub(crate) fn is_initial(&self) -> bool {
        self.sync_type == "FUZZY_WATCH_INIT_NOTIFY"
    }
}

/// One match. Documents are named by `groupKey`, services by `serviceKey`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FuzzyContext {
    #[serde(deserialize_with = "or_default", alias = "serviceKey")]
    group_key: String,
    #[serde(deserialize_with = "or_default")]
    changed_type: String,
}

/// One match that came or went. Documents say `changeType`, services `changedType`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FuzzyChange {
    #[serde(deserialize_with = "or_default", alias = "serviceKey")]
    group_key: String,
    #[serde(deserialize_with = "or_default", alias = "changeType")]
    changed_type: String,
}

impl FuzzyContext {
    /// The document, and whether it exists now; `None` if it is none that this client could ask
    /// for, or something else has happened to it.
    pub(crate) fn document(&self) -> Option<(ConfigKey, bool)> {
        document(&self.group_key, &self.changed_type)
    }
}

impl FuzzyChange {
    /// As [`FuzzyContext::document`].
    pub(crate) fn document(&self) -> Option<(ConfigKey, bool)> {
        document(&self.group_key, &self.changed_type)
    }
}

fn document(group_key: &str, changed_type: &str) -> Option<(ConfigKey, bool)> {
    let exists = match changed_type {
        // Servers cannot tell a new document from a changed one, and say the latter of both.
        "ADD_CONFIG" | "CONFIG_CHANGED" => true,
        "DELETE_CONFIG" => false,
        _ => return None,
    };
    let mut parts = group_key.split('+').map(unescaped);
    let (data_id, group) = (parts.next()??, parts.next()??);
    let namespace = match parts.next() {
        Some(namespace) => Namespace::parse(&namespace?).ok()?,
        None => Namespace::default(),
    };
    if parts.next().is_some() {
        return None;
    }
    let key = ConfigKey::try_from((&*data_id, &*group)).ok()?;
    Some((key.in_namespace(namespace), exists))
}

/// Servers escape `+` and `%`. No name that this client knows has one.
fn unescaped(part: &str) -> Option<String> {
    String::from_utf8(percent_decode_str(part).collect()).ok()
}

/// The text form of a key: `dataId+group+namespace`.
fn group_key(key: &ConfigKey) -> String {
    let namespace = key.namespace().map_or("public", Namespace::as_str);
    format!("{}+{}+{namespace}", key.data_id(), key.group())
}

/// The purpose of a fuzzy watch request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum WatchType {
    Watch,
    CancelWatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_read_as_it_is_written_and_others_are_none() {
        let key = ConfigKey::try_from(("d:1", "g")).expect("valid");
        let key = key.in_namespace(Namespace::default());
        assert_eq!(group_key(&key), "d:1+g+public");
        let read = |text: &str| document(text, "ADD_CONFIG").map(|(key, _)| key.to_string());
        assert_eq!(document(&group_key(&key), "CONFIG_CHANGED"), Some((key.clone(), true)));
        assert_eq!(document(&group_key(&key), "DELETE_CONFIG"), Some((key.clone(), false)));
        for same in ["d:1+g+", "d:1+g", "d%3A1+g+public"] {
            assert_eq!(read(same), Some(key.to_string()), "{same}");
        }
        for none in ["", "d", "d++", "+g+", "d+g+n+m", "d%2B+g+public", "d+g+a b", "%ff+g+n"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(document("d+g+public", "HEART_BEAT"), None);
    }
}
