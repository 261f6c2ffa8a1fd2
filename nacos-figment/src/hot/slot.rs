//! One shared pointer that is replaced whole. The only file that names arc-swap.
use std::{ops::Deref, sync::Arc};

use arc_swap::ArcSwap;

/// A value that readers borrow without a lock while one writer replaces it.
pub(crate) struct Slot<T>(ArcSwap<T>);

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// Puts `value` in place and hands out what stood there.
    pub(crate) fn replace(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }

    /// Borrows the current value, without a lock or an allocation.
    pub(crate) fn borrow(&self) -> Borrowed<T> {
        Borrowed(self.0.load())
    }

    /// Shares the current value.
    pub(crate) fn share(&self) -> Arc<T> {
        self.0.load_full()
    }
}

/// A borrowed value. Short-lived: a thread has eight cheap ones.
pub(crate) struct Borrowed<T>(arc_swap::Guard<Arc<T>>);

impl<T> Deref for Borrowed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
