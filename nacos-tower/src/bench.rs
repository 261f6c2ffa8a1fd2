//! Picking alone, for benchmarks. No part of the public API: it may change at any time.
use std::sync::Arc;

use http::Request;
use tokio::time::Instant;

use crate::{
    endpoint::SetStats,
    pick::{PickArgs, Policy, Random, Snapshot},
};

/// A snapshot of connected endpoints that can be picked from.
#[derive(Debug)]
pub struct Picker {
    snapshot: Snapshot<()>,
    policy: Arc<dyn Policy>,
    stats: Arc<SetStats>,
    request: Request<()>,
}

impl Picker {
    /// One endpoint for each weight. The time that this takes is that of publishing a set.
    #[must_use]
    pub fn new(weights: &[f64], policy: impl Policy) -> Self {
        let stats = Arc::new(SetStats::starting(Instant::now()));
        let snapshot = Snapshot::connected(weights, &stats);
        Self { snapshot, policy: Arc::new(policy), stats, request: Request::new(()) }
    }

    /// The number of an endpoint, counted from 1. The same seed picks the same one.
    #[inline]
    #[must_use]
    pub fn pick(&self, now: Instant, seed: u64) -> Option<u64> {
        let mut args = PickArgs::of(&self.request, Random::seeded(seed));
        let picked = self.snapshot.pick(&*self.policy, self.stats.moment(now), &[], &mut args);
        picked.map(|(_, id)| id)
    }

    /// Picks as a request does, which begins and ends with it.
    #[inline]
    #[must_use]
    pub fn request(&self, now: Instant) -> Option<u64> {
        let mut args = PickArgs::of(&self.request, Random::of_thread());
        let (slot, id) =
            self.snapshot.pick(&*self.policy, self.stats.moment(now), &[], &mut args)?;
        let lease = slot.lease(id, |()| true)?;
        lease.stats.answered(now, now);
        Some(lease.id)
    }
}
