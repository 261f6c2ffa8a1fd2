//! The cipher texts of others, to the bit.
use aes::{
    Aes128, Aes192, Aes256,
    cipher::{
        Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt,
        BlockSizeUser, KeyInit, KeyIvInit, array::typenum::U16, block_padding::Pkcs7,
    },
};
use base64::Engine;
use zeroize::Zeroizing;

use super::data_keys::{BASE64, DataKey, of_hex, to_hex};

/// How the documents of an algorithm are encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    /// AES/CBC with PKCS#7 padding, in hexadecimal digits of lower case. The initial vector is the
    /// first 16 characters of the key in hexadecimal digits.
    Plugin,
    /// AES/ECB with PKCS#7 padding, in Base64; with a key of so many bytes.
    Mse(usize),
}

impl Format {
    /// The format of a document of this name, if it has one of these.
    pub(super) fn of(data_id: &str, is_mse: bool) -> Option<Self> {
        let name = data_id.strip_prefix("cipher-")?;
        if is_mse {
            let length = match name {
                _ if name.starts_with("kms-aes-128-") => 16,
                _ if name.starts_with("kms-aes-256-") => 32,
                _ => return None,
            };
            return Some(Self::Mse(length));
        }
        // The plugin is found by what stands up to the next dash, in lower case.
        let algorithm = name.split_once('-').map_or(name, |(algorithm, _)| algorithm);
        (algorithm == "aes").then_some(Self::Plugin)
    }

    /// Of a new data key, in bytes.
    pub(super) fn key_length(self) -> usize {
        match self {
            Self::Plugin => 16,
            Self::Mse(length) => length,
        }
    }

    /// Whether this has the form of a cipher text.
    pub(super) fn may_be_cipher_text(self, content: &str) -> bool {
        self.blocks(content).is_some()
    }

    /// The cipher text as it is stored.
    ///
    /// # Errors
    ///
    /// It is not a key of AES.
    pub(super) fn encrypt(self, key: &DataKey, text: &str) -> Result<String, &'static str> {
        let encrypt = match key.length() {
            16 => encrypt::<Aes128>,
            24 => encrypt::<Aes192>,
            32 => encrypt::<Aes256>,
            _ => return Err(NO_KEY),
        };
        let encrypted = encrypt(key.bytes(), self.vector(key), text.as_bytes()).ok_or(NO_KEY)?;
        Ok(match self {
            Self::Plugin => to_hex(&encrypted),
            Self::Mse(_) => BASE64.encode(encrypted),
        })
    }

    /// The text of a cipher text.
    ///
    /// # Errors
    ///
    /// It is none of this key, or is cut off. The reason tells nothing about the text.
    pub(super) fn decrypt(self, key: &DataKey, content: &str) -> Result<String, &'static str> {
        let decrypt = match key.length() {
            16 => decrypt::<Aes128>,
            24 => decrypt::<Aes192>,
            32 => decrypt::<Aes256>,
            _ => return Err(NO_KEY),
        };
        let blocks = self.blocks(content).ok_or(NO_CIPHER_TEXT)?;
        let decrypted = decrypt(key.bytes(), self.vector(key), &blocks).ok_or(OTHER_KEY)?;
        String::from_utf8(decrypted).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            OTHER_KEY
        })
    }

    /// The bytes of a cipher text, whole blocks of 16 and at least one.
    fn blocks(self, content: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = match self {
            Self::Plugin => of_hex(content)?,
            Self::Mse(_) => Zeroizing::new(BASE64.decode(content).ok()?),
        };
        (!bytes.is_empty() && bytes.len() % BLOCK == 0).then_some(bytes)
    }

    /// The initial vector; None if each block stands for itself.
    fn vector(self, key: &DataKey) -> Option<&[u8]> {
        match self {
            Self::Plugin => key.digits().as_bytes().get(..BLOCK),
            Self::Mse(_) => None,
        }
    }
}

/// None if key or vector have another length than the cipher's.
fn encrypt<C>(key: &[u8], vector: Option<&[u8]>, text: &[u8]) -> Option<Vec<u8>>
where
    C: BlockCipherEncrypt + KeyInit + BlockSizeUser<BlockSize = U16>,
{
    if let Some(vector) = vector {
        let encryptor = cbc::Encryptor::<C>::new_from_slices(key, vector).ok()?;
        return Some(encryptor.encrypt_padded_vec::<Pkcs7>(text));
    }
    let cipher = C::new_from_slice(key).ok()?;
    let padding = BLOCK - text.len() % BLOCK;
    let mut blocks = text.to_vec();
    blocks.resize(text.len() + padding, u8::try_from(padding).ok()?);
    for block in blocks.as_chunks_mut::<BLOCK>().0 {
        let mut output = Block::<C>::from(*block);
        cipher.encrypt_block(&mut output);
        *block = output.into();
    }
    Some(blocks)
}

