//! Messages of the configuration service.
use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Answer, Failure, Request, answer};
use crate::{
    document::{Document, digest},
    gray::Gray,
    key::ConfigKey,
    resource::Resource,
};

/// Asks for a document's content.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigQueryRequest<'a> {
    #[serde(skip)]
    key: &'a ConfigKey,
    data_id: &'a str,
    group: &'a str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    module: &'static str,
}

impl<'a> ConfigQueryRequest<'a> {
    pub(crate) fn new(key: &'a ConfigKey) -> Self {
        Self {
            key,
            data_id: key.data_id().as_str(),
            group: key.group().as_str(),
            tenant: key.tenant(),
            tag: None,
            module: MODULE,
        }
    }

    /// Asks for the version of a gray tag instead, if one is given.
    pub(crate) fn tagged(mut self, tag: Option<&'a str>) -> Self {
        self.tag = tag;
        self
    }
}

impl Request for ConfigQueryRequest<'_> {
    const TYPE: &'static str = "ConfigQueryRequest";
    type Answer = ConfigQueryResponse;
    const IS_BY_TAG: bool = true;

    fn resource(&self) -> Resource {
        Resource::Document(self.key.clone())
    }
}

answer! {
    /// The content.
    ConfigQueryResponse {
        content: Option<String>,
        content_type: Option<String>,
        md5: Option<String>,
        encrypted_data_key: Option<String>,
        last_modified: i64,
        beta: bool,
        tag: Option<String>,
    }
}

impl ConfigQueryResponse {
    /// The gray version that it is, which only some readers are shown.
    pub(crate) fn gray(&self) -> Option<Gray> {
        Gray::marked(self.beta, self.tag.as_deref())
    }

    /// The document, which was asked for as `key`.
    ///
    /// # Errors
    ///
    /// No content came. Servers refuse a query for what is not there, and what is empty has an
    /// empty content: nothing at all is not taken for one, which would replace what is in use.
    pub(crate) fn into_document(self, key: &ConfigKey) -> Result<Document, Failure> {
        let gray = self.gray();
        let Some(content) = self.content else {
            let why = format!("{:?} without content", <Self as Answer>::TYPE);
            return Err(Failure::Unreadable(why));
        };
        let content: Arc<str> = content.into();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let modified = u64::try_from(self.last_modified).ok().filter(|&ms| ms > 0);
        Ok(Document {
            md5: given(self.md5).unwrap_or_else(|| digest(&content)).into(),
            content,
            content_type: given(self.content_type).unwrap_or_else(|| "text".to_owned()).into(),
            last_modified: modified
                .and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
            encrypted_data_key: given(self.encrypted_data_key).map(Into::into),
            is_cipher: key.data_id().is_cipher(),
            gray,
        })
    }
}

/// Stores a document's content.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigPublishRequest<'a> {
    #[serde(skip)]
    key: &'a ConfigKey,
    pub(crate) data_id: &'a str,
    pub(crate) group: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cas_md5: Option<&'a str>,
    pub(crate) addition_map: BTreeMap<&'a str, &'a str>,
    pub(crate) module: &'static str,
}

impl<'a> ConfigPublishRequest<'a> {
    pub(crate) fn new(key: &'a ConfigKey, content: &'a str) -> Self {
        Self {
            key,
            data_id: key.data_id().as_str(),
            group: key.group().as_str(),
            tenant: key.tenant(),
            content,
            cas_md5: None,
            addition_map: BTreeMap::new(),
            module: MODULE,
        }
    }

    /// How many bytes it takes as it travels, but for the headers of its envelope.
    pub(crate) fn length(&self) -> usize {
        let mut counter = Counter(0);
        // Neither the counter nor these types have a way to fail.
        let _ = serde_json::to_writer(&mut counter, self);
        counter.0
    }
}

/// Counts what is written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(written.len());
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Request for ConfigPublishRequest<'_> {
    const TYPE: &'static str = "ConfigPublishRequest";
    type Answer = ConfigPublishResponse;

    fn resource(&self) -> Resource {
        Resource::Document(self.key.clone())
    }
}

