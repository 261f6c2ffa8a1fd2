//! The task that writes snapshots: nobody waits for a disk but it.
//!
//! It keeps the newest state of each document until it is written, so that a document that changes
//! in a loop is written as often as the disk can, and no more. A document that cannot be written is
//! tried again ever more rarely, and holds up no other; where nothing can be written, a few are
//! tried each second. All that is warned about once.
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{
    document::Document,
    key::ConfigKey,
    room::Map,
    session::{Queue, Timers},
    snapshot::SnapshotDir,
    tasks, telemetry,
    time::{doubled, sleep_until},
};

/// The snapshots of one client, and what is to be written there.
#[derive(Clone, Debug)]
pub(crate) struct Saver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshots: SnapshotDir,
    waiting: Mutex<Backlog>,
    /// There is something to write, or it is to be written sooner.
    filled: Notify,
    /// There is nothing to write any more.
    drained: Notify,
}

#[derive(Debug)]
struct Backlog {
    /// The documents to write, in the order in which they came.
    order: Queue<ConfigKey>,
    /// Those that could not be written, by the time at which each is tried again.
    retries: Timers<ConfigKey>,
    /// How often in a row each of them could not be.
    failures: Map<ConfigKey, u32>,
    /// Each of both as it was last seen; `None` for one that is confirmed absent.
    newest: Map<ConfigKey, Option<Document>>,
    is_writing: bool,
    /// The end is near: what cannot be written now never is.
    is_last: bool,
    /// How many in a row could not be written, whichever they were.
    failed: u32,
    /// The disk is left alone until then.
    rests_until: Option<Instant>,
}

/// The next thing to do.
enum Turn {
    Write(ConfigKey, Option<Document>),
    /// Until then, or until there is something to write.
    Wait(Option<Instant>),
}

impl Saver {
    pub(crate) fn new(snapshots: SnapshotDir) -> Self {
        let waiting = Backlog {
            order: Queue::new(),
            retries: Timers::new(),
            failures: Map::new(),
            newest: Map::new(),
            is_writing: false,
            is_last: false,
            failed: 0,
            rests_until: None,
        };
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
        if document.as_ref().is_some_and(|document| document.gray.is_some()) {
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

    /// The end: tries everything once more, at once, and waits until it is on the disk or cannot
    /// be.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn drained(&self) {
        self.waiting().hurry();
        self.shared.filled.notify_one();
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
        // Of what passes by itself, and of what does not.
        let (mut is_troubled, mut is_refused) = (false, false);
        loop {
            let turn = self.waiting().turn(now());
            let (key, document) = match turn {
                Turn::Write(key, document) => (key, document),
                Turn::Wait(until) => {
                    tokio::select! {
                        () = self.shared.filled.notified() => {}
                        () = sleep_until(until.map(Into::into)) => {}
                    }
                    continue;
                }
            };
            let (snapshots, about) = (self.shared.snapshots.clone(), key.clone());
            let writing = move || {
                let outcome = snapshots.write(&about, document.as_ref());
                (document, outcome)
            };
            let Some((document, outcome)) = tasks::blocking(writing).await else {
                // The writer panicked: not again for this state.
                telemetry::snapshot_written("failed");
                self.end_turn(|waiting| waiting.written(&key));
                continue;
            };
            match outcome {
                Ok(is_new) => {
                    telemetry::snapshot_written(if is_new { "written" } else { "unchanged" });
                    let is_clean = self.end_turn(|waiting| waiting.written(&key));
                    if is_troubled && is_clean {
                        is_troubled = false;
                        info!("snapshots can be written again");
                    }
                }
                // Nothing that passes by itself.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    telemetry::snapshot_written("failed");
                    if !std::mem::replace(&mut is_refused, true) {
                        warn!(%error, "a document has no snapshot, nor may others like it");
                    }
                    self.end_turn(|waiting| waiting.written(&key));
                }
                Err(error) => {
                    telemetry::snapshot_written("failed");
                    if !std::mem::replace(&mut is_troubled, true) {
                        warn!(%error, "snapshots of documents cannot be written");
                    }
                    self.end_turn(|waiting| waiting.put_back(now(), key, document));
                }
            }
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
            warn!(%path, "another user can change the snapshots: the folder is his, or open to all");
        }
    }

    /// The write under way is over.
    fn end_turn<T>(&self, end: impl FnOnce(&mut Backlog) -> T) -> T {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        let outcome = end(&mut waiting);
        let is_drained = waiting.newest.is_empty();
        drop(waiting);
        if is_drained {
            self.shared.drained.notify_waiters();
        }
        outcome
    }

