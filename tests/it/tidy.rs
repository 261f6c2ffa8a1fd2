//! The promises of ARCHITECTURE.md about files, checked on the files.
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub(crate) const CRATES: [&str; 6] =
    ["nacos-core", "nacos-tower", "nacos-axum", "nacos-tonic", "nacos-figment", "nacos-testkit"];

/// The modules of core, by floor.
const FLOORS: [&[&str]; 6] = [
    &[
        "address",
        "call_error",
        "disconnect",
        "document",
        "error",
        "file",
        "freshness",
        "given",
        "gray",
        "instance",
        "key",
        "labels",
        "link_variable",
        "live",
        "matched_keys",
        "origin",
        "pace",
        "resource",
        "room",
        "secret",
        "server",
        "service",
        "session_stats",
        "snapshot",
        "start_policy",
        "state",
        "storm",
        "telemetry",
        "time",
        "within",
    ],
    &["wire"],
    &["transport", "session", "tasks", "credentials", "filter"],
    &["connection", "server_list"],
    &["config", "naming", "inspect"],
    &["client", "builder", "env", "lib", "lifecycle", "options"],
];

/// A file of the workspace: its path below the root, and its text without its tests.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

#[test]
fn session_does_no_io_and_reads_no_clock() {
    for source in sources("nacos-core/src/session") {
        for forbidden in [
            "tokio",
            "h2::",
            "hyper",
            "Instant::now",
            "SystemTime::now",
            "fastrand",
            "async ",
            "std::env",
        ] {
            source.must_not(forbidden, "the session does no I/O");
        }
    }
}

/// A session takes and gives values: it knows neither the transport that carries bytes nor the
/// telemetry that counts.
#[test]
fn session_imports_nothing_but_values_and_messages() {
    let mut seen = 0;
    for source in sources("nacos-core/src/session") {
        // Nor by a path that leads up and down again.
        source.must_not("super::transport", "the session carries no bytes");
        source.must_not("super::telemetry", "the session counts nothing");
        for used in used_modules(&source.text).into_iter().filter(|used| !used.is_empty()) {
            let own_or_wire = ["session", "wire"].contains(&used.as_str());
            let may = own_or_wire || FLOORS[0].contains(&used.as_str()) && used != "telemetry";
            assert!(may, "{} uses `{used}`, which is beyond its border", source.path);
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} imports were found");
}

#[test]
fn floors_of_core_point_downwards() {
    let floor_of = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut seen = 0;
    for source in sources("nacos-core/src") {
        let below = source.path.trim_start_matches("nacos-core/src/").trim_end_matches(".rs");
        let module = below.split('/').next().unwrap_or_default();
        let Some(floor) = floor_of(module) else { panic!("{} stands on no floor", source.path) };
        for used in used_modules(&source.text) {
            let Some(used_floor) = floor_of(&used) else { continue };
            seen += 1;
            assert!(used_floor <= floor, "{} uses `{used}`, which stands above it", source.path);
        }
    }
    assert!(seen > 60, "only {seen} arrows were found");
}

#[test]
fn no_public_item_goes_with_a_feature() {
    for krate in CRATES {
        for source in sources(&format!("{krate}/src")) {
            // An item in place of a feature is for the crate itself.
            for (at, _) in source.text.match_indices("#[cfg(not(feature") {
                let item = source.text[at..].lines().find(|line| !line.trim().starts_with("#["));
                let item = item.unwrap_or_default().trim();
                assert!(!item.starts_with("pub "), "{}: `{item}` goes with a feature", source.path);
            }
        }
    }
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("text");
    let section = text.split("\n## What must stay true\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let invariants: Vec<_> = section
        .split("\n\n")
        .filter(|block| block.starts_with("1. "))
        .flat_map(str::lines)
        .fold(Vec::new(), |mut invariants: Vec<String>, line| {
            match invariants.last_mut().filter(|_| line.starts_with(' ')) {
                Some(invariant) => invariant.push_str(line),
                None => invariants.push(line.to_owned()),
            }
            invariants
        });
    assert!(invariants.len() >= 16, "only {} invariants were found", invariants.len());

    let files = files(CRATES.into_iter().chain(["tests", "examples"]));
    let text = |path| fs::read_to_string(path).expect("text");
    let code = files.into_iter().map(text).collect::<Vec<_>>().join("\n");
    let run = tests_that_run(&code);
    for invariant in invariants {
        // A name of a test is a sentence.
        let quoted = invariant.split('`').skip(1).step_by(2);
        let tests: Vec<_> = quoted.filter(|name| name.matches('_').count() >= 2).collect();
        assert!(!tests.is_empty(), "no test is named by: {invariant}");
        for test in tests {
            assert!(run.contains(test), "there is no test `{test}`, or it does not run");
        }
    }
}

#[test]
fn function_is_a_test_that_runs_by_its_attributes() {
    let code = "
/// Its words stand above or below its attributes.
#[test]
fn plain() {}

    #[cfg(target_os = \"linux\")]
    #[tokio::test(start_paused = true)]
    // So does this.
    async fn paused() {}

#[test]
#[ignore = \"another test runs it\"]
fn ignored() {}

#[tokio::test]
#[cfg_attr(miri, ignore)]
async fn ignored_somewhere() {}

#[test]
const NOTHING: () = ();
fn helper() {}

#[cfg(test)]
fn of_tests() {}
";
    assert_eq!(tests_that_run(code), BTreeSet::from(["plain", "paused"]));
}

/// The names of the functions that a run of the tests calls, as the formatter lays them out.
fn tests_that_run(code: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in code.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
            is_ignored |= line.contains("ignore");
        } else if !line.starts_with("//") {
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            let name = name.and_then(|name| name.split_once('(')).map(|(name, _)| name);
            tests.extend(name.filter(|_| is_test && !is_ignored));
            (is_test, is_ignored) = (false, false);
        }
    }
    tests
}