/// None if key or vector have another length than the cipher's, or the padding is none.
fn decrypt<C>(key: &[u8], vector: Option<&[u8]>, blocks: &[u8]) -> Option<Vec<u8>>
where
    C: BlockCipherDecrypt + KeyInit + BlockSizeUser<BlockSize = U16>,
{
    if let Some(vector) = vector {
        let decryptor = cbc::Decryptor::<C>::new_from_slices(key, vector).ok()?;
        return decryptor.decrypt_padded_vec::<Pkcs7>(blocks).ok();
    }
    let cipher = C::new_from_slice(key).ok()?;
    let mut text = blocks.to_vec();
    for block in text.as_chunks_mut::<BLOCK>().0 {
        let mut output = Block::<C>::from(*block);
        cipher.decrypt_block(&mut output);
        *block = output.into();
    }
    let padding = *text.last()?;
    let length = text.len().checked_sub(padding.into())?;
    let is_padding = (1..=16).contains(&padding) && text[length..].iter().all(|it| *it == padding);
    text.truncate(length);
    is_padding.then_some(text)
}

const BLOCK: usize = 16;
const NO_KEY: &str = "the data key has not 16, 24 or 32 bytes";
const NO_CIPHER_TEXT: &str =
    "the content is no cipher text: it was published in clear text, or is cut off";
