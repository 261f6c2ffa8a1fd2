//! `register`: what a registration costs the client before its request, however many there are.
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use nacos_core::{Client, Instance, Registration, SessionStats};

use super::{Group, compare};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::{Meter, amount, micros},
    row::{Better, Metric, Row},
    run::{Flavor, Run, on},
};

/// The group.
pub const GROUP: Group = Group {
    name: "register",
    about: "10 000 registrations, before their requests, against 1 000 and the goal",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    // The system takes connections, and no server answers: so nothing is ever sent.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let address = silent.local_addr()?;
    let runtime = Flavor::CurrentThread.runtime()?;
    let (few, many) = (run.count(FEW), run.count(MANY));
    let mut rows = Vec::new();
    for Shape { name, services } in SHAPES {
        let sides: Vec<Side<'_, 1>> = vec![
            Box::new(|| on(&runtime, register(address, many, services(many), 1))),
            Box::new(|| on(&runtime, register(address, few, services(few), many / few))),
        ];
        let figures = contest(run.rounds(), sides)?;
        let [many, few] = &*figures else { return Ok(Vec::new()) };
        rows.extend(compare(GROUP.name, name, [METRIC], many, ("1 000 instances", few)));
        let goal = [vec![GOAL; run.rounds()]];
        rows.extend(compare(GROUP.name, name, [METRIC], many, ("the goal", &goal)));
    }
    Ok(rows)
}

/// Processor time for each of `count` instances, on as many clients as `times`, one after another.
async fn register(
    address: SocketAddr,
    count: usize,
    services: usize,
    times: usize,
) -> Result<[f64; 1], Failure> {
    let names: Vec<_> = (0..services).map(|number| format!("service-{number}")).collect();
    let mut taken = Duration::ZERO;
    for _ in 0..times {
        let client = Client::builder().server_addr(address.to_string()).connect_lazy()?;
        // The work of the client's beginning is over.
        let _first = claimed(&client, "first", 1).await?;
        let meter = Meter::start();
        let instances = (0..count).zip(names.iter().cycle()).map(|(number, name)| {
            let port = u16::try_from(number % usize::from(u16::MAX))? + 1;
            Ok(client.naming().register(name.as_str(), Instance::new("10.0.0.1", port))?)
        });
        let guards = instances.collect::<Result<Vec<_>, Failure>>()?;
        // All before it have been taken in, too.
        let _last = claimed(&client, "last", services + 2).await?;
        taken += meter.stop().cpu;
        drop(guards);
    }
    Ok([micros(taken) / amount(count * times)])
}

/// Registers an instance of a service, and waits until so many services wait to be sent.
async fn claimed(client: &Client, service: &str, claims: usize) -> Result<Registration, Failure> {
    let guard = client.naming().register(service, Instance::new("10.0.0.1", 1))?;
    let waiting = client.stats().wait_for(|stats: &SessionStats| stats.claims == claims).await;
    waiting.ok_or("the client has ended")?;
    Ok(guard)
}

/// How instances are shared out over services.
struct Shape {
    name: &'static str,
    /// How many services there are of so many instances.
    services: fn(usize) -> usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "one service", services: |_| 1 },
    Shape { name: "100 services", services: |count| count.min(100) },
    Shape { name: "a service each", services: |count| count },
];

const METRIC: Metric =
    Metric { name: "client CPU per instance", unit: "µs", better: Better::Less };
const FEW: usize = 1_000;
const MANY: usize = 10_000;
/// In microseconds.
const GOAL: f64 = 10.0;
