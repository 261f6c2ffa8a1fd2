//! The result of a format's parser: nested entries, each with its position.
use figment::value::Value;

use crate::report::Position;

/// A value as it stands in a text. The keys of tables are not interpreted yet.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Option<Position>,
    pub(crate) content: Content,
}

/// The content of a [`Node`]. Tables keep the order and the spelling of the text, duplicates
/// included.
#[derive(Debug)]
pub(crate) enum Content {
    Leaf(Value),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn leaf(at: Option<Position>, value: impl Into<Value>) -> Self {
        Self { at, content: Content::Leaf(value.into()) }
    }

    pub(crate) fn null(at: Option<Position>) -> Self {
        Self::leaf(at, figment::value::Empty::Unit)
    }
}
