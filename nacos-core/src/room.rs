//! Collections that give room back once they hold little.
//!
//! Those of std keep room for as much as they ever held. A client may claim a hundred thousand
//! documents for a moment, and lives for years.
use std::{
    collections::{HashMap, VecDeque, hash_map},
    hash::Hash,
    ops::Deref,
};

/// A map with room for at most four times its entries, or for a few.
#[derive(Debug)]
pub(crate) struct Map<K, V>(HashMap<K, V>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Map<K, V> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut()
    }

    /// The place of `key`, to be filled or changed: [`remove`](Self::remove) empties it.
    pub(crate) fn entry(&mut self, key: K) -> hash_map::Entry<'_, K, V> {
        self.0.entry(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.0.remove(key);
        self.give_back();
        removed
    }

    pub(crate) fn retain(&mut self, keeps: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(keeps);
        self.give_back();
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
        self.give_back();
    }

    fn give_back(&mut self) {
        if let Some(room) = enough(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(room);
        }
    }
}

/// Everything that only looks.
impl<K, V> Deref for Map<K, V> {
    type Target = HashMap<K, V>;

    fn deref(&self) -> &HashMap<K, V> {
        &self.0
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = hash_map::IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Takes the first of `queue`, which keeps no more room than a [`Map`].
pub(crate) fn pop_front<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if let Some(room) = enough(queue.len(), queue.capacity()) {
        queue.shrink_to(room);
    }
    first
}

/// How much room is enough for `len`, if `capacity` is too much.
///
/// It is half full afterwards. So before anything is moved again, half as many entries go as are
/// there, or as many come: each costs the same on average, in whatever order they do.
fn enough(len: usize, capacity: usize) -> Option<usize> {
    let len = len.max(FEW);
    (4 * len < capacity).then_some(2 * len)
}

/// So many count as none: they are not worth a move.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_has_room_for_four_times_its_entries_or_for_a_few() {
        let mut map: Map<usize, ()> = (0..10_000).map(|n| (n, ())).collect();
        for n in 0..10_000 {
            assert_eq!(map.remove(&n), Some(()));
            assert!(map.capacity() <= 4 * map.len().max(FEW), "{} of {n}", map.capacity());
        }
        assert!((0..FEW).all(|n| map.insert(n, ()).is_none()), "it is as good as new");

        let ends: [fn(&mut Map<usize, ()>); 2] = [Map::clear, |map| map.retain(|n, ()| *n < 9)];
        for end in ends {
            let mut map: Map<usize, ()> = (0..10_000).map(|n| (n, ())).collect();
            end(&mut map);
            assert!(map.capacity() <= 4 * FEW, "{}", map.capacity());
        }
    }

    #[test]
    fn queue_has_room_for_four_times_its_entries_or_for_a_few() {
        let mut queue: VecDeque<_> = (0..10_000).collect();
        for n in 0..10_000 {
            assert_eq!(pop_front(&mut queue), Some(n));
            assert!(queue.capacity() <= 4 * queue.len().max(FEW), "{} of {n}", queue.capacity());
        }
        assert_eq!(pop_front(&mut queue), None);
    }

    /// One that comes and goes at the border moves the others seldom.
    #[test]
    fn room_is_not_given_back_and_taken_again_and_again() {
        let mut map: Map<usize, ()> = (0..10_000).map(|n| (n, ())).collect();
        let mut moves = 0;
        for n in 0..9_000 {
            for key in [n, n + 20_000, n + 20_000] {
                let former = map.capacity();
                if map.remove(&key).is_none() {
                    map.insert(key, ());
                }
                // Small differences are traces of what was removed.
                moves += usize::from(former.abs_diff(map.capacity()) > former / 4);
            }
        }
        assert!(moves <= 4, "{moves}");
    }

    impl<K: Eq + Hash, V> FromIterator<(K, V)> for Map<K, V> {
        fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
            Self(entries.into_iter().collect())
        }
    }
}
