//! The meaning of keys: `a.b` is `b` inside `a`, `list[0]` is an element, and nothing is said
//! twice.
use std::collections::BTreeMap;

use figment::value::{Dict, Value};

use super::positions::Positions;
use crate::{
    format::{Content, Node},
    report::{Issue, Position},
};

/// How the keys of documents and files are read.
///
/// Environment variables are not concerned: they have one spelling.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Keys {
    /// Keys with dots are nested, as Spring does: `db.pool.size: 5` is `size` inside `pool` inside
    /// `db`, and `hosts[0]` is the first element of `hosts`. The default.
    #[default]
    Nested,
    /// As `Nested`, and `max-connections` and `maxConnections` are read as `max_connections`, so
    /// that one document serves Java and Rust. Applies to the keys of maps as well, and does not
    /// go together with `#[serde(rename_all)]`.
    Relaxed,
    /// Keys are names, whatever is in them.
    Verbatim,
}

/// A document whose keys have their meaning.
#[derive(Debug, Default)]
pub(crate) struct Nested {
    pub(crate) dict: Dict,
    pub(crate) positions: Positions,
}

/// Gives the keys of `entries` their meaning.
pub(crate) fn nest(
    entries: Vec<(String, Node)>,
    at: Option<Position>,
    keys: Keys,
) -> Result<Nested, Box<Issue>> {
    let mut root = Subtree { at, kind: Kind::Table(BTreeMap::new()) };
    let mut path = Vec::new();
    root.put_table(entries, keys, &mut path)?;
    let (value, positions) = root.finish(keys, &mut path)?;
    match value {
        Value::Dict(_, dict) => Ok(Nested { dict, positions }),
        _ => Err(Box::new(Issue::new("the root must be a table").at(at))),
    }
}

/// A document in the making.
struct Subtree {
    at: Option<Position>,
    kind: Kind,
}

enum Kind {
    Leaf(Value),
    List(Vec<Subtree>),
    Table(BTreeMap<String, Subtree>),
}

impl Subtree {
    fn new(node: Node, keys: Keys, path: &mut Vec<String>) -> Result<Self, Box<Issue>> {
        if path.len() > DEPTH {
            return Err(Box::new(Issue::new("nested too deeply").at(node.at)));
        }
        let kind = match node.content {
            Content::Leaf(value) => Kind::Leaf(value),
            Content::List(nodes) => {
                let part = |(index, node): (usize, Node)| {
                    path.push(index.to_string());
                    let part = Subtree::new(node, keys, path);
                    path.pop();
                    part
                };
                Kind::List(nodes.into_iter().enumerate().map(part).collect::<Result<_, _>>()?)
            }
            Content::Table(entries) => {
                let mut part = Subtree { at: node.at, kind: Kind::Table(BTreeMap::new()) };
                part.put_table(entries, keys, path)?;
                return Ok(part);
            }
        };
        Ok(Self { at: node.at, kind })
    }

    fn put_table(
        &mut self,
        entries: Vec<(String, Node)>,
        keys: Keys,
        path: &mut Vec<String>,
    ) -> Result<(), Box<Issue>> {
        for (key, node) in entries {
            self.put(&segments(&key, keys), node, keys, path)?;
        }
        Ok(())
    }

    /// Puts `node` where `segments` lead to, from here.
    fn put(
        &mut self,
        segments: &[String],
        node: Node,
        keys: Keys,
        path: &mut Vec<String>,
    ) -> Result<(), Box<Issue>> {
        let Some((first, rest)) = segments.split_first() else {
            return self.merge(node, keys, path);
        };
        path.push(first.clone());
        if path.len() > DEPTH {
            return Err(Box::new(Issue::new("nested too deeply").at(node.at)));
        }
        let Kind::Table(table) = &mut self.kind else {
            let issue = Issue::new("is a value here and a table elsewhere in the document");
            return Err(Box::new(issue.key(&path[..path.len() - 1]).at(node.at)));
        };
        match table.get_mut(first) {
            Some(part) => part.put(rest, node, keys, path)?,
            None if rest.is_empty() => {
                let part = Subtree::new(node, keys, path)?;
                table.insert(first.clone(), part);
            }
            None => {
                let mut part = Subtree { at: node.at, kind: Kind::Table(BTreeMap::new()) };
                part.put(rest, node, keys, path)?;
                table.insert(first.clone(), part);
            }
        }
        path.pop();
        Ok(())
    }

