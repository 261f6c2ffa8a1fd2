//! The task that reads snapshots, and files of operators, for watches that begin: nobody waits for
//! a disk but it.
//!
//! A watch claims its document once the disk was read for it, so that the first listen compares
//! with what is known from before. A disk that hangs holds up nobody for longer than [`PATIENCE`]:
//! it is as good as empty then, until it has answered; what it had is shown late. Snapshots and the
//! files of operators may be on two disks: they are read apart, and neither waits for the other any
//! longer than that.
use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::timeout};
use tracing::warn;

use super::{
    disk_reads::PATIENCE,
    inbox::{FromDisk, Outbox, Part},
    saver::Saver,
};
use crate::{
    key::ConfigKey,
    room::Map,
    session::{ClaimKey, GuardId, Queue},
    snapshot::OverrideDir,
    start_policy::StartPolicy,
    tasks,
};

/// The guards for which the disk is to be read.
#[derive(Clone, Debug)]
pub(super) struct Loader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshots: Option<Saver>,
    overrides: Option<OverrideDir>,
    beginning: Mutex<Beginning>,
    filled: [Notify; LANES],
}

/// Never more than there are guards: one that goes takes its wish along.
#[derive(Debug)]
struct Beginning {
    /// By lane: those for which it is to be read.
    queues: [Queue<GuardId>; LANES],
    guards: Map<GuardId, Beginner>,
}

/// A guard that waits for the disk.
#[derive(Debug)]
struct Beginner {
    key: ConfigKey,
    lanes: [Reading; LANES],
    /// This is not told yet.
    found: FromDisk,
}

/// How far a lane has come for a guard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reading {
    Waits,
    /// The guard waits for it no more, and learns late what is there.
    Late,
    Over,
}

/// Snapshots, or the files of an operator.
#[derive(Clone, Copy, Debug)]
enum Lane {
    Snapshots,
    Overrides,
}

impl Loader {
    /// None if there is nothing to read.
    pub(super) fn new(snapshots: Option<Saver>, overrides: Option<OverrideDir>) -> Option<Self> {
        if snapshots.is_none() && overrides.is_none() {
            return None;
        }
        let beginning = Beginning { queues: [Queue::new(), Queue::new()], guards: Map::new() };
        let (beginning, filled) = (Mutex::new(beginning), [Notify::new(), Notify::new()]);
        Some(Self { shared: Arc::new(Shared { snapshots, overrides, beginning, filled }) })
    }

    /// Whether a watch with this policy has to wait for the disk.
    pub(super) fn concerns(&self, policy: StartPolicy) -> bool {
        self.lanes(policy).contains(&true)
    }

    /// `guard` begins to watch `key` by this policy, and waits for the disk.
    pub(super) fn load(&self, guard: GuardId, key: ConfigKey, policy: StartPolicy) {
        let reads = self.lanes(policy);
        let lanes = reads.map(|reads| if reads { Reading::Waits } else { Reading::Over });
        let mut beginning = self.beginning();
        beginning.guards.insert(guard, Beginner { key, lanes, found: FromDisk::default() });
        for (queue, _) in beginning.queues.iter_mut().zip(reads).filter(|(_, reads)| *reads) {
            queue.push(guard);
        }
        drop(beginning);
        for (filled, _) in self.shared.filled.iter().zip(reads).filter(|(_, reads)| *reads) {
            filled.notify_one();
        }
    }

    /// `guard` is gone.
    pub(super) fn cancel(&self, guard: GuardId) {
        let mut beginning = self.beginning();
        for queue in &mut beginning.queues {
            queue.remove(&guard);
        }
        beginning.guards.remove(&guard);
    }

    /// Reads whatever there is to read, for ever, and gives it to the driver.
    pub(super) async fn run(self, outbox: Outbox) {
        tokio::join!(
            self.run_lane(Lane::Snapshots, &outbox),
            self.run_lane(Lane::Overrides, &outbox)
        );
    }