#[test]
fn tasks_are_spawned_in_one_file_of_each_crate() {
    for krate in CRATES {
        let spawning: Vec<_> = sources(&format!("{krate}/src"))
            .filter(|source| SPAWNS.iter().any(|call| source.code().contains(call)))
            .map(|source| source.path)
            .collect();
        assert!(spawning.len() <= 1, "{krate} spawns in {spawning:?}");
    }
}

/// The texts that begin a task or a thread, or may.
const SPAWNS: [&str; 7] = [
    "tokio::spawn(",
    "spawn_local(",
    "spawn_blocking(",
    "thread::spawn(",
    "thread::Builder",
    "thread::scope(",
    "JoinSet",
];

#[test]
fn environment_is_read_in_env_rs_only() {
    for krate in CRATES {
        for source in sources(&format!("{krate}/src")) {
            if !source.path.ends_with("/env.rs") {
                source.must_not("env::var", "the environment is read in env.rs");
            }
        }
    }
}

#[test]
fn wire_names_stay_in_wire() {
    for source in sources("nacos-core/src") {
        if source.path.contains("/wire/") {
            continue;
        }
        for name in ["serde(rename", "\"ConfigQueryRe", "\"InstanceRe", "\"NotifySubscriberRe"] {
            source.must_not(name, "wire/ alone knows names of the wire");
        }
    }
}

#[test]
fn no_state_is_global() {
    for krate in CRATES {
        for source in sources(&format!("{krate}/src")) {
            for global in ["LazyLock", "lazy_static", "thread_local!"] {
                source.must_not(global, "there is no global state");
            }
            let items = ["static ", "pub static ", "pub(crate) static "];
            let found = source
                .text
                .lines()
                .find(|line| items.iter().any(|item| line.trim_start().starts_with(item)));
            assert_eq!(found, None, "{}: there is no global state", source.path);
        }
    }
}

/// A map of std keeps room for as many entries as it ever had.
#[test]
fn maps_of_claims_give_their_room_back() {
    let holders = ["session/", "connection/"];
    let mut seen = 0;
    for source in sources("nacos-core/src") {
        let below = source.path.trim_start_matches("nacos-core/src/");
        if holders.iter().any(|holder| below.starts_with(holder)) {
            source.must_not("HashMap<", "a `Map` gives its room back");
            seen += source.text.matches(" Map<").count() + source.text.matches(" Entries<").count();
        }
    }
    assert!(seen > 15, "only {seen} maps were found");
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut files = 0;
    for root in CRATES
        .map(|krate| format!("{krate}/src"))
        .into_iter()
        .chain(["tests".into(), "examples".into()])
    {
        for source in sources(&root) {
            files += 1;
            assert!(source.text.starts_with("//! "), "{} does not say what it is for", source.path);
        }
    }
    assert!(files > 60, "only {files} files were found");
}

#[test]
fn tests_stand_below_their_file_and_not_at_a_path() {
    let files = files(CRATES.map(|krate| format!("{krate}/src")));
    assert!(files.len() > 60, "only {} files were found", files.len());
    for path in files {
        let text = fs::read_to_string(&path).expect("text");
        assert!(
            !text.contains("#[path"),
            "{}: `x.rs` with tests of their own is a folder `x`",
            path.display()
        );
    }
}

