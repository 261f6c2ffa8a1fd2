//! `decode`: a push of thousands of instances, from its JSON to what changed.
//!
//! Not in the library: it measures files of nacos-core that are private there.
use std::{collections::BTreeMap, hint::black_box};

use benches::{
    Failure,
    contest::{Side, contest},
    group::Group,
    meter::{Meter, amount, millis},
    row::{Better, Metric, Row},
    run::Run,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    key::ServiceKey,
    wire::{
        Payload,
        list::List,
        push::{self, Push},
    },
};

/// The group.
pub(crate) const GROUP: Group = Group {
    name: "decode",
    about: "a push of many instances, against serde_json into plain structs and against itself",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    // One in a hundred has another weight than before.
    let lists = Lists::new(INSTANCES, 100)?;
    let pushes = run.count(PUSHES);
    let sides: Vec<Side<'_, 1>> = vec![
        Box::new(|| Ok(each(pushes, || drop(black_box(list(&lists.push, None)))))),
        Box::new(|| Ok(each(pushes, || drop(black_box(lists.against_the_last()))))),
        Box::new(|| Ok(each(pushes, || drop(black_box(plain(&lists.push)))))),
    ];
    let figures = contest(run.rounds(), sides)?;
    let [[view], [whole], [plain]] = &*figures else { return Ok(Vec::new()) };
    let row = |case: &str, ours: &[f64]| {
        Row::new((GROUP.name, case), CPU, ours, ("plain serde_json", plain))
    };
    let mut rows = vec![row("to the view", view), row("to the view and the difference", whole)];
    for instances in [1000, 10_000] {
        rows.extend(one_of(run, instances)?);
    }
    Ok(rows)
}

/// A push in which one instance has changed: read against the last list, and from scratch.
fn one_of(run: &Run, instances: usize) -> Result<Option<Row>, Failure> {
    let lists = Lists::new(instances, instances)?;
    let pushes = run.count(PUSHES * INSTANCES / instances);
    let sides: Vec<Side<'_, 1>> = vec![
        Box::new(|| Ok(each(pushes, || drop(black_box(lists.against_the_last()))))),
        Box::new(|| Ok(each(pushes, || drop(black_box(lists.against_nothing()))))),
    ];
    let figures = contest(run.rounds(), sides)?;
    let [[ours], [theirs]] = &*figures else { return Ok(None) };
    let case = format!("1 of {instances} changed, to the difference");
    Ok(Some(Row::new((GROUP.name, &case), CPU, ours, ("from scratch", theirs))))
}

/// A list, and the push that follows it.
struct Lists {
    last: List,
    push: Payload,
}

impl Lists {
    /// One in so many instances has another weight than before. Sees to it that what is measured
    /// happens.
    fn new(instances: usize, one_in: usize) -> Result<Self, Failure> {
        let last = list(&message(instances, |_| 1.0), None)?;
        let push = message(instances, |at| if at % one_in == 0 { 2.0 } else { 1.0 });
        let lists = Self { last, push };
        let found = (lists.against_the_last()?, lists.against_nothing()?, plain(&lists.push)?);
        if found == (instances / one_in, instances / one_in, instances) {
            Ok(lists)
        } else {
            Err(format!("{found:?} instances changed, and are there").into())
        }
    }

    /// Everything that a client does with a push: acknowledges it, reads it, keeps what did not
    /// change, and finds what did. Says how many instances did.
    fn against_the_last(&self) -> Result<usize, Failure> {
        self.difference(Some(&self.last))
    }

    /// The same, as if nothing were known of the texts of the last list.
    fn against_nothing(&self) -> Result<usize, Failure> {
        self.difference(None)
    }

    fn difference(&self, last: Option<&List>) -> Result<usize, Failure> {
        black_box(push::acknowledge(&self.push));
        let (before, after) = (&self.last.service, list(&self.push, last)?.service);
        if after == *before {
            return Ok(0);
        }
        let change = after.since(before);
        Ok(change.added.len() + change.removed.len() + change.modified.len())
    }
}

/// Time of the processor for one of `pushes`, which frees what it made, too.
fn each(pushes: usize, mut work: impl FnMut()) -> [f64; 1] {
    let meter = Meter::start();
    for _ in 0..pushes {
        work();
    }
    [millis(meter.stop().cpu) / amount(pushes)]
}

/// Reads the push into the view that consumers get.
fn list(push: &Payload, last: Option<&List>) -> Result<List, Failure> {
    let Push::Service { info, .. } = push::read(push)? else { return Err("another push".into()) };
    let key = ServiceKey::try_from("orders")?;
    info.read(key, last)?.ok_or_else(|| "no list of instances".into())
}

/// Reads the push, and does nothing with it. Says how many instances it has.
fn plain(push: &Payload) -> Result<usize, Failure> {
    let push: PlainPush = serde_json::from_slice(push.json())?;
    Ok(black_box(push).service_info.hosts.len())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainPush {
    service_info: PlainService,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only reading them is measured")]
struct PlainService {
    name: String,
    group_name: String,
    hosts: Vec<PlainInstance>,
    last_ref_time: i64,
    reach_protection_threshold: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only reading them is measured")]
struct PlainInstance {
    ip: String,
    port: u16,
    weight: f64,
    healthy: bool,
    enabled: bool,
    ephemeral: bool,
    cluster_name: String,
    metadata: BTreeMap<String, String>,
}

/// A push as Java Nacos 3.0.3 sends it, of so many instances of these weights.
fn message(instances: usize, weight: impl Fn(usize) -> f64) -> Payload {
    let hosts: Vec<_> = (0..instances).map(|at| host(at, weight(at))).collect();
    let json = json!({
        "headers": {},
        "requestId": "6",
        "serviceInfo": {
            "name": "orders",
            "groupName": "DEFAULT_GROUP",
            "clusters": "",
            "cacheMillis": 10_000,
            "hosts": hosts,
            "lastRefTime": 1_795_392_335_246_i64,
            "checksum": "",
            "allIps": false,
            "reachProtectionThreshold": false,
            "valid": true,
        },
        "module": "naming",
    });
    Payload::new("NotifySubscriberRequest", json.to_string().into_bytes())
}

fn host(at: usize, weight: f64) -> serde_json::Value {
    // Servers list instances in no particular order.
    let at = at * 2_654_435_761 % (1 << 24);
    let ip = format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
    json!({
        "instanceId": format!("{ip}#8080#DEFAULT#DEFAULT_GROUP@@orders"),
        "ip": ip,
        "port": 8080,
        "weight": weight,
        "healthy": true,
        "enabled": true,
        "ephemeral": true,
        "clusterName": "DEFAULT",
        "serviceName": "DEFAULT_GROUP@@orders",
        "metadata": {
            "preserved.register.source": "SPRING_CLOUD",
            "version": "1.42.0",
            "zone": format!("zone-{}", at % 3),
        },
        "instanceHeartBeatInterval": 5000,
        "instanceHeartBeatTimeOut": 15_000,
        "ipDeleteTimeout": 30_000,
    })
}

const CPU: Metric = Metric { name: "CPU", unit: "ms", better: Better::Less };
const INSTANCES: usize = 5000;
/// Pushes of one round, some 100 ms.
const PUSHES: usize = 10;
