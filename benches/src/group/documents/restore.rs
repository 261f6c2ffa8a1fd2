//! A start without a server, from what is kept on disk.
use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use nacos_core::{ConfigKey, Document, SnapshotDir};

use super::{GOAL, GROUP, ROUNDS, SCOPE, compare, name};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::millis,
    row::{Better, Metric, Row},
    run::Run,
    subject::Subject,
};

/// Ours beside the goal, and beside reading the same files.
pub(super) fn rows(run: &Run, ours: &Subject) -> Result<Vec<Row>, Failure> {
    let scratch = Scratch::new()?;
    let snapshots = SnapshotDir::new(scratch.path(), SCOPE);
    let document = Document::new("x".repeat(1024), "text");
    for number in 0..COUNT {
        let key = ConfigKey::try_from(&*name(DOCUMENTS, number))?;
        snapshots.write(&key, Some(&document))?;
    }
    let rounds = run.rounds().min(ROUNDS);
    let goal = [vec![LIMIT; rounds]];
    let mut rows = Vec::new();
    for (case, policy) in
        [("no server, snapshot first", "snapshot_first"), ("no server, usual policy", "usual")]
    {
        let sides: Vec<Side<'_, 1>> = vec![
            Box::new(|| Ok([ours.restore(scratch.path(), DOCUMENTS, COUNT, policy)?])),
            Box::new(|| read_all(&snapshots.path())),
        ];
        let figures = contest(rounds, sides)?;
        let [ours, files] = &*figures else { return Ok(Vec::new()) };
        rows.extend(compare(GROUP.name, case, [METRIC], ours, (GOAL, &goal)));
        rows.extend(compare(GROUP.name, case, [METRIC], ours, ("fs::read of each", files)));
    }
    Ok(rows)
}

/// Milliseconds for reading all files below `directory`.
fn read_all(directory: &Path) -> Result<[f64; 1], Failure> {
    let (began, mut folders, mut files) = (Instant::now(), vec![directory.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                fs::read(entry.path())?;
                files += 1;
            }
        }
    }
    if files < COUNT { Err("snapshots are missing".into()) } else { Ok([millis(began.elapsed())]) }
}

/// A directory that is gone when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self, Failure> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            env::temp_dir().join(format!("nacos-rs-benches-{}-{number}", process::id()));
        // Not one that exists: it may be another user's.
        fs::create_dir(&directory)?;
        Ok(Self(directory))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A rest of it harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const METRIC: Metric = Metric { name: "start to all 50 shown", unit: "ms", better: Better::Less };
const COUNT: usize = 50;
/// In milliseconds.
const LIMIT: f64 = 100.0;
const DOCUMENTS: &str = "nacos-rs-benches-kept";