#[test]
fn no_file_is_longer_than_one_idea_takes() {
    for folder in CRATES {
        for source in sources(&format!("{folder}/src")) {
            let lines = source.text.lines().count();
            assert!(lines <= LONGEST_FILE, "{} has {lines} lines without its tests", source.path);
        }
    }
}

#[test]
fn long_tests_are_a_file_of_their_own() {
    for path in files(CRATES.map(|folder| format!("{folder}/src"))) {
        let text = fs::read_to_string(&path).expect("text");
        let Some((_, tests)) = text.split_once("\nmod tests {") else { continue };
        let lines = tests.lines().count();
        assert!(lines <= LONGEST_TESTS, "{}: {lines} lines of tests", path.display());
    }
}

/// A sentence that begins with such a word has its subject somewhere else, if it has one. Headings
/// and questions may begin so.
#[test]
fn sentences_name_their_subject() {
    let mut found = Vec::new();
    let mut sentences = 0;
    let mut check = |path: &Path, blocks: Vec<(usize, String)>| {
        for (line, block) in blocks {
            for sentence in block.split_inclusive(['.', '!', '?']).fold(Vec::new(), join_words) {
                sentences += 1;
                let words = sentence.trim_start_matches([' ', '*', '_', '"', '(']);
                let first = words.split([' ', '*', '_']).next().unwrap_or_default();
                let is_question = sentence.trim_end_matches(['*', '_', '"', ')']).ends_with('?');
                if ["What", "Who", "Whoever", "Whatever", "Whom"].contains(&first) && !is_question {
                    let start: String = words.chars().take(60).collect();
                    found.push(format!("{}:{line}: {start}", path.display()));
                }
            }
        }
    };
    let folders = || CRATES.into_iter().chain(["tests", "benches", "examples"]);
    for path in files(folders()) {
        let text = fs::read_to_string(&path).expect("text");
        let comment = |line: &str| {
            let words = line.trim_start().strip_prefix("//")?;
            Some(words.trim_start_matches(['/', '!']).trim().to_owned())
        };
        check(&path, blocks(text.lines().map(|line| comment(line).unwrap_or_default())));
    }
    let mut pages = Vec::new();
    folders().for_each(|folder| collect(&root().join(folder), "md", &mut pages));
    let beside = fs::read_dir(root()).expect("the root").map(|entry| entry.expect("entry").path());
    pages.extend(beside.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    assert!(pages.len() > 10, "only {} pages were found", pages.len());
    for path in pages {
        let text = fs::read_to_string(&path).expect("text");
        check(&path, blocks(text.lines().map(|line| line.trim().to_owned())));
    }
    assert!(sentences > 5_000, "only {sentences} sentences were found");
    assert!(found.is_empty(), "these sentences do not name their subject: {found:#?}");
}

/// The blocks of a text, each with the number of its first line: paragraphs, entries of lists, and
/// cells of tables. Headings and code are none.
fn blocks(lines: impl Iterator<Item = String>) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut is_code = false;
    let mut goes_on = false;
    for (number, line) in (1..).zip(lines) {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        if is_code || is_fence || line.is_empty() || line.starts_with('#') {
            goes_on = false;
            continue;
        }
        if line.starts_with('|') {
            blocks.extend(line.split('|').map(|cell| (number, cell.trim().to_owned())));
            goes_on = false;
            continue;
        }
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let entry = line.strip_prefix("- ").or(digits.strip_prefix(". "));
        match blocks.last_mut().filter(|_| goes_on && entry.is_none()) {
            Some((_, block)) => {
                block.push(' ');
                block.push_str(&line);
            }
            None => blocks.push((number, entry.unwrap_or(&line).to_owned())),
        }
        goes_on = true;
    }
    blocks
}

/// Joins what a mark inside a word has divided, such as `tidy.rs`: a sentence ends before a blank.
fn join_words(mut sentences: Vec<String>, part: &str) -> Vec<String> {
    let begins = part.starts_with([' ', '*']);
    match sentences.last_mut().filter(|_| !begins) {
        Some(sentence) => sentence.push_str(part),
        None => sentences.push(part.to_owned()),
    }
    sentences
}

