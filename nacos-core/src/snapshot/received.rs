//! The folder of documents as they were received: read, written, and kept in order.
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{debug, warn};

use super::{
    Snapshot,
    disk::{RealDisk, create_root},
    folder::{entries, is_absent, named},
    format::{Flaw, LONGEST_HEADER, decode, encode, is_of_document},
    lock::{Held, Lock},
    name::file_name,
    replace::{TEMPORARY, create_folders, replace, replace_or_remove},
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

/// The file in the place of a document.
#[derive(Debug)]
enum Looked {
    Found(Snapshot),
    /// No file of this version; what another one had for a number.
    Nothing(Option<u64>),
    /// It is of no use; the number that it had, if that can be read.
    Flawed(Flaw, Option<u64>),
}

/// The folders, as far as they are known since this was made.
#[derive(Debug, Default)]
struct Kept {
    /// The leftovers of others were removed.
    is_swept: AtomicBool,
    /// How many files were set aside.
    aside: AtomicUsize,
    lock: Lock,
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
        let own = Rights::of(&own?).owner;
        let mut path = PathBuf::from(&*self.directory);
        let mut is_foreign = Rights::of(&fs::metadata(&path)?).are_foreign(own);
        for part in parts {
            path.push(part);
            is_foreign |= Rights::of(&fs::symlink_metadata(&path)?).are_foreign(own);
        }
        Ok(is_foreign)
    }

    pub(super) fn read(&self, key: &ConfigKey, is_gray: bool) -> io::Result<Option<Snapshot>> {
        let mut folder = PathBuf::from(&*self.directory);
        folder.extend(self.parts_of(key));
        let name = name_of(key, is_gray);
        let mut found = self.look(key, &folder, &name)?;
        if matches!(found, Looked::Flawed(..)) {
            // Another process may have replaced it by now, and sets it aside no more while this
            // one does. A disk that cannot be written to keeps it.
            let held = self.lock();
            found = self.look(key, &folder, &name)?;
            if let Looked::Flawed(flaw, _) = found {
                self.set_aside(&folder.join(&name), &folder, &name, flaw);
            }
            drop(held);
        }
        let Looked::Found(mut snapshot) = found else { return Ok(None) };
        if let Some(document) = &mut snapshot.document {
            // A writer of the directory could put other content under the server's digest, and the
            // server would confirm what it never had.
            document.md5 = digest(&document.content).into();
        }
        Ok(Some(snapshot))
    }

    /// Writes what a server said of `key` at a time, unless it has said another thing later: then
    /// another task or another process has written that. A time that is yet to come is none, for
    /// clocks are set back.
    pub(super) fn write(
        &self,
        key: &ConfigKey,
        document: Option<&Document>,
        said_at: SystemTime,
        now: SystemTime,
    ) -> io::Result<bool> {
        let folder = self.create(&self.parts_of(key))?;
        let is_gray = document.is_some_and(|document| document.gray.is_some());
        let name = name_of(key, is_gray);
        let _held = self.lock()?;
        self.sweep(now);
        let said_at = said_at.min(now);
        let seq = match self.look(key, &folder, &name)? {
            Looked::Found(former) => {
                let is_same = former.document.as_ref() == document;
                let is_past = former.saved_at <= now;
                if is_past && is_same && former.age(said_at) < REFRESH {
                    return Ok(false);
                }
                if is_past && former.saved_at > said_at {
                    return Ok(false);
                }
                if is_same { former.seq } else { former.seq.saturating_add(1) }
            }
            Looked::Flawed(flaw, seq) => {
                self.set_aside(&folder.join(&name), &folder, &name, flaw);
                seq.unwrap_or_default().saturating_add(1)
            }
            Looked::Nothing(seq) => seq.unwrap_or_default().saturating_add(1),
        };
        let snapshot = Snapshot { document: document.cloned(), seq, saved_at: said_at };
        let Some(bytes) = encode(&self.scope, key, &snapshot) else {
            let why = format!("what the server says about {key} is too long for a header");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        };
        let write = || match document {
            Some(_) => replace(&RealDisk, &folder, &name, &bytes),
            // It must not be served again.
            None => replace_or_remove(&RealDisk, &folder, &name, &bytes),
        };
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
        if !is_gray {
            // Mostly there is none. One that stays is shown to nobody.
            let _ = fs::remove_file(folder.join(name_of(key, true)));
        }
        Ok(true)
    }

    pub(super) fn count(&self, most: usize) -> io::Result<usize> {
        let mut count = 0;
        for group in self.groups()? {
            let is_gray =
                |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(GRAY.as_bytes());
            let files = entries(&group)?.filter(|path| !is_hidden(path) && !is_gray(path));
            let files = files.filter(|path| is_document(path));
            count += files.take(most - count).count();
            if count == most {
                break;
            }
        }
        Ok(count)
    }

    /// The folders of files.
    fn groups(&self) -> io::Result<Vec<PathBuf>> {
        let mut path = PathBuf::from(&*self.directory);
        path.extend(self.parts());
        let mut groups = Vec::new();
        for namespace in entries(&path)?.filter(|entry| is_folder(entry)) {
            groups.extend(entries(&namespace)?.filter(|entry| is_folder(entry)));
        }
        Ok(groups)
    }

    /// Keeps other writers out, as far as the disk can do that.
    fn lock(&self) -> io::Result<Held> {
        let folder = self.directory.join(file_name(&self.scope));
        self.kept.lock.acquire(&folder, PATIENCE).map_err(|error| named(&folder, &error))
    }

    /// Looks what there is of `key`.
    fn look(&self, key: &ConfigKey, folder: &Path, name: &str) -> io::Result<Looked> {
        let path = folder.join(name);
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if is_absent(&error) => return Ok(Looked::Nothing(None)),
            Err(error) => return Err(named(&path, &error)),
        };
        if !kind.is_file() {
            return Ok(Looked::Flawed(Flaw::NoFile, None));
        }
        let bytes = match file::read(&path, LARGEST, "") {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => return Ok(Looked::Nothing(None)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(Looked::Flawed(Flaw::NoFile, None));
            }
            Err(error) => return Err(named(&path, &error)),
        };
        Ok(match decode(&bytes, &self.scope, key) {
            // A gray version under the name of the formal one, or the other way round.
            Ok(found) if name != name_of(key, found.is_gray()) => {
                Looked::Flawed(Flaw::OtherKey, None)
            }
            Ok(snapshot) => Looked::Found(snapshot),
            Err((Flaw::OtherVersion, seq)) => {
                debug!(path = %path.display(), "not read: {}", Flaw::OtherVersion);
                Looked::Nothing(seq)
            }
            Err((flaw, seq)) => Looked::Flawed(flaw, seq),
        })
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

    /// Removes what was left over by processes that were killed, once.
    fn sweep(&self, now: SystemTime) {
        if self.kept.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        // The next process may be able to look where this one is not.
        let folders = self.groups().unwrap_or_default();
        let files = folders.iter().filter_map(|folder| entries(folder).ok()).flatten();
        let mut aside = Vec::new();
        for path in files.filter(|path| is_hidden(path)) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(TEMPORARY) {
                let Ok(changed) = fs::symlink_metadata(&path).and_then(|found| found.modified())
                else {
                    continue;
                };
                let age = now.duration_since(changed).unwrap_or_else(|ahead| ahead.duration());
                if age > LEFT_OVER {
                    // The same.
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

/// The name of the file of a document, or of its gray version.
fn name_of(key: &ConfigKey, is_gray: bool) -> String {
    let mut name = file_name(key.data_id().as_str());
    name.push_str(if is_gray { GRAY } else { "" });
    name
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// No link to one: it is none of ours.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Whether it is the file of a document, by its header.
fn is_document(path: &Path) -> bool {
    let mut start = Vec::new();
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let read = is_file.then(|| {
        let file = fs::File::open(path)?;
        file.take(LONGEST_HEADER as u64).read_to_end(&mut start)
    });
    matches!(read, Some(Ok(_))) && is_of_document(&start)
}

/// By whom a folder can be changed.
#[derive(Clone, Copy, Debug)]
struct Rights {
    owner: u32,
    mode: u32,
}

impl Rights {
    #[cfg(unix)]
    fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        Self { owner: metadata.uid(), mode: metadata.mode() }
    }

    #[cfg(not(unix))]
    fn of(_: &fs::Metadata) -> Self {
        Self { owner: 0, mode: 0 }
    }

    /// Whether somebody else than this user, and the one who can change everything, can put another
    /// folder in the place of what is in it. Where each may only remove what is his own, as in
    /// `/tmp`, nobody can.
    fn are_foreign(self, own: u32) -> bool {
        let is_shared = self.mode & OTHERS_WRITE != 0 && self.mode & STICKY == 0;
        is_shared || self.owner != own && self.owner != ROOT
    }
}

const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;
/// Behind the name of a document: no name is encoded to one that ends so.
const GRAY: &str = "%gray";
const CORRUPT: &str = ".corrupt-";
/// A content is 64 MiB at most, unless an option raises the limit of messages.
const LARGEST: usize = 256 * 1024 * 1024;
/// Nobody writes one file for that long.
const LEFT_OVER: Duration = Duration::from_secs(3600);
/// Enough to see what happened, and no disk full of it.
const MOST_ASIDE: usize = 8;
/// A file that is confirmed is as good as new: it is written again, for its time, once in this.
pub(super) const REFRESH: Duration = Duration::from_secs(3600);
/// For a writer that is stopped, or whose disk hangs; the others wait for a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_that_others_can_change_is_foreign() {
        let (own, other) = (1000, 1001);
        for (owner, mode, is_foreign) in [
            (own, 0o700, false),
            (own, 0o755, false),
            (own, 0o770, true),
            (own, 0o707, true),
            (ROOT, 0o755, false),
            (ROOT, 0o1777, false),
            (ROOT, 0o777, true),
            (other, 0o700, true),
            (other, 0o1777, true),
        ] {
            let rights = Rights { owner, mode };
            assert_eq!(rights.are_foreign(own), is_foreign, "{rights:?}");
        }
    }
}
