//! The operations on files that a replacement consists of, and the disk that carries them out.
//!
//! They stand behind a trait for one reason: a test stops a replacement after each of them, and
//! looks at what a power failure may leave of it.
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// The operations that a replacement asks a disk for.
pub(super) trait Disk {
    /// A file that is open for writing.
    type File;

    /// Makes a file that is not there yet, and that only its owner can read.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Writes all of it.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Waits until what was written outlives a power failure.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Puts `from` in the place of `to`, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder that only its owner can read, and says whether it is new.
    fn create_folder(&self, path: &Path) -> io::Result<bool>;

    /// Waits until the entries of a folder outlive a power failure.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<bool> {
        match folders(false).create(path) {
            Ok(()) => Ok(true),
            // A link is no folder of ours: whoever made it decides what is read from there.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let kind = fs::symlink_metadata(path)?.file_type();
                if kind.is_dir() { Ok(false) } else { Err(no_folder(path, kind.is_symlink())) }
            }
            Err(error) => Err(error),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Windows opens no folder as a file, and keeps its entries by itself.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }
}

/// Makes the folder that a user has named, which may be a link to one, and all above it.
pub(super) fn create_root(path: &Path) -> io::Result<()> {
    match folders(true).create(path) {
        // It says so of a file in its place, too.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if path.is_dir() => Ok(()),
        _ => Err(no_folder(path, false)),
    }
}

fn folders(recursive: bool) -> DirBuilder {
    let mut folders = DirBuilder::new();
    folders.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
    folders
}

fn no_folder(path: &Path, is_link: bool) -> io::Error {
    let what = if is_link { "is a link" } else { "is a file" };
    let why = format!("{} {what}, where a folder is needed", path.display());
    io::Error::new(io::ErrorKind::NotADirectory, why)
}
