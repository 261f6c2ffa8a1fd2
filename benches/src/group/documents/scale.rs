//! Thousands of documents under watch: until the server knows them all, and all changed at once.
use std::time::{Duration, Instant};

use super::{BARE_TONIC, GOAL, GROUP, Publisher, ROUNDS};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::millis,
    row::{Better, Metric, Row},
    run::Run,
    subject::Subject,
};

/// Ours beside the goals, for what the server knows and for the last change, and beside bare tonic.
pub(super) fn rows(
    run: &Run,
    publisher: &Publisher<'_>,
    ours: &Subject,
    (full, [known_by, changed_by]): (usize, [Option<f64>; 2]),
) -> Result<Vec<Row>, Failure> {
    let count = run.count(full);
    publisher.publish(DOCUMENTS, count)?;
    let sides: Vec<Side<'_, 3>> =
        vec![Box::new(|| once(publisher, ours, count)), Box::new(|| bare(publisher, count))];
    let rounds = run.rounds().min(ROUNDS);
    let figures = contest(rounds, sides)?;
    publisher.remove(DOCUMENTS, count)?;
    let [ours, bare] = &*figures else { return Ok(Vec::new()) };
    let case = (GROUP.name, case(full));
    let goals = [known_by, None, changed_by];
    let mut rows = Vec::new();
    for (at, metric) in METRICS.into_iter().enumerate() {
        if let Some(goal) = goals[at] {
            let goal = vec![goal; rounds];
            rows.push(Row::new(case.clone(), metric, &ours[at], (GOAL, &goal)));
        }
        rows.push(Row::new(case.clone(), metric, &ours[at], (BARE_TONIC, &bare[at])));
    }
    Ok(rows)
}

/// One round of a client: until all are known, until all are shown, and until all changes are.
pub(super) fn once(
    publisher: &Publisher<'_>,
    who: &Subject,
    count: usize,
) -> Result<[f64; 3], Failure> {
    let watching = who.watch(publisher.addr(), DOCUMENTS, count, None)?;
    let (value, began) = publisher.publish(DOCUMENTS, count)?;
    let last = watching.last(count, value, PATIENCE)?;
    Ok([watching.known, watching.shown, millis(last.duration_since(began))])
}

/// One request to listen to all of them, their queries, and their publishing: the least that the
/// server needs.
fn bare(publisher: &Publisher<'_>, count: usize) -> Result<[f64; 3], Failure> {
    let known = publisher.listen(DOCUMENTS, count)?;
    let began = Instant::now();
    publisher.query(DOCUMENTS, count)?;
    let queried = millis(began.elapsed());
    let (_, began) = publisher.publish(DOCUMENTS, count)?;
    Ok([known, queried, millis(began.elapsed())])
}

pub(super) fn case(count: usize) -> String {
    format!("{count} watched")
}

pub(super) const METRICS: [Metric; 3] = [
    Metric { name: "all known to the server", unit: "ms", better: Better::Less },
    Metric { name: "all shown", unit: "ms", better: Better::Less },
    Metric { name: "all changed to last visible", unit: "ms", better: Better::Less },
];
pub(super) const DOCUMENTS: &str = "nacos-rs-benches-many";
const PATIENCE: Duration = Duration::from_secs(60);
