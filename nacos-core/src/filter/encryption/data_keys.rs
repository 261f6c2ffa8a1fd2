//! Where the data keys of encrypted documents come from.
use std::{fmt, future::Future, pin::Pin, sync::Arc};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::super::FilterError;

/// The future that [`DataKeys::decrypt`] returns.
pub type DataKeyFuture<'a> =
    Pin<Box<dyn Future<Output = Result<DataKey, FilterError>> + Send + 'a>>;

/// The future that [`DataKeys::generate`] returns.
pub type NewDataKeyFuture<'a> =
    Pin<Box<dyn Future<Output = Result<NewDataKey, FilterError>> + Send + 'a>>;

/// The source of the data keys of encrypted documents: a key management service (KMS), most of the
/// time. Needs the feature `encryption`.
///
/// Each document that is published has a new data key, and its encrypted form is stored beside the
/// document. The master key that encrypts data keys stays in the service: so who reads documents
/// needs the service's leave to read what is in them.
///
/// It is asked for each document that is read, and each new state of one that is watched, so that
/// an implementation may want to keep some keys.
///
/// ```
/// use nacos_core::filter::{
///     AesEncryption, DataKey, DataKeyFuture, DataKeys, FilterError, NewDataKey, NewDataKeyFuture,
/// };
///
/// #[derive(Debug)]
/// struct Kms {
///     master_key: String,
/// }
///
/// impl Kms {
///     async fn generate_data_key(&self, bytes: usize) -> Result<(Vec<u8>, String), String> {
///         // Here stands a request to the service.
/// #        Ok((vec![7; bytes], format!("{}:07", self.master_key)))
///     }
///
///     async fn decrypt_data_key(&self, blob: &str) -> Result<Vec<u8>, String> {
///         // And here another one.
/// #        blob.strip_prefix(&self.master_key).map(|_| vec![7; 16]).ok_or_else(String::new)
///     }
/// }
///
/// impl DataKeys for Kms {
///     fn generate(&self, bytes: usize) -> NewDataKeyFuture<'_> {
///         Box::pin(async move {
///             let (key, blob) =
///                 self.generate_data_key(bytes).await.map_err(FilterError::unavailable)?;
///             Ok(NewDataKey { key: DataKey::new(key), encrypted: blob.into() })
///         })
///     }
///
///     fn decrypt<'a>(&'a self, encrypted: &'a str) -> DataKeyFuture<'a> {
///         Box::pin(async move {
///             let key = self.decrypt_data_key(encrypted).await.map_err(FilterError::unavailable)?;
///             Ok(DataKey::new(key))
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let address = server.addr().to_string();
/// let encryption = AesEncryption::new(Kms { master_key: "alias/orders".to_owned() });
/// let nacos = nacos_core::Client::builder().server_addr(address);
/// let nacos = nacos.with_config_filter(encryption).connect().await?;
/// # nacos.configs().publish(nacos_core::Publish::new("cipher-aes-d", "7")?).await?;
/// # assert_eq!(&*nacos.configs().get("cipher-aes-d").await?.ok_or("there")?.content, "7");
/// # Ok(()) }
/// ```
///
/// `Debug` is required because every type that holds keys can be shown; an implementation that
/// keeps what is secret in [`Secret`](crate::Secret)s can derive it.
pub trait DataKeys: fmt::Debug + Send + Sync + 'static {
    /// A new data key of so many bytes, and its encrypted form.
    ///
    /// # Errors
    ///
    /// [`FilterError::unavailable`] if the service cannot be asked now, [`FilterError::rejected`]
    /// if it refuses. Neither quotes a key.
    fn generate(&self, bytes: usize) -> NewDataKeyFuture<'_>;

    /// The data key of which this is the encrypted form: 16, 24 or 32 bytes.
    ///
    /// # Errors
    ///
    /// As for [`generate`](Self::generate). A watched document is tried again after either.
    fn decrypt<'a>(&'a self, encrypted: &'a str) -> DataKeyFuture<'a>;
}

