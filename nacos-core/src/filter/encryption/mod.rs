//! Encrypted documents, as the server project's plugin and the clients of Aliyun's MSE know them.
mod data_keys;
mod format;

use std::sync::Arc;

pub use self::data_keys::{
    ClearDataKeys, DataKey, DataKeyFuture, DataKeys, NewDataKey, NewDataKeyFuture,
};
use self::format::Format;
use super::{ConfigContent, ConfigFilter, FilterError, FilterFuture};
use crate::tasks;

/// Encrypts documents before they are published, and decrypts them after they were read: each with
/// a data key of its own, which is stored beside it in encrypted form. Needs the feature
/// `encryption`.
///
/// | made by | data ids | content | understood by |
/// | --- | --- | --- | --- |
/// | [`new`](Self::new) | `cipher-aes-…` | AES/CBC, in hexadecimal digits | `nacos-aes-encryption-plugin` of the server project, in servers and Java clients |
/// | [`mse`](Self::mse) | `cipher-kms-aes-128-…`, `cipher-kms-aes-256-…` | AES/ECB, in Base64 | the consoles and clients of Aliyun's MSE |
///
/// Other documents are left as they are, so that both can be given to one client. A document of
/// these without a data key, with another key, or cut off, is an error, and never shown as it is;
/// the plugin shows the cipher text as content.
///
/// Everything depends on who can read the data keys: [`DataKeys`]. With those of the plugin,
/// [`ClearDataKeys`], everybody who can read the document can.
///
/// Neither format tells a content that was changed from one that was not: a changed content may
/// well be decrypted, to something else. The mode of MSE shows which blocks of 16 bytes are equal.
/// Both are what others read and write.
///
/// # Publishing
///
/// A document that is published with an encrypted data key is taken for encrypted already. If its
/// content cannot be cipher text, the publish fails: the key of a former content that is sent with
/// a new one in clear text is a mistake that makes a document unreadable for everybody.
/// [`Configs::update`](crate::Configs::update) encrypts with a new key.
///
/// The option [`max_publish`](crate::ClientBuilder::max_publish) is about the cipher text, which
/// has twice the bytes of the text for the plugin, and a third more for MSE.
///
/// Servers that lose the data key, as r-nacos does, are sent no encrypted document
/// ([`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let address = server.addr().to_string();
/// use nacos_core::{
///     Client, Publish,
///     filter::{AesEncryption, ClearDataKeys},
/// };
///
/// let nacos = Client::builder()
///     .server_addr(address)
///     .with_config_filter(AesEncryption::new(ClearDataKeys::new()))
///     .connect()
///     .await?;
/// nacos.configs().publish(Publish::new("cipher-aes-db.yaml", "password: hunter2")?).await?;
///
/// let document = nacos.configs().get("cipher-aes-db.yaml").await?.ok_or("it was just published")?;
/// assert_eq!(&*document.content, "password: hunter2");
/// # let stored = server.document("", "DEFAULT_GROUP", "cipher-aes-db.yaml").ok_or("stored")?;
/// # assert_eq!(stored.content.len(), 64);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AesEncryption {
    keys: Arc<dyn DataKeys>,
    is_mse: bool,
}

impl AesEncryption {
    /// For `cipher-aes-…`, in the format of the server project's plugin. New data keys have 16
    /// bytes, as the plugin's have.
    #[must_use]
    pub fn new(keys: impl DataKeys) -> Self {
        Self { keys: Arc::new(keys), is_mse: false }
    }

    /// For `cipher-kms-aes-128-…` and `cipher-kms-aes-256-…`, in the format of Aliyun's MSE, with
    /// new data keys of 16 and of 32 bytes. `keys` asks Aliyun's KMS, which this crate does not
    /// speak to. *Not seen* with MSE itself: the format is that of its public clients.
    #[must_use]
    pub fn mse(keys: impl DataKeys) -> Self {
        Self { keys: Arc::new(keys), is_mse: true }
    }

    /// None for a document that is none of its concern.
    fn format(&self, document: &ConfigContent) -> Option<Format> {
        Format::of(document.key().data_id().as_str(), self.is_mse)
    }

    async fn encrypt(
        &self,
        format: Format,
        document: ConfigContent,
    ) -> Result<ConfigContent, FilterError> {
        if document.encrypted_data_key.is_some() {
            if format.may_be_cipher_text(&document.content) {
                return Ok(document);
            }
            let why = "an encrypted data key came with it, and the content is no cipher text: \
                       without the key it is encrypted with a new one";
            return Err(FilterError::rejected(why));
        }
        let length = format.key_length();
        let NewDataKey { key, encrypted } = self.keys.generate(length).await?;
        if key.length() != length || encrypted.trim().is_empty() {
            let why =
                format!("the new data key has {} bytes, not {length}, or no text", key.length());
            return Err(FilterError::rejected(why));
        }
        let content = Arc::clone(&document.content);
        let cipher_text = compute(content.len(), move || format.encrypt(&key, &content)).await?;
        Ok(document.encrypted(cipher_text, encrypted))
    }

    async fn decrypt(
        &self,
        format: Format,
        document: ConfigContent,
    ) -> Result<ConfigContent, FilterError> {
        let Some(encrypted) = document.encrypted_data_key.clone() else {
            let why = "no encrypted data key came with it: it was published without one, or the \
                       server has lost it, as r-nacos does";
            return Err(FilterError::rejected(why));
        };
        let key = self.keys.decrypt(&encrypted).await?;
        let content = Arc::clone(&document.content);
        let text = compute(content.len(), move || format.decrypt(&key, &content)).await?;
        Ok(document.decrypted(text))
    }
}

impl ConfigFilter for AesEncryption {
    fn before_publish(&self, document: ConfigContent) -> FilterFuture<'_> {
        Box::pin(async move {
            match self.format(&document) {
                Some(format) => self.encrypt(format, document).await,
                None => Ok(document),
            }
        })
    }

    fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
        Box::pin(async move {
            match self.format(&document) {
                Some(format) => self.decrypt(format, document).await,
                None => Ok(document),
            }
        })
    }
}

/// Runs what takes a time that grows with the content: of a long one beside the runtime.
async fn compute(
    bytes: usize,
    work: impl FnOnce() -> Result<String, &'static str> + Send + 'static,
) -> Result<String, FilterError> {
    let outcome = if bytes < LONG {
        work()
    } else {
        let outcome = tasks::blocking(work).await;
        outcome.ok_or_else(|| FilterError::unavailable("the runtime is shutting down"))?
    };
    outcome.map_err(FilterError::rejected)
}

/// Some hundred microseconds of work.
const LONG: usize = 128 * 1024;
