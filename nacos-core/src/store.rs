//! Live values by key: one writer, many readers, each value kept while a guard claims it.
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::live::{Live, LiveWriter, live};

/// A [`Live`] value for each key that a guard claims.
///
/// Guards come and go on callers' tasks, values come from the session's task; the lock is held for
/// a map operation only, never across an await.
///
/// A guard [enters](Self::enter) before it claims and [leaves](Self::leave) after it has withdrawn.
/// So either a new guard finds the value that the last one left, or the session hears of the
/// withdrawal before the new claim, and sends the value anew: a value is never stuck.
#[derive(Debug)]
pub(crate) struct Store<K, V> {
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    live: HashMap<K, Entry<V>>,
    closed: bool,
}

#[derive(Debug)]
struct Entry<V> {
    writer: LiveWriter<V>,
    guards: usize,
}

impl<K: Clone + Eq + Hash, V> Store<K, V> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Entries { live: HashMap::new(), closed: false }) }
    }

    /// A guard comes, and reads the value under `key`: `initial` if it is the first.
    ///
    /// After [`close`](Self::close) the reader has ended already.
    pub(crate) fn enter(&self, key: &K, initial: impl FnOnce() -> V) -> Live<V> {
        let mut entries = self.lock();
        if entries.closed {
            return live(initial()).1;
        }
        let entry = entries
            .live
            .entry(key.clone())
            .or_insert_with(|| Entry { writer: live(initial()).0, guards: 0 });
        entry.guards += 1;
        entry.writer.reader()
    }

    /// A guard goes. With the last one the value goes too, and its readers end.
    pub(crate) fn leave(&self, key: &K) {
        let mut entries = self.lock();
        if let Some(entry) = entries.live.get_mut(key) {
            entry.guards -= 1;
            if entry.guards == 0 {
                entries.live.remove(key);
            }
        }
    }

    /// Replaces the value under `key` with what `next` makes of it; `None` leaves it alone.
    pub(crate) fn update(&self, key: &K, next: impl FnOnce(&V) -> Option<V>) {
        let entries = self.lock();
        if let Some(Entry { writer, .. }) = entries.live.get(key)
            && let Some(value) = next(&writer.get())
        {
            writer.publish(value);
        }
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        let mut entries = self.lock();
        entries.closed = true;
        entries.live.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        // A panic under the lock cannot leave the map half-changed: every change is one call.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn value_is_kept_while_a_guard_claims_it() {
        let store = Store::new();
        let mut first = store.enter(&"orders", || 0);
        store.update(&"orders", |_| Some(1));
        let second = store.enter(&"orders", || 0);
        store.leave(&"orders");
        store.update(&"orders", |_| Some(2));
        assert_eq!((first.changed().await.as_deref(), *second.get()), (Some(&2), 2));

        store.leave(&"orders");
        assert_eq!(first.changed().await, None);
        assert_eq!(*store.enter(&"orders", || 0).get(), 0);
    }

    #[tokio::test]
    async fn closing_ends_readers_old_and_new() {
        let store = Store::new();
        let mut old = store.enter(&"orders", || 0);
        store.close();
        assert_eq!(old.changed().await, None);
        assert_eq!(store.enter(&"orders", || 0).changed().await, None);
        store.leave(&"orders");
    }
}
