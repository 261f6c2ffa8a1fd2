//! Values that change under their readers: one writer, many readers, the newest value wins.
use std::sync::Arc;

use tokio::sync::watch;

/// A value that may be replaced at any time.
///
/// Cheap to clone; every clone follows the same value, and each remembers by itself what it has
/// waited for. A reader keeps nothing alive: when the writer goes, [`changed`](Self::changed)
/// ends with `None` and [`get`](Self::get) keeps answering the last value.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (writer, mut reader) = nacos_core::live("one");
/// writer.publish("two");
/// assert_eq!(reader.changed().await.as_deref(), Some(&"two"));
/// drop(writer);
/// assert_eq!(reader.changed().await, None);
/// assert_eq!(*reader.get(), "two");
/// # }
/// ```
#[derive(Debug)]
pub struct Live<T> {
    rx: watch::Receiver<Arc<T>>,
}

impl<T> Live<T> {
    /// The newest value. Holds no lock: keep it for as long as one consistent view is needed.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.rx.borrow())
    }

    /// Waits for a newer value than the last one that this handle waited for or was cloned with.
    ///
    /// Values in between are skipped. `None` means that no more will come.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no value.
    pub async fn changed(&mut self) -> Option<Arc<T>> {
        self.rx.changed().await.ok()?;
        Some(Arc::clone(&self.rx.borrow_and_update()))
    }

    /// Waits until the value satisfies `condition`, beginning with the current one.
    ///
    /// `None` means that no more values will come and the last one does not satisfy it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        let value = self.rx.wait_for(|value| condition(value)).await.ok()?;
        Some(Arc::clone(&value))
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { rx: self.rx.clone() }
    }
}

/// The only writer of a [`Live`] value. Dropping it ends the readers' streams.
#[derive(Debug)]
pub struct LiveWriter<T> {
    tx: watch::Sender<Arc<T>>,
}

impl<T> LiveWriter<T> {
    /// Replaces the value and wakes every reader.
    pub fn publish(&self, value: T) {
        self.tx.send_replace(Arc::new(value));
    }

    /// Replaces the value and wakes every reader, unless `value` equals the current one.
    pub fn publish_if_changed(&self, value: T) -> bool
    where
        T: PartialEq,
    {
        self.tx.send_if_modified(|current| {
            let changed = **current != value;
            if changed {
                *current = Arc::new(value);
            }
            changed
        })
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.tx.borrow())
    }

    /// A new reader, which has seen the current value.
    #[must_use]
    pub fn reader(&self) -> Live<T> {
        Live { rx: self.tx.subscribe() }
    }

    /// Whether anybody reads the value.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.tx.receiver_count() > 0
    }

    /// Waits until nobody reads the value any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn unread(&self) {
        self.tx.closed().await;
    }
}

/// A value, as its only writer and a first reader.
pub fn live<T>(value: T) -> (LiveWriter<T>, Live<T>) {
    let (tx, rx) = watch::channel(Arc::new(value));
    (LiveWriter { tx }, Live { rx })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_in_between_are_skipped() {
        let (writer, mut reader) = live(0);
        writer.publish(1);
        writer.publish(2);
        assert_eq!(reader.changed().await.as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn reader_ends_with_its_writer_and_keeps_the_last_value() {
        let (writer, mut reader) = live("last");
        drop(writer);
        assert_eq!(reader.changed().await, None);
        assert_eq!(*reader.get(), "last");
        assert_eq!(reader.wait_for(|value| *value == "next").await, None);
    }

    #[test]
    fn equal_value_wakes_nobody() {
        let (writer, reader) = live(1);
        assert!(!writer.publish_if_changed(1));
        assert!(!reader.rx.has_changed().expect("the writer lives"));
        assert!(writer.publish_if_changed(2));
    }
}
