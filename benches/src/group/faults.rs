//! `faults`: what servers do to their clients, and how long that is felt. Takes minutes.
//!
//! The server itself is asked, over HTTP: is the instance there? The client cannot make
//! that look better. Every row stands beside the goal, and beside the rival if that is built.
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use servers::{RNacos, Request, Running};

use super::Group;
use crate::{
    Failure,
    meter::{amount, millis},
    row::{Better, Metric, Row, quantile, sorted},
    run::Run,
    subject::{Subject, Usage},
};

/// The group.
pub const GROUP: Group = Group {
    name: "faults",
    about: "servers refused, silent, killed, frozen: how long the client is felt to be away",
    on_request: true,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let mut rows = starts(run)?;
    let rounds = if run.is_smoke() { 1 } else { 5 };
    let outage = |seconds: u64| Duration::from_secs(if run.is_smoke() { 1 } else { seconds });
    let (ours, rival) = (Subject::ours()?, Subject::rival()?);
    let mut compare = |case: &str,
                       metric: Metric,
                       goal: f64,
                       rounds: usize,
                       once: &dyn Fn(&Subject) -> Result<f64, Failure>|
     -> Result<(), Failure> {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            mine.push(once(&ours)?);
            if let Some(rival) = &rival {
                theirs.push(once(rival)?);
            }
        }
        let case_of = (GROUP.name, case);
        rows.push(Row::new(case_of, metric, &mine, ("the goal", &vec![goal; rounds])));
        if let Some(rival) = &rival {
            rows.push(Row::new(case_of, metric, &mine, (rival.name(), &theirs)));
        }
        Ok(())
    };
    compare("killed, back at once", AWAY, 300.0, rounds, &|who| killed(who, Duration::ZERO))?;
    compare("killed, down for 5 s", AWAY, 300.0, rounds, &|who| killed(who, outage(5)))?;
    if !run.is_smoke() {
        compare("killed, down for 60 s", AWAY, 300.0, 1, &|who| killed(who, outage(60)))?;
    }
    compare("frozen, another one there", MOVED, 6000.0, rounds.min(3), &frozen)?;
    compare("one of a cluster killed", MOVED, 300.0, rounds.min(3), &cluster)?;
    let watched = outage(20);
    compare("idle, 1000 subscriptions", CPU, 0.5, 1, &|who| {
        idle(who, watched, |before, after| {
            millis(after.cpu.saturating_sub(before.cpu)) / watched.as_secs_f64()
        })
    })?;
    for (metric, goal, read) in [
        (SOCKETS, 1.0, (|_, now| amount(now.sockets)) as fn(Usage, Usage) -> f64),
        // Two workers of the runtime, the main thread, and the one that waits for the end of input.
        (THREADS, 4.0, |_, now| amount(now.threads)),
    ] {
        compare("idle, 1000 subscriptions", metric, goal, 1, &|who| {
            idle(who, Duration::ZERO, read)
        })?;
    }
    Ok(rows)
}

/// One of three addresses is no server: refused, or silent.
fn starts(run: &Run) -> Result<Vec<Row>, Failure> {
    let servers = [RNacos::builder().start()?, RNacos::builder().start()?];
    let (refused, silent) = (free_pair()?, free_pair()?);
    let _listener = TcpListener::bind((silent.ip(), silent.port() + 1000))?;
    let (ours, rival) = (Subject::ours()?, Subject::rival()?);
    // It would wait for the silent one for ever.
    let rival_of_refused = rival.as_ref();
    let count = run.count(60).max(6);
    let mut rows = Vec::new();
    for (case, dead, slowest, rival) in [
        ("one of three refused", refused, 100.0, rival_of_refused),
        ("one of three silent", silent, 400.0, None),
    ] {
        let addresses = format!("{},{},{dead}", servers[0].addr(), servers[1].addr());
        let mine = summary(&ours.starts(&addresses, count)?);
        let mut beside = vec![("the goal", [1.0, slowest, slowest])];
        if let Some(rival) = rival {
            beside.push((rival.name(), summary(&rival.starts(&addresses, count)?)));
        }
        for (at, metric) in STARTS.into_iter().enumerate() {
            rows.extend(beside.iter().map(|(name, theirs)| {
                Row::new((GROUP.name, case), metric, &[mine[at]], (name, &[theirs[at]]))
            }));
        }
    }
    Ok(rows)
}

/// The share that worked; the median and the slowest of those.
fn summary(times: &[Option<f64>]) -> [f64; 3] {
    let good: Vec<f64> = times.iter().copied().flatten().collect();
    let worked = amount(good.len()) / amount(times.len());
    let good = sorted(&good);
    [worked, quantile(&good, 0.5), quantile(&good, 1.0)]
}

