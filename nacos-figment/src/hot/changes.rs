//! Following a hot value.
use std::fmt;

use nacos_core::Live;

use super::{Hot, Pinned};

/// The changes of a [`Hot`] value, as one subscriber sees them.
///
/// A change is told if the value differs from the one that this subscriber saw last; values in
/// between are skipped. A slow subscriber delays no other reader. Keeps the configuration up to
/// date, as [`Hot`] does.
///
/// ```
/// # use nacos_figment::Hot;
/// async fn resize(mut workers: nacos_figment::Changes<usize>) {
///     while let Some(change) = workers.next().await {
///         println!("from {} to {} workers", *change.old, *change.new);
///     }
/// }
/// # let _ = resize(Hot::fixed(4).changes());
/// ```
#[must_use = "nothing is told unless it is asked for"]
pub struct Changes<T: 'static> {
    hot: Hot<T>,
    generation: Live<u64>,
    seen: Pinned<T>,
}

/// A change, as one subscriber sees it.
#[non_exhaustive]
pub struct Change<T: 'static> {
    /// The value that the subscriber saw last.
    pub old: Pinned<T>,
    /// The value now.
    pub new: Pinned<T>,
}

impl<T: PartialEq + 'static> Changes<T> {
    pub(crate) fn new(hot: Hot<T>, generation: Live<u64>) -> Self {
        // After the reader of the generation was made: nothing is missed in between.
        let seen = hot.pin();
        Self { hot, generation, seen }
    }

    /// Waits until the value differs from the one seen last; `None` once it will not change any
    /// more because the client was shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn next(&mut self) -> Option<Change<T>> {
        loop {
            self.generation.changed().await?;
            // Also if the part is equal: an old version must not be kept for its sake.
            let old = std::mem::replace(&mut self.seen, self.hot.pin());
            if *old != *self.seen {
                return Some(Change { old, new: self.seen.clone() });
            }
        }
    }

    /// The value that this subscriber saw last.
    #[must_use]
    pub fn seen(&self) -> &Pinned<T> {
        &self.seen
    }
}

impl<T: 'static> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl<T: 'static> fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("old", &self.old).field("new", &self.new).finish()
    }
}
