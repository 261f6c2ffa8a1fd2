//! Directories as users and other programs leave them.
use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::gray::Gray;

struct Place {
    root: TempDir,
    snapshots: SnapshotDir,
}

fn place() -> Place {
    let root = tempfile::tempdir().expect("a directory");
    let snapshots = SnapshotDir::new(root.path().join("state/nacos"), "blue");
    Place { root, snapshots }
}

fn key(data_id: &str) -> ConfigKey {
    ConfigKey::try_from(data_id).expect("valid")
}

fn content(snapshot: Option<&Snapshot>) -> Option<&str> {
    Some(&*snapshot?.document.as_ref()?.content)
}

impl Place {
    fn write(&self, data_id: &str, content: &str) -> bool {
        let document = Document::new(content, "text");
        self.snapshots.write(&key(data_id), Some(&document)).expect("written")
    }

    fn read(&self, data_id: &str) -> Option<Snapshot> {
        self.snapshots.read(&key(data_id)).expect("readable")
    }

    fn group(&self) -> PathBuf {
        self.root.path().join("state/nacos/blue/received/public/DEFAULT_GROUP%ufff")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.group()).expect("there");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("there").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into()).collect();
        names.sort();
        names
    }
}

#[test]
fn document_is_kept_with_a_number_that_rises_over_restarts() {
    let place = place();
    assert_eq!(place.read("d"), None);
    assert!(place.write("d", "1"));
    assert!(!place.write("d", "1"), "nothing new");
    assert_eq!(place.read("d").map(|snapshot| snapshot.seq), Some(1));

    let again = SnapshotDir::new(place.root.path().join("state/nacos"), "blue");
    again.write(&key("d"), Some(&Document::new("2", "text"))).expect("written");
    let snapshot = place.read("d");
    assert_eq!(
        (content(snapshot.as_ref()), snapshot.as_ref().map(|s| s.seq)),
        (Some("2"), Some(2))
    );

    place.snapshots.write(&key("d"), None).expect("written");
    let removed = place.read("d").expect("a tombstone");
    assert_eq!((removed.document, removed.seq), (None, 3));
    assert_eq!(place.names(), ["d"]);
}

#[test]
fn clusters_namespaces_and_groups_never_meet() {
    let place = place();
    place.write("d", "production");
    let staging = SnapshotDir::new(place.root.path().join("state/nacos"), "green");
    assert_eq!(staging.read(&key("d")).expect("readable"), None);
    let other = key("d").in_namespace("staging".parse().expect("valid"));
    assert_eq!(place.snapshots.read(&other).expect("readable"), None);
    let default = key("d").in_namespace("public".parse().expect("valid"));
    assert!(place.snapshots.read(&default).expect("readable").is_some());

    // Nor do they where somebody copies the files.
    let copy = place.root.path().join("state/nacos/green/received/public/DEFAULT_GROUP%ufff");
    fs::create_dir_all(&copy).expect("made");
    fs::copy(place.group().join("d"), copy.join("d")).expect("copied");
    assert_eq!(staging.read(&key("d")).expect("readable"), None);
}

#[test]
fn damaged_file_is_set_aside_and_the_next_one_has_a_higher_number() {
    let place = place();
    place.write("d", "1");
    place.write("d", "2");
    let file = place.group().join("d");
    let mut bytes = fs::read(&file).expect("there");
    *bytes.last_mut().expect("some") ^= 1;
    fs::write(&file, bytes).expect("written");
    assert_eq!(place.read("d"), None);
    assert!(place.names()[0].starts_with(".d.corrupt-"), "{:?}", place.names());
    assert_eq!(place.names().len(), 1);

    place.write("d", "2");
    fs::write(&file, &fs::read(&file).expect("there")[..100]).expect("written");
    assert!(place.write("d", "2"), "a damaged file is replaced as well");
    assert_eq!(content(place.read("d").as_ref()), Some("2"));
}

#[test]
fn number_of_files_that_are_set_aside_is_bounded() {
    let place = place();
    for n in 0..20 {
        place.write(&format!("d{n}"), "1");
        fs::write(place.group().join(format!("d{n}")), "damaged").expect("written");
        assert_eq!(place.read(&format!("d{n}")), None);
    }
    assert_eq!(place.names().len(), 8, "{:?}", place.names());
    // Those of former processes count, too.
    let again = SnapshotDir::new(place.root.path().join("state/nacos"), "blue");
    for n in 0..20 {
        fs::write(place.group().join(format!(".e.corrupt-{n}")), "damaged").expect("written");
    }
    again.write(&key("d"), None).expect("written");
    assert_eq!(place.names().len(), 9, "{:?}", place.names());
}