/// From the moment in which the port of a killed server answers again until the instance is there.
fn killed(who: &Subject, down: Duration) -> Result<f64, Failure> {
    let mut server = RNacos::builder().start()?;
    let address = server.addr();
    let _holding = who.hold(&address.to_string(), SERVICE, 1)?;
    until(|| present(address))?;
    // A change acknowledged in the last milliseconds may be invisible after the next start.
    wait(Duration::from_millis(500));
    server.kill()?;
    wait(down);
    let grpc = server.grpc_addr();
    let starting = thread::spawn(move || server.restart().map(|()| server));
    until(|| TcpStream::connect(grpc).is_ok())?;
    let answers = Instant::now();
    until(|| present(address))?;
    let away = answers.elapsed();
    drop(starting.join().map_err(|_| "the server did not start again")??);
    Ok(millis(away))
}

/// From the moment in which the server freezes until the instance is at the other one.
fn frozen(who: &Subject) -> Result<f64, Failure> {
    let mut servers = [RNacos::builder().start()?, RNacos::builder().start()?];
    let addresses = servers.each_ref().map(Running::addr);
    let _holding = who.hold(&format!("{},{}", addresses[0], addresses[1]), SERVICE, 1)?;
    until(|| addresses.iter().any(|&address| present(address)))?;
    let serving = usize::from(present(addresses[1]));
    servers[serving].pause()?;
    let began = Instant::now();
    until(|| present(addresses[1 - serving]))?;
    Ok(millis(began.elapsed()))
}

/// From the moment in which one node of three is killed until the instance is registered anew
/// through another: the nodes that are left drop it with the dead one, and see it again.
fn cluster(who: &Subject) -> Result<f64, Failure> {
    let mut cluster = RNacos::builder().start_cluster(3)?;
    let addresses: Vec<SocketAddr> = cluster.nodes().iter().map(Running::addr).collect();
    let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let holding = who.hold(&all.join(","), SERVICE, 1)?;
    for &address in &addresses {
        until(|| present(address))?;
    }
    let serving = (0..addresses.len())
        .find(|&node| holding.is_connected_to(addresses[node].port() + 1000))
        .ok_or("the client is connected to no node")?;
    cluster.nodes_mut()[serving].kill()?;
    let began = Instant::now();
    let rest: Vec<SocketAddr> =
        (0..addresses.len()).filter(|&node| node != serving).map(|node| addresses[node]).collect();
    until(|| {
        rest.iter().any(|address| holding.is_connected_to(address.port() + 1000))
            && rest.iter().all(|&address| present(address))
    })?;
    Ok(millis(began.elapsed()))
}

/// The resources of a client with a thousand subscriptions while nothing happens.
fn idle(who: &Subject, time: Duration, read: impl Fn(Usage, Usage) -> f64) -> Result<f64, Failure> {
    let server = RNacos::builder().start()?;
    let holding = who.hold(&server.addr().to_string(), SERVICE, 1000)?;
    // A server pushes what was subscribed to a second after it has answered.
    wait(Duration::from_secs(3));
    let before = holding.usage()?;
    wait(time);
    Ok(read(before, holding.usage()?))
}

/// Whether that server has the instance.
fn present(server: SocketAddr) -> bool {
    let request = Request::get("/nacos/v1/ns/instance/list").query("serviceName", SERVICE);
    let answer = request.send(server, Duration::from_millis(500));
    answer.is_ok_and(|answer| answer.is_ok() && answer.body().contains("127.0.0.1"))
}

/// Waits until it is so, asking all the time, for two minutes at most.
fn until(is: impl Fn() -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is() {
        if Instant::now() > deadline {
            return Err("it never happened".into());
        }
        wait(Duration::from_millis(1));
    }
    Ok(())
}

/// An outage lasts as long as it lasts. There is no runtime here whose worker this could block.
#[expect(clippy::disallowed_methods, reason = "what is measured is a stretch of real time")]
fn wait(time: Duration) {
    thread::sleep(time);
}

/// A main address whose gRPC port, 1000 above, is free too. No server listens there.
fn free_pair() -> Result<SocketAddr, Failure> {
    for _ in 0..100 {
        let main = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if let Some(grpc) = main.port().checked_add(1000)
            && TcpListener::bind((main.ip(), grpc)).is_ok()
        {
            return Ok(main);
        }
    }
    Err("no pair of free ports".into())
}

const SERVICE: &str = "nacos-rs-held";

const STARTS: [Metric; 3] = [
    Metric { name: "starts that worked", unit: "of 1", better: Better::More },
    Metric { name: "median start", unit: "ms", better: Better::Less },
    Metric { name: "slowest start", unit: "ms", better: Better::Less },
];
const AWAY: Metric =
    Metric { name: "port answers to registered", unit: "ms", better: Better::Less };
const MOVED: Metric =
    Metric { name: "until registered elsewhere", unit: "ms", better: Better::Less };
const CPU: Metric = Metric { name: "client CPU a second", unit: "ms", better: Better::Less };
const SOCKETS: Metric = Metric { name: "sockets", unit: "in all", better: Better::Less };
const THREADS: Metric = Metric { name: "threads", unit: "in all", better: Better::Less };
