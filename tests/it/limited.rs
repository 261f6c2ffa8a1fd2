//! Every test that waits for something, or loops until something happens, has a time limit, as
//! CONTRIBUTING.md asks.
use std::{collections::BTreeMap, fs};

use crate::tidy::{CRATES, files, root};

/// By name, so it sees what a test writes: its own limit, or a call of a function that has one. It
/// does not see whether all of the test lies within.
#[test]
fn every_test_that_waits_has_a_time_limit() {
    let mut tests = 0;
    let mut without = Vec::new();
    for folder in folders() {
        let suite = Suite::read(&folder);
        for test in suite.functions.iter().filter(|function| function.is_test) {
            tests += 1;
            if suite.waits(test, &mut Vec::new()) && !suite.limits(test, &mut Vec::new()) {
                without.push(format!("{} in {}", test.name, test.file));
            }
        }
    }
    assert!(tests > 1_000, "only {tests} tests were found");
    assert!(without.is_empty(), "no `TimeLimit`:\n{}", without.join("\n"));
}

#[test]
fn limit_of_a_function_counts_for_who_calls_it_and_for_nobody_else() {
    let text = "
async fn server() -> Server {
    TimeLimit::for_test();
}

impl<T> Trait for World<T> {
    async fn start() -> Self {
        Self::prepare(server().await)
    }

    fn connect() {}
}

#[tokio::test(start_paused = true)]
async fn by_a_helper() {
    crate::World::start().await;
}

#[tokio::test]
#[should_panic]
async fn itself() {
    within(LONG, async { rest().await }).await;
}

#[tokio::test]
async fn without() {
    World::connect();
    Server::start().await;
    world.start().await;
}
";
    let mut suite = Suite::default();
    suite.add("a.rs", text);
    let tests = suite.functions.iter().filter(|function| function.is_test);
    let limited: Vec<_> =
        tests.map(|test| (test.name.as_str(), suite.limits(test, &mut Vec::new()))).collect();
    assert_eq!(limited, [("by_a_helper", true), ("itself", true), ("without", false)]);
}

#[test]
fn plain_test_needs_a_limit_where_it_blocks_or_loops_itself_or_by_a_helper_beside_it() {
    let text = "
fn told(from: &Receiver<u8>) -> u8 {
    from.recv().expect(\"told\")
}

#[test]
fn by_a_helper() {
    assert_eq!(told(&from), 7);
}

#[test]
fn itself() {
    drop(thread::spawn(work).join());
}

#[test]
fn limited() {
    let _limit = TimeLimit::start();
    assert_eq!(told(&from), 7);
}

fn drain(output: &mut Output) {
    while output.poll().is_some() {}
}

#[test]
fn loops_by_a_helper() {
    drain(&mut output);
}

#[test]
fn loops_itself() {
    let last = 'all: loop {
        break 'all output.poll();
    };
}

#[test]
fn loops_limited() {
    let _limit = TimeLimit::start();
    drain(&mut output);
}

#[test]
fn nothing() {
    // A loop over what is there, or one in words: loop, while.
    for whiles in loops {}
    assert_eq!([told, other].join(\", \"), text);
    stage.wait();
}
";
    let mut suite = Suite::default();
    suite.add("a.rs", text);
    let missing = |test: &&Function| {
        suite.waits(test, &mut Vec::new()) && !suite.limits(test, &mut Vec::new())
    };
    let tests = suite.functions.iter().filter(|function| function.is_test);
    let missing: Vec<_> = tests.filter(missing).map(|test| test.name.as_str()).collect();
    assert_eq!(missing, ["by_a_helper", "itself", "loops_by_a_helper", "loops_itself"]);
}

/// The folders whose functions call each other.
fn folders() -> Vec<String> {
    let mut folders: Vec<String> = CRATES
        .iter()
        .flat_map(|krate| [format!("{krate}/src"), format!("{krate}/tests")])
        .collect();
    let suites = fs::read_dir(root().join("tests")).expect("a folder");
    for suite in suites {
        let suite = suite.expect("an entry");
        if suite.path().is_dir() {
            folders.push(format!("tests/{}", suite.file_name().to_string_lossy()));
        }
    }
    folders.extend(["examples", "benches"].map(str::to_owned));
    folders.retain(|folder| root().join(folder).is_dir());
    folders
}

/// The functions of some files, as the formatter lays them out.
#[derive(Default)]
struct Suite {
    functions: Vec<Function>,
    /// Where each name stands in `functions`.
    names: BTreeMap<String, Vec<usize>>,
}

struct Function {
    file: String,
    /// With that of its type, if it is called through that.
    name: String,
    is_test: bool,
    body: String,
}

impl Suite {
    fn read(folder: &str) -> Self {
        let mut suite = Self::default();
        for path in files([folder]) {
            let text = fs::read_to_string(&path).expect("text");
            // Only tests have limits, and a name in the code above them may be that of a helper.
            let tests = text.split_once("mod tests {").map_or(&*text, |(_, tests)| tests);
            let file = path.strip_prefix(root()).expect("below the root").display().to_string();
            suite.add(&file, tests);
        }
        suite
    }

    fn add(&mut self, file: &str, text: &str) {
        let mut lines = text.lines();
        let (mut is_test, mut of): (bool, Option<(String, String)>) = (false, None);
        while let Some(line) = lines.next() {
            let code = line.trim_start();
            let indent = &line[..line.len() - code.len()];
            let end = format!("{indent}}}");
            if of.as_ref().is_some_and(|(_, end)| line == end) {
                of = None;
            } else if code.starts_with("impl") {
                of = Some((implementor(code), end));
            } else if code.starts_with("#[") {
                is_test |= code.starts_with("#[tokio::test") || code == "#[test]";
            } else if let Some(name) = function(code) {
                let mut body = line.to_owned();
                if !line.ends_with(['}', ';']) {
                    let rest = lines.by_ref().take_while(|line| *line != end);
                    rest.for_each(|line| body.extend(["\n", line]));
                }
                let typed = |of: &(String, String)| format!("{}::{name}", of.0);
                let name = of.as_ref().map_or(name.clone(), typed);
                self.names.entry(name.clone()).or_default().push(self.functions.len());
                let is_test = std::mem::take(&mut is_test);
                self.functions.push(Function { file: file.to_owned(), name, is_test, body });
            } else {
                is_test = false;
            }
        }
    }

    /// Whether this function waits for something or loops, or one of its file that it calls does.
    fn waits<'a>(&'a self, function: &'a Function, callers: &mut Vec<&'a str>) -> bool {
        callers.push(&function.body);
        let found = WAITS.iter().any(|wait| has(&function.body, wait))
            || function.body.lines().any(loops)
            || function.calls().iter().any(|call| {
                let of_that_name = self.names.get(call).into_iter().flatten();
                let mut called = of_that_name.map(|at| &self.functions[*at]);
                called.any(|it| {
                    it.file == function.file
                        && !callers.contains(&&*it.body)
                        && self.waits(it, callers)
                })
            });
        callers.pop();
        found
    }

    /// Whether this function begins a limit, or one that it calls does.
    fn limits<'a>(&'a self, function: &'a Function, callers: &mut Vec<&'a str>) -> bool {
        callers.push(&function.body);
        let found = function.calls().into_iter().any(|call| {
            let of_that_name: Vec<_> = self
                .names
                .get(&call)
                .into_iter()
                .flatten()
                .map(|at| &self.functions[*at])
                .collect();
            // Of several with this name the nearest is meant, as far as a name can tell.
            let near = |called: &&Function| function.shared_with(called);
            let nearest = of_that_name.iter().map(near).max();
            let mut meant = of_that_name.iter().filter(|called| Some(near(called)) == nearest);
            let of_testkit = call.starts_with("TimeLimit::")
                || call == "within" && !of_that_name.iter().any(|it| it.file == function.file);
            of_testkit
                || nearest.is_some()
                    && meant.all(|it| !callers.contains(&&*it.body) && self.limits(it, callers))
        });
        callers.pop();
        found
    }
}

