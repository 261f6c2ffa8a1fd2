//! `govern`: a query of a watched document, from the moment at which it has to be asked for to the
//! moment at which it may be.
//!
//! Not in the library: it measures files of nacos-core that are private there, from where they see
//! each other.
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use benches::{
    Failure,
    contest::{Side, contest},
    group::Group,
    meter::{Meter, amount, millis},
    row::{Better, Metric, Row},
    run::Run,
};

use super::governor::{Class, Governor, PullOptions, PullQueues};
use crate::{key::ConfigKey, session::queue::Queue};

/// The group.
pub(crate) const GROUP: Group = Group {
    name: "govern",
    about: "a query of a watched document through the governor, against the bare queue",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let keys: Vec<ConfigKey> = (0..DOCUMENTS)
        .map(|n| ConfigKey::try_from(format!("orders-{n}.yaml").as_str()))
        .collect::<Result<_, _>>()?;
    let rounds = run.count(ROUNDS);
    let sides: Vec<Side<'_, 1>> =
        vec![Box::new(|| Ok([governed(&keys, rounds)?])), Box::new(|| Ok([queued(&keys, rounds)]))];
    let figures = contest(run.rounds(), sides)?;
    let [[ours], [theirs]] = &*figures else { return Ok(Vec::new()) };
    let case = format!("{DOCUMENTS} documents at once");
    Ok(vec![Row::new((GROUP.name, &case), CPU, ours, ("the queue alone", theirs))])
}

/// Microseconds of the processor for each query: all documents wait, and are asked for in turn.
fn governed(keys: &[ConfigKey], rounds: usize) -> Result<f64, Failure> {
    let mut now = Instant::now();
    let mut governor = Governor::new(now, &PullOptions::new("orders-1"));
    let mut waiting = PullQueues::new();
    governor.watches(now, keys.len());
    let meter = Meter::start();
    let mut granted = 0;
    for _ in 0..rounds {
        // The bucket is full again.
        now += Duration::from_secs(120);
        for key in keys {
            waiting.push(Class::Push, key.clone());
        }
        while waiting.first(Class::Push).is_some() && governor.admits(now, Class::Push) {
            black_box(waiting.pop(Class::Push));
            // In a session as often as there is something new: at worst for each query.
            black_box(governor.rests(now, &mut waiting, true));
            granted += 1;
        }
    }
    let took = millis(meter.stop().cpu) * 1000.0;
    if granted == rounds * keys.len() {
        Ok(took / amount(granted))
    } else {
        Err(format!("{granted} queries were granted").into())
    }
}

/// The same without a governor: the queue that was there before.
fn queued(keys: &[ConfigKey], rounds: usize) -> f64 {
    let mut queue = Queue::new();
    let meter = Meter::start();
    for _ in 0..rounds {
        for key in keys {
            queue.push(key.clone());
        }
        while let Some(key) = queue.pop() {
            black_box(key);
        }
    }
    millis(meter.stop().cpu) * 1000.0 / amount(rounds * keys.len())
}

const CPU: Metric = Metric { name: "CPU", unit: "µs", better: Better::Less };
const DOCUMENTS: usize = 1000;
const ROUNDS: usize = 200;
