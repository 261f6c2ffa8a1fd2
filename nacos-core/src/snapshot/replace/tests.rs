//! A replacement, stopped after each of its steps, on a disk that keeps what it must and no more.
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::*;

/// A step, as the disk was asked for it.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    CreateFolder(PathBuf),
    SyncFolder(PathBuf),
}

/// Notes the steps, and refuses all after the first so many.
struct Recorder {
    steps: RefCell<Vec<Step>>,
    most: usize,
}

impl Recorder {
    fn note(&self, step: Step) -> io::Result<()> {
        let mut steps = self.steps.borrow_mut();
        // A process that is gone cleans nothing up either.
        if steps.len() == self.most {
            return Err(io::Error::other("the power is gone"));
        }
        steps.push(step);
        Ok(())
    }
}

impl Disk for Recorder {
    type File = PathBuf;

    fn create(&self, path: &Path) -> io::Result<PathBuf> {
        self.note(Step::Create(path.to_owned())).map(|()| path.to_owned())
    }

    fn write(&self, file: &mut PathBuf, bytes: &[u8]) -> io::Result<()> {
        self.note(Step::Write(file.clone(), bytes.to_owned()))
    }

    fn sync(&self, file: &PathBuf) -> io::Result<()> {
        self.note(Step::Sync(file.clone()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Step::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(Step::Remove(path.to_owned()))
    }

    fn create_folder(&self, path: &Path) -> io::Result<bool> {
        self.note(Step::CreateFolder(path.to_owned())).map(|()| true)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.note(Step::SyncFolder(path.to_owned()))
    }
}

/// The files that may be there after the power came back, by path: one map for each way in which
/// it may have gone.
///
/// A name is on the disk once its folder is synchronised, and content once its file is. Before
/// that each may be there or not, of content any part, and zeroes in place of the rest.
fn after_a_power_failure(steps: &[Step]) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
    let names: Vec<_> = (0..steps.len())
        .filter(|&at| {
            let folder = |path: &Path| path.parent().map(Path::to_owned);
            let made = match &steps[at] {
                Step::Create(path) | Step::CreateFolder(path) | Step::Remove(path) => folder(path),
                Step::Rename(_, to) => folder(to),
                _ => return false,
            };
            let is_synced = |later: &Step| matches!(later, Step::SyncFolder(path) if Some(path) == made.as_ref());
            !steps[at..].iter().any(is_synced)
        })
        .collect();
    assert!(names.len() < 12, "a replacement takes few steps");
    let mut outcomes = Vec::new();
    for lost in 0..1_u32 << names.len() {
        let is_lost = |at: usize| {
            names.iter().position(|&name| name == at).is_some_and(|bit| lost >> bit & 1 == 1)
        };
        for kept in [0, 1, 2, 3] {
            outcomes.push(play(steps, is_lost, kept));
        }
    }
    outcomes
}

/// The files after those steps that were not lost; of content that is not synchronised, `kept`
/// says how much is there.
fn play(
    steps: &[Step],
    is_lost: impl Fn(usize) -> bool,
    kept: usize,
) -> BTreeMap<PathBuf, Vec<u8>> {
    // Content belongs to the file, whatever its name is.
    let mut contents: Vec<Vec<u8>> = Vec::new();
    let mut open: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut on_disk: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::from([PathBuf::from("/")]);
    let is_synced = |from: usize, path: &Path| {
        steps[from..].iter().any(|step| matches!(step, Step::Sync(synced) if synced == path))
    };
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Create(path) => {
                open.insert(path.clone(), contents.len());
                if !is_lost(at) {
                    on_disk.insert(path.clone(), contents.len());
                }
                contents.push(Vec::new());
            }
            Step::Write(path, bytes) => {
                let mut bytes = bytes.clone();
                if !is_synced(at, path) {
                    let half = bytes.len() / 2;
                    match kept {
                        0 => bytes.clear(),
                        1 => bytes.truncate(half),
                        2 => bytes[half..].fill(0),
                        _ => {}
                    }
                }
                contents[open[path]].extend(bytes);
            }
            Step::Rename(from, to) => {
                let file = open.remove(from).expect("created");
                open.insert(to.clone(), file);
                if !is_lost(at) {
                    on_disk.remove(from);
                    on_disk.insert(to.clone(), file);
                }
            }
            Step::Remove(path) if !is_lost(at) => drop(on_disk.remove(path)),
            Step::CreateFolder(path) if !is_lost(at) => drop(folders.insert(path.clone())),
            _ => {}
        }
    }
    let is_there = |path: &Path| path.ancestors().skip(1).all(|above| folders.contains(above));
    let found = on_disk.into_iter().filter(|(path, _)| is_there(path));
    found.map(|(path, file)| (path, contents[file].clone())).collect()
}

