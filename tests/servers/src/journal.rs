//! Notes of what was written to a server that is not ours, on disk until it is removed: a process
//! that is killed removes nothing, and its successor does.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Given, cache};

/// A document: its namespace, its group and its data id.
pub type Place = [String; 3];

/// The documents that one process writes to a [`Given`] server.
///
/// Its file is locked for as long as the process lives, so that no other process takes documents
/// in use for left behind.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    prefix: String,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    places: BTreeSet<Place>,
    file: Option<File>,
}

/// The documents that an earlier process wrote and did not remove.
#[derive(Debug)]
pub struct Leftover {
    /// The [prefix](Given::prefix) of that process.
    pub prefix: String,
    /// Where it wrote, or was about to.
    pub places: Vec<Place>,
    path: PathBuf,
    _lock: File,
}

impl Journal {
    /// That of a suite of tests on this server, which knows best how to remove what it writes.
    #[must_use]
    pub fn of(suite: &str, given: &Given) -> Self {
        let server = given.addr().to_string().replace([':', '[', ']'], "-");
        let folder = cache::root().join("written").join(format!("{suite}-{server}"));
        Self::below(folder, given.prefix())
    }

    fn below(folder: PathBuf, prefix: &str) -> Self {
        Self { folder, prefix: prefix.to_owned(), written: Mutex::default() }
    }

    /// Notes a document before it is written. One that does not lie under the prefix is not noted,
    /// and so never removed.
    ///
    /// # Errors
    ///
    /// When the file cannot be written: then nothing should be written to the server either.
    pub fn note(&self, place: Place) -> io::Result<()> {
        if !lies_under(&self.prefix, &place) {
            return Ok(());
        }
        let mut written = self.written();
        if !written.places.contains(&place) {
            let file = match written.file.take() {
                Some(file) => file,
                None => self.open()?,
            };
            let file = written.file.insert(file);
            file.write_all(line_of(&place).as_bytes())?;
            written.places.insert(place);
        }
        Ok(())
    }

    /// Everything that was noted and not forgotten.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        self.written().places.iter().cloned().collect()
    }

    /// Forgets everything: it is removed.
    pub fn forget(&self) {
        let mut written = self.written();
        *written = Written::default();
        // One that stays is read by the next run, which finds nothing on the server.
        let _ = fs::remove_file(self.folder.join(&self.prefix));
    }

    /// The documents that earlier processes of this suite on this machine left on the server.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Leftover> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter_map(|path| Leftover::read(&path)).collect()
    }

    fn open(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(&self.prefix);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.try_lock()?;
        Ok(file)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leftover {
    /// Everything is removed.
    pub fn forget(self) {
        // As above.
        let _ = fs::remove_file(&self.path);
    }

    fn read(path: &Path) -> Option<Self> {
        let prefix = path.file_name()?.to_str().filter(|name| name.starts_with(Given::MARK))?;
        let lock = File::open(path).ok()?;
        // Locked: its process lives, and removes it itself.
        lock.try_lock().ok()?;
        let text = fs::read_to_string(path).ok()?;
        let places = text.lines().filter_map(place_of);
        let places: Vec<_> = places.filter(|place| lies_under(prefix, place)).collect();
        // None yet: it may be about to be locked.
        if places.is_empty() {
            return None;
        }
        Some(Self { prefix: prefix.to_owned(), places, path: path.to_path_buf(), _lock: lock })
    }
}

fn lies_under(prefix: &str, place: &Place) -> bool {
    place.iter().any(|name| name.starts_with(prefix))
}

/// One line, whatever the names hold: some checks write names that no server should take.
fn line_of(place: &Place) -> String {
    let escaped = place.each_ref().map(|name| {
        ESCAPES.iter().fold(name.clone(), |name, (plain, escaped)| name.replace(plain, escaped))
    });
    escaped.join("\t") + "\n"
}

/// Nothing, for half a line.
fn place_of(line: &str) -> Option<Place> {
    let names = line.split('\t').map(|name| {
        ESCAPES
            .iter()
            .rev()
            .fold(name.to_owned(), |name, (plain, escaped)| name.replace(escaped, plain))
    });
    names.collect::<Vec<_>>().try_into().ok()
}

/// The sign of the escapes first, because the others bring more of it.
const ESCAPES: [(&str, &str); 4] = [("%", "%25"), ("\t", "%09"), ("\n", "%0A"), ("\r", "%0D")];

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn what_a_process_left_is_found_by_the_next_one_and_by_nobody_while_it_lives() {
        let folder = Folder::create(&env::temp_dir(), "journal").expect("a directory");
        let journal = |prefix: &str| Journal::below(folder.path().join("written"), prefix);
        let first = journal("nacos-rs-1");
        let ours = place("nacos-rs-1", "g", "a\tb\nc%09\r");
        first.note(ours.clone()).expect("written");
        first.note(ours.clone()).expect("written");
        first.note(place("", "g", "somebody else's")).expect("ignored");
        assert_eq!(first.places(), std::slice::from_ref(&ours));
        let second = journal("nacos-rs-2");
        assert!(second.leftovers().is_empty(), "the first one lives");
        drop(first);
        let [left] = second.leftovers().try_into().expect("one");
        assert_eq!((&*left.prefix, &left.places[..]), ("nacos-rs-1", &[ours][..]));
        assert!(second.leftovers().is_empty(), "somebody is at it");
        left.forget();
        assert!(second.leftovers().is_empty());
    }

    #[test]
    fn what_was_removed_is_left_to_nobody() {
        let folder = Folder::create(&env::temp_dir(), "journal").expect("a directory");
        let journal = Journal::below(folder.path().to_path_buf(), "nacos-rs-1");
        journal.note(place("nacos-rs-1", "g", "a")).expect("written");
        journal.forget();
        assert!(journal.places().is_empty());
        journal.note(place("nacos-rs-1", "g", "b")).expect("written");
        drop(journal);
        let [left] =
            Journal::below(folder.path().to_path_buf(), "x").leftovers().try_into().expect("one");
        assert_eq!(left.places, [place("nacos-rs-1", "g", "b")]);
    }

    #[test]
    fn file_that_is_broken_or_not_ours_removes_nothing_of_anybody() {
        let folder = Folder::create(&env::temp_dir(), "journal").expect("a directory");
        let text = "public\tg\torders\nnacos-rs-1\tg\tours\nnacos-rs-1\tg";
        fs::write(folder.path().join("nacos-rs-1"), text).expect("written");
        fs::write(folder.path().join("notes"), "notes\tg\torders\n").expect("written");
        let journal = Journal::below(folder.path().to_path_buf(), "nacos-rs-2");
        let [left] = journal.leftovers().try_into().expect("one");
        assert_eq!(left.places, [place("nacos-rs-1", "g", "ours")]);
    }

    fn place(namespace: &str, group: &str, data_id: &str) -> Place {
        [namespace, group, data_id].map(str::to_owned)
    }
}
