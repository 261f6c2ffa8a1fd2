//! One value, its version, and those who wait for the next one.
//!
//! Tokio's `watch` would do, but for its size: it has room for eight lists of waiters. A client
//! keeps two values for each document that it watches, of which it may watch thousands.
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The shared part of a writer and its readers.
#[derive(Debug)]
pub(super) struct Channel<T> {
    value: RwLock<Arc<T>>,
    /// Grows by two with each value; odd once the writer has gone. Changes under the lock of the
    /// value only.
    version: AtomicUsize,
    readers: AtomicUsize,
    /// Of a value, of the end of the writer, and of that of the last reader.
    news: Notify,
}

/// A number that tells values apart: each has a greater one than the value before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version(usize);

/// The writer has gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Closed;

impl<T> Channel<T> {
    /// With a first reader, which has seen `value`.
    pub(super) fn new(value: T) -> (Self, Version) {
        let version = 0;
        let channel = Self {
            value: RwLock::new(Arc::new(value)),
            version: AtomicUsize::new(version),
            readers: AtomicUsize::new(1),
            news: Notify::new(),
        };
        (channel, Version(version))
    }

    pub(super) fn get(&self) -> Arc<T> {
        self.read().0
    }

    /// The value, and its version.
    pub(super) fn read(&self) -> (Arc<T>, Version) {
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&value), Version(self.version.load(Ordering::Relaxed) & !CLOSED))
    }

    /// Replaces the value, and returns the former one, which is dropped outside of the lock.
    pub(super) fn replace(&self, value: Arc<T>) -> Arc<T> {
        let former = self.put(value);
        self.announce();
        former
    }

    /// The same without waking anybody.
    pub(super) fn put(&self, value: Arc<T>) -> Arc<T> {
        let mut slot = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *slot, value);
        self.version.fetch_add(NEXT, Ordering::Release);
        drop(slot);
        former
    }

    /// Wakes those who wait for another value than the last one that they have seen.
    pub(super) fn announce(&self) {
        self.news.notify_waiters();
    }

    /// Replaces `current` by `value`.
    ///
    /// # Errors
    ///
    /// The value is another one than `current`: gives `value` back.
    pub(super) fn replace_if(&self, current: &Arc<T>, value: Arc<T>) -> Result<(), Arc<T>> {
        let mut slot = self.value.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&slot, current) {
            return Err(value);
        }
        let former = std::mem::replace(&mut *slot, value);
        self.version.fetch_add(NEXT, Ordering::Release);
        drop(slot);
        self.news.notify_waiters();
        drop(former);
        Ok(())
    }

    /// There is no writer any more.
    pub(super) fn close(&self) {
        let slot = self.value.write().unwrap_or_else(PoisonError::into_inner);
        self.version.fetch_or(CLOSED, Ordering::Release);
        drop(slot);
        self.news.notify_waiters();
    }

    /// Waits for another version than `seen`.
    ///
    /// # Errors
    ///
    /// The writer has gone, and there is none.
    pub(super) async fn changed(&self, seen: Version) -> Result<(), Closed> {
        loop {
            // From here on, every notice is heard.
            let news = self.news.notified();
            let version = self.version.load(Ordering::Acquire);
            if version & !CLOSED != seen.0 {
                return Ok(());
            }
            if version & CLOSED != 0 {
                return Err(Closed);
            }
            news.await;
        }
    }

    pub(super) fn reader_comes(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reader_goes(&self) {
        if self.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.news.notify_waiters();
        }
    }

    pub(super) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// Waits until there is no reader.
    pub(super) async fn unread(&self) {
        loop {
            let news = self.news.notified();
            if !self.is_read() {
                return;
            }
            news.await;
        }
    }
}

const CLOSED: usize = 1;
const NEXT: usize = 2;
