//! Text that must not be seen.
use std::{fmt, hint::black_box};

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

    /// The text, for code that has to send it.
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
            assert!(error.contains("quoted") && !error.contains(shown), "{error}");
        }
    }
}
