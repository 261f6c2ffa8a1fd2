//! A document of the configuration service, and what is known about one.
use std::{fmt, sync::Arc, time::SystemTime};

use md5::{Digest, Md5};

use crate::{
    error::{Error, ErrorKind},
    gray::Gray,
};

/// The content of one data id.
///
/// `Debug` shows the size and the digest, never the content.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Document {
    /// The content, as published, or as the client's [filters](crate::filter) show it: cipher text,
    /// if it [is encrypted](Self::is_encrypted).
    pub content: Arc<str>,
    /// Lower-case hexadecimal MD5 of the content in UTF-8, as the server computed it: of what it
    /// stores, whatever filters have made of that. Pass it to
    /// [`Publish::if_unchanged`](crate::Publish::if_unchanged) to publish only over this content.
    pub md5: Arc<str>,
    /// The type given when it was published: `text`, `json`, `yaml`, `properties`, `toml`, ….
    pub content_type: Arc<str>,
    /// When the server stored it. Informational: servers' clocks differ, so it orders nothing.
    pub last_modified: Option<SystemTime>,
    /// The encrypted data key, for a document that a client-side plugin encrypted.
    pub encrypted_data_key: Option<Arc<str>>,
    /// Its data id says that it holds cipher text.
    pub(crate) is_cipher: bool,
    /// It is a gray version, which only some readers are shown: of this kind.
    pub(crate) gray: Option<Gray>,
}

impl Document {
    /// A document with this content, as a server would hold it.
    #[must_use]
    pub fn new(content: impl Into<Arc<str>>, content_type: impl Into<Arc<str>>) -> Self {
        let content = content.into();
        Self {
            md5: digest(&content).into(),
            content,
            content_type: content_type.into(),
            last_modified: None,
            encrypted_data_key: None,
            is_cipher: false,
            gray: None,
        }
    }

    /// Whether [`content`](Self::content) is cipher text, which must not be read as configuration:
    /// the data id begins with `cipher-`, or an encrypted data key came with it.
    ///
    /// A document that a [filter](crate::filter) has decrypted is not encrypted any more. Without
    /// such a filter, one that was published in clear text under such a data id counts as
    /// encrypted, too: a client cannot tell the two apart.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// server.publish_encrypted("", "DEFAULT_GROUP", "cipher-aes-db", "4a76b0b5", "the key");
    /// let document = nacos.configs().get("cipher-aes-db").await?.ok_or("it was just published")?;
    /// assert!(document.is_encrypted());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_cipher || self.encrypted_data_key.is_some()
    }

    /// The kind of the gray version that this is; `None` for the formal version, which everybody
    /// gets to whom no rule shows another.
    ///
    /// Servers choose the version themselves, by the address of this client and by its
    /// [labels](crate::ClientBuilder::app_labels). It is marked wherever it is read: in a watch,
    /// and by [`Configs::get`](crate::Configs::get). [`md5`](Self::md5) is the digest of this
    /// content.
    /// r-nacos has no gray versions.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// use nacos_core::{Gray, Publish};
    ///
    /// let configs = nacos.configs();
    /// configs.publish(Publish::new("orders.yaml", "limit: 10")?).await?;
    /// let beta = Publish::new("orders.yaml", "limit: 20")?.beta([[127, 0, 0, 1].into()]);
    /// configs.publish(beta).await?;
    /// let document = configs.get("orders.yaml").await?.ok_or("it was just published")?;
    /// assert_eq!((&*document.content, document.gray()), ("limit: 20", Some(&Gray::Beta)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn gray(&self) -> Option<&Gray> {
        self.gray.as_ref()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Document");
        shown
            .field("bytes", &self.content.len())
            .field("md5", &self.md5)
            .field("content_type", &self.content_type)
            .field("encrypted", &self.is_encrypted());
        if let Some(gray) = &self.gray {
            shown.field("gray", gray);
        }
        shown.finish_non_exhaustive()
    }
}

/// The newest known state of one document.
///
/// "The server says that there is none" and "no server could be asked" are never confused:
/// [`Absent`](Self::Absent) is only ever the server's own word.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DocumentState {
    /// Nothing is known yet: the first answer is still under way.
    Pending,
    /// The server has it, with this content.
    Present(Document),
    /// The server answered that it does not exist. While none can be asked, a watch may show that
    /// one did so before the start: its freshness is [`FromDisk`](crate::Freshness::FromDisk) then.
    Absent,
    /// It could not be asked for, or a [filter](crate::filter) could make nothing of it. The client
    /// keeps trying.
    Unreachable {
        /// The last content that was seen, if any.
        last: Option<Document>,
        /// Why: those that are [retryable](ErrorKind::is_retryable) pass by themselves, the others
        /// need an operator's help.
        why: ErrorKind,
        /// The same in words: what the server said, or how large what it sent is.
        cause: Arc<str>,
    },
}

impl DocumentState {
    /// Why it could not be asked for, as an error; `None` if it could be, or has not been yet.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.error_of("ask for the document")
    }

    /// The same, as the error of an operation that needs the document.
    pub(crate) fn error_of(&self, doing: impl fmt::Display) -> Option<Error> {
        match self {
            Self::Unreachable { why, cause, .. } => {
                Some(Error::new(*why, doing).because(cause.to_string()))
            }
            Self::Pending | Self::Present(_) | Self::Absent => None,
        }
    }

    /// Whether a reader would see no difference: the time at which a server stored the same
    /// content again is none.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => {
                one.content == other.content
                    && one.content_type == other.content_type
                    // Another key makes another text of the same content.
                    && one.encrypted_data_key == other.encrypted_data_key
                    // A version for some, and the same text for everybody, are two things.
                    && one.gray == other.gray
            }
            (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }

    /// The newest content that is known, even if it cannot be confirmed right now.
    #[must_use]
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Present(document) => Some(document),
            Self::Unreachable { last, .. } => last.as_ref(),
            Self::Pending | Self::Absent => None,
        }
    }
}

/// The digest that servers compare documents by: lower-case hexadecimal MD5.
///
/// ```
/// assert_eq!(nacos_core::digest("k=v"), "5a8a83c40ada249c61f6b20210c9448c");
/// ```
#[must_use]
pub fn digest(content: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(content.as_bytes()) {
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from(HEX[usize::from(nibble)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_utf8_bytes() {
        assert_eq!(digest("中文"), "a7bac2239fcdcb3a067903d8077c4a07");
        assert_eq!(digest(""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn debug_shows_no_content() {
        let mut document = Document::new("password: hunter2", "yaml");
        document.encrypted_data_key = Some("hunter2".into());
        assert!(!format!("{document:?}").contains("hunter2"));
    }

    #[test]
    fn last_content_stays_known_while_nobody_can_be_asked() {
        let document = Document::new("a: 1", "yaml");
        let state = DocumentState::Unreachable {
            last: Some(document.clone()),
            why: ErrorKind::Timeout,
            cause: "no answer in time".into(),
        };
        assert_eq!(state.document(), Some(&document));
        assert_eq!(DocumentState::Absent.document(), None);
    }
}
