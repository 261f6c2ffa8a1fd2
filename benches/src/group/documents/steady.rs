//! One document, published again and again while nothing else happens.
use std::path::Path;

use super::{BARE_TONIC, GROUP, NEVER, Publisher, compare, restore::Scratch};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::micros,
    row::{Better, Metric, Row, quantile, sorted},
    run::Run,
    subject::Subject,
};

/// Ours beside a publish and a query by bare tonic; and with snapshots beside ours without.
pub(super) fn rows(
    run: &Run,
    publisher: &Publisher<'_>,
    ours: &Subject,
) -> Result<Vec<Row>, Failure> {
    let scratch = Scratch::new()?;
    let sides: Vec<Side<'_, 2>> = vec![
        Box::new(|| round(run, publisher, ours, None)),
        Box::new(|| round(run, publisher, ours, Some(scratch.path()))),
        Box::new(|| bare(run, publisher)),
    ];
    let figures = contest(run.rounds(), sides)?;
    publisher.remove(DOCUMENT, 1)?;
    let [plain, keeping, bare] = &*figures else { return Ok(Vec::new()) };
    let mut rows = compare(GROUP.name, "steady", METRICS, plain, (BARE_TONIC, bare));
    let beside = ("snapshots off", plain);
    rows.extend(compare(GROUP.name, "steady, snapshots on", METRICS, keeping, beside));
    Ok(rows)
}

/// The latencies of one round, as a client of its own sees them: p50 and p99. A client may pull
/// some hundred times at once, and then ten times a second; so each round has another one.
pub(super) fn round(
    run: &Run,
    publisher: &Publisher<'_>,
    who: &Subject,
    directory: Option<&Path>,
) -> Result<[f64; 2], Failure> {
    publisher.publish(DOCUMENT, 1)?;
    let watching = who.watch(publisher.addr(), DOCUMENT, 1, directory)?;
    let mut latencies = Vec::new();
    for number in 0..WARMING + run.count(PUBLISHES).max(3) {
        let (value, began) = publisher.publish(DOCUMENT, 1)?;
        let last = watching.last(1, value, NEVER)?;
        if number >= WARMING {
            latencies.push(micros(last.duration_since(began)));
        }
    }
    Ok(figures(&latencies))
}

fn bare(run: &Run, publisher: &Publisher<'_>) -> Result<[f64; 2], Failure> {
    let mut latencies = Vec::new();
    for _ in 0..run.count(PUBLISHES).max(3) {
        let (began, ended) = publisher.publish_and_query(DOCUMENT)?;
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
pub(super) const DOCUMENT: &str = "nacos-rs-benches-steady";
/// Publishes of one round. With those before them, fewer than a client may pull at once.
const PUBLISHES: usize = 80;
/// The client has run none of its code before.
const WARMING: usize = 5;
