//! One writer at a time, in all processes that share a folder.
//!
//! The lock is advisory, and belongs to an open file: it ends with the process that holds it,
//! however that ends. It is never waited for long: a process may be stopped in the middle of a
//! write, and some network disks have no locks. Files are replaced as a whole, so that a write
//! without the lock tears nothing; it may give two files one number, or an older document the
//! last word.
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use tracing::{info, warn};

/// How the lock of one folder has fared so far.
#[derive(Debug, Default)]
pub(super) struct Lock {
    /// It could not be had, and that has been said.
    is_troubled: AtomicBool,
}

/// The lock, or nothing where it cannot be had. Dropping it lets the next writer in.
#[must_use = "the next writer is let in as soon as this is dropped"]
#[derive(Debug)]
pub(super) struct Held {
    #[cfg_attr(not(test), expect(dead_code, reason = "closing it ends the lock"))]
    file: Option<File>,
}

impl Lock {
    /// Waits for the lock of `folder`, for `patience` at most, and at all only if it could be had
    /// the last time.
    ///
    /// # Errors
    ///
    /// The file that is locked cannot be made: nothing can be written there.
    pub(super) fn acquire(&self, folder: &Path, patience: Duration) -> io::Result<Held> {
        let path = folder.join(NAME);
        // Opening a pipe would wait for its reader.
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Ok(self.trouble(&path, "no file can be made for it"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        let why = loop {
            let is_troubled = self.is_troubled.load(Ordering::Relaxed);
            match file.try_lock() {
                Ok(()) => {
                    if self.is_troubled.swap(false, Ordering::Relaxed) {
                        info!(path = %path.display(), "the lock of the snapshots can be had again");
                    }
                    return Ok(Held { file: Some(file) });
                }
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => break error.to_string(),
                Err(TryLockError::WouldBlock) if is_troubled || begin.elapsed() >= patience => {
                    break "another process keeps it".to_owned();
                }
                Err(TryLockError::WouldBlock) => {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a thread that waits for a disk"
                    )]
                    sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        Ok(self.trouble(&path, &why))
    }

    fn trouble(&self, path: &Path, why: &str) -> Held {
        if !self.is_troubled.swap(true, Ordering::Relaxed) {
            let path = path.display();
            warn!(%path, %why, "the lock of the snapshots cannot be had: they are written without it");
        }
        Held { file: None }
    }
}

/// Of the file that is locked. It holds nothing, and is never removed: a process that waits for the
/// lock of a file that has gone would not wait for those that lock its successor.
const NAME: &str = ".lock";
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_that_somebody_keeps_is_waited_for_once_and_had_again_later() {
        let folder = tempfile::tempdir().expect("a directory");
        let (ours, theirs) = (Lock::default(), Lock::default());
        let patience = Duration::from_millis(30);
        let is_held = |held: io::Result<Held>| held.expect("a file").file.is_some();
        let held = theirs.acquire(folder.path(), patience).expect("a file");
        let begin = Instant::now();
        assert!(!is_held(ours.acquire(folder.path(), patience)));
        assert!(begin.elapsed() >= patience);
        // From now on nobody waits.
        assert!(!is_held(ours.acquire(folder.path(), Duration::from_secs(3600))));
        drop(held);
        assert!(is_held(ours.acquire(folder.path(), patience)));
        assert!(!ours.is_troubled.load(Ordering::Relaxed));
    }

    #[test]
    fn folder_that_is_not_there_has_no_lock() {
        let folder = tempfile::tempdir().expect("a directory");
        let outcome = Lock::default().acquire(&folder.path().join("none"), Duration::ZERO);
        assert_eq!(outcome.expect_err("no folder").kind(), io::ErrorKind::NotFound);
    }
}
