//! Why a name is refused.
use std::fmt;

/// Why a name was refused, before anything was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name has no characters.
    Blank {
        /// Which kind of name.
        what: &'static str,
    },
    /// The name has a character that servers refuse.
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The character.
        found: char,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// The name is longer than servers accept.
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// How many characters it has.
        length: usize,
        /// How many it may have.
        limit: usize,
    },
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank { what } => write!(f, "the {what} is empty"),
            Self::Character { what, found, at } => {
                write!(f, "the {what} has {found:?} at byte {at}, which servers refuse")
            }
            Self::TooLong { what, length, limit } => {
                write!(f, "the {what} has {length} characters, servers accept {limit}")
            }
        }
    }
}

impl std::error::Error for InvalidName {}

/// `ConfigKey` converts to itself without a way to fail; this lets one bound serve both cases.
impl From<std::convert::Infallible> for InvalidName {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Whether `name` has at most `limit` characters, all of which are `allowed`.
pub(super) fn check(
    what: &'static str,
    name: &str,
    limit: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Blank { what });
    }
    if let Some((at, found)) = name.char_indices().find(|&(_, c)| !allowed(c)) {
        return Err(InvalidName::Character { what, found, at });
    }
    // As Java counts.
    let length = name.encode_utf16().count();
    if length > limit { Err(InvalidName::TooLong { what, length, limit }) } else { Ok(()) }
}
