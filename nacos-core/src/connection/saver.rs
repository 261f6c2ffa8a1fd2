//! The task that writes snapshots: nobody waits for a disk but it.
//!
//! It keeps the newest state of each document until it is written, so that a document that changes
//! in a loop is written as often as the disk can, and no more. A document that cannot be written is
//! tried again ever more rarely, and holds up no other; where nothing can be written, a few are
//! tried each second. All that is warned about once.
//!
//! Snapshots are also [read](Saver::read) here: a document that is still to be written is newer
//! than the disk, and one that was removed meanwhile is not there any more.
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{
    key::ConfigKey,
    room::Map,
    session::{Queue, Timers},
    snapshot::{Snapshot, SnapshotDir, Word},
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

/// The file of a document, or of its gray version.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct File {
    key: ConfigKey,
    is_gray: bool,
}

#[derive(Debug)]
struct Backlog {
    /// The documents to write, in the order in which they came.
    order: Queue<File>,
    /// Those that could not be written, by the time at which each is tried again.
    retries: Timers<File>,
    /// How often in a row each of them could not be.
    failures: Map<File, u32>,
    /// Each of both as it was last seen.
    newest: Map<File, Word>,
    /// The one that is being written.
    writing: Option<(File, Word)>,
    /// How many writes have ended.
    ended: u64,
    /// The end is near: what cannot be written now never is.
    is_last: bool,
    /// How many in a row could not be written, whichever they were.
    failed: u32,
    /// The disk is left alone until then.
    rests_until: Option<Instant>,
}

/// The next thing to do.
enum Turn {
    Write(File, Word),
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
            writing: None,
            ended: 0,
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

    /// A server has said this: it is to be written, in place of what it said before. A gray version
    /// is none that everybody gets, and takes the place of another gray one only. Neither waits nor
    /// fails.
    pub(crate) fn save(&self, key: &ConfigKey, word: Word) {
        let is_gray = word.document.as_ref().is_some_and(|document| document.gray.is_some());
        let key = &File { key: key.clone(), is_gray };
        let mut waiting = self.waiting();
        if waiting
            .pending(key)
            .is_some_and(|known| word.is_older_than(known.said_at, SystemTime::now()))
        {
            return;
        }
        if waiting.newest.len() >= MOST_WAITING && waiting.newest.get(key).is_none() {
            drop(waiting);
            // The disk has been out of order for long, and that has been said.
            return telemetry::snapshot_written("failed");
        }
        if !is_gray {
            // The gray version is over.
            waiting.forget(&File { is_gray: true, ..key.clone() });
        }
        if waiting.newest.insert(key.clone(), word).is_none() {
            waiting.order.push(key.clone());
        }
        drop(waiting);
        self.shared.filled.notify_one();
    }

