//! Reads of a disk for which users' requests wait: a few at a time, and none for long.
//!
//! A read that hangs cannot be ended, and keeps its thread: without a bound, each request that
//! stopped waiting for a disk would leave one more behind.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::warn;

use crate::tasks;

/// The reads of one client.
#[derive(Debug)]
pub(crate) struct DiskReads {
    permits: Arc<Semaphore>,
    /// The last read that came to an end was waited for in vain, and none has been done since.
    hangs: Arc<AtomicBool>,
}

impl DiskReads {
    pub(crate) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)), hangs: Arc::default() }
    }

    /// The result of `read`, which waits for a disk; `None` if there is none at `until`. While
    /// nothing but reads is under way that others have stopped waiting for, that is at once.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; a read that has begun goes on, and counts, until the disk answers.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        until: Instant,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.hangs.load(Ordering::Relaxed) => return None,
            Err(_) => {
                let acquired = Arc::clone(&self.permits).acquire_owned();
                let Ok(acquired) = timeout_at(until, acquired).await else {
                    self.late();
                    return None;
                };
                acquired.ok()?
            }
        };
        let hangs = Arc::clone(&self.hangs);
        let reading = tasks::blocking(move || {
            let found = read();
            hangs.store(false, Ordering::Relaxed);
            drop(permit);
            found
        });
        let found = timeout_at(until, reading).await;
        if found.is_err() {
            self.late();
        }
        found.ok()?
    }

    fn late(&self) {
        if !self.hangs.swap(true, Ordering::Relaxed) {
            warn!("the disk does not answer: documents are asked for without it");
        }
    }
}

/// For a disk, whoever waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// As many threads can hang.
const AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::{atomic::AtomicUsize, mpsc};

    use futures_util::FutureExt;
    use nacos_testkit::{TimeLimit, within};
    use tokio::time::advance;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn disk_that_hangs_keeps_a_few_threads_and_is_not_waited_for_again() {
        TimeLimit::for_test();
        let reads = DiskReads::new();
        let begun = Arc::new(AtomicUsize::new(0));
        let mut ends = Vec::new();
        for n in 0..20 {
            let (end, hanging) = mpsc::channel::<()>();
            ends.push(end);
            let begun = Arc::clone(&begun);
            let reading = reads.read(Instant::now() + SECOND, move || {
                begun.fetch_add(1, Ordering::Relaxed);
                // Until the disk is there again.
                let _ = hanging.recv();
            });
            let start = Instant::now();
            let mut reading = std::pin::pin!(reading);
            if let Some(found) = (&mut reading).now_or_never() {
                assert_eq!((found, n >= AT_ONCE), (None, true));
            } else {
                // The clock does not go by itself while a thread reads.
                advance(SECOND).await;
                assert_eq!(reading.await, None);
            }
            assert_eq!(Instant::now() == start, n >= AT_ONCE, "read {n}");
        }
        drop(ends);
        while reads.permits.available_permits() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE);
        let found = within(LONG, reads.read(Instant::now() + LONG, || 7)).await;
        assert_eq!(found, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_disk_is_waited_for_in_turn() {
        TimeLimit::for_test();
        let reads = DiskReads::new();
        let until = Instant::now() + LONG;
        let read = |n: usize| reads.read(until, move || n);
        let found = within(LONG, futures_util::future::join_all((0..50).map(read))).await;
        assert_eq!(found, (0..50).map(Some).collect::<Vec<_>>());
    }
}