const OTHER_KEY: &str = "the content cannot be decrypted with its data key: that is another one, or the content was \
     changed or cut off";

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};

    use super::*;

    /// A key in hexadecimal digits, a text, and its cipher text in both formats. Made with openssl
    /// 3.0, and the longer ones again with Python's `cryptography` 48, which agreed:
    ///
    /// ```sh
    /// printf %s "$text" | openssl enc -aes-128-cbc -K $key -iv $(printf %s "${key:0:16}" | xxd -p) | xxd -p
    /// printf %s "$text" | openssl enc -aes-128-ecb -K $key | base64 -w0
    /// ```
    const KNOWN: [(&str, &str, &str, &str); 6] = [
        (
            "00112233445566778899aabbccddeeff",
            "k=v",
            "4a76b0b59058a126e66aebbbcffcf5fe",
            "QrpzaYMU2pzTFVbR08vYAQ==",
        ),
        (
            "00112233445566778899aabbccddeeff",
            "",
            "6d8022fe3a60411d05dbaa6e671a2695",
            "AGV+oUBlWkR4J0dwXUIvrQ==",
        ),
        (
            "fedcba98765432100f1e2d3c4b5a6978",
            "库存: 每秒 7 — ünïcödé 🔑",
            "f35bbaa4e0c76e9b8be0bff9a741bad738dc86b349b6415ebf9eeaaf2c5a7403\
             63572eb12f93820e50093af94f0190f6",
            "KAXlLrQzaPEJjeE/0V1fVs6yXJEynvwPPMxy+QFCsUOt0eXd4wgZw7sgyqZg0dVK",
        ),
        (
            "fedcba98765432100f1e2d3c4b5a6978",
            "0123456789abcdef",
            "f825f96b6b031760667b8b2410f2c1929be327d8b9f494a6ce28767309770f98",
            "nYVcUCxSguIxXA+OCspYAxnBhaxC3FbEYNzLNrakLZM=",
        ),
        (
            "000102030405060708090a0b0c0d0e0f1011121314151617",
            "spring.datasource.password=hunter2&x",
            "73f5c1a1ca60abf283c3cb0e56a6400ea3cd64eaec8f395ebf0c59b12a9ec166\
             5dac28bc41ffcd150461b4d914b51b73",
            "12r/urtn3ac1puwhyCJiqZhCK3O7lpewdGJFY20WmQHnAKlVVEAwfgDsCMQAqG/F",
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "a: 1\nb: \"two\"\n",
            "508f57b8960fe5dfb6324667068cb34e",
            "0cKSyR5LM3zBeALUX8iISA==",
        ),
    ];
    const FORMATS: [Format; 2] = [Format::Plugin, Format::Mse(16)];

    fn key(digits: &str) -> DataKey {
        DataKey::new(of_hex(digits).expect("digits").to_vec())
    }

    #[test]
    fn cipher_texts_are_those_of_openssl() {
        for (digits, text, plugin, mse) in KNOWN {
            let key = key(digits);
            for (format, expected) in FORMATS.into_iter().zip([plugin, mse]) {
                assert_eq!(format.encrypt(&key, text).as_deref(), Ok(expected), "{text}");
                assert_eq!(format.decrypt(&key, expected).as_deref(), Ok(text), "{expected}");
                assert!(format.may_be_cipher_text(expected) && !format.may_be_cipher_text("a: 1"));
            }
            // Java reads either case.
            let upper = plugin.to_ascii_uppercase();
            assert_eq!(Format::Plugin.decrypt(&key, &upper).as_deref(), Ok(text));
        }
    }

    #[tokio::test]
    async fn vector_is_made_of_the_digits_as_they_are_written() {
        use crate::filter::{ClearDataKeys, DataKeys};

        nacos_testkit::TimeLimit::for_test();
        // With the vector in upper case, by openssl as above.
        let content = "0b5f67e97dbc41d587ab68238567bdef";
        let upper = BASE64.encode("AABBCCDDEEFF00112233445566778899");
        let lower = BASE64.encode("aabbccddeeff00112233445566778899");
        let keys = ClearDataKeys::new();
        let [upper, lower] = [
            keys.decrypt(&upper).await.expect("a key"),
            keys.decrypt(&lower).await.expect("a key"),
        ];
        assert_eq!(upper.bytes(), lower.bytes());
        assert_eq!(Format::Plugin.decrypt(&upper, content).as_deref(), Ok("k=v"));
        assert_ne!(Format::Plugin.decrypt(&lower, content).as_deref(), Ok("k=v"));
    }

    #[test]
    fn format_follows_the_name_as_the_plugin_reads_it() {
        for (data_id, plugin, mse) in [
            ("cipher-aes-db.yaml", true, None),
            ("cipher-aes", true, None),
            ("cipher-aes-", true, None),
            ("cipher-AES-db", false, None),
            ("cipher-aesx-db", false, None),
            ("cipher-kms-aes-128-db", false, Some(16)),
            ("cipher-kms-aes-256-db", false, Some(32)),
            ("cipher-kms-aes-192-db", false, None),
            ("cipher-kms-db", false, None),
            ("Cipher-aes-db", false, None),
            ("aes-db", false, None),
            ("orders.yaml", false, None),
        ] {
            assert_eq!(Format::of(data_id, false), plugin.then_some(Format::Plugin), "{data_id}");
            assert_eq!(Format::of(data_id, true), mse.map(Format::Mse), "{data_id}");
        }
    }

    #[test]
    fn cipher_text_that_is_cut_off_or_of_another_key_is_an_error() {
        let (digits, text, plugin, mse) = KNOWN[2];
        for (format, whole) in FORMATS.into_iter().zip([plugin, mse]) {
            for length in 0..whole.len() {
                let cut = &whole[..length];
                assert!(format.decrypt(&key(digits), cut).is_err(), "{length} of {}", whole.len());
            }
            for (other, ..) in [KNOWN[0], KNOWN[4], KNOWN[5]] {
                assert!(format.decrypt(&key(other), whole).is_err());
            }
            for plain in
                [text, "", " ", "a: 1", "zz", "4a76b0b5", "6d8022fe3a60411d05dbaa6e671a269"]
            {
                assert!(format.decrypt(&key(digits), plain).is_err(), "{plain:?}");
            }
            for length in [0, 1, 8, 15, 17, 31, 33, 64] {
                let bad = DataKey::new(vec![7; length]);
                assert_eq!(format.encrypt(&bad, text), Err(NO_KEY));
                assert_eq!(format.decrypt(&bad, whole), Err(NO_KEY));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_and_no_content_is_a_panic(
            text in any::<String>(),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            length in prop::sample::select(vec![16_usize, 24, 32]),
        ) {
            let mut padded = bytes.clone();
            padded.resize(length, 7);
            let (whole, any_key) = (DataKey::new(padded), DataKey::new(bytes.clone()));
            for format in FORMATS {
                let encrypted = format.encrypt(&whole, &text).expect("a key");
                assert_eq!(format.decrypt(&whole, &encrypted).as_deref(), Ok(&*text));
                let content = [text.clone(), to_hex(&bytes), BASE64.encode(&bytes)];
                for content in content {
                    let _ = format.decrypt(&whole, &content);
                    let _ = format.decrypt(&any_key, &content);
                }
            }
        }
    }
}