    /// The snapshot of `key`: the one that is still to be written, or else the one on the disk, for
    /// which it waits.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn read(&self, key: &ConfigKey) -> io::Result<Option<Snapshot>> {
        let file = File { key: key.clone(), is_gray: false };
        let pending = || {
            let waiting = self.waiting();
            (waiting.pending(&file).cloned().map(Word::into_snapshot), waiting.ended)
        };
        let (mut word, mut ended) = pending();
        loop {
            if word.is_some() {
                return Ok(word);
            }
            let found = self.shared.snapshots.read(key)?;
            let before = ended;
            (word, ended) = pending();
            // A write that has ended meanwhile may have been of this document.
            if word.is_none() && ended == before {
                return Ok(found);
            }
        }
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
                if waiting.newest.is_empty() && waiting.writing.is_none() {
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
            let (key, word) = match turn {
                Turn::Write(key, word) => (key, word),
                Turn::Wait(until) => {
                    tokio::select! {
                        () = self.shared.filled.notified() => {}
                        () = sleep_until(until.map(Into::into)) => {}
                    }
                    continue;
                }
            };
            let snapshots = self.shared.snapshots.clone();
            let outcome = tasks::blocking(move || snapshots.write_of(&key.key, &word)).await;
            let outcome = outcome.unwrap_or_else(|| Err(io::Error::other("no thread writes")));
            match outcome {
                Ok(is_new) => {
                    telemetry::snapshot_written(if is_new { "written" } else { "unchanged" });
                    let is_clean =
                        self.end_turn(|waiting, key, _| waiting.written(&key)).unwrap_or_default();
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
                    self.end_turn(|waiting, key, _| waiting.written(&key));
                }
                Err(error) => {
                    telemetry::snapshot_written("failed");
                    if !std::mem::replace(&mut is_troubled, true) {
                        warn!(%error, "snapshots of documents cannot be written");
                    }
                    self.end_turn(|waiting, key, word| waiting.put_back(now(), key, word));
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
    fn end_turn<T>(&self, end: impl FnOnce(&mut Backlog, File, Word) -> T) -> Option<T> {
        let mut waiting = self.waiting();
        let (key, word) = waiting.writing.take()?;
        waiting.ended += 1;
        let outcome = end(&mut waiting, key, word);
        let is_drained = waiting.newest.is_empty();
        drop(waiting);
        if is_drained {
            self.shared.drained.notify_waiters();
        }
        Some(outcome)
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
            if let Some(word) = self.newest.remove(&key) {
                self.writing = Some((key.clone(), word.clone()));
                return Turn::Write(key, word);
            }
        }
        Turn::Wait(self.retries.next())
    }

    /// The newest word that is not on the disk yet.
    fn pending(&self, key: &File) -> Option<&Word> {
        let writing = || self.writing.as_ref().filter(|(writing, _)| writing == key);
        self.newest.get(key).or_else(|| writing().map(|(_, word)| word))
    }

    /// It is not to be written any more.
    fn forget(&mut self, file: &File) {
        self.order.remove(file);
        self.retries.remove(file);
        self.failures.remove(file);
        self.newest.remove(file);
    }

    /// It is dealt with. Says whether no document stands that could not be written.
    fn written(&mut self, key: &File) -> bool {
        self.failed = 0;
        self.failures.remove(key);
        self.failures.is_empty()
    }

    /// It could not be written, and is tried again later, unless there is a newer one by now: then
    /// that is.
    fn put_back(&mut self, now: Instant, key: File, word: Word) {
        if self.is_last {
            self.failures.remove(&key);
            return;
        }
        let times = self.failures.get(&key).copied().unwrap_or_default();
        self.failures.insert(key.clone(), times.saturating_add(1));
        if self.newest.get(&key).is_none() {
            self.newest.insert(key.clone(), word);
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
    use crate::document::Document;

    const LONG: Duration = Duration::from_secs(600);

    fn key(data_id: &str) -> ConfigKey {
        ConfigKey::try_from(data_id).expect("valid")
    }

    fn file(key: &ConfigKey) -> File {
        File { key: key.clone(), is_gray: false }
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
            saver.save(&key("a"), Word::new(Some(document(&n.to_string()))));
        }
        saver.save(&key("b"), Word::new(None));
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
        saver.save(&key("a"), Word::new(Some(document("1"))));
        saver.save(&key("b"), Word::new(Some(document("1"))));
        sleep(Duration::from_secs(60)).await;
        saver.save(&key("a"), Word::new(Some(document("2"))));
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
        saver.save(&bad, Word::new(Some(document("1"))));
        sleep(Duration::from_secs(200)).await;
        let long = Document::new("1", "x".repeat(70_000));
        let (began, count) = (now(), 20_u8);
        for n in 0..count {
            saver.save(&key("long"), Word::new(Some(long.clone())));
            saver.save(&key("a"), Word::new(Some(document(&n.to_string()))));
            sleep(Duration::from_millis(1)).await;
        }
        let is_idle = || {
            let waiting = saver.waiting();
            waiting.writing.is_none() && waiting.order.is_empty()
        };
        while !is_idle() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(now() - began < PAUSE, "not after the pause of another");
        let read = snapshots.read(&key("a")).expect("readable").expect("there");
        assert_eq!(read.document, Some(document("19")));
        let newest = |key| saver.waiting().newest.get(&file(key)).is_some();
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
            saver.save(&key(&format!("d{n}")), Word::new(None));
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
            saver.save(&key(&format!("d{n}")), Word::new(None));
        }
        saver.save(&key("d0"), Word::new(Some(document("newer"))));
        let waiting = saver.waiting();
        assert_eq!((waiting.newest.len(), waiting.order.len()), (MOST_WAITING, MOST_WAITING));
        let newest = waiting.newest.get(&file(&key("d0"))).and_then(|word| word.document.clone());
        assert_eq!(newest, Some(document("newer")));
    }

    #[test]
    fn word_that_waits_for_the_disk_is_read_in_place_of_what_is_there() {
        let root = tempfile::tempdir().expect("a directory");
        let snapshots = SnapshotDir::new(root.path(), "blue");
        snapshots.write(&key("d"), Some(&document("removed"))).expect("written");
        let saver = Saver::new(snapshots);
        let read = || saver.read(&key("d")).expect("readable").expect("known").document;
        assert_eq!(read(), Some(document("removed")));
        saver.save(&key("d"), Word::new(None));
        assert_eq!(read(), None);
        // So is the one that is being written, and the one that cannot be.
        let turn = saver.waiting().turn(now());
        assert!(matches!(turn, Turn::Write(..)));
        assert_eq!(read(), None);
        saver.end_turn(|waiting, key, word| waiting.put_back(now(), key, word));
        assert_eq!(read(), None);
    }

    #[test]
    fn slow_answer_takes_the_place_of_no_later_word() {
        let saver = Saver::new(SnapshotDir::new("nowhere", "blue"));
        let second = Duration::from_secs(1);
        let at = |content, said_at| Word { document: Some(document(content)), said_at };
        let now = SystemTime::now();
        let newest = || saver.read(&key("d")).expect("waits").and_then(|found| found.document);
        saver.save(&key("d"), at("new", now - second));
        saver.save(&key("d"), at("old", now - second * 2));
        assert_eq!(newest(), Some(document("new")));
        // The clock was ahead by an hour then.
        saver.save(&key("d"), at("ahead", now + second * 3600));
        saver.save(&key("d"), at("after", SystemTime::now()));
        assert_eq!(newest(), Some(document("after")));
    }

    #[test]
    fn gray_version_takes_no_formal_one_with_it_and_ends_with_the_next() {
        let root = tempfile::tempdir().expect("a directory");
        let saver = Saver::new(SnapshotDir::new(root.path(), "blue"));
        let mut gray = document("gray");
        gray.gray = Some(crate::gray::Gray::Beta);
        let save = |document| saver.save(&key("d"), Word::new(Some(document)));
        let read = || saver.read(&key("d")).expect("readable").and_then(|found| found.document);
        save(document("formal"));
        save(gray.clone());
        assert_eq!((read(), saver.waiting().newest.len()), (Some(document("formal")), 2));
        save(document("gray"));
        assert_eq!((read(), saver.waiting().newest.len()), (Some(document("gray")), 1));
    }
}
