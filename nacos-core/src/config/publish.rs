//! A document to publish: the content, all that the server keeps beside it, and the condition.
use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use super::{
    Configs,
    published::{Condition, Published},
};
use crate::{
    connection::{Abilities, Repeat},
    document::{Document, digest},
    error::{Doing, Error, ErrorKind},
    filter::ConfigContent,
    gray::Gray,
    key::{ConfigKey, InvalidName},
    wire::config::{ConfigPublishRequest, NO_DIGEST, addition},
};

/// A document to publish, with everything that a server takes. `Debug` shows its size, never its
/// content.
///
/// The server keeps the application, and the labels, that are not given. It forgets the
/// description, and so does Java Nacos the encrypted data key: see [`Configs::update`] for what
/// stays of a document that is changed.
///
/// ```
/// use nacos_core::Publish;
///
/// let publish = Publish::new(("orders.yaml", "ORDER_GROUP"), "limit: 7")?
///     .app("orders")
///     .description("limits of the shop")
///     .tags("shop,limits");
/// # Ok::<(), nacos_core::Error>(())
/// ```
///
/// [`Configs::update`]: crate::Configs::update
#[derive(Clone)]
#[must_use = "nothing is published until it is given to `Configs::publish`"]
pub struct Publish {
    pub(super) key: ConfigKey,
    pub(super) content: Arc<str>,
    additions: BTreeMap<Cow<'static, str>, String>,
    pub(super) over: Over,
}

/// The document over which alone it is published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Over {
    Whatever,
    Nothing,
    NothingIfHonoured,
    Digest(Arc<str>),
}

