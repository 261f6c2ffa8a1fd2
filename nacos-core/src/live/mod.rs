//! Values that one writer replaces and many readers read: the newest value wins.
//!
//! A `T` is a user's type, so its comparison, its `Debug` and its `Drop` are a user's code, and so
//! is every condition. None of it runs under the channel's lock, which the writer takes too: what
//! is in there is an [`Arc`], and all that is done to it there is to clone it, or to put it
//! elsewhere.
mod channel;

use std::{fmt, sync::Arc};

use tokio::task::coop::cooperative;

use self::channel::{Channel, Version};

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
pub struct Live<T> {
    channel: Arc<Channel<T>>,
    seen: Version,
}

impl<T> Live<T> {
    /// The newest value. Holds no lock: keep it for as long as one consistent view is needed.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.channel.get()
    }

    /// Waits for a newer value than the last one that this handle waited for or was cloned with.
    ///
    /// Values in between are skipped. `None` means that no more will come.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no value.
    pub async fn changed(&mut self) -> Option<Arc<T>> {
        // However often it changes, a task that reads it lets others have their turn.
        cooperative(self.channel.changed(self.seen)).await.ok()?;
        Some(self.read())
    }

    /// Waits until the value satisfies `condition`, beginning with the current one.
    ///
    /// `None` means that no more values will come and the last one does not satisfy it. The
    /// condition runs on the caller's task, and delays no other: it may read the same value, or
    /// block.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        loop {
            let value = self.read();
            if condition(&value) {
                return Some(value);
            }
            // A value is not kept while the next one is waited for.
            drop(value);
            cooperative(self.channel.changed(self.seen)).await.ok()?;
        }
    }

    fn read(&mut self) -> Arc<T> {
        let (value, version) = self.channel.read();
        self.seen = version;
        value
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        self.channel.reader_comes();
        Self { channel: Arc::clone(&self.channel), seen: self.seen }
    }
}

impl<T> Drop for Live<T> {
    fn drop(&mut self) {
        self.channel.reader_goes();
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.get()).finish()
    }
}

/// The only writer of a [`Live`] value. Dropping it ends the readers' streams.
pub struct LiveWriter<T> {
    channel: Arc<Channel<T>>,
}

impl<T> LiveWriter<T> {
    /// Replaces the value and wakes every reader.
    pub fn publish(&self, value: T) {
        drop(self.channel.replace(Arc::new(value)));
    }

    /// Replaces the value, and wakes nobody before it is [announced](Self::announce): so several
    /// values can be replaced before a reader of one of them looks at the others.
    pub(crate) fn put(&self, value: T) {
        drop(self.channel.put(Arc::new(value)));
    }

    /// Wakes the readers of what was [put](Self::put) there.
    pub(crate) fn announce(&self) {
        self.channel.announce();
    }

    /// Replaces the value and wakes every reader, unless `value` equals the current one.
    pub fn publish_if_changed(&self, value: T) -> bool
    where
        T: PartialEq,
    {
        let mut value = Arc::new(value);
        loop {
            let current = self.get();
            if *current == *value {
                return false;
            }
            match self.channel.replace_if(&current, value) {
                Ok(()) => return true,
                // Another thread has published meanwhile: that is what it has to differ from now.
                Err(refused) => value = refused,
            }
        }
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.channel.get()
    }

    /// A new reader, which has seen the current value.
    #[must_use]
    pub fn reader(&self) -> Live<T> {
        self.channel.reader_comes();
        let (_, seen) = self.channel.read();
        Live { channel: Arc::clone(&self.channel), seen }
    }

    /// Whether the value has a reader.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.channel.is_read()
    }

    /// Waits until the value has no reader any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn unread(&self) {
        self.channel.unread().await;
    }
}

impl<T> Drop for LiveWriter<T> {
    fn drop(&mut self) {
        self.channel.close();
    }
}

impl<T: fmt::Debug> fmt::Debug for LiveWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveWriter").field(&self.get()).finish()
    }
}

