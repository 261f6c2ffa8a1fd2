//! `rival`: the same reads by another client for Rust, each as a process of its own.
use super::{Group, with_document};
use crate::{
    Failure,
    contest::{Side, contest},
    row::{Better, Metric, Row},
    run::Run,
    subject::Subject,
};

/// The group.
pub const GROUP: Group = Group {
    name: "rival",
    about: "config get of 1 KiB against nacos-sdk, which must have been built",
    on_request: true,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let (ours, rival) = (Subject::ours()?, Subject::rival()?.ok_or("the rival is not built")?);
    let server = run.server()?;
    with_document(server, || {
        let mut rows = Vec::new();
        for (case, each, in_flight) in [("sequential", 200, 1), ("64 in flight", 50, 64)] {
            let each = run.count(each);
            let sides: Vec<Side<'_, 3>> = vec![
                Box::new(|| ours.reads(server.addr(), each, in_flight)),
                Box::new(|| rival.reads(server.addr(), each, in_flight)),
            ];
            if let [mine, theirs] = &*contest(run.rounds().min(ROUNDS), sides)? {
                rows.extend(super::compare(
                    GROUP.name,
                    case,
                    METRICS,
                    mine,
                    (rival.name(), theirs),
                ));
            }
        }
        Ok(rows)
    })
}

const METRICS: [Metric; 3] = [
    Metric { name: "latency p50", unit: "µs", better: Better::Less },
    Metric { name: "throughput", unit: "calls/s", better: Better::More },
    Metric { name: "client CPU per call", unit: "µs", better: Better::Less },
];

/// A sequential round of the rival takes nine seconds.
const ROUNDS: usize = 5;
