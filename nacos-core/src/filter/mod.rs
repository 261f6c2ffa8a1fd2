//! Filters: code of the program's own between a document and the server.
//!
//! A [`ConfigFilter`] sees each document twice: before it is published, and after it was read. It
//! may change the content, the type, and the encrypted data key, and nothing else. Encryption is
//! the usual reason for one; checks and signatures are others. The Java client has the same, as
//! `IConfigFilter`.
//!
//! # Order
//!
//! Of several filters, the one that was given first is nearest to the program: it is the first
//! before a publish, and the last after a query. A document that one compresses and the next one
//! encrypts is decrypted and decompressed on its way back.
//!
//! # Which documents pass
//!
//! | what | passes the filters |
//! | --- | --- |
//! | [`publish`](crate::Configs::publish), [`update`](crate::Configs::update) | before anything is sent |
//! | [`get`](crate::Configs::get), [`update`](crate::Configs::update), [`watch`](crate::Configs::watch) | what the server sent |
//! | a snapshot on disk | yes: it holds what the server sent, an encrypted document as cipher text |
//! | an operator's file ([`override_dir`](crate::ClientBuilder::override_dir)) | no: it holds what the program is to see, also while a key service is down |
//!
//! [`Document::md5`](crate::Document::md5) is always that of what the server stores. So
//! [`if_unchanged`](crate::Publish::if_unchanged) and [`visible`](crate::Published::visible)
//! compare what was stored, and listens do, too.
//!
//! # When a filter fails
//!
//! A filter that returns an error, panics, takes longer than the option
//! [`filter_timeout`](crate::ClientBuilder::filter_timeout), or returns another document than the
//! one that it was given, has failed. Then nothing is published, and nothing is read: the call ends
//! with [`ErrorKind::Filter`], or with
//! [`ErrorKind::FilterUnavailable`] if it may pass by itself.
//! Nothing that a filter was given is ever taken for its result. For a [`Watch`](crate::Watch), its
//! documentation says what is shown.
//!
//! # Where filters run
//!
//! Each call of a filter is a task of its own, beside the session: neither a panic nor a filter
//! that hangs delays the connection, or another document. A filter must not block its thread, as
//! everywhere in asynchronous code: blocking work belongs into `tokio::task::spawn_blocking`.
//! A client without filters does none of this.
mod chain;
#[cfg(feature = "encryption")]
mod encryption;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

pub(crate) use self::chain::{Filters, Named, Number, Passed, Place};
#[cfg(feature = "encryption")]
pub use self::encryption::{
    AesEncryption, ClearDataKeys, DataKey, DataKeyFuture, DataKeys, NewDataKey, NewDataKeyFuture,
};
use crate::{document::Document, error::ErrorKind, key::ConfigKey};

/// The future that the methods of a [`ConfigFilter`] return.
pub type FilterFuture<'a> =
    Pin<Box<dyn Future<Output = Result<ConfigContent, FilterError>> + Send + 'a>>;

/// A filter of documents: see the [module documentation](self).
///
/// Both methods leave a document as it is unless they are implemented. A filter is asked about each
/// document, and returns those unchanged that are none of its concern.
///
/// ```
/// use nacos_core::{
///     Client, Publish,
///     filter::{ConfigContent, ConfigFilter, FilterError, FilterFuture},
/// };
///
/// /// Refuses a document that somebody has published by mistake.
/// #[derive(Debug)]
/// struct NotEmpty;
///
/// impl ConfigFilter for NotEmpty {
///     fn before_publish(&self, document: ConfigContent) -> FilterFuture<'_> {
///         self.after_query(document)
///     }
///
///     fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
///         let is_empty = document.content.trim().is_empty();
///         let outcome = if is_empty { Err(FilterError::rejected("it is empty")) } else { Ok(document) };
///         Box::pin(std::future::ready(outcome))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let address = server.addr().to_string();
/// let nacos = Client::builder().server_addr(address).with_config_filter(NotEmpty).connect().await?;
/// let error = nacos.configs().publish(Publish::new("orders.yaml", " ")?).await.unwrap_err();
/// assert_eq!(error.kind(), nacos_core::ErrorKind::Filter);
/// # Ok(()) }
/// ```
///
/// `Debug` is required because every type that holds a filter can be shown; an implementation that
/// keeps what is secret in [`Secret`](crate::Secret)s can derive it.
pub trait ConfigFilter: fmt::Debug + Send + Sync + 'static {
    /// Makes of a document what is to be published.
    ///
    /// Called for each [`publish`](crate::Configs::publish), once, before anything is sent.
    ///
    /// # Errors
    ///
    /// [`FilterError::rejected`] if trying again would change nothing, [`FilterError::unavailable`]
    /// otherwise. Nothing is published, and the caller is told.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the publish is, and at its deadline.
    fn before_publish(&self, document: ConfigContent) -> FilterFuture<'_> {
        Box::pin(std::future::ready(Ok(document)))
    }

    /// Makes of a document that a server or a snapshot holds what the program sees.
    ///
    /// Several documents may be under way at the same time; of one document that is watched, one
    /// state is.
    ///
    /// # Errors
    ///
    /// [`FilterError::rejected`] if trying again would change nothing, [`FilterError::unavailable`]
    /// otherwise. The document of a watch is tried again in both cases, ever more rarely, up to
    /// once a minute. The error is shown in logs and states: it never quotes a content or a secret.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when nobody waits for it any more, and at its deadline.
    fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
        Box::pin(std::future::ready(Ok(document)))
    }
}

