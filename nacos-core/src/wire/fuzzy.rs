//! Fuzzy watches: which documents or services exist, by pattern (servers since 3.0).
#![allow(dead_code, reason = "understood and acknowledged; the client does not ask for them yet")]
use serde::{Deserialize, Serialize};

use super::{Ability, Request, answer, or_default};
use crate::resource::Resource;

/// Watches which documents exist, by pattern (servers since 3.0).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigFuzzyWatchRequest<'a> {
    pub(crate) group_key_pattern: &'a str,
    pub(crate) received_group_keys: Vec<&'a str>,
    pub(crate) watch_type: WatchType,
    // The servers read `initializing`; `isInitializing` would be ignored.
    pub(crate) initializing: bool,
    pub(crate) module: &'static str,
}

impl Request for ConfigFuzzyWatchRequest<'_> {
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

/// One batch of a fuzzy watch's matches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FuzzySync {
    #[serde(deserialize_with = "or_default")]
    pub(crate) group_key_pattern: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) sync_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) contexts: Vec<FuzzyContext>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) total_batch: u32,
    #[serde(deserialize_with = "or_default")]
    pub(crate) current_batch: u32,
}

/// One match. Documents are named by `groupKey`, services by `serviceKey`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FuzzyContext {
    #[serde(deserialize_with = "or_default", alias = "serviceKey")]
    pub(crate) group_key: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) changed_type: String,
}

/// One match that came or went. Documents say `changeType`, services `changedType`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FuzzyChange {
    #[serde(deserialize_with = "or_default", alias = "serviceKey")]
    pub(crate) group_key: String,
    #[serde(deserialize_with = "or_default", alias = "changeType")]
    pub(crate) changed_type: String,
}

/// The purpose of a fuzzy watch request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum WatchType {
    Watch,
    CancelWatch,
}
