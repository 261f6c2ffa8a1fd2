//! The content to publish, and the condition for it.
use std::{fmt, sync::Arc};

use crate::{
    document::Document,
    error::Error,
    key::{ConfigKey, InvalidName},
    wire::config::ConfigPublishRequest,
};

/// A document to publish. `Debug` shows its size, never its content.
///
/// ```
/// use nacos_core::Publish;
///
/// let publish = Publish::new(("orders.yaml", "ORDER_GROUP"), "limit: 7")?.content_type("yaml");
/// # Ok::<(), nacos_core::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is published until it is given to `Configs::publish`"]
pub struct Publish {
    pub(super) key: ConfigKey,
    content: Arc<str>,
    content_type: Option<String>,
    app: Option<String>,
    description: Option<String>,
    tags: Option<String>,
    md5: Option<Arc<str>>,
}

impl Publish {
    /// `content` for the document under `key`.
    ///
    /// The type is taken from the data id's ending if it names one (`.yaml`, `.json`, `.toml`,
    /// `.properties`, `.xml`, `.html`), because a server turns what is published without a type
    /// into `text`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName).
    pub fn new<K>(key: K, content: impl Into<Arc<str>>) -> Result<Self, Error>
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        let key: ConfigKey = key.try_into().map_err(InvalidName::from)?;
        Ok(Self {
            content_type: type_of(key.data_id().as_str()).map(str::to_owned),
            key,
            content: content.into(),
            app: None,
            description: None,
            tags: None,
            md5: None,
        })
    }

    /// Sets the type: `text`, `json`, `xml`, `yaml`, `html`, `properties` or `toml`. Servers take
    /// anything else for `text`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Publishes only if the server still holds `document`; otherwise
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
    ///
    /// If the server holds nothing at all, it publishes. r-nacos ignores the condition.
    pub fn if_unchanged(mut self, document: &Document) -> Self {
        self.md5 = Some(Arc::clone(&document.md5));
        self
    }

    /// Sets the name of the application that owns the document.
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = Some(app.into());
        self
    }

    /// Sets the description that consoles show.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the labels by which consoles search: at most five, separated by commas.
    pub fn tags(mut self, tags: impl Into<String>) -> Self {
        self.tags = Some(tags.into());
        self
    }

    pub(super) fn request<'a>(&'a self, key: &'a ConfigKey) -> ConfigPublishRequest<'a> {
        let mut request = ConfigPublishRequest::new(key, &self.content);
        request.cas_md5 = self.md5.as_deref();
        let additions = [
            ("type", &self.content_type),
            ("appName", &self.app),
            ("desc", &self.description),
            ("config_tags", &self.tags),
        ];
        for (name, value) in additions {
            request.addition_map.extend(value.as_deref().map(|value| (name, value)));
        }
        request
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

fn type_of(data_id: &str) -> Option<&'static str> {
    let (_, ending) = data_id.rsplit_once('.')?;
    Some(match ending {
        "yaml" | "yml" => "yaml",
        "json" => "json",
        "toml" => "toml",
        "properties" => "properties",
        "xml" => "xml",
        "html" => "html",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_comes_from_the_ending_unless_given() {
        let publish = Publish::new("orders.yml", "a: 1").expect("valid");
        assert_eq!(publish.content_type.as_deref(), Some("yaml"));
        assert_eq!(publish.content_type("text").content_type.as_deref(), Some("text"));
        assert_eq!(Publish::new("orders", "a").expect("valid").content_type, None);
    }

    #[test]
    fn debug_shows_no_content() {
        let publish = Publish::new("orders", "hunter2").expect("valid");
        assert!(!format!("{publish:?}").contains("hunter2"));
    }
}
