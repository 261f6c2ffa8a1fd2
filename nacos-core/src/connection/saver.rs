//! The task that writes snapshots: nobody waits for a disk but it.
//!
//! It keeps the newest state of each document until it is written, so that a document that changes
//! in a loop is written as often as the disk can, and no more. A disk that is full or cannot be
//! written to is warned about once, and tried again ever more rarely.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tracing::{info, warn};

use crate::{
    document::Document, key::ConfigKey, room::Map, session::Queue, snapshot::SnapshotDir, tasks,
    telemetry, time::doubled,
};

/// The snapshots of one client, and what is to be written there.
#[derive(Clone, Debug)]
pub(crate) struct Saver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshots: SnapshotDir,
    waiting: Mutex<Waiting>,
    /// There is something to write.
    filled: Notify,
    /// There is nothing to write any more.
    drained: Notify,
}

#[derive(Debug)]
struct Waiting {
    /// The documents to write, in the order in which they came.
    order: Queue<ConfigKey>,
    /// Each as it was last seen; `None` for one that is confirmed absent.
    newest: Map<ConfigKey, Option<Document>>,
    /// One is being written, or was to be and could not.
    is_writing: bool,
}

impl Saver {
    pub(crate) fn new(snapshots: SnapshotDir) -> Self {
        let waiting = Waiting { order: Queue::new(), newest: Map::new(), is_writing: false };
        let shared = Shared {
            snapshots,
            waiting: Mutex::new(waiting),
            filled: Notify::new(),
            drained: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The document is this, by the server's word: it is to be written, in place of what was to be
    /// before. A gray version is none that everybody gets, and is not written: the last one that
    /// was stays. Neither waits nor fails.
    pub(crate) fn save(&self, key: &ConfigKey, document: Option<Document>) {
        if document.as_ref().is_some_and(|document| document.is_gray) {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.newest.len() >= MOST_WAITING && waiting.newest.get(key).is_none() {
            drop(waiting);
            // The disk has been out of order for long, and that has been said.
            return telemetry::snapshot_written("failed");
        }
        if waiting.newest.insert(key.clone(), document).is_none() {
            waiting.order.push(key.clone());
        }
        drop(waiting);
        self.shared.filled.notify_one();
    }

    /// Waits until everything is on the disk.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.shared.drained.notified();
            let mut drained = std::pin::pin!(drained);
            // Before the look, or the end of the last write could be missed.
            drained.as_mut().enable();
            {
                let waiting = self.waiting();
                if waiting.newest.is_empty() && !waiting.is_writing {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Writes whatever there is to write, for ever.
    pub(crate) async fn run(self) {
        self.begin().await;
        let mut failures = 0;
        loop {
            let Some((key, document)) = self.take() else {
                self.shared.filled.notified().await;
                continue;
            };
            let (snapshots, about) = (self.shared.snapshots.clone(), key.clone());
            let (document, outcome) = {
                let writing = move || {
                    let outcome = snapshots.write(&about, document.as_ref());
                    (document, outcome)
                };
                match tasks::blocking(writing).await {
                    Some((document, outcome)) => (Some(document), outcome),
                    None => (None, Err(std::io::Error::other("the writer panicked"))),
                }
            };
            let error = match outcome {
                Ok(is_new) => {
                    telemetry::snapshot_written(if is_new { "written" } else { "unchanged" });
                    if failures > 0 {
                        info!("snapshots can be written again");
                    }
                    failures = 0;
                    self.written();
                    continue;
                }
                Err(error) => error,
            };
            telemetry::snapshot_written("failed");
            if failures == 0 {
                warn!(%error, "snapshots of documents cannot be written");
            }
            if let Some(document) = document {
                self.put_back(key, document);
            }
            sleep(doubled(PAUSE, failures, LONGEST_PAUSE)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Says where snapshots are, and what is strange about that place.
    async fn begin(&self) {
        let snapshots = self.shared.snapshots.clone();
        let path = snapshots.path();
        let is_foreign = tasks::blocking(move || snapshots.is_foreign()).await;
        let path = path.display();
        let Some(Ok(is_foreign)) = is_foreign else {
            // The first write says why.
            return info!(%path, "snapshots of documents are to be kept here");
        };
        info!(%path, "snapshots of documents are kept here");
        if is_foreign {
            warn!(%path, "the snapshots belong to another user too, who can change them");
        }
    }

    fn take(&self) -> Option<(ConfigKey, Option<Document>)> {
        let mut waiting = self.waiting();
        while let Some(key) = waiting.order.pop() {
            if let Some(document) = waiting.newest.remove(&key) {
                waiting.is_writing = true;
                return Some((key, document));
            }
        }
        None
    }

    fn written(&self) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        let is_drained = waiting.newest.is_empty();
        drop(waiting);
        if is_drained {
            self.shared.drained.notify_waiters();
        }
    }

    /// It could not be written: the next turn is its, unless there is a newer one by now.
    fn put_back(&self, key: ConfigKey, document: Option<Document>) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        if waiting.newest.get(&key).is_none() {
            waiting.newest.insert(key.clone(), document);
            waiting.order.push(key);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic under the lock costs one snapshot.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Documents that wait for a disk that is out of order.
const MOST_WAITING: usize = 65_536;
/// After a write that failed; doubled after each that fails again.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::fs;

    use nacos_testkit::{TimeLimit, within};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn key(data_id: &str) -> ConfigKey {
        ConfigKey::try_from(data_id).expect("valid")
    }

    fn document(content: &str) -> Document {
        Document::new(content, "text")
    }

    #[tokio::test]
    async fn newest_state_of_each_document_is_written() {
        TimeLimit::for_test();
        let root = tempfile::tempdir().expect("a directory");
        let snapshots = SnapshotDir::new(root.path(), "blue");
        let saver = Saver::new(snapshots.clone());
        for n in 0..100 {
            saver.save(&key("a"), Some(document(&n.to_string())));
        }
        saver.save(&key("b"), None);
        let _writing = tasks::spawn(saver.clone().run());
        within(LONG, saver.drained()).await;
        let read = |name| snapshots.read(&key(name)).expect("readable").expect("there");
        assert_eq!(read("a").document, Some(document("99")));
        assert_eq!((read("a").seq, read("b").document), (1, None), "what came between is skipped");
    }

    #[tokio::test(start_paused = true)]
    async fn disk_that_is_out_of_order_is_tried_again_and_nothing_is_lost() {
        TimeLimit::for_test();
        let root = tempfile::tempdir().expect("a directory");
        let blocked = root.path().join("nacos");
        fs::write(&blocked, "a file").expect("written");
        let snapshots = SnapshotDir::new(&blocked, "blue");
        let saver = Saver::new(snapshots.clone());
        let _writing = tasks::spawn(saver.clone().run());
        saver.save(&key("a"), Some(document("1")));
        saver.save(&key("b"), Some(document("1")));
        sleep(Duration::from_secs(60)).await;
        saver.save(&key("a"), Some(document("2")));
        fs::remove_file(&blocked).expect("removed");
        within(LONG, saver.drained()).await;
        let read = |name| snapshots.read(&key(name)).expect("readable").expect("there").document;
        assert_eq!((read("a"), read("b")), (Some(document("2")), Some(document("1"))));
    }

    #[test]
    fn documents_that_wait_for_a_disk_are_bounded() {
        let saver = Saver::new(SnapshotDir::new("nowhere", "blue"));
        for n in 0..MOST_WAITING + 9 {
            saver.save(&key(&format!("d{n}")), None);
        }
        saver.save(&key("d0"), Some(document("newer")));
        let waiting = saver.waiting();
        assert_eq!((waiting.newest.len(), waiting.order.len()), (MOST_WAITING, MOST_WAITING));
        assert_eq!(waiting.newest.get(&key("d0")), Some(&Some(document("newer"))));
    }
}
