//! The folder of documents as they were received: read, written, and kept in order.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{debug, warn};

use super::{
    Snapshot,
    disk::{RealDisk, create_root},
    folder::{entries, is_absent, named},
    format::{Flaw, decode, encode},
    name::file_name,
    replace::{TEMPORARY, create_folders, replace},
};
use crate::{
    document::{Document, digest},
    file,
    key::ConfigKey,
    telemetry,
};

/// The documents of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Received {
    directory: Arc<Path>,
    scope: Arc<str>,
    kept: Arc<Kept>,
}

/// The folders as they are known since this was made.
#[derive(Debug, Default)]
struct Kept {
    /// Those from which leftovers were removed.
    swept: Mutex<BTreeSet<PathBuf>>,
    /// How many files were set aside.
    aside: AtomicUsize,
}

impl Received {
    pub(super) fn new(directory: &Arc<Path>, scope: &str) -> Self {
        Self { directory: Arc::clone(directory), scope: scope.into(), kept: Arc::default() }
    }

    pub(super) fn prepare(&self) -> io::Result<()> {
        self.create(&self.parts()).map(drop)
    }

    pub(super) fn is_foreign(&self) -> io::Result<bool> {
        let parts = self.parts();
        let folder = self.create(&parts)?;
        // The owner of a file that we make is us: there is no other way to ask in std.
        let probe = format!(".{}-{:016x}{TEMPORARY}", std::process::id(), fastrand::u64(..));
        let probe = folder.join(probe);
        let made = fs::OpenOptions::new().write(true).create_new(true).open(&probe);
        let own = made.and_then(|file| file.metadata()).map_err(|error| named(&probe, &error));
        // It is empty, and old leftovers are removed.
        let _ = fs::remove_file(&probe);
        let own = owner(&own?);
        let mut path = PathBuf::from(&*self.directory);
        let mut is_foreign = owner(&fs::metadata(&path)?) != own;
        for part in parts {
            path.push(part);
            is_foreign |= owner(&fs::symlink_metadata(&path)?) != own;
        }
        Ok(is_foreign)
    }

    pub(super) fn read(&self, key: &ConfigKey) -> io::Result<Option<Snapshot>> {
        let (folder, name) = self.place(key);
        let (mut snapshot, _) = self.look(key, &folder, &name)?;
        if let Some(document) = snapshot.as_mut().and_then(|found| found.document.as_mut()) {
            // A writer of the directory could put other content under the server's digest, and the
            // server would confirm what it never had.
            document.md5 = digest(&document.content).into();
        }
        Ok(snapshot)
    }

    pub(super) fn write(
        &self,
        key: &ConfigKey,
        document: Option<&Document>,
        gray: Option<Arc<str>>,
        now: SystemTime,
    ) -> io::Result<bool> {
        let folder = self.create(&self.parts_of(key))?;
        let name = file_name(key.data_id().as_str());
        self.sweep(&folder, now);
        let (former, lost) = self.look(key, &folder, &name)?;
        let mut seq = lost.unwrap_or_default().saturating_add(1);
        if let Some(former) = &former {
            let is_same = former.document.as_ref() == document && former.gray == gray;
            if is_same && former.age(now) < REFRESH && former.saved_at <= now + REFRESH {
                return Ok(false);
            }
            seq = if is_same { former.seq } else { former.seq.saturating_add(1) };
        }
        let snapshot = Snapshot { document: document.cloned(), seq, saved_at: now, gray };
        let Some(bytes) = encode(&self.scope, key, &snapshot) else {
            let why = format!("what the server says about {key} is too long for a header");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        };
        let write = || replace(&RealDisk, &folder, &name, &bytes);
        let written = write().or_else(|error| match error.kind() {
            // Another process whose clock is ahead has taken the file for a leftover, or somebody
            // has removed the folder.
            io::ErrorKind::NotFound => {
                self.create(&self.parts_of(key))?;
                write()
            }
            _ => Err(error),
        });
        written.map_err(|error| named(&folder.join(&name), &error))?;
        Ok(true)
    }

    pub(super) fn count(&self, most: usize) -> io::Result<usize> {
        let mut path = PathBuf::from(&*self.directory);
        path.extend(self.parts());
        let mut count = 0;
        for namespace in entries(&path)?.filter(|entry| entry.is_dir()) {
            for group in entries(&namespace)?.filter(|entry| entry.is_dir()) {
                count +=
                    entries(&group)?.filter(|entry| entry.is_file()).take(most - count).count();
                if count == most {
                    return Ok(count);
                }
            }
        }
        Ok(count)
    }