impl Publish {
    /// `content` for the document under `key`.
    ///
    /// The type is taken from the data id's ending if it names one (`.yaml`, `.json`, `.toml`,
    /// `.properties`, `.xml`, `.html`), because a server turns what is published without a type
    /// into `text`.
    ///
    /// The content is published as it is: with a byte order mark, with control characters. Java
    /// Nacos refuses one that is empty or white space alone; r-nacos stores it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`].
    pub fn new<K>(key: K, content: impl Into<Arc<str>>) -> Result<Self, Error>
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        let key: ConfigKey = key.try_into().map_err(InvalidName::from)?;
        Ok(Self::of(key, content.into()))
    }

    pub(super) fn of(key: ConfigKey, content: Arc<str>) -> Self {
        let content_type = key.data_id().content_type();
        let publish = Self { key, content, additions: BTreeMap::new(), over: Over::Whatever };
        content_type.into_iter().fold(publish, Self::content_type)
    }

    /// Sets the type: `text`, `json`, `xml`, `yaml`, `html`, `properties` or `toml`. Some servers
    /// take anything else for `text`.
    pub fn content_type(self, content_type: impl Into<String>) -> Self {
        self.addition(addition::TYPE, content_type)
    }

    /// Publishes only if the server still holds `document`; otherwise [`ErrorKind::Conflict`].
    ///
    /// If the server holds nothing at all, it publishes. r-nacos ignores the condition: see
    /// [`Published::condition`](crate::Published::condition). For a gray version, `document` is
    /// what the server holds of that version; Java Nacos 2.3.2 with its embedded database answers
    /// that it was published where it was not, which [`Published::visible`] finds out for a tag.
    pub fn if_unchanged(mut self, document: &Document) -> Self {
        self.over = Over::Digest(Arc::clone(&document.md5));
        self
    }

    /// Publishes only if the server holds nothing; otherwise [`ErrorKind::Conflict`].
    ///
    /// Sent only to servers that have announced abilities, which Java Nacos does since 2.3: any
    /// other may ignore the condition and overwrite what it holds, so that publishing fails with
    /// [`ErrorKind::Unsupported`] there.
    pub fn if_absent(mut self) -> Self {
        self.over = Over::Nothing;
        self
    }

    /// The same, at any server: some ignore it.
    pub(super) fn if_nothing(mut self) -> Self {
        self.over = Over::NothingIfHonoured;
        self
    }

    /// Sets the name of the application that owns the document: at most 128 characters.
    pub fn app(self, app: impl Into<String>) -> Self {
        self.addition(addition::APP, app)
    }

    /// Sets the description that consoles show: at most 128 characters.
    pub fn description(self, description: impl Into<String>) -> Self {
        self.addition(addition::DESCRIPTION, description)
    }

    /// Sets the labels by which [`Search::tags`](crate::Search::tags) and consoles find the
    /// document: at most five of 64 characters each, separated by commas.
    pub fn tags(self, tags: impl Into<String>) -> Self {
        self.addition(addition::TAGS, tags)
    }

    /// Publishes the beta version of the document: shown to clients with these addresses, as the
    /// server sees them, and to nobody else. The formal version stays as it is.
    ///
    /// Sent only to servers that have announced abilities: r-nacos would show it to everybody.
    /// Elsewhere, publishing fails with [`ErrorKind::Unsupported`].
    pub fn beta(self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let addresses: Vec<_> = addresses.into_iter().map(|it| it.to_string()).collect();
        self.addition(addition::BETA, addresses.join(","))
    }

    /// Publishes the version of a gray tag: shown to clients with the label `Vipserver-Tag` of this
    /// value ([`app_labels`](crate::ClientBuilder::app_labels)). The formal version stays as it is.
    /// At most 16 letters, digits and `_ - . :`.
    ///
    /// As for [`beta`](Self::beta), other servers are not asked.
    pub fn gray_tag(self, tag: impl Into<String>) -> Self {
        self.addition(addition::GRAY_TAG, tag)
    }

    /// Says that the content is cipher text, and with which key it can be read: the data key, as it
    /// was encrypted.
    ///
    /// Sent only to servers that have announced abilities: r-nacos loses the key, and with it what
    /// was published. Elsewhere, publishing fails with [`ErrorKind::Unsupported`].
    pub fn encrypted_data_key(self, key: impl Into<String>) -> Self {
        self.addition(addition::DATA_KEY, key)
    }

    /// Sets something else that the server takes, under the name that it has there: `src_user`,
    /// `use`, `effect`, `schema`, or anything that a plugin reads. Of two with one name the last
    /// counts; the setters above have the names `type`, `appName`, `desc`, `config_tags`,
    /// `betaIps`, `tag` and `encryptedDataKey`.
    pub fn addition(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.additions.insert(name.into(), value.into());
        self
    }

    /// The gray version that it is; `None` for the formal one.
    ///
    /// # Errors
    ///
    /// It is a beta version for nobody, of a tag that is none, or both: servers would publish the
    /// formal version, or one of the two.
    pub(super) fn gray(&self) -> Result<Option<Gray>, Error> {
        let given = |name| self.additions.get(name).map(String::as_str);
        let invalid = |why: &str| {
            let doing = format!("publish {}", self.key);
            Err(Error::new(ErrorKind::InvalidOption, doing).because(why.to_owned()))
        };
        match (given(addition::BETA), given(addition::GRAY_TAG)) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => invalid("a version is either beta or that of a tag"),
            (Some(addresses), None) if addresses.trim().is_empty() => {
                invalid("a beta version that no address is shown")
            }
            (Some(_), None) => Ok(Some(Gray::Beta)),
            (None, Some(tag)) if !is_gray_tag(tag) => {
                invalid("a gray tag has 1 to 16 letters, digits and `_ - . :`")
            }
            (None, Some(tag)) => Ok(Some(Gray::Tag(tag.into()))),
        }
    }

    /// The reason why it must not be sent to a server that announces nothing.
    pub(super) fn hazard(&self) -> Option<&'static str> {
        let has = |name| self.additions.get(name).is_some_and(|value| !value.is_empty());
        if has(addition::BETA) || has(addition::GRAY_TAG) {
            Some("it may show a gray version to everybody")
        } else if has(addition::DATA_KEY) {
            Some("it may lose the encrypted data key")
        } else if self.over == Over::Nothing {
            Some("it may overwrite what it holds")
        } else {
            None
        }
    }

    /// The document that filters are to see, under the key that it has at the server.
    fn unfiltered(&self, key: &ConfigKey) -> ConfigContent {
        let given = |name| {
            let given = self.additions.get(name).filter(|value| !value.is_empty());
            given.map(|value| value.as_str().into())
        };
        let mut document = ConfigContent::new(key.clone(), Arc::clone(&self.content));
        document.content_type = given(addition::TYPE);
        document.encrypted_data_key = given(addition::DATA_KEY);
        document
    }

    /// The same with the result of the filters.
    fn filtered(mut self, document: &ConfigContent) -> Self {
        self.content = Arc::clone(&document.content);
        for (name, value) in [
            (addition::TYPE, &document.content_type),
            (addition::DATA_KEY, &document.encrypted_data_key),
        ] {
            match value {
                Some(value) => drop(self.additions.insert(name.into(), (**value).into())),
                None => drop(self.additions.remove(name)),
            }
        }
        self
    }

    pub(super) fn request<'a>(&'a self, key: &'a ConfigKey) -> ConfigPublishRequest<'a> {
        let mut request = ConfigPublishRequest::new(key, &self.content);
        request.cas_md5 = match &self.over {
            Over::Whatever => None,
            Over::Nothing | Over::NothingIfHonoured => Some(NO_DIGEST),
            Over::Digest(digest) => Some(digest),
        };
        let additions = self.additions.iter();
        request.addition_map = additions.map(|(name, value)| (&**name, &**value)).collect();
        request
    }
}

