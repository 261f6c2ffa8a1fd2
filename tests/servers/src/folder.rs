//! A directory of its own for every server, gone when the server is.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, ErrorKind as Kind};

/// An empty directory under the system's temporary one, removed with all it holds on drop.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn create(parent: &Path, name: &str) -> Result<Self, Error> {
        // A process that had our id and was killed may have left its directories behind.
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("nacos-rs-{name}-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(refused("create", &path, error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Empties it: the next start is a first one again.
    pub(crate) fn wipe(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.path)
            .and_then(|()| fs::create_dir(&self.path))
            .map_err(|error| refused("empty", &self.path, error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A directory left behind under the temporary one does no harm, a panic here would.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn refused(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(Kind::Machine, format_args!("cannot {what} {}", path.display())).because(error)
}

static NEXT: AtomicU32 = AtomicU32::new(0);

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn two_servers_never_share_a_directory_and_leave_none() {
        let first = Folder::create(&env::temp_dir(), "test").expect("a directory");
        let second = Folder::create(&env::temp_dir(), "test").expect("another");
        assert_ne!(first.path(), second.path());
        fs::write(first.path().join("data"), "x").expect("written");
        let path = first.path().to_path_buf();
        drop(first);
        assert!(!path.exists());
        assert!(second.path().exists());
    }

    #[test]
    fn wiped_directory_is_empty_and_stays() {
        let folder = Folder::create(&env::temp_dir(), "test").expect("a directory");
        fs::create_dir(folder.path().join("data")).expect("made");
        folder.wipe().expect("emptied");
        assert_eq!(fs::read_dir(folder.path()).expect("still there").count(), 0);
    }
}