    /// The lanes that are to be read for a watch with this policy.
    fn lanes(&self, policy: StartPolicy) -> [bool; LANES] {
        let snapshots = self.shared.snapshots.is_some() && policy.reads_snapshots();
        [snapshots, self.shared.overrides.is_some()]
    }

    async fn run_lane(&self, lane: Lane, outbox: &Outbox) {
        let filled = &self.shared.filled[lane as usize];
        loop {
            let guards = self.take(lane);
            if guards.is_empty() {
                filled.notified().await;
                continue;
            }
            let (shared, keys) = (Arc::clone(&self.shared), guards.clone());
            let read = move || {
                let read = |(_, key): &(GuardId, ConfigKey)| shared.read(lane, key);
                keys.iter().map(read).collect::<Vec<_>>()
            };
            let mut reading = pin!(tasks::blocking(read));
            let found = if let Ok(found) = timeout(PATIENCE, &mut reading).await {
                found
            } else {
                warn!("the disk does not answer: watches begin without {}", lane.what());
                for (guard, _) in &guards {
                    self.settle(lane, *guard, Reading::Late, lane.nothing(), outbox);
                }
                loop {
                    for guard in self.waiting(lane) {
                        self.settle(lane, guard, Reading::Late, lane.nothing(), outbox);
                    }
                    tokio::select! {
                        // One read at a time: a disk that hangs costs one thread.
                        found = &mut reading => break found,
                        () = filled.notified() => {}
                    }
                }
            };
            // A read that has panicked has found nothing.
            let found = found.unwrap_or_default().into_iter();
            let found = found.chain(std::iter::repeat_with(|| lane.nothing()));
            for ((guard, _), found) in guards.into_iter().zip(found) {
                self.settle(lane, guard, Reading::Over, found, outbox);
            }
        }
    }

    /// The next guards for which a lane is to be read.
    fn take(&self, lane: Lane) -> Vec<(GuardId, ConfigKey)> {
        let mut beginning = self.beginning();
        let Beginning { queues, guards } = &mut *beginning;
        let next = std::iter::from_fn(|| queues[lane as usize].pop());
        let key = |guard| guards.get(&guard).map(|beginner| (guard, beginner.key.clone()));
        next.filter_map(key).take(AT_ONCE).collect()
    }

    /// The guards for which a lane is still to be read.
    fn waiting(&self, lane: Lane) -> Vec<GuardId> {
        let beginning = self.beginning();
        let queue = &beginning.queues[lane as usize];
        queue.between(0, queue.last_place()).copied().collect()
    }

    /// A lane has come so far for a guard, and has found this. The driver is told once the guard
    /// waits for no lane.
    fn settle(
        &self,
        lane: Lane,
        guard: GuardId,
        reading: Reading,
        found: FromDisk,
        outbox: &Outbox,
    ) {
        let mut beginning = self.beginning();
        let Some(beginner) = beginning.guards.get_mut(&guard) else { return };
        let former = std::mem::replace(&mut beginner.lanes[lane as usize], reading);
        if former == reading {
            return;
        }
        beginner.found.add(found);
        if beginner.lanes.contains(&Reading::Waits) {
            return;
        }
        let found = std::mem::take(&mut beginner.found);
        let key = ClaimKey::Listen(beginner.key.clone());
        if !beginner.lanes.contains(&Reading::Late) {
            beginning.guards.remove(&guard);
        }
        drop(beginning);
        outbox.read(guard, key, found);
    }

