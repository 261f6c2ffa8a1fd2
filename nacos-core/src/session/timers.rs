//! Keys by the time at which they are to be looked at again.
use std::{collections::BTreeMap, hash::Hash, time::Instant};

use crate::room::Map;

/// A queue of keys by time, each with one time at most: there are never more times than keys,
/// however often a key is given another.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    keys: BTreeMap<(Instant, u64), K>,
    times: Map<K, (Instant, u64)>,
    pushed: u64,
}

impl<K: Clone + Eq + Hash> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { keys: BTreeMap::new(), times: Map::new(), pushed: 0 }
    }

    /// `key` is to be looked at at `at`, and not at the time that it had.
    pub(crate) fn push(&mut self, at: Instant, key: K) {
        self.pushed += 1;
        let time = (at, self.pushed);
        if let Some(former) = self.times.insert(key.clone(), time) {
            self.keys.remove(&former);
        }
        self.keys.insert(time, key);
    }

    /// The next key whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let first = self.keys.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let key = first.remove();
        self.times.remove(&key);
        Some(key)
    }

    /// `key` needs not to be looked at any more.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(time) = self.times.remove(key) {
            self.keys.remove(&time);
        }
    }

    /// When to pop.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.keys.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.times.clear();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_come_out_by_time_and_none_too_early() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut timers = Timers::new();
        timers.push(later, "b");
        timers.push(now, "a");
        assert_eq!(timers.next(), Some(now));
        assert_eq!((timers.pop(now), timers.pop(now)), (Some("a"), None));
        assert_eq!(timers.pop(later), Some("b"));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn key_has_one_time_or_none() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut timers = Timers::new();
        for at in [now, later, now, later] {
            timers.push(at, "a");
            timers.push(at, "b");
        }
        timers.remove(&"b");
        assert_eq!(timers.len(), 1);
        assert_eq!((timers.pop(now), timers.pop(later)), (None, Some("a")));
    }
}
