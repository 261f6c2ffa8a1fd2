//! Live values by key: one writer, many readers, each value kept while a guard claims it.
use std::{
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    live::{Live, LiveWriter, live},
    room::Map,
};

/// A [`Live`] value for each key that a guard claims.
///
/// Guards come and go on callers' tasks, values come from the session's task; the lock is held for
/// a map operation only, never across an await. No reader is woken under it: a waker is a user's
/// code, and may drop a guard then and there, which takes the lock.
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
    live: Map<K, Entry<V>>,
    closed: bool,
}

#[derive(Debug)]
struct Entry<V> {
    writer: Arc<LiveWriter<V>>,
    guards: usize,
}

impl<K: Clone + Eq + Hash, V> Store<K, V> {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Entries { live: Map::new(), closed: false }) }
    }

    /// A guard comes, and reads the value under `key`: `initial` if it is the first.
    ///
    /// After [`close`](Self::close) the reader has ended already.
    pub(crate) fn enter(&self, key: &K, initial: impl FnOnce() -> V) -> Live<V> {
        let (writer, reader) = live(initial());
        let mut entries = self.lock();
        if entries.closed {
            return reader;
        }
        let writer = Arc::new(writer);
        let entry = entries.live.entry(key.clone()).or_insert_with(|| Entry { writer, guards: 0 });
        entry.guards += 1;
        entry.writer.reader()
    }

    /// A guard goes. With the last one the value goes too, and its readers end.
    pub(crate) fn leave(&self, key: &K) {
        let mut entries = self.lock();
        let Some(entry) = entries.live.get_mut(key) else { return };
        entry.guards -= 1;
        let gone = if entry.guards == 0 { entries.live.remove(key) } else { None };
        drop(entries);
        // Its readers learn of it here.
        drop(gone);
    }

    /// Replaces the value under `key` with what `next` makes of it; `None` leaves it alone. Called
    /// by one task only: two at a time would each make something of the same value.
    pub(crate) fn update(&self, key: &K, next: impl FnOnce(&V) -> Option<V>) {
        let writer = self.lock().live.get(key).map(|entry| Arc::clone(&entry.writer));
        // A guard that leaves and enters in between has another value, and claims anew.
        if let Some(writer) = writer
            && let Some(value) = next(&writer.get())
        {
            writer.publish(value);
        }
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        let mut entries = self.lock();
        entries.closed = true;
        let live = std::mem::take(&mut entries.live);
        drop(entries);
        drop(live);
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        // A panic under the lock cannot leave the map half-changed: every change is one call.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Context,
    };

    use nacos_testkit::TimeLimit;

    use super::*;
    use crate::testing::inline_waker;

    #[tokio::test]
    async fn value_is_kept_while_a_guard_claims_it() {
        TimeLimit::for_test();
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
        TimeLimit::for_test();
        let store = Store::new();
        let mut old = store.enter(&"orders", || 0);
        store.close();
        assert_eq!(old.changed().await, None);
        assert_eq!(store.enter(&"orders", || 0).changed().await, None);
        store.leave(&"orders");
    }

    #[test]
    fn whoever_is_woken_may_use_the_store_at_once() {
        let _limit = TimeLimit::start();
        let store = Arc::new(Store::new());
        let woken = Arc::new(AtomicUsize::new(0));
        let waker = inline_waker({
            let (store, woken) = (Arc::clone(&store), Arc::clone(&woken));
            move || {
                woken.fetch_add(1, Ordering::Relaxed);
                store.enter(&"other", || 0);
                store.leave(&"other");
            }
        });
        let ends: [fn(&Store<&'static str, i32>); 3] = [
            |store| store.update(&"orders", |_| Some(1)),
            |store| store.leave(&"orders"),
            Store::close,
        ];
        for (n, end) in ends.into_iter().enumerate() {
            let mut reader = store.enter(&"orders", || 0);
            let mut changed = pin!(reader.changed());
            assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            end(&store);
            assert_eq!(woken.load(Ordering::Relaxed), n + 1);
            store.leave(&"orders");
        }
    }
}
