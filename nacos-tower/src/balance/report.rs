//! What operators see of a balancer.
use std::sync::{Arc, Weak};

use nacos_core::{
    Live,
    inspect::{Inspect, Tree},
};
use tokio::time::Instant;

use crate::{endpoint::Backend, pick::Fleet, transport::Connection};

/// A balancer as a part that can be looked into. Weak: being looked at keeps no connection.
pub(crate) struct Part<C> {
    name: String,
    fleet: Weak<Fleet<C>>,
    published: Live<u64>,
}

impl<C> Part<C> {
    pub(crate) fn new(fleet: &Arc<Fleet<C>>) -> Self {
        Self {
            name: format!("balance:{}", fleet.service),
            fleet: Arc::downgrade(fleet),
            published: fleet.published(),
        }
    }
}

impl<C: Connection> Inspect for Part<C> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn report(&self) -> Tree {
        self.fleet.upgrade().map_or(Tree::Nothing, |fleet| report(&fleet))
    }

    /// Changes with the endpoints and their states, not with what is counted.
    fn changed(&self) -> Option<Live<u64>> {
        Some(self.published.clone())
    }
}

fn report<C>(fleet: &Fleet<C>) -> Tree {
    let (snapshot, now) = (fleet.snapshot(), Instant::now());
    let ready = snapshot.ready.iter().map(|it| row(&it.backend, it.weight, "ready", now));
    let others = snapshot.others.iter().map(|it| row(&it.backend, it.weight, it.state, now));
    let [resent, waited] = fleet.counts();
    Tree::branch([
        ("policy", Tree::Text(format!("{:?}", fleet.policy))),
        ("standing", snapshot.standing.name().into()),
        ("resent", resent.into()),
        ("waited", waited.into()),
        ("mean_latency_ms", millis(fleet.common.latency.read())),
        ("endpoints", Tree::List(ready.chain(others).collect())),
    ])
}

fn row<C>(backend: &Backend<C>, weight: f64, state: &str, now: Instant) -> Tree {
    let [in_flight, picks, failures] = backend.counts();
    let (latency, penalty) = backend.latency(now);
    Tree::branch([
        ("address", Tree::from(&**backend.address())),
        ("weight", Tree::Number(weight)),
        ("state", state.into()),
        ("in_flight", in_flight.into()),
        ("picks", picks.into()),
        ("failures", failures.into()),
        ("latency_ms", millis(latency)),
        ("penalty_ms", millis(penalty)),
    ])
}

fn millis(seconds: f32) -> Tree {
    Tree::Number(f64::from(seconds) * 1000.0)
}