const OLD: &[u8] = b"the old content, in full";
const NEW: &[u8] = b"the new content, which is longer than the old";

fn run(most: usize, folders: &[String]) -> (Vec<Step>, io::Result<()>) {
    let disk = Recorder { steps: RefCell::default(), most };
    let outcome = create_folders(&disk, Path::new("/"), folders)
        .and_then(|folder| replace(&disk, &folder, "orders", NEW));
    (disk.steps.into_inner(), outcome)
}

/// The steps by which an old file came to be there for good.
fn before(folder: &Path) -> Vec<Step> {
    let (temporary, file) = (folder.join(".old.tmp"), folder.join("orders"));
    vec![
        Step::Create(temporary.clone()),
        Step::Write(temporary.clone(), OLD.to_owned()),
        Step::Sync(temporary.clone()),
        Step::Rename(temporary, file),
        Step::SyncFolder(folder.to_owned()),
    ]
}

#[test]
fn power_failure_leaves_the_old_file_or_the_new_and_never_a_part() {
    let root = Path::new("/");
    let (whole, outcome) = run(usize::MAX, &[]);
    outcome.expect("it goes through");
    for most in 0..=whole.len() {
        let (steps, outcome) = run(most, &[]);
        for files in after_a_power_failure(&[before(root), steps].concat()) {
            let found = files.get(&root.join("orders")).map(Vec::as_slice);
            let allowed: &[&[u8]] = if outcome.is_ok() { &[NEW] } else { &[OLD, NEW] };
            assert!(found.is_some_and(|found| allowed.contains(&found)), "after {most}: {files:?}");
        }
    }
}

#[test]
fn first_file_of_new_folders_is_there_once_it_is_said_to_be() {
    let folders = ["received".to_owned(), "public".to_owned()];
    let (whole, outcome) = run(usize::MAX, &folders);
    outcome.expect("it goes through");
    for most in 0..=whole.len() {
        let (steps, outcome) = run(most, &folders);
        for files in after_a_power_failure(&steps) {
            let found = files.get(Path::new("/received/public/orders")).map(Vec::as_slice);
            let allowed: &[_] = if outcome.is_ok() { &[Some(NEW)] } else { &[None, Some(NEW)] };
            assert!(allowed.contains(&found), "after {most}: {files:?}");
        }
    }
}

#[test]
fn replacement_that_fails_leaves_no_temporary_file_and_no_document_that_was_removed() {
    struct Full(RefCell<Vec<PathBuf>>);
    impl Disk for Full {
        type File = ();
        fn create(&self, path: &Path) -> io::Result<()> {
            self.0.borrow_mut().push(path.to_owned());
            Ok(())
        }
        fn write(&self, (): &mut (), _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn sync(&self, (): &()) -> io::Result<()> {
            Ok(())
        }
        fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.0.borrow_mut().retain(|file| file != path);
            Ok(())
        }
        fn create_folder(&self, _: &Path) -> io::Result<bool> {
            Ok(false)
        }
        fn sync_folder(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
    }
    let disk = Full(RefCell::default());
    let error = replace(&disk, Path::new("/"), "orders", NEW).expect_err("no room");
    assert_eq!((error.kind(), disk.0.borrow().len()), (io::ErrorKind::StorageFull, 0));

    let files = ["/orders", "/other"].map(PathBuf::from);
    let disk = Full(RefCell::new(files.to_vec()));
    replace(&disk, Path::new("/"), "orders", NEW).expect_err("no room");
    assert_eq!(*disk.0.borrow(), files);
    replace_or_remove(&disk, Path::new("/"), "orders", NEW).expect_err("no room");
    assert_eq!(*disk.0.borrow(), files[1..]);
}
