//! A process that is killed while it writes snapshots leaves whole files.
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use nacos_core::{ConfigKey, Document, SnapshotDir};
use nacos_testkit::TimeLimit;

use crate::support::ends_with_its_parent;

/// Two names that differ behind their last dot alone.
const NAMES: [&str; 2] = ["application.yaml", "application.json"];

/// 50 processes, or `SNAPSHOT_KILLS`.
#[test]
fn writer_that_is_killed_leaves_whole_files_and_each_under_its_name() {
    let _limit = TimeLimit::start();
    let given = std::env::var("SNAPSHOT_KILLS").ok().and_then(|count| count.parse().ok());
    let rounds = given.unwrap_or(50);
    let root = tempfile::tempdir().expect("a directory");
    let mut last = [0; 2];
    for round in 0..rounds {
        let mut child = writer(root.path());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // It is killed in the middle of whatever it does after so many of its files.
        let mut written = round % 7 + 1;
        while written > 0 {
            let line = lines.next().expect("it writes until it is killed").expect("text");
            written -= usize::from(line.contains("written"));
        }
        child.kill().expect("it runs");
        child.wait().expect("it is ours");
        for (name, last) in NAMES.into_iter().zip(&mut last) {
            let snapshots = SnapshotDir::new(root.path(), "blue");
            let key = ConfigKey::try_from(name).expect("valid");
            let Some(snapshot) = snapshots.read(&key).expect("readable") else {
                assert_eq!(*last, 0, "{name} is lost in round {round}");
                continue;
            };
            assert!(snapshot.seq >= *last, "{name} is older in round {round}");
            *last = snapshot.seq;
            let document = snapshot.document.expect("never removed");
            assert!(document.content.starts_with(name), "swapped in round {round}");
        }
        let torn = files(root.path()).into_iter().find(|name| name.contains("corrupt"));
        assert_eq!(torn, None, "in round {round}");
    }
    assert!(last.into_iter().all(|seq| seq >= rounds as u64 / 4), "{last:?}");
}

#[test]
#[ignore = "another test runs it, and kills it"]
fn writes_until_it_is_killed() {
    ends_with_its_parent();
    let directory = std::env::var_os("SNAPSHOTS").expect("given");
    let snapshots = SnapshotDir::new(directory, "blue");
    for n in 0_u64.. {
        for name in NAMES {
            let key = ConfigKey::try_from(name).expect("valid");
            let size = 1 + usize::try_from(n % 5).expect("small") * 20_000;
            let content = format!("{name} {} {}", std::process::id(), n).repeat(size / 20 + 1);
            snapshots.write(&key, Some(&Document::new(content, "text"))).expect("written");
            println!("written");
        }
    }
}

fn writer(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", "snapshot_files::writes_until_it_is_killed", "--ignored"]);
    command.arg("--nocapture").env("SNAPSHOTS", directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

fn files(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names.extend(files(&path));
        } else {
            names.push(path.display().to_string());
        }
    }
    names
}
