//! Configurations: what is stored, and what queries already see of it.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use super::ConfigKey;
use crate::Behaviour;

/// One version of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// The stored text.
    pub content: String,
    /// Lower-case hexadecimal MD5 of the UTF-8 content.
    pub md5: String,
    /// The configuration type, such as `yaml`; `text` unless a publish named one.
    pub content_type: String,
    /// The encrypted data key that came with the content; blank for plain content.
    pub encrypted_data_key: String,
    /// The application that owns it; blank if no publish named one.
    pub app: String,
    /// The description that consoles show; blank if the last publish gave none.
    pub description: String,
    /// The labels by which it is found, in the order in which they were given.
    pub tags: Vec<String>,
    /// When it was stored, in milliseconds since 1970.
    pub last_modified: i64,
}

impl Document {
    fn new(publication: Publication, old: Option<&Self>, behaviour: Behaviour) -> Self {
        let keep = if behaviour.is_java() { None } else { old.map(|old| old.content_type.clone()) };
        let content_type = match publication.content_type {
            Some(known) if CONTENT_TYPES.contains(&known.as_str()) => known,
            // 2.3 and 3.0 keep whatever it is called.
            Some(unknown) if !behaviour.knows_its_types() => unknown,
            Some(_) => "text".to_owned(),
            None => keep.unwrap_or_else(|| "text".to_owned()),
        };
        Self {
            md5: digest(&publication.content),
            content: publication.content,
            content_type,
            encrypted_data_key: publication.encrypted_data_key,
            // Java keeps the application and the labels that are not given, and no description.
            app: publication.app.or(old.map(|old| old.app.clone())).unwrap_or_default(),
            description: publication.description.unwrap_or_default(),
            tags: publication.tags.or(old.map(|old| old.tags.clone())).unwrap_or_default(),
            last_modified: publication.at,
        }
    }
}

/// A document as it is published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publication {
    pub(crate) content: String,
    pub(crate) content_type: Option<String>,
    pub(crate) encrypted_data_key: String,
    pub(crate) app: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) at: i64,
}

/// A reader, by what gray versions are matched with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) ip: &'a str,
    pub(crate) tag: Option<&'a str>,
}

/// The result of a query.
#[derive(Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Beta(&'a Document),
    Formal(&'a Document),
    Missing,
    /// A tag was asked for that has no version: there is no way back to the formal one.
    MissingTag,
    Tagged(&'a Document, &'a str),
}

impl<'a> Found<'a> {
    pub(crate) fn document(&self) -> Option<&'a Document> {
        match self {
            Self::Beta(document) | Self::Formal(document) | Self::Tagged(document, _) => {
                Some(document)
            }
            Self::Missing | Self::MissingTag => None,
        }
    }
}

/// All configurations.
///
/// A Java server answers a publish when its database has it and shows it to queries when its dump
/// has run; in between, `stored` is ahead of `visible`.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    stored: BTreeMap<ConfigKey, Versions>,
    visible: BTreeMap<ConfigKey, Versions>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Versions {
    formal: Option<Document>,
    beta: Option<(Vec<String>, Document)>,
    tags: BTreeMap<String, Document>,
}

impl Configs {
    pub(crate) fn publish(&mut self, key: &ConfigKey, what: Publication, behaviour: Behaviour) {
        let versions = self.stored.entry(key.clone()).or_default();
        versions.formal = Some(Document::new(what, versions.formal.as_ref(), behaviour));
    }

    pub(crate) fn publish_beta(
        &mut self,
        key: &ConfigKey,
        ips: Vec<String>,
        what: Publication,
        behaviour: Behaviour,
    ) {
        let document = Document::new(what, None, behaviour);
        self.stored.entry(key.clone()).or_default().beta = Some((ips, document));
    }

    pub(crate) fn publish_tag(
        &mut self,
        key: &ConfigKey,
        tag: &str,
        what: Publication,
        behaviour: Behaviour,
    ) {
        let document = Document::new(what, None, behaviour);
        self.stored.entry(key.clone()).or_default().tags.insert(tag.to_owned(), document);
    }

    pub(crate) fn remove(&mut self, key: &ConfigKey) {
        if let Some(versions) = self.stored.get_mut(key) {
            versions.formal = None;
        }
    }

    pub(crate) fn remove_beta(&mut self, key: &ConfigKey) {
        if let Some(versions) = self.stored.get_mut(key) {
            versions.beta = None;
        }
    }

    pub(crate) fn remove_tag(&mut self, key: &ConfigKey, tag: &str) {
        if let Some(versions) = self.stored.get_mut(key) {
            versions.tags.remove(tag);
        }
    }

    /// Makes what is stored visible; returns what has changed by that.
    pub(crate) fn dump(&mut self, key: &ConfigKey) -> Dumped {
        let new = self.stored.get(key).cloned().unwrap_or_default();
        let old = self.visible.insert(key.clone(), new.clone()).unwrap_or_default();
        let md5 = |versions: &Versions| versions.formal.as_ref().map(|d| d.md5.clone());
        // A reader that joins a beta has to hear of it, though its content is the same.
        let beta = |versions: &Versions| versions.beta.clone().map(|(ips, d)| (ips, d.md5));
        let tagged = |versions: &Versions, tag: &str| versions.tags.get(tag).map(|d| d.md5.clone());
        Dumped {
            appeared: old.formal.is_none() && new.formal.is_some(),
            vanished: old.formal.is_some() && new.formal.is_none(),
            formal: md5(&old) != md5(&new),
            beta_ips: (beta(&old) != beta(&new)).then(|| {
                let ips =
                    |versions: Versions| versions.beta.map(|(ips, _)| ips).unwrap_or_default();
                [ips(old.clone()), ips(new.clone())].concat()
            }),
            tags: old
                .tags
                .keys()
                .chain(new.tags.keys())
                .filter(|tag| tagged(&old, tag) != tagged(&new, tag))
                .cloned()
                .collect(),
        }
    }