#[test]
fn old_temporary_files_are_removed_and_young_ones_are_not() {
    let place = place();
    place.write("d", "1");
    let (old, young) = (place.group().join(".1-0.tmp"), place.group().join(".1-1.tmp"));
    fs::write(&young, "half").expect("written");
    let file = fs::File::create(&old).expect("made");
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).expect("set");
    SnapshotDir::new(place.root.path().join("state/nacos"), "blue")
        .write(&key("e"), None)
        .expect("written");
    assert_eq!((old.exists(), young.exists()), (false, true));
}

#[test]
fn leftovers_of_documents_that_nobody_writes_any_more_are_removed_too() {
    let place = place();
    place.write("d", "1");
    let other = ConfigKey::try_from(("d", "other")).expect("valid");
    place.snapshots.write(&other, None).expect("written");
    let folder = place.group().with_file_name("other");
    let year = Duration::from_secs(365 * 24 * 3600);
    let now = SystemTime::now();
    let leftovers =
        [("past", now - year), ("future", now + year), ("now", now)].map(|(name, at)| {
            let path = folder.join(format!(".{name}.tmp"));
            fs::File::create(&path).expect("made").set_modified(at).expect("set");
            path
        });
    let again = SnapshotDir::new(place.root.path().join("state/nacos"), "blue");
    again.write(&key("d"), None).expect("written");
    assert_eq!(leftovers.map(|path| path.exists()), [false, false, true]);
}

#[test]
fn clock_that_jumps_by_a_year_either_way_loses_nothing() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let place = place();
    let now = SystemTime::now();
    let documents = ["1", "2", "3"].map(|content| Document::new(content, "text"));
    for (document, at) in documents.iter().zip([now, now + YEAR, now - YEAR]) {
        let wrote = place.snapshots.received.write(&key("d"), Some(document), at, at);
        assert!(wrote.expect("written"));
        let snapshot = place.read("d").expect("there");
        assert_eq!(snapshot.document.as_ref(), Some(document));
        assert!(snapshot.age(now) == Duration::ZERO || snapshot.age(now) < YEAR * 2);
    }
    assert_eq!(place.read("d").map(|snapshot| snapshot.seq), Some(3));
    // A time that is a year ahead is put right by the same content.
    let future = place.snapshots.received.write(&key("e"), None, now + YEAR, now + YEAR);
    assert!(future.expect("written"));
    assert!(place.snapshots.received.write(&key("e"), None, now, now).expect("written"));
    assert_eq!(place.read("e").map(|snapshot| snapshot.seq), Some(1), "it is no other document");
}

#[test]
fn document_is_as_old_as_its_last_confirmation_give_or_take_an_hour() {
    let place = place();
    let document = Document::new("1", "text");
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    // It has not changed for a year, and the disk was slow each time.
    let mut written = 0;
    for minutes in (0..365 * 24 * 60).step_by(7) {
        let said_at = now - hour * 24 * 365 + Duration::from_secs(60 * minutes);
        let write = place.snapshots.received.write(&key("d"), Some(&document), said_at, now);
        written += u32::from(write.expect("written"));
        if minutes > 3 * 24 * 60 {
            break;
        }
        let snapshot = place.read("d").expect("there");
        assert!(snapshot.saved_at <= said_at, "no later than it was said");
        assert!((snapshot.seq, snapshot.age(said_at) < hour) == (1, true));
    }
    assert!((60..=72).contains(&written), "{written} in three days");
}

#[test]
fn what_the_server_said_before_never_replaces_what_it_said_later() {
    let place = place();
    let now = SystemTime::now();
    let second = Duration::from_secs(1);
    let [old, new] = ["old", "new"].map(|content| Document::new(content, "text"));
    let write = |document, said_at| {
        place.snapshots.received.write(&key("d"), document, said_at, now).expect("written")
    };
    assert!(write(Some(&new), now - second));
    assert!(!write(Some(&old), now - second * 2), "a slow query of another process");
    assert!(!write(None, now - second * 2));
    assert_eq!(content(place.read("d").as_ref()), Some("new"));
    assert!(write(None, now));
    assert!(!write(Some(&new), now - second), "it would come back");
    assert_eq!(place.read("d").map(|snapshot| (snapshot.document, snapshot.seq)), Some((None, 2)));
}

