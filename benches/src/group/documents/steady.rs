//! One document, published again and again while nothing else happens.
use std::path::Path;

use super::{BARE_TONIC, GROUP, NEVER, Publisher, compare, restore::Scratch};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::micros,
    row::{Better, Metric, Row, quantile, sorted},
    run::Run,
    subject::{Subject, Watching},
};

/// Ours beside a publish and a query by bare tonic; and with snapshots beside ours without.
pub(super) fn rows(
    run: &Run,
    publisher: &Publisher<'_>,
    ours: &Subject,
) -> Result<Vec<Row>, Failure> {
    let scratch = Scratch::new()?;
    let plain = Steady::watch(publisher, ours, DOCUMENTS[0], None)?;
    let keeping = Steady::watch(publisher, ours, DOCUMENTS[1], Some(scratch.path()))?;
    let sides: Vec<Side<'_, 2>> = vec![
        Box::new(|| plain.round(run, publisher)),
        Box::new(|| keeping.round(run, publisher)),
        Box::new(|| bare(run, publisher)),
    ];
    let figures = contest(run.rounds(), sides)?;
    for documents in DOCUMENTS {
        publisher.remove(documents, 1)?;
    }
    let [plain, keeping, bare] = &*figures else { return Ok(Vec::new()) };
    let mut rows = compare(GROUP.name, "steady", METRICS, plain, (BARE_TONIC, bare));
    let beside = ("snapshots off", plain);
    rows.extend(compare(GROUP.name, "steady, snapshots on", METRICS, keeping, beside));
    Ok(rows)
}

/// A client that watches a document of its own, so that it has nothing to do in others' rounds.
pub(super) struct Steady {
    documents: &'static str,
    watching: Watching,
}

impl Steady {
    pub(super) fn watch(
        publisher: &Publisher<'_>,
        who: &Subject,
        documents: &'static str,
        directory: Option<&Path>,
    ) -> Result<Self, Failure> {
        publisher.publish(documents, 1)?;
        let watching = who.watch(publisher.addr(), documents, 1, directory)?;
        Ok(Self { documents, watching })
    }

    /// The latencies of one round, as the client sees them: p50 and p99.
    pub(super) fn round(&self, run: &Run, publisher: &Publisher<'_>) -> Result<[f64; 2], Failure> {
        let mut latencies = Vec::new();
        for _ in 0..run.count(PUBLISHES).max(3) {
            let (value, began) = publisher.publish(self.documents, 1)?;
            let last = self.watching.last(1, value, NEVER)?;
            latencies.push(micros(last.duration_since(began)));
        }
        Ok(figures(&latencies))
    }
}

fn bare(run: &Run, publisher: &Publisher<'_>) -> Result<[f64; 2], Failure> {
    let mut latencies = Vec::new();
    for _ in 0..run.count(PUBLISHES).max(3) {
        let (began, ended) = publisher.publish_and_query(DOCUMENTS[2])?;
        latencies.push(micros(ended.duration_since(began)));
    }
    Ok(figures(&latencies))
}

fn figures(latencies: &[f64]) -> [f64; 2] {
    let sorted = sorted(latencies);
    [quantile(&sorted, 0.5), quantile(&sorted, 0.99)]
}

pub(super) const METRICS: [Metric; 2] = [
    Metric { name: "publish to visible p50", unit: "µs", better: Better::Less },
    Metric { name: "publish to visible p99", unit: "µs", better: Better::Less },
];
/// One for each side.
pub(super) const DOCUMENTS: [&str; 3] =
    ["nacos-rs-benches-steady", "nacos-rs-benches-steady-too", "nacos-rs-benches-bare"];
/// Publishes of one round.
const PUBLISHES: usize = 100;
