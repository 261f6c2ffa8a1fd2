//! The task that reads snapshots, and files of operators, for watches that begin: nobody waits for
//! a disk but it.
//!
//! A watch claims its document once the disk was read for it, so that the first listen compares
//! with what is known from before. A disk that hangs holds up nobody for longer than [`PATIENCE`]:
//! it is as good as empty then, until it has answered.
use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};
use tracing::warn;

use super::{
    Options,
    inbox::{FromDisk, Outbox},
};
use crate::{
    key::ConfigKey,
    room::Map,
    session::{ClaimKey, GuardId, Queue},
    snapshot::{OverrideDir, SnapshotDir},
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
    snapshots: Option<SnapshotDir>,
    overrides: Option<OverrideDir>,
    beginning: Mutex<Beginning>,
    filled: Notify,
}

/// Never more than there are guards: one that goes takes its wish along.
#[derive(Debug)]
struct Beginning {
    order: Queue<GuardId>,
    keys: Map<GuardId, ConfigKey>,
}

impl Loader {
    /// None if there is nothing to read.
    pub(super) fn new(options: &Options) -> Option<Self> {
        let (snapshots, overrides) = (options.snapshots.clone(), options.overrides.clone());
        if snapshots.is_none() && overrides.is_none() {
            return None;
        }
        let beginning = Mutex::new(Beginning { order: Queue::new(), keys: Map::new() });
        let filled = Notify::new();
        Some(Self { shared: Arc::new(Shared { snapshots, overrides, beginning, filled }) })
    }

    /// Whether a watch with this policy has to wait for the disk.
    pub(super) fn concerns(&self, policy: StartPolicy) -> bool {
        let reads = self.shared.snapshots.is_some() && policy.reads_snapshots();
        reads || self.shared.overrides.is_some()
    }

    /// `guard` begins to watch `key`, and waits for the disk.
    pub(super) fn load(&self, guard: GuardId, key: ConfigKey) {
        let mut beginning = self.beginning();
        beginning.keys.insert(guard, key);
        beginning.order.push(guard);
        drop(beginning);
        self.shared.filled.notify_one();
    }

    /// `guard` is gone.
    pub(super) fn cancel(&self, guard: GuardId) {
        let mut beginning = self.beginning();
        beginning.order.remove(&guard);
        beginning.keys.remove(&guard);
    }

    /// Reads whatever there is to read, for ever, and gives it to the driver.
    pub(super) async fn run(self, outbox: Outbox) {
        loop {
            let guards = self.take(AT_ONCE);
            if guards.is_empty() {
                self.shared.filled.notified().await;
                continue;
            }
            let (shared, keys) = (Arc::clone(&self.shared), guards.clone());
            let read = move || keys.iter().map(|(_, key)| shared.read(key)).collect::<Vec<_>>();
            let mut reading = pin!(tasks::blocking(read));
            if let Ok(found) = timeout(PATIENCE, &mut reading).await {
                let found = found.unwrap_or_default().into_iter();
                let found = found.chain(std::iter::repeat_with(FromDisk::default));
                for ((guard, key), found) in guards.into_iter().zip(found) {
                    outbox.read(guard, ClaimKey::Listen(key), found);
                }
                continue;
            }
            warn!("the disk does not answer: watches begin without snapshots");
            without(&outbox, guards);
            loop {
                tokio::select! {
                    // One read at a time: a disk that hangs costs one thread.
                    _ = &mut reading => break,
                    () = self.shared.filled.notified() => {
                        without(&outbox, self.take(usize::MAX));
                    }
                }
            }
        }
    }

    fn take(&self, most: usize) -> Vec<(GuardId, ConfigKey)> {
        let mut beginning = self.beginning();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(guard) = beginning.order.pop()
        {
            taken.extend(beginning.keys.remove(&guard).map(|key| (guard, key)));
        }
        taken
    }

    fn beginning(&self) -> MutexGuard<'_, Beginning> {
        // A panic under the lock cannot leave the queue half-changed for long: see `take`.
        self.shared.beginning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn read(&self, key: &ConfigKey) -> FromDisk {
        let snapshots = self.snapshots.as_ref();
        let snapshot = snapshots.and_then(|snapshots| match snapshots.read(key) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                warn!(%key, %error, "the snapshot of a document cannot be read");
                None
            }
        });
        let overrides = self.overrides.as_ref();
        let overridden = overrides.and_then(|overrides| match overrides.read(key) {
            Ok(found) => found,
            Err(error) => {
                warn!(%key, %error, "an operator's file is of no use: the server's document holds");
                None
            }
        });
        FromDisk { snapshot, overridden }
    }
}

/// These begin as if there were no disk.
fn without(outbox: &Outbox, guards: Vec<(GuardId, ConfigKey)>) {
    for (guard, key) in guards {
        outbox.read(guard, ClaimKey::Listen(key), FromDisk::default());
    }
}

/// Files that are read before the first of them is shown.
const AT_ONCE: usize = 16;
/// For these together.
const PATIENCE: Duration = Duration::from_secs(3);
