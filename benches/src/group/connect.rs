//! `connect`: from nothing to the first document.
use std::time::Instant;

use super::{BARE_TONIC, DATA_ID, Group, Ours, Reader, compare, with_document};
use crate::{
    Failure,
    contest::{Side, contest},
    floor::Floor,
    meter::{Meter, amount, micros, millis},
    row::{Better, Metric, Row, quantile, sorted},
    run::{Flavor, Run, on},
};

/// The group.
pub const GROUP: Group = Group {
    name: "connect",
    about: "connect and first get against bare tonic: connect, register, first call",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let server = run.server()?;
    let (addr, grpc_addr) = (server.addr(), server.grpc_addr()?);
    with_document(server, || {
        let runtime = Flavor::TwoWorkers.runtime()?;
        let count = run.count(CONNECTS);
        let sides: Vec<Side<'_, 2>> = vec![
            Box::new(|| on(&runtime, ours(addr.to_owned(), count))),
            Box::new(|| on(&runtime, floor(grpc_addr.clone(), count))),
        ];
        let figures = contest(run.rounds(), sides)?;
        let [ours, floor] = &*figures else { return Ok(Vec::new()) };
        let case = Flavor::TwoWorkers.name();
        Ok(compare(GROUP.name, case, METRICS, ours, (BARE_TONIC, floor)))
    })
}

async fn ours(addr: String, count: usize) -> Result<[f64; 2], Failure> {
    let mut times = Vec::with_capacity(count);
    let meter = Meter::start();
    for _ in 0..count {
        let began = Instant::now();
        let (ours, _client) = Ours::connect(&addr).await?;
        ours.read().await?;
        times.push(millis(began.elapsed()));
    }
    Ok(figures(&times, meter))
}

async fn floor(grpc_addr: String, count: usize) -> Result<[f64; 2], Failure> {
    let mut times = Vec::with_capacity(count);
    let meter = Meter::start();
    for _ in 0..count {
        let began = Instant::now();
        // Its last question, which a server that knows the connection answers, is the first get.
        let (_floor, _registered) = Floor::connect(&grpc_addr, DATA_ID).await?;
        times.push(millis(began.elapsed()));
    }
    Ok(figures(&times, meter))
}

fn figures(times: &[f64], meter: Meter) -> [f64; 2] {
    let cpu = micros(meter.stop().cpu) / amount(times.len());
    [quantile(&sorted(times), 0.5), cpu]
}

const METRICS: [Metric; 2] = [
    Metric { name: "connect and first get", unit: "ms", better: Better::Less },
    Metric { name: "client CPU", unit: "µs", better: Better::Less },
];

/// Connections of one round, one after the other.
const CONNECTS: usize = 25;
