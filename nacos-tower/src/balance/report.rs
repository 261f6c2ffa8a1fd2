//! The report of a balancer, for operators.
use std::sync::{Arc, Weak};

use nacos_core::{
    Live,
    inspect::{Inspect, Tree},
};
use tokio::time::Instant;

use crate::{
    endpoint::{Stats, Status},
    pick::EndpointSet,
    transport::Connection,
};

/// The report of one balancer. Weak: a report keeps no connection.
pub(crate) struct Report<C> {
    name: String,
    set: Weak<EndpointSet<C>>,
    published: Live<u64>,
}

impl<C> Report<C> {
    pub(crate) fn new(set: &Arc<EndpointSet<C>>) -> Self {
        Self {
            name: format!("balance:{}", set.service),
            set: Arc::downgrade(set),
            published: set.published(),
        }
    }
}

impl<C: Connection> Inspect for Report<C> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn report(&self) -> Tree {
        self.set.upgrade().map_or(Tree::Nothing, |set| report(&set))
    }

    /// Changes with the endpoints and their states, not with the counters.
    fn changed(&self) -> Option<Live<u64>> {
        Some(self.published.clone())
    }
}

fn report<C>(set: &EndpointSet<C>) -> Tree {
    let (snapshot, now) = (set.snapshot(), Instant::now());
    let rows =
        snapshot.endpoints().map(|(endpoint, weight, status)| row(endpoint, weight, status, now));
    let [resent, waited] = set.counts();
    Tree::branch([
        ("policy", Tree::Text(format!("{:?}", set.policy))),
        ("availability", snapshot.availability().as_str().into()),
        ("resent", resent.into()),
        ("waited", waited.into()),
        ("mean_latency_ms", millis(set.stats.latency.read())),
        ("endpoints", Tree::List(rows.collect())),
    ])
}

fn row(endpoint: &Stats, weight: f64, status: Status, now: Instant) -> Tree {
    let counts = endpoint.counts();
    let (latency, penalty) = endpoint.latency(now);
    Tree::branch([
        ("address", Tree::from(&**endpoint.address())),
        ("weight", Tree::Number(weight)),
        ("state", status.as_str().into()),
        ("in_flight", u64::from(counts.in_flight).into()),
        ("picks", counts.picks.into()),
        ("failures", counts.failures.into()),
        ("latency_ms", millis(latency)),
        ("penalty_ms", millis(penalty)),
    ])
}

fn millis(seconds: f32) -> Tree {
    Tree::Number(f64::from(seconds) * 1000.0)
}