answer! {
    /// Stored; other connections, and queries, see it a little later.
    ConfigPublishResponse {}
}

/// Removes a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigRemoveRequest<'a> {
    #[serde(skip)]
    key: &'a ConfigKey,
    data_id: &'a str,
    group: &'a str,
    tenant: &'a str,
    module: &'static str,
}

impl<'a> ConfigRemoveRequest<'a> {
    pub(crate) fn new(key: &'a ConfigKey) -> Self {
        Self {
            key,
            data_id: key.data_id().as_str(),
            group: key.group().as_str(),
            tenant: key.tenant(),
            module: MODULE,
        }
    }
}

impl Request for ConfigRemoveRequest<'_> {
    const TYPE: &'static str = "ConfigRemoveRequest";
    type Answer = ConfigRemoveResponse;

    fn resource(&self) -> Resource {
        Resource::Document(self.key.clone())
    }
}

answer! {
    /// Removed, or never there.
    ConfigRemoveResponse {}
}

/// Listens to documents, or stops; the answer names those that differ from the digests given.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigBatchListenRequest<'a> {
    listen: bool,
    config_listen_contexts: Vec<ConfigListenContext<'a>>,
    module: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigListenContext<'a> {
    data_id: &'a str,
    group: &'a str,
    tenant: &'a str,
    // "" stands for "I have nothing"; null would never equal what the server has.
    md5: &'a str,
}

impl<'a> ConfigBatchListenRequest<'a> {
    /// Listens to each key, of which the content with that digest is held.
    pub(crate) fn listen(keys: impl IntoIterator<Item = (&'a ConfigKey, &'a str)>) -> Self {
        Self::with(true, keys)
    }

    /// Stops listening.
    pub(crate) fn unlisten(keys: impl IntoIterator<Item = &'a ConfigKey>) -> Self {
        Self::with(false, keys.into_iter().map(|key| (key, "")))
    }

    fn with(listen: bool, keys: impl IntoIterator<Item = (&'a ConfigKey, &'a str)>) -> Self {
        let contexts = keys.into_iter().map(|(key, md5)| ConfigListenContext {
            data_id: key.data_id().as_str(),
            group: key.group().as_str(),
            tenant: key.tenant(),
            md5,
        });
        Self { listen, config_listen_contexts: contexts.collect(), module: MODULE }
    }
}

impl Request for ConfigBatchListenRequest<'_> {
    const TYPE: &'static str = "ConfigBatchListenRequest";
    type Answer = ConfigChangeBatchListenResponse;
    const IS_BY_TAG: bool = true;

    fn resource(&self) -> Resource {
        Resource::Documents
    }
}

answer! {
    /// The listens are known; these documents differ right now.
    ConfigChangeBatchListenResponse {
        changed_configs: Vec<DocumentName>,
    }
}

/// A document as servers name it in what they send: the default namespace has four spellings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DocumentName {
    #[serde(deserialize_with = "super::or_default")]
    data_id: String,
    #[serde(deserialize_with = "super::or_default")]
    group: String,
    #[serde(deserialize_with = "super::or_default")]
    tenant: String,
}

impl DocumentName {
    /// The key that it names, if it is one that this client could ever have asked for.
    pub(crate) fn key(&self) -> Option<ConfigKey> {
        let key = ConfigKey::try_from((self.data_id.as_str(), self.group.as_str())).ok()?;
        Some(key.in_namespace(self.tenant.parse().ok()?))
    }
}

/// The names of what a publish may add, as servers read them.
pub(crate) mod addition {
    pub(crate) const APP: &str = "appName";
    /// Addresses, separated by commas.
    pub(crate) const BETA: &str = "betaIps";
    pub(crate) const DATA_KEY: &str = "encryptedDataKey";
    pub(crate) const DESCRIPTION: &str = "desc";
    /// The gray version of that name. The labels for searching are another addition.
    pub(crate) const GRAY_TAG: &str = "tag";
    pub(crate) const TAGS: &str = "config_tags";
    pub(crate) const TYPE: &str = "type";
}

/// The digest of no content: publishing over it publishes only where there is nothing.
pub(crate) const NO_DIGEST: &str = "absent";
const MODULE: &str = "config";
