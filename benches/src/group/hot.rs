//! `hot`: reading one value of the configuration in force.
use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::{Arc, Barrier, PoisonError, RwLock},
    thread,
    time::Instant,
};

use arc_swap::ArcSwap;
use nacos_figment::{
    Hot,
    figment::{Figment, providers::Serialized},
};
use serde::Serialize;
use tokio::sync::watch;

use super::{Group, compare};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::{amount, nanos},
    row::{Better, Metric, Row},
    run::Run,
};

/// The group.
pub const GROUP: Group = Group {
    name: "hot",
    about: "reading a configuration that may be replaced at any time, in five ways",
    on_request: false,
    measure,
};

/// The configuration that is read.
#[derive(Clone, Debug, Serialize)]
struct Config {
    limits: Limits,
    /// As much again as a service's configuration usually is, some 10 kB.
    more: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
struct Limits {
    rps: u32,
}

impl Config {
    fn new() -> Self {
        let more = (0..200)
            .map(|at| (format!("setting-{at}"), "some thirty letters of a value".to_owned()));
        Self { limits: Limits { rps: 100 }, more: more.collect() }
    }
}

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let config = Arc::new(Config::new());
    let whole = Hot::fixed((*config).clone());
    let part = whole.map(|config| &config.limits);
    let swap = ArcSwap::new(Arc::clone(&config));
    let lock = RwLock::new(Arc::clone(&config));
    let (_sender, watch) = watch::channel(Arc::clone(&config));
    let figment = Figment::from(Serialized::defaults(&*config));
    if figment.extract_inner::<u32>("limits.rps")? != 100 {
        return Err("figment finds another value".into());
    }

    let (reads, extractions) = (run.count(READS), run.count(EXTRACTIONS));
    let mut rows = Vec::new();
    for threads in [1, 2] {
        let sides: Vec<Side<'_, 1>> = vec![
            Box::new(|| each(threads, reads, || whole.load().limits.rps)),
            Box::new(|| each(threads, reads, || part.load().rps)),
            Box::new(|| each(threads, reads, || whole.pin().limits.rps)),
            Box::new(|| each(threads, reads, || swap.load().limits.rps)),
            Box::new(|| each(threads, reads, || swap.load_full().limits.rps)),
            Box::new(|| {
                let read = || lock.read().unwrap_or_else(PoisonError::into_inner).limits.rps;
                each(threads, reads, read)
            }),
            Box::new(|| each(threads, reads, || watch.borrow().limits.rps)),
            Box::new(|| {
                let read = || figment.extract_inner("limits.rps").unwrap_or_default();
                each(threads, extractions, read)
            }),
        ];
        let figures = contest(run.rounds(), sides)?;
        let [load, part, pin, swap, swap_full, lock, watch, figment] = &*figures else {
            return Ok(rows);
        };
        for (what, ours, theirs) in [
            ("load", load, ("ArcSwap::load", swap)),
            ("load", load, ("RwLock::read", lock)),
            ("load", load, ("watch::Receiver::borrow", watch)),
            ("load", load, ("Figment::extract_inner", figment)),
            ("load of a part", part, ("ArcSwap::load", swap)),
            ("pin", pin, ("ArcSwap::load_full", swap_full)),
        ] {
            let case = format!("{what}, threads: {threads}");
            rows.extend(compare(GROUP.name, &case, [TIME], ours, theirs));
        }
    }
    Ok(rows)
}

/// How long a read takes when so many threads read at the same time.
fn each(threads: usize, reads: usize, read: impl Fn() -> u32 + Sync) -> Result<[f64; 1], Failure> {
    let together = Barrier::new(threads);
    let read_all = || {
        together.wait();
        let began = Instant::now();
        for _ in 0..reads {
            black_box(read());
        }
        nanos(began.elapsed()) / amount(reads)
    };
    let times = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read_all)).collect();
        readers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
    });
    let times = times.map_err(|_| "a reader panicked")?;
    Ok([times.iter().sum::<f64>() / amount(times.len())])
}

const TIME: Metric = Metric { name: "time of a read", unit: "ns", better: Better::Less };
/// Reads of one round, some 30 ms: long enough that threads which begin together run together.
const READS: usize = 2_000_000;
/// As long with a figment.
const EXTRACTIONS: usize = 2000;