/// A value, as its only writer and a first reader.
pub fn live<T>(value: T) -> (LiveWriter<T>, Live<T>) {
    let (channel, seen) = Channel::new(value);
    let channel = Arc::new(channel);
    (LiveWriter { channel: Arc::clone(&channel) }, Live { channel, seen })
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{Mutex, OnceLock, mpsc::sync_channel},
        thread,
        time::Duration,
    };

    use futures_util::FutureExt;
    use nacos_testkit::{TimeLimit, within};

    use super::*;

    #[tokio::test]
    async fn values_in_between_are_skipped() {
        TimeLimit::for_test();
        let (writer, mut reader) = live(0);
        writer.publish(1);
        writer.publish(2);
        assert_eq!(reader.changed().await.as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn reader_ends_with_its_writer_and_keeps_the_last_value() {
        TimeLimit::for_test();
        let (writer, mut reader) = live("last");
        drop(writer);
        assert_eq!(reader.changed().await, None);
        assert_eq!(*reader.get(), "last");
        assert_eq!(reader.wait_for(|value| *value == "next").await, None);
    }

    #[test]
    fn equal_value_wakes_nobody() {
        let (writer, mut reader) = live(1);
        assert!(!writer.publish_if_changed(1));
        assert_eq!(reader.changed().now_or_never(), None);
        assert!(writer.publish_if_changed(2));
        assert_eq!(reader.changed().now_or_never().flatten().as_deref(), Some(&2));
    }

    /// Reads the same value while it is compared, shown or dropped, as a user's type may.
    #[derive(Default)]
    struct Meddler {
        number: u32,
        reader: Arc<OnceLock<Live<Meddler>>>,
    }

    impl Meddler {
        fn meddle(&self) -> u32 {
            // The reader goes with the last of them.
            self.reader.get().map_or(0, |reader| reader.get().number)
        }
    }

    impl PartialEq for Meddler {
        fn eq(&self, other: &Self) -> bool {
            self.writes();
            self.number == other.number
        }
    }

    impl fmt::Debug for Meddler {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.writes();
            write!(f, "{}", self.number)
        }
    }

    thread_local! {
        static WRITER: Cell<Option<&'static LiveWriter<Meddler>>> = const { Cell::new(None) };
    }

    impl Meddler {
        /// Publishes, once, from where only the value's own code runs.
        fn writes(&self) {
            self.meddle();
            if let Some(writer) = WRITER.take() {
                writer.publish(Self { number: 7, reader: Arc::clone(&self.reader) });
            }
        }
    }

    impl Drop for Meddler {
        fn drop(&mut self) {
            self.writes();
        }
    }

    #[test]
    fn no_code_of_the_value_runs_under_the_lock() {
        let _limit = TimeLimit::start();
        let shared = Arc::new(OnceLock::new());
        let meddler = |number| Meddler { number, reader: Arc::clone(&shared) };
        let (writer, reader) = live(meddler(0));
        let writer: &'static _ = Box::leak(Box::new(writer));
        assert!(shared.set(reader.clone()).is_ok());
        let armed = || WRITER.set(Some(writer));

        armed();
        assert!(writer.publish_if_changed(meddler(1)), "compared with what was there, then with 7");
        armed();
        writer.publish(meddler(2));
        armed();
        assert_eq!(format!("{writer:?}"), "LiveWriter(7)");
        armed();
        assert_eq!(format!("{reader:?}"), "Live(7)");
        WRITER.set(None);
    }

    #[test]
    fn condition_may_read_the_same_value_while_it_is_replaced() {
        let _limit = TimeLimit::start();
        let (writer, mut reader) = live(0);
        let same = reader.clone();
        let (begun, running) = sync_channel(0);
        let (published, go_on) = sync_channel(0);
        let publishing = thread::spawn(move || {
            running.recv().expect("the condition runs");
            writer.publish(1);
            published.send(()).expect("the condition waits");
            writer
        });
        // Also while the condition blocks: that takes the caller's time, and no other task's.
        let wait = reader.wait_for(move |value| {
            if *value == 0 {
                begun.send(()).expect("the writer waits");
                go_on.recv().expect("it has published");
            }
            *same.get() == 1 && *value == 1
        });
        let value = wait.now_or_never().flatten();
        assert_eq!(value.as_deref(), Some(&1));
        drop(publishing.join());
    }

    #[tokio::test(start_paused = true)]
    async fn condition_that_nothing_satisfies_sees_every_value_that_stays() {
        let (writer, mut reader) = live(0);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noting = Arc::clone(&seen);
        let waiting = crate::tasks::spawn(async move {
            let note = |value: &i32| noting.lock().expect("whole").push(*value);
            reader
                .wait_for(|value| {
                    note(value);
                    false
                })
                .await
                .is_none()
        });
        within(Duration::from_secs(60), async move {
            for value in 1..3 {
                tokio::task::yield_now().await;
                writer.publish(value);
            }
            tokio::task::yield_now().await;
            drop(writer);
            assert_eq!(waiting.await, Some(true));
        })
        .await;
        assert_eq!(*seen.lock().expect("whole"), [0, 1, 2]);
    }
}
