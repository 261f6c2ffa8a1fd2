//! Documents on disk, as they were last received: what a client can start from while no server can
//! be reached.
//!
//! ```text
//! <directory>/<scope>/received/<namespace>/<group>/<data id>
//! ```
//!
//! Folders and files can be read by their owner alone. [`format`] says what a file consists of,
//! [`name`] what it is called, [`replace`] how it is written, [`lock`] by one at a time, and
//! [`received`] what becomes of a file that is damaged or left over. The files of an operator are
//! [`overrides`].
mod crc32;
mod disk;
mod folder;
mod format;
mod lock;
mod name;
mod overrides;
mod received;
mod replace;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) use self::overrides::{Looked, Override, OverrideDir, Stamp, Stamps};
use self::{
    name::{file_name, sha256},
    received::Received,
};
use crate::{document::Document, key::ConfigKey};

/// A directory of snapshots: the documents of one cluster, each as it was last received.
///
/// A client keeps one by itself where the option `snapshot_dir` names a directory. This type is for
/// programs that look into such a directory, or fill one.
///
/// Cloning shares it. Nothing is held open, and nothing is read or made before it is asked for:
/// several clients and several processes may use one directory at the same time, and each finds
/// whole files. A file is replaced as a whole: whatever ends a process leaves the old one or the
/// new one. Writers take turns, by a lock that ends with its process; where a disk has no locks, or
/// one is kept for two seconds, they warn once, and write without.
///
/// All methods but [`new`](Self::new), [`scope`](Self::scope) and [`path`](Self::path) wait for the
/// disk: call them where blocking is allowed.
///
/// ```
/// use nacos_core::{ConfigKey, Document, SnapshotDir};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let snapshots = SnapshotDir::new(directory.path(), "production");
/// let key = ConfigKey::try_from("orders.yaml")?;
/// assert!(snapshots.read(&key)?.is_none());
///
/// snapshots.write(&key, Some(&Document::new("limit: 7", "yaml")))?;
/// let snapshot = snapshots.read(&key)?.ok_or("it was just written")?;
/// assert_eq!(snapshot.document.as_ref().map(|document| &*document.content), Some("limit: 7"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SnapshotDir {
    /// As a user has named it.
    directory: Arc<Path>,
    scope: Arc<str>,
    received: Received,
}

/// A document on disk: what was known of it at some time.
///
/// `Debug` shows no content.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The document; `None` if the server had confirmed that there is none.
    pub document: Option<Document>,
    /// The version of this file: local, and higher each time the document has become another one,
    /// also over restarts. It begins anew where a file is lost.
    pub seq: u64,
    /// When the server confirmed it, by the clock of this machine. The server may have confirmed it
    /// up to about an hour later, too: to move the time on, the file is written again once an hour.
    pub saved_at: SystemTime,
}

impl Snapshot {
    /// Whether it is content that not everybody gets, and which never stands for the document that
    /// everybody does.
    pub(crate) fn is_gray(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.gray.is_some())
    }

    /// How long ago it was saved. A time that is yet to come is now: clocks are set back.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.saved_at).unwrap_or_default()
    }
}

/// A server's word about a document, and when it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Word {
    /// None if it said that there is none.
    pub(crate) document: Option<Document>,
    /// By the clock of this machine.
    pub(crate) said_at: SystemTime,
}

impl Word {
    /// It says so now.
    pub(crate) fn new(document: Option<Document>) -> Self {
        Self { document, said_at: SystemTime::now() }
    }

    /// Whether it was said before the word `at` a time. One from a time that is yet to come says
    /// nothing: clocks are set back.
    pub(crate) fn is_older_than(&self, at: SystemTime, now: SystemTime) -> bool {
        at <= now && self.said_at < at
    }

    /// As it is once it has been written.
    pub(crate) fn into_snapshot(self) -> Snapshot {
        Snapshot { document: self.document, seq: 0, saved_at: self.said_at }
    }
}