#[test]
fn gray_version_has_a_file_of_its_own_until_there_is_another_formal_word() {
    let place = place();
    place.write("d", "formal");
    let mut gray = Document::new("beta", "text");
    gray.gray = Some(Gray::Beta);
    let write = || place.snapshots.write(&key("d"), Some(&gray)).expect("written");
    assert!(write() && !write());
    let read_gray = || place.snapshots.read_gray(&key("d")).expect("readable");
    assert_eq!(read_gray().and_then(|found| found.document), Some(gray.clone()));
    assert_eq!(content(place.read("d").as_ref()), Some("formal"));
    assert_eq!(place.snapshots.count(9).expect("there"), 1);

    // It is promoted: the same content for everybody is another thing.
    assert!(place.write("d", "beta"));
    assert_eq!((content(place.read("d").as_ref()), read_gray()), (Some("beta"), None));
    assert_eq!(place.names(), ["d"]);

    // Nor is it the formal one where somebody has renamed the file.
    write();
    fs::rename(place.group().join("d%gray"), place.group().join("d")).expect("renamed");
    assert_eq!(place.read("d"), None);
}

#[test]
fn file_in_place_of_a_folder_is_an_error_that_names_it() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("nacos");
    fs::write(&file, "x").expect("written");
    let snapshots = SnapshotDir::new(&file, "blue");
    let error = snapshots.prepare().expect_err("a file");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{error}");
    assert!(error.to_string().contains("nacos"), "{error}");
    let error = snapshots.write(&key("d"), None).expect_err("a file");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{error}");
    assert_eq!(snapshots.read(&key("d")).expect("nothing is there"), None);
    assert_eq!(snapshots.count(9).expect("nothing is there"), 0);
}

#[cfg(unix)]
#[test]
fn link_to_a_folder_is_followed_where_a_user_named_it_and_nowhere_below() {
    use std::os::unix::fs::symlink;

    let root = tempfile::tempdir().expect("a directory");
    let (real, link) = (root.path().join("real"), root.path().join("link"));
    fs::create_dir(&real).expect("made");
    symlink(&real, &link).expect("linked");
    let snapshots = SnapshotDir::new(&link, "blue");
    snapshots.write(&key("d"), None).expect("written");
    assert!(real.join("blue/received/public/DEFAULT_GROUP%ufff/d").is_file());

    symlink(root.path(), real.join("green")).expect("linked");
    let error = SnapshotDir::new(&link, "green").write(&key("d"), None).expect_err("a link");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{error}");

    // A link in place of a document is set aside, not read, and what it leads to is left alone.
    let file = real.join("blue/received/public/DEFAULT_GROUP%ufff/d");
    let elsewhere = root.path().join("elsewhere");
    fs::rename(&file, &elsewhere).expect("moved");
    symlink(&elsewhere, &file).expect("linked");
    assert_eq!(snapshots.read(&key("d")).expect("readable"), None);
    symlink(&elsewhere, &file).expect("linked");
    let before = fs::read(&elsewhere).expect("there");
    let document = Document::new("2", "text");
    snapshots.write(&key("d"), Some(&document)).expect("written");
    assert_eq!(fs::read(&elsewhere).expect("there"), before);
    assert!(!file.is_symlink());
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_folders_and_files() {
    use std::os::unix::fs::PermissionsExt;

    let _limit = nacos_testkit::TimeLimit::start();
    let place = place();
    place.write("d", "1");
    let mut path = place.group().join("d");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    while path.pop() && path != place.root.path() {
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
    assert!(!place.snapshots.is_foreign().expect("ours"));
}

#[test]
fn documents_are_counted_and_nothing_else_is() {
    let place = place();
    assert_eq!(place.snapshots.count(9).expect("nothing is there"), 0);
    for n in 0..3 {
        place.write(&format!("d{n}"), "1");
    }
    assert_eq!(place.snapshots.count(9).expect("there"), 3);
    assert_eq!(place.snapshots.count(2).expect("there"), 2);
    place.snapshots.write(&key("d0"), None).expect("written");
    fs::write(place.group().join(".1-0.tmp"), "half").expect("written");
    fs::write(place.group().join("d9"), "no snapshot").expect("written");
    assert_eq!(place.snapshots.count(9).expect("there"), 2);
}

#[test]
fn names_that_differ_in_case_alone_have_files_that_differ_in_more() {
    let place = place();
    for name in ["orders", "Orders", "ORDERS"] {
        place.write(name, name);
    }
    let mut names: Vec<_> = place.names().iter().map(|name| name.to_ascii_lowercase()).collect();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in ["orders", "Orders", "ORDERS"] {
        assert_eq!(content(place.read(name).as_ref()), Some(name));
    }
}

#[cfg(unix)]
#[test]
fn pipe_folder_or_link_in_place_of_a_file_is_set_aside_and_holds_nobody_up() {
    let _limit = nacos_testkit::TimeLimit::start();
    let place = place();
    place.write("other", "1");
    let file = place.group().join("d");
    let pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("it runs");
        assert!(made.success());
    };
    let link = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).expect("linked");
    let folder = |path: &Path| fs::create_dir(path).expect("made");
    let makes: [&dyn Fn(&Path); 3] = [&pipe, &link, &folder];
    for make in makes {
        make(&file);
        assert_eq!(place.read("d"), None);
        make(&file);
        assert!(place.write("d", "1"), "it is replaced");
        assert_eq!(content(place.read("d").as_ref()), Some("1"));
        fs::remove_file(&file).expect("removed");
        // Nor does the lock wait.
        let lock = place.snapshots.path().join(".lock");
        fs::remove_file(&lock).expect("removed");
        make(&lock);
        let again = SnapshotDir::new(place.root.path().join("state/nacos"), "blue");
        assert!(again.write(&key("e"), Some(&Document::new("1", "text"))).expect("written"));
        let remove =
            if lock.is_dir() && !lock.is_symlink() { fs::remove_dir } else { fs::remove_file };
        remove(&lock).expect("removed");
        place.write("e", "2");
    }
}

