//! The documents that a fuzzy watch knows of.
use std::{collections::BTreeSet, sync::Arc};

use crate::key::ConfigKey;

/// The documents that match the pattern of a [fuzzy watch](crate::FuzzyWatch): always the full set,
/// in the order of namespace, group and data id.
///
/// Membership only: a new content of a document that is there already changes nothing here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MatchedKeys {
    /// Their keys, each with its namespace.
    pub keys: Arc<BTreeSet<ConfigKey>>,
    /// Whether these are all of them.
    pub completeness: Completeness,
}

/// Whether a server has named all documents that match a pattern.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Completeness {
    /// Not yet: the first list is still under way.
    #[default]
    Pending,
    /// All of them.
    Complete,
    /// More documents match than the server watches for one pattern (500, unless an operator has
    /// raised `nacos.config.fuzzy.watch.max.pattern.match.config.count`), or than this client keeps
    /// (10 000). Some are missing, new ones are not told of, and some that have been removed may
    /// still be among the keys. Use a narrower pattern.
    Partial,
}

/// One difference between two sets of [`MatchedKeys`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyChange {
    /// The document exists now.
    Added(ConfigKey),
    /// It exists no more.
    Removed(ConfigKey),
}

impl MatchedKeys {
    /// The differences that turn `before` into this set: removals first, each in the order of the
    /// keys. A document that was removed and published again in between is none.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<KeyChange> {
        if Arc::ptr_eq(&self.keys, &before.keys) {
            return Vec::new();
        }
        let removed = before.keys.difference(&self.keys).cloned().map(KeyChange::Removed);
        let added = self.keys.difference(&before.keys).cloned().map(KeyChange::Added);
        removed.chain(added).collect()
    }

    /// Whether the first list is there.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.completeness != Completeness::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_removals_and_then_additions() {
        let set = |names: &[&str]| MatchedKeys {
            keys: Arc::new(names.iter().map(|name| key(name)).collect()),
            completeness: Completeness::Complete,
        };
        let (before, after) = (set(&["a", "c", "d"]), set(&["b", "d", "e"]));
        let expected = [
            KeyChange::Removed(key("a")),
            KeyChange::Removed(key("c")),
            KeyChange::Added(key("b")),
            KeyChange::Added(key("e")),
        ];
        assert_eq!(after.since(&before), expected);
        assert_eq!(after.since(&after.clone()), []);
    }

    fn key(name: &str) -> ConfigKey {
        ConfigKey::try_from(name).expect("valid")
    }
}
