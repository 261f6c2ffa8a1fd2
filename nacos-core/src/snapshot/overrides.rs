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

/// One look at a directory.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) stamps: Stamps,
    /// Folders and files of which nothing can be known, each with the reason.
    pub(crate) unreadable: BTreeMap<PathBuf, String>,
    /// There are more files than are looked at.
    pub(crate) is_cut: bool,
}

/// Another one means another content or other rights, mostly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Which file it is, and when it was changed in any way: its rights, too.
    inode: Option<(u64, i64, i64)>,
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

    /// All files that are there; a directory that is not there has none. A folder that cannot be
    /// read hides its own files only.
    pub(crate) fn look(&self) -> Looked {
        let mut looked = Looked::default();
        for namespace in looked.entries(&self.path) {
            for group in looked.entries(&namespace) {
                for file in looked.entries(&group) {
                    if looked.stamps.len() == MOST {
                        looked.is_cut = true;
                        return looked;
                    }
                    looked.add(file);
                }
            }
        }
        looked
    }
}

impl Looked {
    /// Whether a file that was not found may be there all the same.
    pub(crate) fn may_hide(&self, path: &Path) -> bool {
        self.is_cut || path.ancestors().any(|above| self.unreadable.contains_key(above))
    }

    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        match entries(folder) {
            Ok(entries) => entries.collect(),
            Err(error) => {
                self.unreadable.insert(folder.to_owned(), error.to_string());
                Vec::new()
            }
        }
    }

    fn add(&mut self, file: PathBuf) {
        // Editors and Kubernetes keep files of their own beside, behind a dot.
        if file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            return;
        }
        match fs::metadata(&file) {
            Ok(metadata) if metadata.is_file() => {
                self.stamps.insert(file, Stamp::new(&metadata));
            }
            Ok(_) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => {
                self.unreadable.insert(file, error.to_string());
            }
        }
    }
}

impl Stamp {
    fn new(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;

            Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let inode = None;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }

    /// Of a file of that length.
    #[cfg(test)]
    pub(crate) fn of(length: u64) -> Self {
        Self { modified: None, length, inode: None }
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
        assert!(overrides.look().stamps.is_empty());

        let folder = root.path().join("public/ORDERS");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("orders.yaml"), "limit: 9\n").expect("written");
        fs::write(folder.join(".orders.yaml.swp"), "an editor's").expect("written");
        let (document, path) = overrides.read(&key()).expect("readable").expect("there");
        assert_eq!((&*document.content, &*document.content_type), ("limit: 9\n", "yaml"));
        assert_eq!(&*path, folder.join("orders.yaml"));
        let looked = overrides.look();
        assert!(looked.unreadable.is_empty() && !looked.is_cut);
        assert_eq!(looked.stamps.into_keys().collect::<Vec<_>>(), [folder.join("orders.yaml")]);

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

    #[cfg(unix)]
    #[test]
    fn other_rights_and_another_file_are_another_stamp() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().expect("a directory");
        let overrides = OverrideDir::new(root.path());
        let file = overrides.file(&key());
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, "1").expect("written");
        let stamp = || overrides.look().stamps.remove(&file).expect("there");
        let first = stamp();
        assert_eq!(stamp(), first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        assert_ne!(stamp(), first);
        // Moved over it, of the same time and length.
        let (second, other) = (stamp(), file.with_file_name(".other"));
        fs::write(&other, "2").expect("written");
        let modified = fs::metadata(&file).and_then(|it| it.modified()).expect("a time");
        let opened = fs::File::options().write(true).open(&other).expect("there");
        opened.set_modified(modified).expect("set");
        fs::rename(&other, &file).expect("moved");
        assert_ne!(stamp(), second);
    }
}
