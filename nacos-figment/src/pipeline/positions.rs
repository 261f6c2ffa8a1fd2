//! Where the keys of a document stand.
use std::collections::BTreeMap;

use crate::report::Position;

/// The position of each key of a document. The elements of a list are named by their index.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(crate) at: Option<Position>,
    pub(crate) children: BTreeMap<String, Positions>,
}

impl Positions {
    /// The position of `path`, if the document has such a key.
    pub(crate) fn find<K: AsRef<str>>(&self, path: &[K]) -> Option<&Positions> {
        path.iter().try_fold(self, |positions, key| positions.children.get(key.as_ref()))
    }
}
