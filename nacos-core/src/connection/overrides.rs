//! The task that looks for an operator's files, and says loudly what it finds.
//!
//! It polls, once a second: a directory that Kubernetes mounts changes by a link, and one of a
//! network sends no notices. One look is a walk over the files that are there, which are few. A
//! file counts once two looks have found it the same, because an editor may be half-way.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tracing::{info, warn};

use super::{inbox::Outbox, views::Views};
use crate::{
    key::ConfigKey,
    snapshot::{OverrideDir, Stamp, Stamps},
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
        let mut is_readable = true;
        loop {
            let looking = directory.clone();
            match tasks::blocking(move || looking.stamps()).await {
                Some(Ok(found)) => {
                    is_readable = true;
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
                Some(Err(error)) if is_readable => {
                    is_readable = false;
                    warn!(%path, %error, "the directory of an operator's files cannot be read");
                }
                _ => {}
            }
            sleep(LOOK).await;
        }
    }

    /// Takes in the files that are there now.
    fn look(&mut self, found: Stamps) -> Changes {
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

    /// Tells the driver of the files that are in place of watched documents.
    async fn tell(&mut self, directory: &OverrideDir, views: &Views, outbox: &Outbox) {
        if self.seen.is_empty() && views.documents.count_overridden() == 0 {
            return self.told.clear();
        }
        let watched = views.documents.keys();
        let keys: BTreeSet<_> = watched.iter().map(|(key, _)| key).collect();
        self.told.retain(|key, _| keys.contains(key));
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
            self.told.insert(key.clone(), stamp);
            let (directory, about) = (directory.clone(), key.clone());
            match tasks::blocking(move || directory.read(&about)).await {
                // Gone again: the next look says so.
                Some(Ok(None)) | None => {}
                Some(Ok(found)) => outbox.overridden(key, found),
                Some(Err(error)) => {
                    warn!(%key, %error, "an operator's file is of no use: what was shown stays");
                }
            }
        }
    }
}

const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(files: &[(&str, u64)]) -> Stamps {
        let stamp = |(path, length): &(&str, u64)| (PathBuf::from(path), Stamp::of(*length));
        files.iter().map(stamp).collect()
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
}
