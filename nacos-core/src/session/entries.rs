//! A map of many keys, whose entries are found without a look at the others.
use std::hash::Hash;

use crate::room::Map;

/// A map in which, in tests, each look at an entry is counted: a session of thousands of claims
/// must not go through all of them for the sake of one.
#[derive(Debug)]
pub(super) struct Entries<K, V>(Map<K, V>);

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

    pub(super) fn insert(&mut self, key: K, value: V) {
        looked(1);
        self.0.insert(key, value);
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
    pub(super) fn retain(&mut self, keeps: impl Fn(&V) -> bool) {
        looked(self.0.len());
        self.0.retain(|_, value| keeps(value));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
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
