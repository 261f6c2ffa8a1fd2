//! The task that looks for an operator's files, and says loudly what it finds.
//!
//! It polls, once a second: a directory that Kubernetes mounts changes by a link, and one of a
//! network sends no notices. One look is a walk over the files that are there, which are few. A
//! file counts once two looks have found it the same, because an editor may be half-way.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{disk_reads::PATIENCE, inbox::Outbox, views::Views};
use crate::{
    key::ConfigKey,
    snapshot::{Looked, OverrideDir, Stamp, Stamps},
    tasks,
};

/// The files that the last looks have found.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    seen: Stamps,
    /// Those that two looks have found the same.
    settled: Stamps,
    /// The files of which the driver knows, by document.
    told: BTreeMap<ConfigKey, Stamp>,
    /// Those that were of no use, of which that has been said.
    failed: BTreeMap<ConfigKey, Stamp>,
    /// Folders and files that cannot be looked at.
    unreadable: BTreeSet<PathBuf>,
    /// It has been said that there are too many.
    is_cut: bool,
}

/// The news of one look.
#[derive(Debug, Default, Eq, PartialEq)]
struct Changes {
    /// Files that override from now on, or have another content.
    new: BTreeSet<PathBuf>,
    gone: BTreeSet<PathBuf>,
}

impl Overrides {
    /// Looks again and again, for ever.
    pub(super) async fn run(mut self, directory: OverrideDir, views: Arc<Views>, outbox: Outbox) {
        let path = directory.path().display();
        info!(%path, "files in this directory override documents of the server");
        loop {
            let looking = directory.clone();
            if let Some(found) = patiently(move || looking.look()).await {
                let Changes { new, gone } = self.look(found);
                for path in new {
                    let path = path.display();
                    warn!(%path, "an operator's file overrides a document of the server");
                }
                for path in gone {
                    let path = path.display();
                    warn!(%path, "an operator's file is gone: the server's document holds again");
                }
                self.tell(&directory, &views, &outbox).await;
            }
            sleep(LOOK).await;
        }
    }

    /// Takes in the files that are there now. Of those that cannot be looked at, the last that is
    /// known stays.
    fn look(&mut self, mut found: Looked) -> Changes {
        let hidden: Vec<_> = self
            .seen
            .iter()
            .filter(|(path, _)| !found.stamps.contains_key(*path) && found.may_hide(path))
            .map(|(path, stamp)| (path.clone(), *stamp))
            .collect();
        self.complain(&found);
        found.stamps.extend(hidden);
        let found = found.stamps;
        let mut changes = Changes::default();
        for (path, stamp) in &found {
            let is_settled = self.seen.get(path) == Some(stamp);
            if is_settled && self.settled.get(path) != Some(stamp) {
                self.settled.insert(path.clone(), *stamp);
                changes.new.insert(path.clone());
            }
        }
        let gone: Vec<_> =
            self.settled.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        for path in gone {
            self.settled.remove(&path);
            changes.gone.insert(path);
        }
        self.seen = found;
        changes
    }

    /// Says once what cannot be looked at.
    fn complain(&mut self, found: &Looked) {
        for (path, error) in &found.unreadable {
            if !self.unreadable.contains(path) {
                let path = path.display();
                warn!(%path, %error, "an operator's files cannot be read: what was shown stays");
            }
        }
        self.unreadable = found.unreadable.keys().cloned().collect();
        if found.is_cut && !std::mem::replace(&mut self.is_cut, true) {
            let count = found.stamps.len();
            warn!(
                count,
                "an operator has more files than are looked at: the others override nothing"
            );
        }
    }

    /// Tells the driver of the files that are in place of watched documents.
    async fn tell(&mut self, directory: &OverrideDir, views: &Views, outbox: &Outbox) {
        if self.seen.is_empty() && views.documents.count_overridden() == 0 {
            return self.told.clear();
        }
        let watched = views.documents.keys();
        let keys: BTreeSet<_> = watched.iter().map(|(key, _)| key).collect();
        self.told.retain(|key, _| keys.contains(key));
        self.failed.retain(|key, _| keys.contains(key));
        for (key, is_overridden) in watched {
            let file = directory.file(&key);
            let Some(stamp) = self.settled.get(&file).copied() else {
                self.told.remove(&key);
                if is_overridden && !self.seen.contains_key(&file) {
                    outbox.overridden(key, None);
                }
                continue;
            };
            if self.told.get(&key) == Some(&stamp) {
                continue;
            }
            let (directory, about) = (directory.clone(), key.clone());
            match patiently(move || directory.read(&about)).await {
                // Gone again: the next look says so.
                Some(Ok(None)) | None => {}
                Some(Ok(found)) => {
                    self.failed.remove(&key);
                    self.told.insert(key.clone(), stamp);
                    outbox.overridden(key, found);
                }
                // It may pass, and is tried again with the next look.
                Some(Err(error)) => {
                    if self.failed.insert(key.clone(), stamp) != Some(stamp) {
                        warn!(%key, %error, "an operator's file is of no use: what was shown stays");
                    }
                }
            }
        }
    }
}

/// The outcome of `work`, which waits for a disk. A disk that does not answer is said, and waited
/// for on: it costs one thread.
async fn patiently<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let mut working = pin!(tasks::blocking(work));
    if let Ok(outcome) = timeout(PATIENCE, &mut working).await {
        return outcome;
    }
    warn!("the disk with an operator's files does not answer: what was shown stays");
    let outcome = working.await;
    info!("the disk with an operator's files answers again");
    outcome
}

const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(files: &[(&str, u64)]) -> Looked {
        let stamp = |(path, length): &(&str, u64)| (PathBuf::from(path), Stamp::of(*length));
        Looked { stamps: files.iter().map(stamp).collect(), ..Looked::default() }
    }

    fn changes(new: &[&str], gone: &[&str]) -> Changes {
        let set = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Changes { new: set(new), gone: set(gone) }
    }

    #[test]
    fn file_counts_once_two_looks_have_found_it_the_same() {
        let mut overrides = Overrides::default();
        assert_eq!(overrides.look(stamps(&[("a", 1)])), changes(&[], &[]));
        assert_eq!(overrides.look(stamps(&[("a", 2)])), changes(&[], &[]), "it is being written");
        assert_eq!(overrides.look(stamps(&[("a", 2)])), changes(&["a"], &[]));
        assert_eq!(overrides.look(stamps(&[("a", 2)])), changes(&[], &[]));
        assert_eq!(overrides.look(stamps(&[("a", 3)])), changes(&[], &[]));
        assert_eq!(overrides.look(stamps(&[])), changes(&[], &["a"]));
        assert_eq!(overrides.look(stamps(&[])), changes(&[], &[]));
    }

    #[test]
    fn file_that_cannot_be_looked_at_is_not_gone() {
        let mut overrides = Overrides::default();
        for _ in 0..2 {
            overrides.look(stamps(&[("a/b/c", 1), ("x/y/z", 1)]));
        }
        let mut hidden = stamps(&[("x/y/z", 1)]);
        hidden.unreadable.insert("a".into(), "denied".to_owned());
        assert_eq!(overrides.look(hidden), changes(&[], &[]));
        let mut cut = stamps(&[("a/b/c", 1)]);
        cut.is_cut = true;
        assert_eq!(overrides.look(cut), changes(&[], &[]));
        assert_eq!(overrides.look(stamps(&[("x/y/z", 1)])), changes(&[], &["a/b/c"]));
    }
}