/// A document on its way through the filters. `Debug` shows no content and no key.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConfigContent {
    key: ConfigKey,
    /// The content: of a document that is published as the program gave it or the filter before
    /// left it, otherwise as the server stores it or the filter behind left it.
    pub content: Arc<str>,
    /// The type: `text`, `json`, `yaml`, …. `None` leaves it to the server, or as it is stored.
    pub content_type: Option<Arc<str>>,
    /// The encrypted data key that is stored beside the content.
    pub encrypted_data_key: Option<Arc<str>>,
    is_cipher: bool,
}

impl ConfigContent {
    /// A document in clear text, for tests of a filter.
    #[must_use]
    pub fn new(key: ConfigKey, content: impl Into<Arc<str>>) -> Self {
        let content = content.into();
        Self { key, content, content_type: None, encrypted_data_key: None, is_cipher: false }
    }

    /// Which document, with its namespace. A filter cannot change it.
    #[must_use]
    pub fn key(&self) -> &ConfigKey {
        &self.key
    }

    /// Whether the content is cipher text, as far as it is known: for a publish, if an encrypted
    /// data key came with it; otherwise as for [`Document::is_encrypted`].
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_cipher || self.encrypted_data_key.is_some()
    }

    /// The same document with this cipher text, and the encrypted data key that belongs to it.
    #[must_use]
    pub fn encrypted(
        self,
        content: impl Into<Arc<str>>,
        encrypted_data_key: impl Into<Arc<str>>,
    ) -> Self {
        let encrypted_data_key = Some(encrypted_data_key.into());
        Self { content: content.into(), encrypted_data_key, is_cipher: true, ..self }
    }

    /// The same document with this clear text, and without a data key: it is not encrypted any
    /// more.
    #[must_use]
    pub fn decrypted(self, content: impl Into<Arc<str>>) -> Self {
        Self { content: content.into(), encrypted_data_key: None, is_cipher: false, ..self }
    }

    /// A document as it was stored.
    pub(crate) fn stored(key: &ConfigKey, document: &Document) -> Self {
        Self {
            key: key.clone(),
            content: Arc::clone(&document.content),
            content_type: Some(Arc::clone(&document.content_type)),
            encrypted_data_key: document.encrypted_data_key.clone(),
            is_cipher: document.is_cipher,
        }
    }

    /// The document that was `stored`, as it is shown: with the digest and the time of what was.
    pub(crate) fn show(self, stored: &Document) -> Document {
        Document {
            content: self.content,
            content_type: self.content_type.unwrap_or_else(|| Arc::clone(&stored.content_type)),
            encrypted_data_key: self.encrypted_data_key,
            is_cipher: self.is_cipher,
            ..stored.clone()
        }
    }
}

impl fmt::Debug for ConfigContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigContent")
            .field("key", &format_args!("{}", self.key))
            .field("bytes", &self.content.len())
            .field("content_type", &self.content_type)
            .field("encrypted", &self.is_encrypted())
            .finish_non_exhaustive()
    }
}

/// The reason why a filter has no result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilterError {
    kind: ErrorKind,
    why: String,
}

impl FilterError {
    /// The document is not to be published, or not to be read: trying again changes nothing.
    pub fn rejected(why: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Filter, why: why.to_string() }
    }

    /// The filter cannot do its work now, such as one whose key service does not answer: it may be
    /// able to later.
    pub fn unavailable(why: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::FilterUnavailable, why: why.to_string() }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Says which filter it was.
    fn of(self, name: &str) -> Self {
        let why = format!("the filter `{name}`: {}", crate::error::clip(&self.why, MOST_SHOWN));
        Self { why, ..self }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for FilterError {}

/// Characters of a filter's own words in a log or a state.
const MOST_SHOWN: usize = 512;
