//! Picking against simulated endpoints: a clock that only the simulation moves, fixed seeds.
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use http::Request;
use tokio::time::Instant;

use super::*;
use crate::{
    endpoint::{Lease, SetStats},
    pick::{Random, WeightedP2c, WeightedRandom},
};

#[test]
fn nobody_is_picked_from_nobody() {
    let nothing: Snapshot<()> = Snapshot::new(Vec::new(), Vec::new(), Availability::Undiscovered);
    for policy in policies() {
        assert!(pick(&nothing, &*policy, Moment::default(), &[], 0).is_none());
    }
}

#[test]
fn last_usable_endpoint_is_found_however_small_its_weight() {
    for policy in policies() {
        let simulation = Simulation::new(&[1.0, 1e-6, 1.0, 1.0], Arc::clone(&policy));
        for at in [0, 2] {
            simulation.snapshot.slots()[at].close();
        }
        let pick = |avoid| pick(&simulation.snapshot, &*policy, Moment::default(), avoid, 1);
        assert_eq!(pick(&[4]), Some(2), "1 and 3 are closed, 4 is avoided");
        assert_eq!(pick(&[2, 4]), None);
    }
}

/// The promise of the default policy: while latencies are alike, weights are what they say,
/// whatever the load. Rules that compare requests or latencies outright miss this by far.
#[test]
fn alike_endpoints_keep_their_shares_at_any_load() {
    let mut canary = vec![1.0; 99];
    canary.push(0.05);
    let sets: [&[f64]; 4] =
        [&[1.0, 2.0, 3.0, 4.0, 5.0], &[0.99, 0.005, 0.005], &canary, &[1.0, 1.0, 100.0]];
    for weights in sets {
        for concurrency in [0.1, 10.0, 200.0] {
            for policy in [WeightedP2c::strict(), WeightedP2c::balanced()] {
                let mut simulation = Simulation::new(weights, Arc::new(policy));
                let requests = 100_000;
                simulation.run(requests, concurrency, |_| Behaviour::Healthy(0.010));
                let sum: f64 = weights.iter().sum();
                for (weight, received) in weights.iter().zip(simulation.received()) {
                    let expected = f64::from(requests) * weight / sum;
                    let bound = 5.0 * expected.sqrt() + 0.03 * expected;
                    assert!(
                        (received - expected).abs() < bound,
                        "{policy:?} at {concurrency}: {received} for {expected} of {weight}"
                    );
                }
            }
        }
    }
}

/// An endpoint that fails at once is the fastest of all: nothing may take that for a virtue.
#[test]
fn endpoint_that_fails_fast_is_avoided() {
    let failing = |number| {
        if number == 1 { Behaviour::Failing(0.001) } else { Behaviour::Healthy(0.010) }
    };
    let share = |policy: Arc<dyn Policy>| {
        let mut simulation = Simulation::new(&[1.0; 10], policy);
        simulation.run(50_000, 10.0, failing);
        simulation.received()[0] / 50_000.0
    };
    assert!((share(Arc::new(WeightedRandom)) - 0.1).abs() < 0.01, "what it would be");
    let avoided = share(Arc::new(WeightedP2c::balanced()));
    // Two draws cannot avoid what both of them are: 0.1 × 0.1 remains.
    assert!(avoided < 0.02, "{avoided}");
}

#[test]
fn slow_endpoint_is_relieved() {
    let slow = |number| Behaviour::Healthy(if number == 1 { 0.060 } else { 0.010 });
    let mut simulation = Simulation::new(&[1.0; 10], Arc::new(WeightedP2c::balanced()));
    simulation.run(50_000, 10.0, slow);
    let share = simulation.received()[0] / 50_000.0;
    assert!(share < 0.05, "{share}");
}

fn policies() -> [Arc<dyn Policy>; 2] {
    [Arc::new(WeightedRandom), Arc::new(WeightedP2c::balanced())]
}

/// The number of the connection that is picked.
fn pick(
    snapshot: &Snapshot<()>,
    policy: &dyn Policy,
    moment: Moment,
    avoid: &[ConnectionId],
    seed: u64,
) -> Option<ConnectionId> {
    let request = Request::new(());
    let mut args = PickArgs::of(&request, Random::seeded(seed));
    snapshot.pick(policy, moment, avoid, &mut args).map(|(_, id)| id)
}

/// The behaviour of an endpoint, with the mean time that it takes in seconds.
#[derive(Clone, Copy)]
enum Behaviour {
    Failing(f64),
    Healthy(f64),
}

struct Simulation {
    snapshot: Snapshot<()>,
    policy: Arc<dyn Policy>,
    stats: Arc<SetStats>,
    begin: Instant,
    random: fastrand::Rng,
}

/// A request that ends at a time, in nanoseconds.
struct Running {
    lease: Lease<()>,
    started: Instant,
    fails: bool,
}

impl Simulation {
    /// Endpoints numbered from 1.
    fn new(weights: &[f64], policy: Arc<dyn Policy>) -> Self {
        let begin = Instant::now();
        let stats = Arc::new(SetStats::starting(begin));
        let snapshot = Snapshot::connected(weights, &stats);
        fastrand::seed(3);
        Self { snapshot, policy, stats, begin, random: fastrand::Rng::with_seed(42) }
    }

    /// Requests that come at random, so that on average `concurrency` of 10 ms are under way.
    fn run(&mut self, requests: u32, concurrency: f64, behave: impl Fn(u64) -> Behaviour) {
        let mut ends: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
        let mut running: Vec<Option<Running>> = Vec::new();
        let mut elapsed = Duration::ZERO;
        for _ in 0..requests {
            elapsed += self.exponential(0.010 / concurrency);
            while let Some(&Reverse((end, slot))) = ends.peek()
                && end <= elapsed
            {
                ends.pop();
                self.end(running[slot].take().expect("ends once"), end);
            }
            let lease = self.pick(elapsed);
            let (fails, mean) = match behave(lease.id) {
                Behaviour::Failing(mean) => (true, mean),
                Behaviour::Healthy(mean) => (false, mean),
            };
            ends.push(Reverse((elapsed + self.exponential(mean), running.len())));
            running.push(Some(Running { lease, started: self.begin + elapsed, fails }));
        }
    }

    fn pick(&mut self, elapsed: Duration) -> Lease<()> {
        let moment = self.stats.moment(self.begin + elapsed);
        let request = Request::new(());
        let mut args = PickArgs::of(&request, Random::seeded(self.random.u64(..)));
        let (slot, id) =
            self.snapshot.pick(&*self.policy, moment, &[], &mut args).expect("all are connected");
        slot.lease(id, |()| true).expect("open")
    }

    fn end(&self, running: Running, elapsed: Duration) {
        let Running { lease, started, fails } = running;
        if fails {
            lease.stats.failed(started, self.begin + elapsed);
        } else {
            lease.stats.answered(started, self.begin + elapsed);
        }
    }

    fn received(&self) -> Vec<f64> {
        let count = |picks: u64| f64::from(u32::try_from(picks).expect("few"));
        self.snapshot.endpoints().map(|(stats, ..)| count(stats.counts().picks)).collect()
    }

    fn exponential(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.random.f64()).ln())
    }
}
