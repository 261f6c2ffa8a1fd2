//! Folders and files that may not be there, and errors that name them.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The entries of a folder; of what is no folder, none.
///
/// # Errors
///
/// It is there and cannot be read. The text names it.
pub(super) fn entries(folder: &Path) -> io::Result<Box<dyn Iterator<Item = PathBuf>>> {
    match fs::read_dir(folder) {
        // An entry that goes meanwhile is none.
        Ok(entries) => Ok(Box::new(entries.filter_map(Result::ok).map(|entry| entry.path()))),
        Err(error) if is_absent(&error) => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(named(folder, &error)),
    }
}

/// Whether there is nothing. A file in the place of a folder holds nothing either.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The same error, with the path in its text.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