#[test]
fn scope_follows_what_is_configured_and_not_its_order() {
    let scope = |kind, places: &[&str], path| {
        scope_of(kind, places.iter().map(|place| (*place).to_owned()).collect(), path)
    };
    let blue = scope("servers", &["a:8848", "b:8848"], "nacos");
    assert_eq!(blue.len(), 12);
    assert_eq!(blue, scope("servers", &["b:8848", "a:8848", "a:8848"], "nacos"));
    for other in [
        scope("servers", &["a:8848"], "nacos"),
        scope("servers", &["a:8848", "b:8848"], "env"),
        scope("endpoint", &["a:8848", "b:8848"], "nacos"),
        scope("servers", &["a:8848b:8848"], "nacos"),
    ] {
        assert_ne!(blue, other);
    }
}

#[test]
fn two_writers_of_one_directory_never_tear_or_swap_a_file_nor_give_a_number_twice() {
    let place = place();
    let names = ["application.yaml", "application.json"];
    let _limit = nacos_testkit::TimeLimit::start();
    let written = std::thread::scope(|scope| {
        let writers = [0, 1].map(|writer| {
            let snapshots = SnapshotDir::new(place.root.path().join("state/nacos"), "blue");
            scope.spawn(move || {
                let mut written = [0; 2];
                for n in 0..50 {
                    for (name, written) in names.into_iter().zip(&mut written) {
                        let content = format!("{name} of {writer}, the {n}th").repeat(n + 1);
                        let document = Document::new(content, "text");
                        let is_new = snapshots.write(&key(name), Some(&document));
                        *written += u64::from(is_new.expect("written"));
                    }
                }
                written
            })
        });
        let mut last = [0; 2];
        for _ in 0..200 {
            for (name, last) in names.into_iter().zip(&mut last) {
                if let Some(snapshot) = place.read(name) {
                    let document = snapshot.document.expect("never removed");
                    assert!(document.content.starts_with(name), "swapped");
                    assert!(snapshot.seq >= *last, "an older one is back");
                    *last = snapshot.seq;
                }
            }
        }
        let [one, other] = writers.map(|writer| writer.join().expect("no panic"));
        [one[0] + other[0], one[1] + other[1]]
    });
    assert_eq!(place.names(), ["application.json", "application.yaml"], "none was set aside");
    assert_eq!(names.map(|name| place.read(name).map(|found| found.seq)), written.map(Some));
}