    /// Adds a second mention: only two tables can be one.
    fn merge(&mut self, node: Node, keys: Keys, path: &mut Vec<String>) -> Result<(), Box<Issue>> {
        match (&self.kind, node.content) {
            (Kind::Table(_), Content::Table(entries)) => self.put_table(entries, keys, path),
            (Kind::Table(_), _) | (_, Content::Table(_)) => {
                let issue = Issue::new("is a value here and a table elsewhere in the document");
                Err(Box::new(issue.key(path).at(node.at)))
            }
            _ => Err(Box::new(Issue::new("is given twice").key(path).at(node.at))),
        }
    }

    fn finish(self, keys: Keys, path: &mut Vec<String>) -> Result<(Value, Positions), Box<Issue>> {
        let (parts, is_list) = match self.kind {
            Kind::Leaf(value) => {
                return Ok((value, Positions { at: self.at, ..Positions::default() }));
            }
            Kind::List(parts) => (numbered(parts), true),
            Kind::Table(table) if keys == Keys::Verbatim => (table.into_iter().collect(), false),
            Kind::Table(table) => match elements(table, self.at, path)? {
                Ok(parts) => (numbered(parts), true),
                Err(table) => (table.into_iter().collect(), false),
            },
        };
        let mut positions = Positions { at: self.at, ..Positions::default() };
        let mut values = Vec::with_capacity(parts.len());
        for (key, part) in parts {
            path.push(key.clone());
            let (value, place) = part.finish(keys, path)?;
            path.pop();
            positions.children.insert(key.clone(), place);
            values.push((key, value));
        }
        let value = if is_list {
            values.into_iter().map(|(_, value)| value).collect::<Vec<_>>().into()
        } else {
            values.into_iter().collect::<Dict>().into()
        };
        Ok((value, positions))
    }
}

fn numbered(parts: Vec<Subtree>) -> Vec<(String, Subtree)> {
    parts.into_iter().enumerate().map(|(index, part)| (index.to_string(), part)).collect()
}

/// The elements, if every key of `table` is an index such as `[0]`; the table again if none is.
#[expect(clippy::type_complexity, reason = "either a list or the table, or neither is possible")]
fn elements(
    mut table: BTreeMap<String, Subtree>,
    at: Option<Position>,
    path: &[String],
) -> Result<Result<Vec<Subtree>, BTreeMap<String, Subtree>>, Box<Issue>> {
    let indexed = table.keys().filter(|key| is_index(key)).count();
    if indexed == 0 {
        return Ok(Err(table));
    }
    let parts: Vec<Subtree> =
        (0..table.len()).map_while(|index| table.remove(&format!("[{index}]"))).collect();
    if table.is_empty() {
        return Ok(Ok(parts));
    }
    let what = if indexed == parts.len() {
        "is a list here and a table elsewhere in the document"
    } else {
        "its elements are not numbered from 0 without a gap"
    };
    Err(Box::new(Issue::new(what).key(path).at(at)))
}

fn is_index(segment: &str) -> bool {
    let digits = segment.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    digits.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The names and indices that a key is made of.
fn segments(key: &str, keys: Keys) -> Vec<String> {
    // A key with an empty part, such as `a..b` or `.`, is a name and nothing else.
    if keys == Keys::Verbatim || key.split('.').any(str::is_empty) {
        return vec![key.to_owned()];
    }
    let mut segments = Vec::new();
    for part in key.split('.') {
        let name = part.find('[').map_or(part, |at| &part[..at]);
        let indices = split_indices(&part[name.len()..]);
        let (name, indices) = if name.is_empty() || indices.is_none() {
            (part, Vec::new())
        } else {
            (name, indices.unwrap_or_default())
        };
        segments.push(if keys == Keys::Relaxed { snake(name) } else { name.to_owned() });
        segments.extend(indices.into_iter().map(str::to_owned));
    }
    segments
}

/// `[0][1]` as `[0]` and `[1]`; `None` for anything else, such as `[user.name]`.
fn split_indices(text: &str) -> Option<Vec<&str>> {
    let indices: Vec<&str> = text.split_inclusive(']').collect();
    indices.iter().all(|index| is_index(index)).then_some(indices)
}

/// `max-connections` and `maxConnections` as `max_connections`.
fn snake(name: &str) -> String {
    let mut folded = String::with_capacity(name.len() + 4);
    let mut last: Option<char> = None;
    for c in name.chars() {
        if c.is_uppercase() && last.is_some_and(|last| last.is_lowercase() || last.is_numeric()) {
            folded.push('_');
        }
        match c {
            '-' => folded.push('_'),
            _ => folded.extend(c.to_lowercase()),
        }
        last = Some(c);
    }
    folded
}

/// How deep tables and lists may be nested: what merges and frees them is recursive.
const DEPTH: usize = 128;
