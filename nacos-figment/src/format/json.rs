//! JSON, by `serde_json`; positions by a scan for where values begin.
use std::cell::RefCell;

use figment::value::Value;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Content, Lines, Node};
use crate::report::{Issue, Position};

/// Reads one JSON value.
pub(crate) fn parse(text: &str) -> Result<Node, Box<Issue>> {
    let lines = Lines::of(text);
    let starts = Starts { bytes: text.as_bytes(), next: 0 };
    let positions = RefCell::new(starts.map(|byte| lines.position(byte)));
    let mut json = serde_json::Deserializer::from_str(text);
    let node = Seed(&positions).deserialize(&mut json);
    node.and_then(|node| json.end().map(|()| node)).map_err(|error| Box::new(issue(&error)))
}

fn issue(error: &serde_json::Error) -> Issue {
    let message = error.to_string();
    // Without serde_json's own " at line 1 column 2".
    let what = message.split(" at line ").next().unwrap_or_default();
    let at = Position::new(error.line() as u64, error.column() as u64);
    Issue::new(format!("not valid JSON: {what}")).at(at)
}

/// Reads one value. Values are read in the order in which they begin, so that each takes the next
/// position.
struct Seed<'a, P>(&'a RefCell<P>);

impl<P> Clone for Seed<'_, P> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<'de, P: Iterator<Item = Option<Position>>> DeserializeSeed<'de> for Seed<'_, P> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let at = self.0.borrow_mut().next().flatten();
        let content = deserializer.deserialize_any(self)?;
        Ok(Node { at, content })
    }
}

impl<'de, P: Iterator<Item = Option<Position>>> Visitor<'de> for Seed<'_, P> {
    type Value = Content;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Node::null(None).content)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Leaf(Value::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Leaf(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Leaf(Value::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Leaf(Value::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Leaf(Value::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element_seed(self.clone())? {
            nodes.push(node);
        }
        Ok(Content::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value_seed(self.clone())?));
        }
        Ok(Content::Table(entries))
    }
}

/// The offsets at which values begin, in order. Knows nothing of what is wrong with a text.
struct Starts<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl Starts<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn past(&self, mut at: usize, skipped: impl Fn(u8) -> bool) -> usize {
        while self.byte(at).is_some_and(&skipped) {
            at += 1;
        }
        at
    }

    /// Where the string that begins at `start` ends.
    fn string_end(&self, start: usize) -> usize {
        let mut at = start + 1;
        loop {
            match self.byte(at) {
                Some(b'\\') => at += 2,
                Some(b'"') => return at + 1,
                Some(_) => at += 1,
                None => return at,
            }
        }
    }
}

impl Iterator for Starts<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let start = self.past(self.next, is_between);
            match self.byte(start)? {
                b'{' | b'[' => self.next = start + 1,
                b'"' => {
                    self.next = self.string_end(start);
                    let after = self.past(self.next, |byte| byte.is_ascii_whitespace());
                    if self.byte(after) == Some(b':') {
                        continue; // A key.
                    }
                }
                _ => {
                    self.next = self.past(start, |byte| !is_between(byte));
                }
            }
            return Some(start);
        }
    }
}

fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",:]}".contains(&byte)
}
