//! YAML, by serde-saphyr: within budgets, and with scalars kept as text where a type would lose it.
use std::fmt;

use figment::value::Value;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Error, Location, NonFiniteFloatPolicy, Options, Spanned};

use super::{Content, Node};
use crate::report::{Issue, Position};

/// Reads one YAML document; `None` if there is nothing but comments.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Box<Issue>> {
    match serde_saphyr::from_str_with_options::<Scalar>(text, options(text.len())) {
        Ok(root) => Ok(match root.0.value {
            Inner::Null => None,
            _ => Some(node(root, text)),
        }),
        Err(Error::Eof { .. }) => Ok(None),
        Err(error) => Err(Box::new(issue(&error))),
    }
}

/// Limits in proportion to the text: an ordinary document of any size passes, a bomb does not.
fn options(bytes: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_documents: 1,
            max_nodes: (bytes / 2).max(10_000),
            max_events: bytes.max(20_000),
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: bytes.saturating_mul(2).max(1 << 20),
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: bytes.max(20_000),
        },
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        // A snippet quotes the text.
        with_snippet: false,
    }
}

/// The error as an issue, in words that quote nothing of the text.
fn issue(error: &Error) -> Issue {
    let error = error.without_snippet();
    let what = match error {
        Error::AliasError { error, .. } => return issue(error),
        Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => "too many or too deep aliases",
        Error::Budget { .. } => "too large, too deep, or more than one document",
        Error::DuplicateMappingKey { .. } => "a key is given twice",
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "`<<` must name a table",
        Error::MultipleDocuments { .. } => "more than one document",
        Error::NonFiniteFloat { .. } => "the number is not finite",
        Error::NullIntoString { .. } => "a key must not be null",
        Error::UnknownAnchor { .. } => "an alias names no anchor",
        _ => "the syntax is wrong here, or just before",
    };
    Issue::new(format!("not valid YAML: {what}")).at(error.location().and_then(position))
}

fn position(location: Location) -> Option<Position> {
    Position::new(location.line(), location.column())
}

fn node(scalar: Scalar, text: &str) -> Node {
    let Spanned { value, referenced, defined } = scalar.0;
    let at = position(referenced).or_else(|| position(defined));
    let content = match value {
        Inner::Null => return Node::null(at),
        Inner::Leaf(value) => Content::Leaf(match (&value, source(defined, text)) {
            (Value::Bool(..) | Value::Num(..), Some(source)) if is_ambiguous(source) => {
                Value::from(source)
            }
            _ => value,
        }),
        Inner::List(list) => {
            Content::List(list.into_iter().map(|scalar| node(scalar, text)).collect())
        }
        Inner::Table(table) => {
            let entry = |(key, scalar)| (key, node(scalar, text));
            Content::Table(table.into_iter().map(entry).collect())
        }
    };
    Node { at, content }
}

/// The text of a plain scalar.
fn source(location: Location, text: &str) -> Option<&str> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    text.get(start..end).map(str::trim)
}

/// Whether a plain scalar means different things to different readers, or would not be written back
/// as it stands.
fn is_ambiguous(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let leading_zero = digits.len() > 1
        && digits.starts_with('0')
        && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let trailing_zero = digits.contains('.') && digits.ends_with('0');
    let word = text.chars().all(char::is_alphabetic) && !matches!(text, "true" | "false");
    leading_zero || trailing_zero || text.starts_with('+') || word
}

/// A value and where it stands.
#[derive(Deserialize)]
struct Scalar(Spanned<Inner>);

enum Inner {
    Null,
    Leaf(Value),
    List(Vec<Scalar>),
    Table(Vec<(String, Scalar)>),
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InnerVisitor)
    }
}

struct InnerVisitor;

macro_rules! leaf {
    ($($visit:ident: $kind:ty),+) => {
        $(fn $visit<E>(self, value: $kind) -> Result<Inner, E> {
            Ok(Inner::Leaf(Value::from(value)))
        })+
    };
}

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Inner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    leaf! {
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128,
        visit_f64: f64, visit_str: &str
    }

    fn visit_unit<E>(self) -> Result<Inner, E> {
        Ok(Inner::Null)
    }

    fn visit_none<E>(self) -> Result<Inner, E> {
        Ok(Inner::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inner, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
        }
        Ok(Inner::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inner, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = map.next_entry()? {
            table.push(entry);
        }
        Ok(Inner::Table(table))
    }
}