impl Function {
    /// How many folders, and the file at last, the two have in common.
    fn shared_with(&self, other: &Self) -> usize {
        let both = self.file.split('/').zip(other.file.split('/'));
        both.take_while(|(one, other)| one == other).count()
    }

    /// The functions that are called by name: the last part of the path, with the type before it.
    fn calls(&self) -> Vec<String> {
        let before: Vec<&str> = self.body.split('(').collect();
        let path = |text: &&str| {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let path = text.rsplit(|c| !word(c)).next().unwrap_or_default();
            let method = text[..text.len() - path.len()].ends_with('.');
            (!method && !path.is_empty()).then(|| path.to_owned())
        };
        let called = |path: String| {
            let mut parts = path.rsplit("::");
            let name = parts.next().unwrap_or_default().to_owned();
            match parts.next().filter(|of| of.starts_with(char::is_uppercase)) {
                Some("Self") => format!("{}::{name}", self.name.split("::").next().unwrap_or("")),
                Some(of) => format!("{of}::{name}"),
                None => name,
            }
        };
        // The first text is that before the function's own parameters.
        before.iter().skip(1).filter_map(path).map(called).collect()
    }
}

/// Whether `body` has this, and not as a text.
fn has(body: &str, wait: &str) -> bool {
    body.match_indices(wait).any(|(at, _)| !body[..at].ends_with('"'))
}

/// Waits that may never end: for a future, or blocking until another thread or a process is done.
const WAITS: [&str; 10] = [
    ".await",
    ".join()",
    ".recv()",
    ".block_on(",
    ".output()",
    ".wait_with_output()",
    ".read_line(",
    ".read_to_end(",
    "BufReader::new(",
    "child.wait()",
];

/// Whether a loop begins in this line that ends by nothing but what happens in it.
fn loops(line: &str) -> bool {
    let code = line.trim_start();
    let code = match code.strip_prefix('\'').and_then(|label| label.split_once(": ")) {
        Some((_, labelled)) => labelled,
        None => code,
    };
    code.starts_with("while ") || code.starts_with("loop {") || code.ends_with(" loop {")
}

/// The name of a function that begins here.
fn function(code: &str) -> Option<String> {
    let mut words = code.split(' ').skip_while(|word| {
        word.starts_with("pub") || ["in", "async", "const"].contains(word) || word.ends_with(')')
    });
    let name = (words.next() == Some("fn")).then(|| words.next())??;
    Some(name.split(['(', '<']).next().unwrap_or_default().to_owned())
}

/// The type that `impl` is about.
fn implementor(code: &str) -> String {
    let of = code.split(" for ").last().unwrap_or_default();
    let of = match of.strip_prefix("impl<") {
        Some(generic) => generic.split_once("> ").map_or("", |(_, of)| of),
        None => of.trim_start_matches("impl "),
    };
    of.split(['<', ' ']).next().unwrap_or_default().to_owned()
}
