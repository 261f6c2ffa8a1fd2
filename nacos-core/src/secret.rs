//! Text that must not be seen.
use std::{fmt, hint::black_box};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use zeroize::Zeroizing;

/// A password, a token, a key: `Debug` does not show it, and its memory is overwritten when it is
/// dropped.
///
/// It can be deserialized, as a part of a program's own options, and never serialized. Two are
/// compared in a time that tells their lengths at most, not where they differ.
///
/// ```
/// let secret = nacos_core::Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` from being seen.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for whoever has to send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.0.as_bytes(), other.0.as_bytes());
        // Every byte, whatever the ones before it were; the compiler may not stop sooner either.
        let differing = |bits, (a, b): (&u8, &u8)| black_box(bits | (a ^ b));
        one.len() == other.len() && one.iter().zip(other).fold(0, differing) == 0
    }
}

impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // What is no text is shown in the error of a format that is asked for text.
            deserializer.deserialize_any(Text)
        } else {
            deserializer.deserialize_string(Text)
        }
    }
}

/// Reads text. A number or a boolean, which a password without quotes may look like, is refused
/// without being shown: what serde says by itself quotes it.
struct Text;

impl Visitor<'_> for Text {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret, as text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(unquoted())
    }

    fn visit_char<E: de::Error>(self, text: char) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Secret, E> {
        Err(unquoted())
    }
}

fn unquoted<E: de::Error>() -> E {
    E::custom("a secret is text: it needs quotes")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_only_as_a_whole() {
        for (one, other) in [("", ""), ("hunter2", "hunter2"), ("ü", "ü")] {
            assert_eq!(Secret::new(one), Secret::new(other));
        }
        for (one, other) in [("", "a"), ("hunter2", "hunter"), ("hunter2", "Hunter2"), ("aa", "ab")]
        {
            assert_ne!(Secret::new(one), Secret::new(other));
        }
    }

    #[test]
    fn secret_is_read_as_text_and_an_error_does_not_show_it() {
        let secret: Secret = serde_json::from_str(r#""hunter2""#).expect("text");
        assert_eq!(secret.expose(), "hunter2");
        let several: Vec<Secret> = serde_json::from_str(r#"["hunter2"]"#).expect("text inside");
        assert!(!format!("{several:?}").contains("hunter2"));
        for (unquoted, shown) in
            [("12345", "12345"), ("-77", "77"), ("1.57", "1.57"), ("true", "true")]
        {
            let error = serde_json::from_str::<Secret>(unquoted).expect_err("no text").to_string();
            assert!(error.contains("quotes") && !error.contains(shown), "{error}");
        }
    }
}
