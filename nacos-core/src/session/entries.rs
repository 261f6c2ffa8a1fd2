//! Maps of many keys, whose entries are found without a look at the others.
//!
//! In tests each look at an entry is counted: a session of thousands of claims must not go through
//! all of them for the sake of one.
use std::{
    collections::{BTreeMap, hash_map},
    hash::Hash,
};

use crate::room::Map;

/// A map without an order.
#[derive(Debug)]
pub(super) struct Entries<K, V>(Map<K, V>);

/// A map in the order of its keys.
#[derive(Debug)]
pub(super) struct Ordered<K, V>(BTreeMap<K, V>);

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Eq + Hash, V> Entries<K, V> {
    pub(super) fn new() -> Self {
        Self(Map::new())
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        looked(1);
        self.0.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        looked(1);
        self.0.get_mut(key)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The place of `key`, to be filled or changed.
    pub(super) fn entry(&mut self, key: K) -> hash_map::Entry<'_, K, V> {
        looked(1);
        self.0.entry(key)
    }

    /// Returns what was there.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        looked(1);
        self.0.insert(key, value)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        looked(1);
        self.0.remove(key)
    }

    /// For what concerns all of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().inspect(|_| looked(1))
    }

    /// For what concerns all of them.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// For what concerns all of them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut().inspect(|_| looked(1))
    }

    /// For what concerns all of them.
    pub(super) fn clear(&mut self) {
        looked(self.0.len());
        self.0.clear();
    }

    /// For what concerns all of them.
    pub(super) fn retain(&mut self, keeps: impl Fn(&V) -> bool) {
        looked(self.0.len());
        self.0.retain(|_, value| keeps(value));
    }

    /// For what concerns all of them.
    pub(super) fn into_keys(self) -> impl Iterator<Item = K> {
        self.0.into_iter().map(|(key, _)| key).inspect(|_| looked(1))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<K: Ord, V> Ordered<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        looked(1);
        self.0.get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        looked(1);
        self.0.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) {
        looked(1);
        self.0.remove(key);
    }

    /// For what concerns all of them.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().inspect(|_| looked(1))
    }

    /// For what concerns all of them.
    pub(super) fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_values().inspect(|_| looked(1))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(not(test))]
fn looked(_: usize) {}

#[cfg(test)]
use self::tests::looked;
#[cfg(test)]
pub(super) use self::tests::looks;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn looked(count: usize) {
        LOOKS.set(LOOKS.get() + count);
    }

    /// How many looks there were on this thread since the last time.
    pub(in crate::session) fn looks() -> usize {
        LOOKS.take()
    }
}
