//! `pick`: what a balancer costs beside the call itself.
use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use nacos_core::{Instance, LiveWriter, Service as View, ServiceKey, live};
use nacos_tower::{Balance, BoxError, Endpoint, ServiceConnection, WeightedP2c, bench::Picker};
use tokio::{
    runtime::Runtime,
    time::{Instant, sleep},
};
use tower::{
    Service, ServiceExt,
    balance::p2c,
    buffer::Buffer,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequests},
    util::{ServiceFn, service_fn},
};

use super::{Group, compare};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::{Meter, amount, nanos},
    row::{Better, Metric, Row},
    run::{Flavor, Run, on},
};

/// The group.
pub const GROUP: Group = Group {
    name: "pick",
    about: "a call that does nothing, balanced by us and by tower's p2c behind its Buffer",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for endpoints in [10, 1000, 10_000] {
        let runtime = Flavor::TwoWorkers.runtime()?;
        rows.extend(picks(run, &runtime, endpoints)?);
        rows.extend(calls(run, &runtime, endpoints)?);
    }
    Ok(rows)
}

/// Choosing alone, on one thread: no queue, no task, no future on either side.
fn picks(run: &Run, runtime: &Runtime, endpoints: usize) -> Result<Vec<Row>, Failure> {
    let picks = run.count(PICKS);
    let picker = Picker::new(&vec![1.0; endpoints], WeightedP2c::default());
    let mut balance = p2c(endpoints);
    let sides: Vec<Side<'_, 1>> = vec![
        Box::new(|| {
            let meter = Meter::start();
            for _ in 0..picks {
                picker.request(Instant::now()).ok_or("nobody was picked")?;
            }
            Ok([nanos(meter.stop().wall) / amount(picks)])
        }),
        Box::new(|| {
            runtime.block_on(async {
                let meter = Meter::start();
                for _ in 0..picks {
                    balance.ready().await?.call(Request::new(())).await?;
                }
                Ok([nanos(meter.stop().wall) / amount(picks)])
            })
        }),
    ];
    let figures = contest(run.rounds(), sides)?;
    let [ours, theirs] = &*figures else { return Ok(Vec::new()) };
    let case = format!("pick, endpoints: {endpoints}");
    Ok(compare(GROUP.name, &case, [TIME], ours, ("p2c alone", theirs)))
}

/// Whole calls by tasks that share the balancer, as handlers of a server do.
fn calls(run: &Run, runtime: &Runtime, endpoints: usize) -> Result<Vec<Row>, Failure> {
    let (ours, _writer) = runtime.block_on(ours(endpoints))?;
    let theirs = runtime.block_on(async { Buffer::new(p2c(endpoints), BUFFER) });
    let mut rows = Vec::new();
    for tasks in [1, 8] {
        let each = run.count(CALLS / tasks);
        let sides: Vec<Side<'_, 2>> = vec![
            Box::new(|| on(runtime, by_tasks(ours.clone(), tasks, each))),
            Box::new(|| on(runtime, by_tasks(theirs.clone(), tasks, each))),
        ];
        let figures = contest(run.rounds(), sides)?;
        let [ours, theirs] = &*figures else { return Ok(rows) };
        let case = format!("call, endpoints: {endpoints}, tasks: {tasks}");
        let theirs = ("p2c behind Buffer", theirs);
        rows.extend(compare(GROUP.name, &case, [TIME, CPU], ours, theirs));
    }
    Ok(rows)
}

async fn by_tasks<S, E>(service: S, tasks: usize, each: usize) -> Result<[f64; 2], Failure>
where
    S: Service<Request<()>, Error = E, Future: Send> + Clone + Send + 'static,
    E: Into<Failure> + Send,
{
    let meter = Meter::start();
    let callers: Vec<_> = (0..tasks)
        .map(|_| {
            let mut service = service.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    let service = service.ready().await.map_err(Into::into)?;
                    service.call(Request::new(())).await.map_err(Into::into)?;
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let taken = meter.stop();
    let calls = amount(tasks * each);
    Ok([nanos(taken.wall) / calls, nanos(taken.cpu) / calls])
}

/// Our balancer over so many endpoints, all of them connected.
async fn ours(endpoints: usize) -> Result<(OurBalance, LiveWriter<View>), Failure> {
    let instances = (0..endpoints)
        .map(|at| Instance::new(format!("10.{}.{}.{}", at >> 16, (at >> 8) & 255, at & 255), 8080));
    let view = View::new(ServiceKey::try_from("orders")?, instances.collect(), false);
    let (writer, services) = live(view);
    let connected = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connected);
    let connector = move |_: Endpoint| {
        counter.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, BoxError>(ServiceConnection::new(nothing())))
    };
    let balance = Balance::builder(connector).follow(services);
    while connected.load(Ordering::Relaxed) < endpoints {
        sleep(Duration::from_millis(1)).await;
    }
    // The last connections are made; the snapshot with them comes right afterwards.
    sleep(Duration::from_millis(50)).await;
    Ok((balance, writer))
}

/// tower's balancer over so many endpoints.
fn p2c(endpoints: usize) -> Theirs {
    let service = || PendingRequests::new(nothing(), CompleteOnResponse::default());
    p2c::Balance::new(ServiceList::new((0..endpoints).map(|_| service()).collect::<Vec<_>>()))
}

/// A service that answers at once.
fn nothing() -> Nothing {
    service_fn(|_| ready(Ok(Response::new(Empty::new()))))
}

type Answer = Ready<Result<Response<Empty<Bytes>>, BoxError>>;
type Nothing = ServiceFn<fn(Request<()>) -> Answer>;
type OurBalance = Balance<ServiceConnection<Nothing>>;
type Theirs = p2c::Balance<ServiceList<Vec<PendingRequests<Nothing>>>, Request<()>>;

const TIME: Metric = Metric { name: "time", unit: "ns", better: Better::Less };
const CPU: Metric = Metric { name: "CPU", unit: "ns", better: Better::Less };
/// Picks of one round, some 20 ms.
const PICKS: usize = 200_000;
/// Calls of one round, all tasks together.
const CALLS: usize = 50_000;
/// Slots of the buffer, as many as tonic's channel has.
const BUFFER: usize = 1024;
