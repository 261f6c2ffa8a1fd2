//! TOML, by the toml crate.
use std::borrow::Cow;

use figment::value::{Num, Value};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{Content, Lines, Node};
use crate::report::Issue;

/// Reads a TOML document.
pub(super) fn parse(text: &str) -> Result<Node, Box<Issue>> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        // Not the error's `Display`, which quotes the line.
        let at = error.span().and_then(|span| lines.position(span.start));
        Box::new(Issue::new(format!("not valid TOML: {}", error.message())).at(at))
    })?;
    let at = lines.position(0);
    Ok(Node { at, content: content_of(table.into_inner(), &lines)? })
}

fn content_of(table: DeTable<'_>, lines: &Lines<'_>) -> Result<Content, Box<Issue>> {
    let mut entries = Vec::new();
    for (key, value) in table {
        entries.push((key.into_inner().into_owned(), node(value, lines)?));
    }
    Ok(Content::Table(entries))
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Result<Node, Box<Issue>> {
    let at = lines.position(value.span().start);
    let content = match value.into_inner() {
        DeValue::String(text) => Content::Leaf(Value::from(Cow::into_owned(text))),
        DeValue::Integer(integer) => match number(&integer) {
            Some(number) => Content::Leaf(Value::from(number)),
            None => return Err(Box::new(Issue::new("the integer is too large").at(at))),
        },
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Content::Leaf(Value::from(number)),
            _ => return Err(Box::new(Issue::new("the number is not finite").at(at))),
        },
        DeValue::Boolean(value) => Content::Leaf(Value::from(value)),
        DeValue::Datetime(date) => Content::Leaf(Value::from(date.to_string())),
        DeValue::Array(values) => Content::List(
            values.into_iter().map(|value| node(value, lines)).collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => content_of(table, lines)?,
    };
    Ok(Node { at, content })
}

fn number(integer: &DeInteger<'_>) -> Option<Num> {
    let (text, radix) = (integer.as_str(), integer.radix());
    let unsigned = u64::from_str_radix(text, radix).map(Num::U64);
    unsigned.or_else(|_| i64::from_str_radix(text, radix).map(Num::I64)).ok()
}
