//! Files of an operator that stand in place of documents: read, never written.
//!
//! ```text
//! <directory>/<namespace>/<group>/<data id>
//! ```
//!
//! The names are those of [`name`](super::name), so that ordinary ones are spelled as they are. The
//! content is all of the file.
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    folder::{entries, is_absent, named},
    name::plain_name,
};
use crate::{document::Document, file, key::ConfigKey};

/// A directory of an operator's files.
#[derive(Clone, Debug)]
pub(crate) struct OverrideDir {
    path: Arc<Path>,
    in_clear_text: bool,
}

/// A document as an operator wants it, and the file that says so.
pub(crate) type Override = (Document, Arc<Path>);

/// The files that are there, each with what changes when it does.
pub(crate) type Stamps = BTreeMap<PathBuf, Stamp>;

/// Another one means another content, mostly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl OverrideDir {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into().into(), in_clear_text: false }
    }

    /// The same, with files that are clear text, whatever the data id says.
    pub(crate) fn in_clear_text(self) -> Self {
        Self { in_clear_text: true, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that stands in place of `key`, if it is there.
    pub(crate) fn file(&self, key: &ConfigKey) -> PathBuf {
        let namespace = key.namespace().cloned().unwrap_or_default();
        let mut path = self.path.join(plain_name(namespace.as_str()));
        path.push(plain_name(key.group().as_str()));
        path.push(plain_name(key.data_id().as_str()));
        path
    }

    /// The document that stands in place of `key`; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// There is one, and it is of no use: it is no text, or cannot be read. The text names it.
    pub(crate) fn read(&self, key: &ConfigKey) -> io::Result<Option<Override>> {
        let path = self.file(key);
        let bytes = match file::read(&path, LARGEST, "it is larger than any document") {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(named(&path, &error)),
        };
        let content = std::str::from_utf8(&bytes)
            .map_err(|error| named(&path, &io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let mut document = Document::new(content, key.data_id().content_type().unwrap_or("text"));
        document.is_cipher = key.data_id().is_cipher() && !self.in_clear_text;
        Ok(Some((document, path.into())))
    }

    /// All files that are there; a directory that is not there has none.
    pub(crate) fn stamps(&self) -> io::Result<Stamps> {
        let mut stamps = Stamps::new();
        for namespace in entries(&self.path)? {
            for group in entries(&namespace)? {
                for file in entries(&group)? {
                    let is_hidden =
                        |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
                    // Editors and Kubernetes keep files of their own beside, behind a dot.
                    let Ok(metadata) = fs::metadata(&file) else { continue };
                    if metadata.is_file() && !file.file_name().is_some_and(is_hidden) {
                        let (modified, length) = (metadata.modified().ok(), metadata.len());
                        stamps.insert(file, Stamp { modified, length });
                    }
                    if stamps.len() == MOST {
                        return Ok(stamps);
                    }
                }
            }
        }
        Ok(stamps)
    }
}

impl Stamp {
    /// Of a file of that length.
    #[cfg(test)]
    pub(crate) fn of(length: u64) -> Self {
        Self { modified: None, length }
    }
}

/// No message is larger, unless an option raises the limit.
const LARGEST: usize = 64 * 1024 * 1024;
/// An operator overrides by hand.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ConfigKey {
        ConfigKey::try_from(("orders.yaml", "ORDERS")).expect("valid")
    }

    #[test]
    fn file_is_the_whole_document_and_is_found_by_its_plain_name() {
        let root = tempfile::tempdir().expect("a directory");
        let overrides = OverrideDir::new(root.path());
        assert!(overrides.read(&key()).expect("nothing is there").is_none());
        assert!(overrides.stamps().expect("nothing is there").is_empty());

        let folder = root.path().join("public/ORDERS");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("orders.yaml"), "limit: 9\n").expect("written");
        fs::write(folder.join(".orders.yaml.swp"), "an editor's").expect("written");
        let (document, path) = overrides.read(&key()).expect("readable").expect("there");
        assert_eq!((&*document.content, &*document.content_type), ("limit: 9\n", "yaml"));
        assert_eq!(&*path, folder.join("orders.yaml"));
        let stamps = overrides.stamps().expect("readable");
        assert_eq!(stamps.into_keys().collect::<Vec<_>>(), [folder.join("orders.yaml")]);

        let staging = key().in_namespace("staging".parse().expect("valid"));
        assert!(overrides.read(&staging).expect("nothing is there").is_none());
    }

    #[test]
    fn file_that_is_no_text_is_an_error_that_names_it() {
        let root = tempfile::tempdir().expect("a directory");
        let overrides = OverrideDir::new(root.path());
        let file = overrides.file(&key());
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, b"\xff").expect("written");
        let error = overrides.read(&key()).expect_err("no text");
        assert!(error.to_string().contains("orders.yaml"), "{error}");
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("made");
        assert!(overrides.read(&key()).is_err(), "a folder is no document");
    }
}