    fn waiting(&self) -> MutexGuard<'_, Backlog> {
        // A panic under the lock costs one snapshot.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog {
    fn turn(&mut self, now: Instant) -> Turn {
        if let Some(until) = self.rests_until.filter(|until| *until > now) {
            return Turn::Wait(Some(until));
        }
        self.rests_until = None;
        while let Some(key) = self.retries.pop(now) {
            self.order.push(key);
        }
        while let Some(key) = self.order.pop() {
            if let Some(document) = self.newest.remove(&key) {
                self.is_writing = true;
                return Turn::Write(key, document);
            }
        }
        Turn::Wait(self.retries.next())
    }

    /// It is dealt with. Says whether no document stands that could not be written.
    fn written(&mut self, key: &ConfigKey) -> bool {
        self.failed = 0;
        self.failures.remove(key);
        self.failures.is_empty()
    }

    /// It could not be written, and is tried again later, unless there is a newer one by now: then
    /// that is.
    fn put_back(&mut self, now: Instant, key: ConfigKey, document: Option<Document>) {
        if self.is_last {
            self.failures.remove(&key);
            return;
        }
        let times = self.failures.get(&key).copied().unwrap_or_default();
        self.failures.insert(key.clone(), times.saturating_add(1));
        if self.newest.get(&key).is_none() {
            self.newest.insert(key.clone(), document);
        }
        self.order.remove(&key);
        self.retries.push(now + doubled(PAUSE, times, LONGEST_PAUSE), key);
        self.failed += 1;
        if self.failed >= MOST_FAILED {
            self.failed = 0;
            self.rests_until = Some(now + PAUSE);
        }
    }

    /// Nothing waits for its time any more.
    fn hurry(&mut self) {
        self.is_last = true;
        self.rests_until = None;
        while let Some(at) = self.retries.next() {
            while let Some(key) = self.retries.pop(at) {
                self.order.push(key);
            }
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Documents that wait for a disk that is out of order.
const MOST_WAITING: usize = 65_536;
/// Writes that may fail in a row before the disk is left alone for [`PAUSE`].
const MOST_FAILED: u32 = 8;
/// After a write that failed; doubled after each of the same document that fails again.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::fs;

    use nacos_testkit::{TimeLimit, within};
    use tokio::time::sleep;

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

    #[tokio::test(start_paused = true)]
    async fn document_that_cannot_be_written_holds_up_no_other() {
        TimeLimit::for_test();
        let root = tempfile::tempdir().expect("a directory");
        let snapshots = SnapshotDir::new(root.path(), "blue");
        snapshots.prepare().expect("made");
        let namespace = snapshots.path().join("received/public");
        fs::create_dir(&namespace).expect("made");
        fs::write(namespace.join("BAD%ue"), "a file").expect("written");
        let bad = ConfigKey::try_from(("a", "BAD")).expect("valid");
        let saver = Saver::new(snapshots.clone());
        let _writing = tasks::spawn(saver.clone().run());
        saver.save(&bad, Some(document("1")));
        sleep(Duration::from_secs(200)).await;
        let long = Document::new("1", "x".repeat(70_000));
        let (began, count) = (now(), 20_u8);
        for n in 0..count {
            saver.save(&key("long"), Some(long.clone()));
            saver.save(&key("a"), Some(document(&n.to_string())));
            sleep(Duration::from_millis(1)).await;
        }
        let is_idle = || {
            let waiting = saver.waiting();
            !waiting.is_writing && waiting.order.is_empty()
        };
        while !is_idle() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(now() - began < PAUSE, "not after the pause of another");
        let read = snapshots.read(&key("a")).expect("readable").expect("there");
        assert_eq!(read.document, Some(document("19")));
        let newest = |key| saver.waiting().newest.get(key).is_some();
        assert!(newest(&bad) && !newest(&key("long")), "one may pass by itself");

        // The end waits for no pause.
        fs::remove_file(namespace.join("BAD%ue")).expect("removed");
        let began = now();
        within(LONG, saver.drained()).await;
        assert!(now() - began < PAUSE);
        assert!(snapshots.read(&bad).expect("readable").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn disk_on_which_nothing_can_be_written_is_tried_a_few_times_a_second_and_once_at_the_end()
     {
        TimeLimit::for_test();
        let root = tempfile::tempdir().expect("a directory");
        let blocked = root.path().join("nacos");
        fs::write(&blocked, "a file").expect("written");
        let saver = Saver::new(SnapshotDir::new(&blocked, "blue"));
        for n in 0..100 {
            saver.save(&key(&format!("d{n}")), None);
        }
        let _writing = tasks::spawn(saver.clone().run());
        sleep(PAUSE * 5 / 2).await;
        let failures: u32 = saver.waiting().failures.values().sum();
        assert!((16..=24).contains(&failures), "{failures}");
        within(PAUSE, saver.drained()).await;
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