/// A sentence in the middle of a block is found, and neither a heading nor a question is.
#[test]
fn blocks_are_what_a_reader_sees_as_one() {
    let text = "# What\nOne. It is in\n`tidy.rs`. Two\n- three\n4. four\n| a | b |\n```\nc\n```\nd";
    let blocks = blocks(text.lines().map(str::to_owned));
    let found: Vec<_> = blocks.iter().map(|(line, block)| (*line, block.as_str())).collect();
    let cells = [(6, ""), (6, "a"), (6, "b"), (6, "")];
    let mut expected = vec![(2, "One. It is in `tidy.rs`. Two"), (4, "three"), (5, "four")];
    expected.extend(cells.into_iter().chain([(10, "d")]));
    assert_eq!(found, expected);
    let sentences = blocks[0].1.split_inclusive('.').fold(Vec::new(), join_words);
    assert_eq!(sentences, ["One.", " It is in `tidy.rs`.", " Two"]);
}

#[test]
fn comments_are_a_hundred_columns_wide_at_most() {
    let files = files(CRATES.into_iter().chain(["tests", "examples", "benches"]));
    assert!(files.len() > 300, "only {} files were found", files.len());
    let mut wide = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("text");
        let mut is_example = false;
        for (at, line) in text.lines().enumerate() {
            let comment = line.trim_start();
            let words = comment.trim_start_matches(['/', '!']).trim();
            if !comment.starts_with("//") {
                is_example = false;
                continue;
            }
            is_example ^= words.starts_with("```");
            // Neither a row of a table nor a link can be broken, and an example is code.
            let is_whole = is_example || words.starts_with('|') || !words.contains(' ');
            if line.chars().count() > 100 && !is_whole {
                wide.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{} comments are wider: {wide:#?}", wide.len());
}

#[test]
fn nothing_prints_in_a_library() {
    for krate in CRATES {
        for source in sources(&format!("{krate}/src")) {
            let code = source.code();
            for print in ["println!", "eprintln!", "dbg!("] {
                assert!(!code.contains(print), "{} has {print}", source.path);
            }
        }
    }
}

#[test]
fn floors_of_crates_point_downwards() {
    let allowed = |krate: &str| match krate {
        "nacos-testkit" => &[][..],
        "nacos-core" => &[],
        "nacos-tower" | "nacos-figment" => &["nacos-core"],
        _ => &["nacos-core", "nacos-tower", "nacos-figment"],
    };
    for krate in CRATES {
        let manifest =
            fs::read_to_string(root().join(krate).join("Cargo.toml")).expect("a manifest");
        let shipped = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for other in CRATES.iter().filter(|other| **other != krate) {
            let depends = shipped.lines().any(|line| line.starts_with(other));
            assert!(!depends || allowed(krate).contains(other), "{krate} depends on {other}");
        }
    }
}

impl SourceFile {
    /// Without comments, the examples of the documentation among them.
    fn code(&self) -> String {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//")).collect()
    }

    fn must_not(&self, forbidden: &str, because: &str) {
        assert!(!self.text.contains(forbidden), "{} has {forbidden:?}: {because}", self.path);
    }
}

/// The modules of this crate that a file names after `crate::`.
fn used_modules(text: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut modules: Vec<String> = code.split("crate::").skip(1).map(word).collect();
    // `use crate::{a, b::C};`: the words after a brace or a comma at the first level.
    for block in code.split("use crate::{").skip(1) {
        let mut depth = 0;
        let mut item = String::new();
        for c in block.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => modules.push(word(std::mem::take(&mut item).trim())),
                c => item.push(c),
            }
        }
        modules.push(word(item.trim()));
    }
    modules
}

/// Lines of code of a file.
const LONGEST_FILE: usize = 500;
/// Lines of tests at the end of a file: more of them are a file of their own.
const LONGEST_TESTS: usize = 200;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn sources(below: &str) -> impl Iterator<Item = SourceFile> {
    let mut files = files([below]);
    // A file of tests alone is not part of what the promises are about.
    let tests = [
        "tests",
        "tests.rs",
        "simulation",
        "golden.rs",
        "steps",
        "fuzzed",
        "fuzzed.rs",
        "testing.rs",
    ];
    let source = |path: &PathBuf| {
        let below = path.strip_prefix(root().join(below)).expect("found below it");
        !below.iter().any(|part| tests.iter().any(|name| part == *name))
    };
    files.retain(source);
    files.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("text");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        let path = path.strip_prefix(root()).expect("below the root").display().to_string();
        SourceFile { path, text }
    })
}

/// Every file of Rust below these folders of the workspace, in order.
pub(crate) fn files(folders: impl IntoIterator<Item = impl AsRef<Path>>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), "rs", &mut files);
    }
    files.sort();
    files
}

fn collect(folder: &Path, wanted: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, wanted, files);
        } else if path.extension().is_some_and(|ending| ending == wanted) {
            files.push(path);
        }
    }
}
