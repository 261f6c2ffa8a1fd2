//! A file is replaced as a whole: whatever happens on the way, the old one is there, or the new.
use std::{
    io,
    path::{Path, PathBuf},
};

use super::disk::Disk;

/// Puts `bytes` in place of the file `name` of `folder`.
///
/// They go to a file of their own first, and reach the disk before the old file loses its name: a
/// rename may reach it before the content does. The name reaches it before this returns.
///
/// # Errors
///
/// The disk refuses. The old file is there still, unless it was the folder's last step that
/// failed: then either of the two is.
pub(super) fn replace<D: Disk>(
    disk: &D,
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let (temporary, mut file) = create(disk, folder)?;
    let moved = disk
        .write(&mut file, bytes)
        .and_then(|()| disk.sync(&file))
        .and_then(|()| disk.rename(&temporary, &folder.join(name)));
    if let Err(error) = moved {
        // Where it cannot be removed either, it is a leftover, which are removed when they are old.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.sync_folder(folder)
}

/// The same where `bytes` say that the document of the file is removed: a disk without room for
/// them gives up the old file at least.
///
/// # Errors
///
/// The disk refuses, and the old file is not there any more, if the disk lets it go.
pub(super) fn replace_or_remove<D: Disk>(
    disk: &D,
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    replace(disk, folder, name, bytes).inspect_err(|_| {
        // The first error is the one that says what is wrong.
        if disk.remove(&folder.join(name)).is_ok() {
            let _ = disk.sync_folder(folder);
        }
    })
}

/// Makes the folders `parts` below `root`, which is there, each in the one before.
pub(super) fn create_folders<D: Disk>(
    disk: &D,
    root: &Path,
    parts: &[String],
) -> io::Result<PathBuf> {
    let mut path = root.to_owned();
    for part in parts {
        let above = path.clone();
        path.push(part);
        if disk.create_folder(&path)? {
            disk.sync_folder(&above)?;
        }
    }
    Ok(path)
}

/// A file of a name that nobody else has: neither another process, which may have our number in a
/// container of its own, nor another task.
fn create<D: Disk>(disk: &D, folder: &Path) -> io::Result<(PathBuf, D::File)> {
    let mut tries = 0;
    loop {
        let name = format!(".{}-{:016x}{TEMPORARY}", std::process::id(), fastrand::u64(..));
        let path = folder.join(name);
        match disk.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                tries += 1;
            }
            outcome => return outcome.map(|file| (path, file)),
        }
    }
}

/// The ending of files that are being written.
pub(super) const TEMPORARY: &str = ".tmp";
const TRIES: u32 = 8;

#[cfg(test)]
mod tests;
