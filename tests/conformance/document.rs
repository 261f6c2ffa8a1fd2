//! `CONFORMANCE.md`: the tables and the words around them, read, compared and written.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use crate::{
    hold::{self, Accepted},
    themes::THEMES,
};

/// A column of the tables, in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Column {
    Java,
    Nacos2_3,
    RNacos,
    RNacosTestkit,
    Captured,
    Nacos3_0,
    Nacos2_5,
    Nacos3_3,
}

impl Column {
    const ALL: [Self; 8] = [
        Self::Java,
        Self::Nacos2_3,
        Self::RNacos,
        Self::RNacosTestkit,
        Self::Captured,
        Self::Nacos3_0,
        Self::Nacos2_5,
        Self::Nacos3_3,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Java => "Java 2.3.2",
            Self::Nacos2_3 => "`Nacos2_3`",
            Self::RNacos => "r-nacos 0.8.8",
            Self::RNacosTestkit => "`RNacos`",
            Self::Captured => "Java 3.0.3, captured",
            Self::Nacos3_0 => "`Nacos3_0`",
            Self::Nacos2_5 => "`Nacos2_5`",
            Self::Nacos3_3 => "`Nacos3_3`, *not seen*",
        }
    }

    /// The column that this one is shown beside: the real server that it imitates, or its neighbour
    /// in the test server.
    fn model(self) -> Option<Self> {
        match self {
            Self::Nacos2_3 => Some(Self::Java),
            Self::RNacosTestkit => Some(Self::RNacos),
            Self::Nacos3_0 => Some(Self::Captured),
            Self::Nacos2_5 => Some(Self::Nacos2_3),
            Self::Nacos3_3 => Some(Self::Nacos3_0),
            Self::Java | Self::RNacos | Self::Captured => None,
        }
    }
}

type Cells = BTreeMap<Column, String>;

/// The cells, by the names of the checks.
#[derive(Debug, Default)]
pub(crate) struct Document {
    rows: BTreeMap<String, Cells>,
    text: String,
}

impl Document {
    pub(crate) fn read() -> Self {
        Self::parse(fs::read_to_string(path()).unwrap_or_default())
    }

    /// Reads, changes and writes, one thread at a time.
    pub(crate) fn change(change: impl FnOnce(&mut Self)) {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut document = Self::read();
        change(&mut document);
        fs::write(path(), document.render()).expect("the document can be written");
    }

    pub(crate) fn put(&mut self, column: Column, seen: &BTreeMap<&'static str, String>) {
        for (what, seen) in seen {
            self.rows.entry((*what).to_owned()).or_default().insert(column, seen.clone());
        }
    }

    pub(crate) fn assert_column(&self, column: Column, seen: &BTreeMap<&'static str, String>) {
        let mut different = String::new();
        for (what, seen) in seen {
            if !self.says(what, column, seen) {
                let written = self.cell(what, column).unwrap_or(UNKNOWN);
                let _ = write!(different, "\n{what}\n  written:  {written}\n  observed: {seen}");
            }
        }
        assert!(different.is_empty(), "cells of {column:?} differ:{different}");
    }

    pub(crate) fn says(&self, what: &str, column: Column, seen: &str) -> bool {
        self.cell(what, column) == Some(seen)
    }

    pub(crate) fn assert_equal(&self, real: Column, testkit: Column, accepted: &[Accepted]) {
        let mut different = Vec::new();
        for what in self.rows.keys() {
            let (is, should) = (self.cell(what, testkit), self.cell(what, real));
            let known = accepted.iter().any(|it| it.what == what && it.column == testkit);
            let comparable = should.is_some_and(|should| should != NOT_CAPTURED);
            if comparable && (is == should) == known {
                different.push(what);
            }
        }
        assert!(different.is_empty(), "{testkit:?} differs from {real:?}: {different:?}");
    }

    pub(crate) fn assert_up_to_date(&self) {
        if write_asked_for() {
            return;
        }
        assert!(!self.text.contains(UNKNOWN), "some cell is unknown");
        let written = "NACOS_CONFORMANCE=write writes it";
        assert!(self.text == self.render(), "the document is not what it is made of; {written}");
    }

    fn cell(&self, what: &str, column: Column) -> Option<&str> {
        self.rows.get(what)?.get(&column).map(String::as_str)
    }

    fn parse(text: String) -> Self {
        let mut document = Self::default();
        for line in text.lines() {
            let cells: Vec<&str> =
                line.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
            let [what, cells @ ..] = cells.as_slice() else { continue };
            if cells.len() != Column::ALL.len() || *what == "what" {
                continue;
            }
            let mut row = Cells::new();
            for (column, cell) in Column::ALL.into_iter().zip(cells) {
                let same = column.model().and_then(|model| row.get(&model).cloned());
                let cell = if *cell == SAME { same } else { Some((*cell).to_owned()) };
                row.extend(cell.filter(|cell| cell != UNKNOWN).map(|cell| (column, cell)));
            }
            document.rows.insert((*what).to_owned(), row);
        }
        document.text = text;
        document
    }

    fn render(&self) -> String {
        let mut tables = String::new();
        for theme in THEMES {
            let _ = write!(tables, "### {}\n\n| what |", theme.title);
            for column in Column::ALL {
                let _ = write!(tables, " {} |", column.title());
            }
            let _ = writeln!(tables, "\n| --- |{}", " --- |".repeat(Column::ALL.len()));
            for check in theme.checks {
                let _ = writeln!(tables, "{}", self.row(check.what, check.captured.is_some()));
            }
            tables.push('\n');
        }
        TEMPLATE
            .replace("{{tables}}\n\n", &tables)
            .replace("{{accepted}}", &accepted(hold::TESTKIT, "the test server"))
            .replace("{{recorded}}", &accepted(hold::CAPTURES, "the capture"))
            .replace("{{lines}}", &lines_that_differ())
    }

    fn row(&self, what: &str, captured: bool) -> String {
        let mut row = format!("| {what} |");
        for column in Column::ALL {
            let cell = match column {
                Column::Captured if !captured => NOT_CAPTURED,
                _ => self.cell(what, column).unwrap_or(UNKNOWN),
            };
            let model = column.model().and_then(|model| self.cell(what, model));
            let _ = write!(row, " {} |", if model == Some(cell) { SAME } else { cell });
        }
        row
    }
}

fn accepted(list: &[Accepted], whose: &str) -> String {
    if list.is_empty() {
        return format!("None: {whose} says the same wherever both speak.");
    }
    let lines =
        list.iter().map(|it| format!("- {}, {}: {}", it.what, it.column.title(), it.because));
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines of the captures that the test server answers otherwise.
fn lines_that_differ() -> String {
    let lines = KNOWN_DIFFERENCES.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<String> = lines.map(|line| format!("- {line}")).collect();
    if lines.is_empty() { "None.".to_owned() } else { lines.join("\n") }
}

/// Whether this run writes the document instead of comparing with it.
pub(crate) fn write_asked_for() -> bool {
    std::env::var_os("NACOS_CONFORMANCE").is_some_and(|value| value == "write")
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md")
}

const TEMPLATE: &str = include_str!("template.md");

/// As the replay of the captures knows them.
const KNOWN_DIFFERENCES: &str = include_str!("../fixtures/wire/known-differences.txt");

/// In a cell of the test server: what the real server does.
const SAME: &str = "=";

/// In a cell that is not written yet.
const UNKNOWN: &str = "?";

const NOT_CAPTURED: &str = "not captured";
