//! Picking alone, for benchmarks. No part of the public API: it may change at any time.
use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    endpoint::{Backend, Clock, Common, FleetLatency},
    pick::{Member, Moment, Policy, Snapshot, Standing},
};

/// A snapshot of connected endpoints that can be picked from.
#[derive(Debug)]
pub struct Picker {
    snapshot: Snapshot<()>,
    policy: Policy,
    common: Arc<Common>,
}

impl Picker {
    /// One endpoint for each weight. What this takes is what publishing a set takes.
    #[must_use]
    pub fn new(weights: &[f64], policy: Policy) -> Self {
        let common = Arc::new(Common {
            clock: Clock::starting(Instant::now()),
            latency: FleetLatency::default(),
        });
        let member = |(weight, passage): (&f64, u64)| {
            let backend = Backend::new(passage.to_string().into(), Arc::clone(&common));
            backend.open(Arc::new(()), passage);
            Member::new(Arc::new(backend), *weight)
        };
        let ready = weights.iter().zip(1..).map(member).collect();
        let snapshot = Snapshot::new(ready, Vec::new(), Standing::Ready);
        Self { snapshot, policy, common }
    }

    /// The number of an endpoint, counted from 1. `random` is called once for each draw.
    #[inline]
    pub fn pick(&self, now: Instant, random: impl FnMut() -> u64) -> Option<u64> {
        let moment = Moment { now: self.common.clock.tick(now), fleet: self.common.latency.read() };
        self.snapshot.pick(self.policy, moment, &[], random).map(|(_, passage)| passage)
    }

    /// Picks as a request does, which begins and ends with it.
    #[inline]
    #[must_use]
    pub fn request(&self, now: Instant) -> Option<u64> {
        let moment = Moment { now: self.common.clock.tick(now), fleet: self.common.latency.read() };
        let (backend, passage) =
            self.snapshot.pick(self.policy, moment, &[], || fastrand::u64(..))?;
        let lease = backend.lease(passage, |()| true)?;
        lease.backend.answered(now, now);
        Some(lease.passage)
    }
}