/// The key of one document. `Debug` does not show it, and its memory is overwritten when it is
/// dropped. Needs the feature `encryption`.
#[derive(Clone)]
pub struct DataKey {
    bytes: Zeroizing<Vec<u8>>,
    /// The same in hexadecimal digits, with the letters that somebody else has chosen: the plugin
    /// makes its initial vector of them.
    digits: Zeroizing<String>,
}

/// A data key that has just been made. Needs the feature `encryption`.
#[derive(Clone, Debug)]
pub struct NewDataKey {
    /// The key itself.
    pub key: DataKey,
    /// Its encrypted form, which is stored beside the document.
    pub encrypted: Arc<str>,
}

impl DataKey {
    /// The key of these bytes: 16, 24 or 32, of which nobody could know any.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Zeroizing::new(bytes.into());
        let digits = Zeroizing::new(to_hex(&bytes));
        Self { bytes, digits }
    }

    /// Of hexadecimal digits, whose letters stay as they are.
    fn of_digits(digits: &str) -> Option<Self> {
        Some(Self { bytes: of_hex(digits)?, digits: Zeroizing::new(digits.to_owned()) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn digits(&self) -> &str {
        &self.digits
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The data keys of the server project's plugin: **in clear text beside the document**, as Base64
/// of hexadecimal digits. Needs the feature `encryption`.
///
/// It keeps a content out of sight, in consoles, dumps and logs, and from nobody who can read the
/// document. It is there for documents that others publish, or read, with the plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClearDataKeys(());

impl ClearDataKeys {
    /// They need nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl DataKeys for ClearDataKeys {
    fn generate(&self, bytes: usize) -> NewDataKeyFuture<'_> {
        let mut random = Zeroizing::new(vec![0; bytes]);
        let outcome = match getrandom::fill(&mut random) {
            Ok(()) => {
                let key = DataKey::new(random.to_vec());
                let encrypted = BASE64.encode(key.digits()).into();
                Ok(NewDataKey { key, encrypted })
            }
            Err(error) => Err(FilterError::unavailable(format!("no random numbers: {error}"))),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn decrypt<'a>(&'a self, encrypted: &'a str) -> DataKeyFuture<'a> {
        let digits = BASE64.decode(encrypted.trim()).ok().map(Zeroizing::new);
        let digits = digits.as_ref().and_then(|digits| std::str::from_utf8(digits).ok());
        let key = digits.and_then(DataKey::of_digits);
        let why = "the data key that came with it is not Base64 of hexadecimal digits";
        Box::pin(std::future::ready(key.ok_or_else(|| FilterError::rejected(why))))
    }
}

/// In lower case. Nothing of it is left elsewhere: it may be a key.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

/// Of either case. Nothing of it is left elsewhere: it may be a key.
pub(super) fn of_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let half = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(half(*high)? << 4 | half(*low)?);
    }
    rest.is_empty().then_some(bytes)
}

/// With the padding that Java writes; without it, it is read too.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_output_shows_a_key() {
        let new = NewDataKey { key: DataKey::new(*b"hunter2hunter2__"), encrypted: "e".into() };
        let shown = format!("{new:?}");
        assert!(shown.contains("redacted") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117"), "{shown}");
    }

    #[tokio::test]
    async fn new_keys_are_what_the_plugin_makes_and_each_is_another_one() {
        nacos_testkit::TimeLimit::for_test();
        let keys = ClearDataKeys::new();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let NewDataKey { key, encrypted } = keys.generate(16).await.expect("random");
            assert_eq!((key.length(), encrypted.len()), (16, 44));
            let read = keys.decrypt(&encrypted).await.expect("a key");
            assert_eq!(read.bytes(), key.bytes());
            assert!(seen.insert(encrypted));
        }
    }

    #[tokio::test]
    async fn key_that_is_no_key_is_an_error_that_does_not_show_it() {
        nacos_testkit::TimeLimit::for_test();
        let keys = ClearDataKeys::new();
        for text in ["", "=", "hunter2", "aHVudGVyMg==", "MDA=MDA", "\u{fc}", "/////w==", "MDAwZ="]
        {
            match keys.decrypt(text).await {
                // Its length is looked at with the content.
                Ok(key) => assert!(key.length() < 16, "{text:?}"),
                Err(error) => assert!(!error.to_string().contains("hunter2"), "{error}"),
            }
        }
    }
}