impl Configs {
    /// Publishes a document.
    ///
    /// Never sent twice, because the server may have stored it before the connection broke. That
    /// holds for a conditional publish, too: the second one would find the first, and call it a
    /// conflict; and r-nacos ignores the condition.
    ///
    /// Stored is not yet shown: [`Published::visible`] waits for that.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Conflict`] if the document is not the one that
    ///   [`if_unchanged`](Publish::if_unchanged) names, or is there in spite of
    ///   [`if_absent`](Publish::if_absent).
    /// - [`ErrorKind::TooLarge`] over the option
    ///   [`max_publish`](crate::ClientBuilder::max_publish): nothing was sent.
    /// - [`ErrorKind::Denied`] without the right to write.
    /// - [`ErrorKind::Refused`] for what the server does not take, such as empty content.
    /// - [`ErrorKind::Unsupported`] for what the server would do to everybody, or lose: nothing was
    ///   sent. See [`beta`](Publish::beta), [`gray_tag`](Publish::gray_tag),
    ///   [`encrypted_data_key`](Publish::encrypted_data_key) and [`if_absent`](Publish::if_absent).
    /// - [`ErrorKind::InvalidOption`] for a gray version that is for nobody: nothing was sent.
    /// - [`ErrorKind::Filter`] or [`ErrorKind::FilterUnavailable`] if a
    ///   [filter](crate::filter) failed: nothing was sent.
    ///
    /// After [`ErrorKind::Timeout`] or [`ErrorKind::Disconnected`] it may or may not be stored.
    ///
    /// # Cancel safety
    ///
    /// Once polled, a dropped call may or may not have published.
    pub async fn publish(&self, publish: Publish) -> Result<Published, Error> {
        self.connection.mention(publish.key.namespace());
        publish.gray()?;
        self.send(self.prepare(publish).await?).await
    }

    /// The content that the client's filters make of it. Nothing is sent.
    pub(super) async fn prepare(&self, publish: Publish) -> Result<Publish, Error> {
        let options = &self.connection.options;
        let Some(filters) = &options.filters else { return Ok(publish) };
        let key = publish.key.clone().resolve(&options.session.config_namespace);
        match filters.before_publish(publish.unfiltered(&key)).await {
            Ok(document) => Ok(publish.filtered(&document)),
            Err(error) => Err(Error::new(error.kind(), Doing("publish", &key)).because(error)),
        }
    }

    /// Publishes what was [prepared](Self::prepare).
    pub(super) async fn send(&self, publish: Publish) -> Result<Published, Error> {
        let connection = &self.connection;
        let key = publish.key.clone().resolve(&connection.options.session.config_namespace);
        let doing = Doing("publish", &key);
        let gray = publish.gray()?;
        let request = publish.request(&key);
        let (length, most) = (request.length(), connection.options.max_publish);
        if length > most {
            let why = format!("{length} bytes, of which the option `max_publish` allows {most}");
            return Err(Error::new(ErrorKind::TooLarge, doing).because(why));
        }
        let (hazard, mut announces) = (publish.hazard(), false);
        let missing = |abilities: &Abilities, server: &str| {
            announces = !abilities.is_empty();
            let hazard = hazard.filter(|_| !announces)?;
            Some(format!("{server} announces no abilities: {hazard}"))
        };
        let sent = connection.call_unless(&doing, &request, Repeat::IfUnsent, missing).await?;
        sent.map_err(|refusal| refusal.into_error(doing))?;
        let is_conditional = publish.over != Over::Whatever;
        let condition = is_conditional.then(|| match gray {
            None => Condition::at(announces, connection, &key),
            Some(_) => Condition::Unknown,
        });
        Ok(Published {
            connection: Arc::clone(connection),
            md5: digest(&publish.content).into(),
            before: match publish.over {
                Over::Digest(digest) if condition == Some(Condition::Honoured) => Some(digest),
                _ => None,
            },
            gray,
            condition,
            key,
        })
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("key", &self.key)
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// The rule of servers.
fn is_gray_tag(tag: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    (1..=16).contains(&tag.len()) && tag.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(data_id: &str) -> Publish {
        Publish::new(data_id, "hunter2").expect("valid")
    }

    #[test]
    fn type_comes_from_the_ending_unless_given() {
        let type_of = |publish: Publish| publish.additions.get("type").cloned();
        assert_eq!(type_of(publish("orders.yml")).as_deref(), Some("yaml"));
        assert_eq!(type_of(publish("orders.yml").content_type("text")).as_deref(), Some("text"));
        assert_eq!(type_of(publish("orders")), None);
    }

    #[test]
    fn debug_shows_no_content_and_no_key() {
        let publish = publish("orders").encrypted_data_key("hunter2");
        assert!(!format!("{publish:?}").contains("hunter2"));
    }

    #[test]
    fn version_for_nobody_or_for_two_audiences_is_refused() {
        let here: IpAddr = "127.0.0.1".parse().expect("an address");
        let kind = |publish: Publish| publish.gray().expect_err("refused").kind();
        assert_eq!(kind(publish("d").beta([])), ErrorKind::InvalidOption);
        assert_eq!(kind(publish("d").beta([here]).gray_tag("blue")), ErrorKind::InvalidOption);
        for tag in ["", "seventeen-letters", "a b", "a,b", "\u{fc}", "a\0"] {
            assert_eq!(kind(publish("d").gray_tag(tag)), ErrorKind::InvalidOption, "{tag:?}");
        }
        assert_eq!(
            publish("d").gray_tag("blue").gray().expect("valid"),
            Some(Gray::Tag("blue".into()))
        );
        assert_eq!(publish("d").beta([here]).gray().expect("valid"), Some(Gray::Beta));
    }
}