    fn beginning(&self) -> MutexGuard<'_, Beginning> {
        // A panic under the lock cannot leave the queue half-changed for long: see `take`.
        self.shared.beginning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Waits for the disk.
    fn read(&self, lane: Lane, key: &ConfigKey) -> FromDisk {
        let mut found = lane.nothing();
        match lane {
            Lane::Snapshots => match self.snapshots.as_ref().map(|snapshots| snapshots.read(key)) {
                Some(Ok(Some(snapshot))) => found.snapshot = Part::Found(snapshot),
                Some(Err(error)) => {
                    warn!(%key, %error, "the snapshot of a document cannot be read");
                }
                Some(Ok(None)) | None => {}
            },
            Lane::Overrides => match self.overrides.as_ref().map(|overrides| overrides.read(key)) {
                Some(Ok(Some(by))) => found.overridden = Part::Found(by),
                Some(Err(error)) => {
                    warn!(%key, %error, "an operator's file is of no use: the server's document holds");
                }
                Some(Ok(None)) | None => {}
            },
        }
        found
    }
}

impl Lane {
    /// In words.
    fn what(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Overrides => "an operator's files",
        }
    }

    /// It has nothing.
    fn nothing(self) -> FromDisk {
        let mut found = FromDisk::default();
        match self {
            Self::Snapshots => found.snapshot = Part::Nothing,
            Self::Overrides => found.overridden = Part::Nothing,
        }
        found
    }
}

const LANES: usize = 2;
/// Files that are read before the first of them is shown.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{
        super::inbox::{Inbox, inbox},
        *,
    };
    use crate::{
        document::Document,
        snapshot::{SnapshotDir, Word},
    };

    fn loader() -> Loader {
        let saver = Saver::new(SnapshotDir::new("nowhere", "blue"));
        Loader::new(Some(saver), Some(OverrideDir::new("nowhere"))).expect("something to read")
    }

    fn told(inbox: &Inbox) -> Vec<(GuardId, FromDisk)> {
        let (_, wishes) = inbox.take(9);
        let disk =
            |(guard, wish): (_, super::super::inbox::Wish)| (guard, *wish.disk.expect("read"));
        wishes.into_iter().map(disk).collect()
    }

    #[test]
    fn disk_that_hangs_keeps_back_its_own_files_only_and_shows_them_late() {
        let (loader, (outbox, inbox)) = (loader(), inbox());
        let (guard, key) = (GuardId(1), ConfigKey::try_from("d").expect("valid"));
        loader.load(guard, key, StartPolicy::default());
        let document = Document::new("kept", "text");
        let snapshot = Word::new(Some(document.clone())).into_snapshot();
        let found = FromDisk { snapshot: Part::Found(snapshot), ..FromDisk::default() };
        loader.settle(Lane::Snapshots, guard, Reading::Over, found, &outbox);
        assert_eq!(told(&inbox).len(), 0, "the operator may say otherwise");
        let overrides = Lane::Overrides;
        loader.settle(overrides, guard, Reading::Late, FromDisk::default(), &outbox);
        let [(_, found)] = &told(&inbox)[..] else { panic!("one guard") };
        assert!(matches!(found.snapshot, Part::Found(_)));
        assert!(matches!(found.overridden, Part::Unread));
        loader.settle(overrides, guard, Reading::Late, FromDisk::default(), &outbox);
        assert_eq!(told(&inbox).len(), 0, "it is told once");

        let by = (document, Arc::from(Path::new("/d")));
        let found = FromDisk { overridden: Part::Found(by), ..FromDisk::default() };
        loader.settle(overrides, guard, Reading::Over, found, &outbox);
        let [(_, found)] = &told(&inbox)[..] else { panic!("one guard") };
        assert!(matches!((&found.snapshot, &found.overridden), (Part::Unread, Part::Found(_))));
        assert_eq!(loader.beginning().guards.len(), 0);
    }

    #[test]
    fn remote_watch_reads_no_snapshot_and_a_guard_that_goes_takes_its_wish_along() {
        let loader = loader();
        let key = ConfigKey::try_from("d").expect("valid");
        loader.load(GuardId(1), key.clone(), StartPolicy::remote());
        loader.load(GuardId(2), key, StartPolicy::default());
        loader.cancel(GuardId(2));
        assert_eq!(loader.take(Lane::Snapshots).len(), 0);
        assert_eq!(loader.take(Lane::Overrides).len(), 1);
    }
}
