//! Keys in the order in which they came, each once at most.
use std::{collections::BTreeMap, hash::Hash, ops::Bound};

use crate::room::Map;

/// A queue that holds a key once, however often it is put there, and forgets one that is taken
/// back: it is never longer than there are keys.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    places: Map<K, u64>,
    keys: BTreeMap<u64, K>,
    pushed: u64,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    pub(crate) fn new() -> Self {
        Self { places: Map::new(), keys: BTreeMap::new(), pushed: 0 }
    }

    /// Puts `key` at the end, unless it is there already: then it keeps its place.
    pub(crate) fn push(&mut self, key: K) {
        if !self.places.contains_key(&key) {
            self.pushed += 1;
            self.keys.insert(self.pushed, key.clone());
            self.places.insert(key, self.pushed);
        }
    }

    /// The key that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<K> {
        let (_, key) = self.keys.pop_first()?;
        self.places.remove(&key);
        Some(key)
    }

    /// The key that has waited longest, and goes on waiting.
    pub(crate) fn first(&self) -> Option<&K> {
        self.keys.values().next()
    }

    /// The place of the key that came last; each has a higher one than those before it.
    pub(crate) fn last_place(&self) -> u64 {
        self.pushed
    }

    /// The keys behind the place `from`, up to the place `upto`.
    pub(crate) fn between(&self, from: u64, upto: u64) -> impl Iterator<Item = &K> {
        let places = (Bound::Excluded(from), Bound::Included(upto.max(from)));
        self.keys.range(places).map(|(_, key)| key)
    }

    /// Takes `key` back.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(place) = self.places.remove(key) {
            self.keys.remove(&place);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.keys.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_there_once_and_keeps_its_place_until_it_is_taken() {
        let _limit = nacos_testkit::TimeLimit::start();
        let mut queue = Queue::new();
        for key in ["a", "b", "c", "a"] {
            queue.push(key);
        }
        queue.remove(&"b");
        queue.remove(&"b");
        assert_eq!((queue.len(), queue.pop()), (2, Some("a")));
        queue.push("b");
        queue.push("a");
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, ["c", "b", "a"]);
        assert!(queue.is_empty());
    }
}