    /// The stored formal version, dumped or not.
    pub(crate) fn stored(&self, key: &ConfigKey) -> Option<&Document> {
        self.stored.get(key)?.formal.as_ref()
    }

    /// The formal version of everything that is stored, dumped or not.
    pub(crate) fn all_stored(&self) -> impl Iterator<Item = (&ConfigKey, &Document)> {
        self.stored.iter().filter_map(|(key, versions)| Some((key, versions.formal.as_ref()?)))
    }

    /// The stored version of a tag.
    pub(crate) fn stored_tag(&self, key: &ConfigKey, tag: &str) -> Option<&Document> {
        self.stored.get(key)?.tags.get(tag)
    }

    /// The stored beta version.
    pub(crate) fn stored_beta(&self, key: &ConfigKey) -> Option<&Document> {
        self.stored.get(key)?.beta.as_ref().map(|(_, document)| document)
    }

    /// The visible formal version.
    pub(crate) fn visible(&self, key: &ConfigKey) -> Option<&Document> {
        self.visible.get(key)?.formal.as_ref()
    }

    /// The version that this reader's query finds.
    pub(crate) fn query<'a>(
        &'a self,
        key: &ConfigKey,
        reader: Reader<'_>,
        asked: Option<&str>,
    ) -> Found<'a> {
        let Some(versions) = self.visible.get(key) else { return Found::Missing };
        // Without a formal version a gray one is not found either.
        let Some(formal) = &versions.formal else { return Found::Missing };
        if let Some((ips, document)) = &versions.beta
            && ips.iter().any(|ip| ip == reader.ip)
        {
            return Found::Beta(document);
        }
        let tagged = |tag| versions.tags.get_key_value(tag).map(|(tag, doc)| (doc, tag.as_str()));
        match (asked, reader.tag.and_then(tagged)) {
            (Some(tag), _) => {
                tagged(tag).map_or(Found::MissingTag, |(d, tag)| Found::Tagged(d, tag))
            }
            (None, Some((document, tag))) => Found::Tagged(document, tag),
            (None, None) => Found::Formal(formal),
        }
    }

    /// Every configuration that is visible.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConfigKey> {
        self.visible.iter().filter(|(_, versions)| versions.formal.is_some()).map(|(key, _)| key)
    }
}

/// The changes that a dump has made visible.
#[derive(Debug)]
pub(crate) struct Dumped {
    pub(crate) appeared: bool,
    pub(crate) vanished: bool,
    pub(crate) formal: bool,
    pub(crate) beta_ips: Option<Vec<String>>,
    pub(crate) tags: Vec<String>,
}

impl Dumped {
    /// Whether a listener is told.
    pub(crate) fn concerns(&self, reader: Reader<'_>, behaviour: Behaviour) -> bool {
        let gray = self.beta_ips.is_some() || !self.tags.is_empty();
        let matches = || {
            let ip = self.beta_ips.iter().flatten().any(|ip| ip == reader.ip);
            ip || self.tags.iter().any(|tag| Some(tag.as_str()) == reader.tag)
        };
        // Where there are gray rules, every listener is told of any gray version; otherwise only
        // those that match it.
        self.formal || gray && (behaviour.has_gray_rules() || matches())
    }
}

/// The MD5 of a content as Nacos writes it.
fn digest(content: &str) -> String {
    use std::fmt::Write as _;
    Md5::digest(content).iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

const CONTENT_TYPES: [&str; 8] =
    ["html", "json", "properties", "text", "toml", "unset", "xml", "yaml"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_utf8_bytes() {
        assert_eq!(digest("k=v"), "5a8a83c40ada249c61f6b20210c9448c");
        assert_eq!(digest("中文"), "a7bac2239fcdcb3a067903d8077c4a07");
        assert_eq!(digest(""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn stored_content_is_not_visible_before_the_dump() {
        let mut configs = Configs::default();
        let key = key();
        configs.publish(&key, publication("a"), Behaviour::Nacos3_0);
        assert_eq!(configs.query(&key, NOBODY, None), Found::Missing);
        assert!(configs.dump(&key).formal);
        assert!(configs.query(&key, NOBODY, None).document().is_some());
    }

    #[test]
    fn same_content_again_concerns_nobody() {
        let mut configs = Configs::default();
        let key = key();
        configs.publish(&key, publication("a"), Behaviour::Nacos3_0);
        configs.dump(&key);
        configs.publish(&key, publication("a"), Behaviour::Nacos3_0);
        assert!(!configs.dump(&key).concerns(NOBODY, Behaviour::Nacos3_0));
    }

    #[test]
    fn missing_tag_does_not_fall_back_to_the_formal_version() {
        let mut configs = Configs::default();
        let key = key();
        configs.publish(&key, publication("a"), Behaviour::Nacos3_0);
        configs.dump(&key);
        assert_eq!(configs.query(&key, NOBODY, Some("blue")), Found::MissingTag);
    }

    const NOBODY: Reader<'_> = Reader { ip: "", tag: None };

    fn key() -> ConfigKey {
        ConfigKey { namespace: String::new(), group: "g".to_owned(), data_id: "d".to_owned() }
    }

    fn publication(content: &str) -> Publication {
        Publication { content: content.to_owned(), ..Publication::default() }
    }
}
