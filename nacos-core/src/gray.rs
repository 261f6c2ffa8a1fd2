//! Which version of a document a server shows to some clients only.
use std::{fmt, sync::Arc};

use percent_encoding::percent_decode_str;

use crate::error::clip;

/// The kind of a gray version: content that the server shows to this client because of a rule that
/// this client matches, in place of the formal version that everybody else gets.
///
/// [`Document::gray`](crate::Document::gray) tells it of a document. Its text form is the name that
/// servers of the 3.x line give to the version: `beta`, or `tag_` with the tag behind it.
///
/// Rules that a plugin of the server has added show their content without any mark.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Gray {
    /// The address of this client, as the server sees it, is among those of the beta version.
    Beta,
    /// The label `Vipserver-Tag` of this client is this tag: see the option
    /// [`app_labels`](crate::ClientBuilder::app_labels).
    Tag(Arc<str>),
}

impl Gray {
    /// The mark of an answer: its flag, and its tag as it travels, URL-encoded.
    pub(crate) fn marked(beta: bool, tag: Option<&str>) -> Option<Self> {
        if beta {
            return Some(Self::Beta);
        }
        let tag = tag.filter(|tag| !tag.is_empty())?.replace('+', " ");
        let tag: Vec<u8> = percent_decode_str(&tag).collect();
        Some(Self::Tag(clip(&String::from_utf8_lossy(&tag), LONGEST_TAG).into()))
    }
}

impl Gray {
    /// The version of this name, as `Display` writes it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "beta" => Some(Self::Beta),
            name => name.strip_prefix("tag_").map(|tag| Self::Tag(tag.into())),
        }
    }
}

impl fmt::Display for Gray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beta => f.write_str("beta"),
            Self::Tag(tag) => write!(f, "tag_{tag}"),
        }
    }
}

/// In characters. Servers take tags of 16.
const LONGEST_TAG: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_what_the_answer_says() {
        assert_eq!(Gray::marked(false, None), None);
        assert_eq!(Gray::marked(false, Some("")), None);
        assert_eq!(Gray::marked(true, Some("blue")), Some(Gray::Beta));
        let tag = |tag| Gray::marked(false, Some(tag)).expect("a tag").to_string();
        assert_eq!(tag("blue"), "tag_blue");
        assert_eq!(tag("a%3Ab+c"), "tag_a:b c");
        assert_eq!(tag("%ff%"), "tag_\u{fffd}%");
        assert_eq!(tag(&"x".repeat(9_999)).len(), 4 + LONGEST_TAG);
    }
}