    /// The snapshot of `key`, and if that is damaged the number that it had.
    fn look(
        &self,
        key: &ConfigKey,
        folder: &Path,
        name: &str,
    ) -> io::Result<(Option<Snapshot>, Option<u64>)> {
        let path = folder.join(name);
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if is_absent(&error) => return Ok((None, None)),
            Err(error) => return Err(named(&path, &error)),
        };
        let decoded = if kind.is_file() {
            match file::read(&path, LARGEST, "") {
                Ok(bytes) => decode(&bytes, &self.scope, key),
                Err(error) if is_absent(&error) => return Ok((None, None)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Err((Flaw::NoFile, None))
                }
                Err(error) => return Err(named(&path, &error)),
            }
        } else {
            Err((Flaw::NoFile, None))
        };
        match decoded {
            Ok(snapshot) => Ok((Some(snapshot), None)),
            Err((Flaw::OtherVersion, seq)) => {
                debug!(path = %path.display(), "not read: {}", Flaw::OtherVersion);
                Ok((None, seq))
            }
            Err((flaw, seq)) => {
                self.set_aside(&path, folder, name, flaw);
                Ok((None, seq))
            }
        }
    }

    /// Gives a file another name, under which it can be looked at. Only so many are kept.
    fn set_aside(&self, path: &Path, folder: &Path, name: &str, flaw: Flaw) {
        telemetry::snapshot_corrupt();
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let aside = folder.join(format!(".{name}{CORRUPT}{millis}"));
        let is_kept = self.kept.aside.fetch_add(1, Ordering::Relaxed) < MOST_ASIDE;
        let moved = if is_kept { fs::rename(path, &aside) } else { remove(path) };
        let path = path.display();
        match moved {
            Ok(()) if is_kept => {
                warn!(%path, aside = %aside.display(), "a snapshot cannot be used: {flaw}");
            }
            Ok(()) => warn!(%path, "a snapshot cannot be used, and is removed: {flaw}"),
            Err(error) => warn!(%path, %error, "a snapshot cannot be used, nor moved: {flaw}"),
        }
    }

    /// Removes what was left over in a folder, once.
    fn sweep(&self, folder: &Path, now: SystemTime) {
        // A panic under the lock cannot leave the set half-changed.
        let mut swept = self.kept.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = swept.insert(folder.to_owned());
        drop(swept);
        let Some(entries) = entries(folder).ok().filter(|_| is_new) else { return };
        let mut aside = Vec::new();
        for path in entries {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with('.') {
                continue;
            }
            if name.ends_with(TEMPORARY) {
                let changed = fs::symlink_metadata(&path).and_then(|found| found.modified());
                let age = changed.ok().and_then(|changed| now.duration_since(changed).ok());
                if age.is_some_and(|age| age > LEFT_OVER) {
                    // It is looked at again by the next process.
                    let _ = fs::remove_file(&path);
                }
            } else if let Some((_, millis)) = name.rsplit_once(CORRUPT) {
                aside.push((millis.parse::<u128>().unwrap_or_default(), path));
            }
        }
        aside.sort_unstable();
        let superfluous = aside.len().saturating_sub(MOST_ASIDE);
        for (_, path) in aside.drain(..superfluous) {
            // The same.
            let _ = remove(&path);
        }
    }

    /// The folders of this cluster, below the directory.
    fn parts(&self) -> Vec<String> {
        vec![file_name(&self.scope), "received".to_owned()]
    }

    fn parts_of(&self, key: &ConfigKey) -> Vec<String> {
        let namespace = key.namespace().cloned().unwrap_or_default();
        let own = [file_name(namespace.as_str()), file_name(key.group().as_str())];
        self.parts().into_iter().chain(own).collect()
    }

    fn place(&self, key: &ConfigKey) -> (PathBuf, String) {
        let mut folder = PathBuf::from(&*self.directory);
        folder.extend(self.parts_of(key));
        (folder, file_name(key.data_id().as_str()))
    }

    fn create(&self, parts: &[String]) -> io::Result<PathBuf> {
        create_root(&self.directory)
            .and_then(|()| create_folders(&RealDisk, &self.directory, parts))
            .map_err(|error| named(&self.directory, &error))
    }
}

/// Folders too: somebody has put them there.
fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }
}

#[cfg(unix)]
fn owner(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(metadata)
}

#[cfg(not(unix))]
fn owner(_: &fs::Metadata) -> u32 {
    0
}

const CORRUPT: &str = ".corrupt-";
/// A content is 64 MiB at most, unless an option raises the limit of messages.
const LARGEST: usize = 256 * 1024 * 1024;
/// Nobody writes one file for that long.
const LEFT_OVER: Duration = Duration::from_secs(3600);
/// Enough to see what happened, and no disk full of it.
const MOST_ASIDE: usize = 8;
/// A file that is confirmed is as good as new: it is written again, for its time, once in this.
const REFRESH: Duration = Duration::from_secs(24 * 3600);
