//! The output of a run: a table for people, lines of JSON for programs.
use std::io::{self, Write};

use serde::Serialize;

use crate::{
    machine::Machine,
    row::{Better, Row},
};

/// Everything that a run found out.
#[derive(Debug)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// The server that was measured on, if one was needed.
    pub server: Option<String>,
    /// Whether it was a smoke test, whose numbers mean nothing.
    pub smoke: bool,
    /// The rows that were measured.
    pub rows: Vec<Row>,
}

impl Report {
    /// Prints one line of JSON for the run, then one for each row.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let run = Run { machine: &self.machine, server: self.server.as_deref(), smoke: self.smoke };
        line(out, &Line::Run(run))?;
        self.rows.iter().try_for_each(|row| line(out, &Line::Row(row)))
    }

    /// Prints the table.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let Machine { processors, model, load, rustc } = &self.machine;
        writeln!(out, "machine  {processors} × {model}, load {load}, {rustc}")?;
        writeln!(out, "server   {}", self.server.as_deref().unwrap_or("none was needed"))?;
        if self.smoke {
            writeln!(out, "a smoke test: these numbers mean nothing")?;
        }
        writeln!(out)?;
        let head = ["group", "case", "metric", "ours", "theirs", "baseline", "ratio", "rounds"];
        let cells: Vec<_> =
            std::iter::once(head.map(str::to_owned)).chain(self.rows.iter().map(cells)).collect();
        let widths: [usize; 8] = std::array::from_fn(|column| {
            cells
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| width(cell))
                .max()
                .unwrap_or(0)
        });
        for row in &cells {
            let padded = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                let padding = " ".repeat(width - self::width(cell));
                if NUMBERS.contains(&column) {
                    format!("{padding}{cell}")
                } else {
                    format!("{cell}{padding}")
                }
            });
            writeln!(out, "{}", padded.collect::<Vec<_>>().join("  "))?;
        }
        writeln!(out, "\nMedians over the rounds, and the lowest and highest ratio of a round.")
    }
}

/// One line of JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Run(Run<'a>),
    Row(&'a Row),
}

#[derive(Serialize)]
struct Run<'a> {
    machine: &'a Machine,
    server: Option<&'a str>,
    smoke: bool,
}

fn line(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string(line)?)
}

fn cells(row: &Row) -> [String; 8] {
    let better = match row.metric.better {
        Better::Less => "",
        Better::More => " ↑",
    };
    [
        row.group.to_owned(),
        row.case.clone(),
        format!("{}, {}{better}", row.metric.name, row.metric.unit),
        figure(row.ours.median),
        figure(row.theirs.median),
        row.baseline.to_owned(),
        format!(
            "{} ({}–{})",
            figure(row.ratio.median),
            figure(row.ratio.low),
            figure(row.ratio.high)
        ),
        row.rounds.to_string(),
    ]
}

/// The digits that mean something.
fn figure(figure: f64) -> String {
    let decimals = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        size if size >= 0.01 => 3,
        _ => 5,
    };
    format!("{figure:.decimals$}")
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// The columns that end where their numbers do.
const NUMBERS: [usize; 3] = [3, 4, 7];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Metric;

    #[test]
    fn every_line_of_json_says_what_it_is() {
        let mut out = Vec::new();
        report().json(&mut out).expect("into memory");
        let lines: Vec<serde_json::Value> = String::from_utf8(out)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines[0]["kind"], "run");
        assert_eq!(lines[0]["server"], "r-nacos");
        assert_eq!(lines[1]["kind"], "row");
        assert_eq!(lines[1]["name"], "p50");
        assert_eq!(lines[1]["ratio"]["median"], 0.5);
    }

    #[test]
    fn columns_of_the_table_line_up() {
        let mut out = Vec::new();
        report().table(&mut out).expect("into memory");
        let out = String::from_utf8(out).expect("text");
        let starts: Vec<_> = out
            .lines()
            .filter_map(|line| line.find("metric").or_else(|| line.find("p50")))
            .collect();
        assert_eq!(starts.len(), 2);
        assert_eq!(starts[0], starts[1]);
    }

    fn report() -> Report {
        let metric = Metric { name: "p50", unit: "µs", better: Better::Less };
        let row = Row::new(("get", "sequential"), metric, &[50.0], ("bare tonic", &[100.0]));
        let server = Some("r-nacos".to_owned());
        Report { machine: Machine::here(), server, smoke: false, rows: vec![row] }
    }
}
