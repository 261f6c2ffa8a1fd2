//! `get`: reading a document of 1 KiB, one call after the other and many at once.
use std::time::Instant;

use super::{BARE_TONIC, DATA_ID, Group, Ours, Reader, compare, with_document};
use crate::{
    Failure,
    contest::{Side, contest},
    floor::Floor,
    meter::{Meter, amount, micros},
    row::{Better, Metric, Row, quantile, sorted},
    run::{Flavor, Run, on},
};

/// The group.
pub const GROUP: Group = Group {
    name: "get",
    about: "config get of 1 KiB against bare tonic calls",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let server = run.server()?;
    with_document(server, || {
        let mut rows = Vec::new();
        for flavor in [Flavor::TwoWorkers, Flavor::CurrentThread] {
            rows.extend(measure_on(flavor, run, server.addr(), &server.grpc_addr()?)?);
        }
        Ok(rows)
    })
}

fn measure_on(flavor: Flavor, run: &Run, addr: &str, grpc_addr: &str) -> Result<Vec<Row>, Failure> {
    let runtime = flavor.runtime()?;
    let ((ours, _client), (floor, _registered)) = runtime.block_on(async {
        Ok::<_, Failure>((Ours::connect(addr).await?, Floor::connect(grpc_addr, DATA_ID).await?))
    })?;
    let mut rows = Vec::new();

    let calls = run.count(CALLS);
    let sides: Vec<Side<'_, 3>> = vec![
        Box::new(|| on(&runtime, one_by_one(ours.clone(), calls))),
        Box::new(|| on(&runtime, one_by_one(floor.clone(), calls))),
    ];
    if let [ours, floor] = &*contest(run.rounds(), sides)? {
        let case = format!("sequential, {}", flavor.name());
        rows.extend(compare(GROUP.name, &case, ONE_BY_ONE, ours, (BARE_TONIC, floor)));
    }

    let each = run.count(CALLS_EACH);
    let sides: Vec<Side<'_, 2>> = vec![
        Box::new(|| on(&runtime, at_once(ours.clone(), each))),
        Box::new(|| on(&runtime, at_once(floor.clone(), each))),
    ];
    if let [ours, floor] = &*contest(run.rounds(), sides)? {
        let case = format!("{IN_FLIGHT} in flight, {}", flavor.name());
        rows.extend(compare(GROUP.name, &case, AT_ONCE, ours, (BARE_TONIC, floor)));
    }
    Ok(rows)
}

async fn one_by_one(reader: impl Reader, calls: usize) -> Result<[f64; 3], Failure> {
    let mut latencies = Vec::with_capacity(calls);
    let meter = Meter::start();
    for _ in 0..calls {
        let began = Instant::now();
        reader.read().await?;
        latencies.push(micros(began.elapsed()));
    }
    let cpu = micros(meter.stop().cpu) / amount(calls);
    let latencies = sorted(&latencies);
    Ok([quantile(&latencies, 0.5), quantile(&latencies, 0.99), cpu])
}

async fn at_once(reader: impl Reader, each: usize) -> Result<[f64; 2], Failure> {
    let meter = Meter::start();
    let callers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let reader = reader.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    reader.read().await?;
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let taken = meter.stop();
    let calls = amount(IN_FLIGHT * each);
    Ok([calls / taken.wall.as_secs_f64(), micros(taken.cpu) / calls])
}

/// The metrics of [`one_by_one`].
const ONE_BY_ONE: [Metric; 3] = [
    Metric { name: "latency p50", unit: "µs", better: Better::Less },
    Metric { name: "latency p99", unit: "µs", better: Better::Less },
    CPU,
];
/// The metrics of [`at_once`].
const AT_ONCE: [Metric; 2] =
    [Metric { name: "throughput", unit: "calls/s", better: Better::More }, CPU];
const CPU: Metric = Metric { name: "client CPU per call", unit: "µs", better: Better::Less };

/// Calls of one round, some 200 ms.
const CALLS: usize = 2000;
const IN_FLIGHT: usize = 64;
/// Calls of one round by each of those, some 200 ms too.
const CALLS_EACH: usize = 100;
