//! What a format's parser makes of a text: nested entries, each with its position.
use std::collections::BTreeMap;

use figment::value::Value;

use crate::position::Position;

/// A value as it stands in a text, before keys are given their meaning.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Option<Position>,
    pub(crate) content: Content,
}

/// What a [`Node`] is. Tables keep the order and the spelling of the text, duplicates included.
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

/// Where each key of a document stands. The elements of a list are called by their number.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) at: Option<Position>,
    pub(crate) children: BTreeMap<String, Places>,
}

impl Places {
    /// The position of `path`, if the document has such a key.
    pub(crate) fn find<K: AsRef<str>>(&self, path: &[K]) -> Option<&Places> {
        path.iter().try_fold(self, |places, key| places.children.get(key.as_ref()))
    }
}