impl SnapshotDir {
    /// The snapshots of the cluster `scope` in `directory`. Touches no disk.
    ///
    /// A client whose option `snapshot_scope` is not given has a scope made of the servers, or of
    /// the address server, that its options name.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, scope: &str) -> Self {
        let directory: Arc<Path> = directory.into().into();
        let received = Received::new(&directory, scope);
        Self { directory, scope: scope.into(), received }
    }

    /// The name of the cluster.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Where the files of this cluster are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(file_name(&self.scope))
    }

    /// Makes the folders, and says why that does not work. Nobody needs to call it: a first
    /// [`write`](Self::write) does the same.
    ///
    /// # Errors
    ///
    /// [`NotADirectory`](io::ErrorKind::NotADirectory) for a file or, below the directory itself, a
    /// link in the place of a folder, and whatever else the disk says. The text names the path.
    pub fn prepare(&self) -> io::Result<()> {
        self.received.prepare()
    }

    /// Whether another user than this one and `root` can change what a client starts from: the
    /// directory, or a folder of this cluster in it, is his, or others may write there. Always
    /// `false` where files have no owners.
    ///
    /// # Errors
    ///
    /// The folders cannot be made.
    pub fn is_foreign(&self) -> io::Result<bool> {
        self.received.is_foreign()
    }

    /// Reads what is known of `key`; `None` if nothing is.
    ///
    /// A file that is damaged, or of another document, is set aside (`.NAME.corrupt-MILLISECONDS`),
    /// warned about and counted: it is as good as none. A key without a namespace is one of the
    /// default namespace. The digest is that of the content which is there, whatever the file says.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub fn read(&self, key: &ConfigKey) -> io::Result<Option<Snapshot>> {
        self.received.read(key, false)
    }

    /// Reads the [gray version](Document::gray) of `key` that was received since the formal one:
    /// for people and programs that look into the directory. No client starts from it.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    ///
    /// ```
    /// use nacos_core::{ConfigKey, Document, SnapshotDir};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let snapshots = SnapshotDir::new(directory.path(), "production");
    /// let key = ConfigKey::try_from("orders.yaml")?;
    /// snapshots.write(&key, Some(&Document::new("limit: 7", "yaml")))?;
    /// assert!(snapshots.read_gray(&key)?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn read_gray(&self, key: &ConfigKey) -> io::Result<Option<Snapshot>> {
        self.received.read(key, true)
    }

    /// Writes what the server says of `key`: the document, or that there is none.
    ///
    /// A [gray version](Document::gray) gets a file of its own, beside that of the formal one, and
    /// goes once there is another formal word.
    ///
    /// Says whether there is something new on the disk: the same again is written once an hour, for
    /// its time.
    ///
    /// # Errors
    ///
    /// The disk refuses; the text names the path. The former file is there still.
    pub fn write(&self, key: &ConfigKey, document: Option<&Document>) -> io::Result<bool> {
        self.write_of(key, &Word::new(document.cloned()))
    }

    /// The same of the server's word at a time. A later word stays, by a clock that is not ahead.
    pub(crate) fn write_of(&self, key: &ConfigKey, word: &Word) -> io::Result<bool> {
        let Word { document, said_at } = word;
        self.received.write(key, document.as_ref(), *said_at, SystemTime::now())
    }

    /// How many documents of this cluster are there, counting at most `most`; one that is confirmed
    /// to have been removed is none. Reads the first line of each file.
    ///
    /// # Errors
    ///
    /// The disk cannot be read. A directory that is not there holds none.
    pub fn count(&self, most: usize) -> io::Result<usize> {
        self.received.count(most)
    }
}

impl fmt::Debug for SnapshotDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotDir").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The scope of a client for which none is given: of the servers (`servers`), or of what lists them
/// (`endpoint`, `dns`), as a user has configured it. The answers of an address server make no
/// difference, nor do the order of the servers and the case of their names.
///
/// Another way to make it loses the snapshots of each client that is upgraded.
pub(crate) fn scope_of(kind: &str, places: Vec<String>, context_path: &str) -> String {
    let mut places: Vec<_> = match kind {
        // The path and the query of an address server are as they are.
        "endpoint" => places,
        _ => places.iter().map(|place| place.to_ascii_lowercase()).collect(),
    };
    places.sort_unstable();
    places.dedup();
    let mut parts = vec!["nacos-snapshots-1", kind, context_path];
    parts.extend(places.iter().map(String::as_str));
    let mut digest = sha256(&parts);
    digest.truncate(SCOPE_DIGITS);
    digest
}

/// Any bytes as a file.
#[cfg(fuzzing)]
pub(crate) fn decode_anything(data: &[u8]) {
    format::decode_anything(data);
}

/// 48 bits tell the clusters of one machine apart.
const SCOPE_DIGITS: usize = 12;

#[cfg(test)]
mod tests;
