//! Live values by key: one writer, many readers, each value kept while it is read.
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::live::{Live, LiveWriter, live};

/// A [`Live`] value for each key that somebody reads.
///
/// Readers come from callers' tasks, values from the session's task; the lock is held for a map
/// operation only, never across an await.
#[derive(Debug)]
pub(crate) struct Store<K, V> {
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    writers: HashMap<K, LiveWriter<V>>,
    closed: bool,
}

impl<K: Clone + Eq + Hash, V> Store<K, V> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Entries { writers: HashMap::new(), closed: false }) }
    }

    /// A reader of the value under `key`, which is `initial` if nobody reads it yet.
    ///
    /// After [`close`](Self::close) the reader has ended already.
    pub(crate) fn reader(&self, key: &K, initial: impl FnOnce() -> V) -> Live<V> {
        let mut entries = self.lock();
        if let Some(writer) = entries.writers.get(key) {
            return writer.reader();
        }
        let (writer, reader) = live(initial());
        if !entries.closed {
            entries.writers.insert(key.clone(), writer);
        }
        reader
    }

    /// Replaces the value under `key` with what `next` makes of it; `None` leaves it alone.
    pub(crate) fn update(&self, key: &K, next: impl FnOnce(&V) -> Option<V>) {
        let entries = self.lock();
        if let Some(writer) = entries.writers.get(key)
            && let Some(value) = next(&writer.get())
        {
            writer.publish(value);
        }
    }

    /// Forgets `key`, unless somebody reads it: a new reader may have come since the last went.
    pub(crate) fn release(&self, key: &K) {
        let mut entries = self.lock();
        if entries.writers.get(key).is_some_and(|writer| !writer.is_read()) {
            entries.writers.remove(key);
        }
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        let mut entries = self.lock();
        entries.closed = true;
        entries.writers.clear();
    }

    /// How many values are kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().writers.len()
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
    async fn value_is_kept_while_it_is_read() {
        let store = Store::new();
        let first = store.reader(&"orders", || 0);
        store.update(&"orders", |_| Some(1));
        store.release(&"orders");
        let second = store.reader(&"orders", || 0);
        assert_eq!((*first.get(), *second.get()), (1, 1));

        drop((first, second));
        store.release(&"orders");
        assert_eq!(store.len(), 0);
    }

    #[tokio::test]
    async fn closing_ends_readers_old_and_new() {
        let store = Store::new();
        let mut old = store.reader(&"orders", || 0);
        store.close();
        assert_eq!(old.changed().await, None);
        assert_eq!(store.reader(&"orders", || 0).changed().await, None);
    }
}
