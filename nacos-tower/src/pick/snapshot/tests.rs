//! Picking against simulated endpoints: a clock that only the simulation moves, fixed seeds.
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use tokio::time::Instant;

use super::*;
use crate::endpoint::{Clock, Common, FleetLatency, Lease};

#[test]
fn nobody_is_picked_from_nobody() {
    let nothing: Snapshot<()> = Snapshot::new(Vec::new(), Vec::new(), Standing::Undiscovered);
    let moment = Moment { now: Tick::default(), fleet: 0.0 };
    assert!(nothing.pick(Policy::default(), moment, &[], || 0).is_none());
}

#[test]
fn last_usable_endpoint_is_found_however_small_its_weight() {
    for policy in [Policy::weighted_random(), Policy::balanced()] {
        let simulation = Simulation::new(&[1.0, 1e-6, 1.0, 1.0], policy);
        for at in [0, 2] {
            simulation.snapshot.ready[at].backend.close();
        }
        let moment = Moment { now: Tick::default(), fleet: 0.0 };
        let mut random = fastrand::Rng::with_seed(1);
        let found = simulation.snapshot.pick(policy, moment, &[4], || random.u64(..));
        assert_eq!(found.map(|(_, passage)| passage), Some(2), "1 and 3 are closed, 4 is avoided");
        let none = simulation.snapshot.pick(policy, moment, &[2, 4], || random.u64(..));
        assert!(none.is_none());
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
            for policy in [Policy::strict(), Policy::balanced()] {
                let mut simulation = Simulation::new(weights, policy);
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
    let share = |policy| {
        let mut simulation = Simulation::new(&[1.0; 10], policy);
        simulation.run(50_000, 10.0, failing);
        simulation.received()[0] / 50_000.0
    };
    assert!((share(Policy::weighted_random()) - 0.1).abs() < 0.01, "what it would be");
    let avoided = share(Policy::balanced());
    // Two draws cannot avoid what both of them are: 0.1 × 0.1 remains.
    assert!(avoided < 0.02, "{avoided}");
}

#[test]
fn slow_endpoint_is_relieved() {
    let slow = |number| Behaviour::Healthy(if number == 1 { 0.060 } else { 0.010 });
    let mut simulation = Simulation::new(&[1.0; 10], Policy::balanced());
    simulation.run(50_000, 10.0, slow);
    let share = simulation.received()[0] / 50_000.0;
    assert!(share < 0.05, "{share}");
}

/// What an endpoint does, with the mean time that it takes in seconds.
#[derive(Clone, Copy)]
enum Behaviour {
    Failing(f64),
    Healthy(f64),
}

struct Simulation {
    snapshot: Snapshot<()>,
    policy: Policy,
    common: Arc<Common>,
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
    fn new(weights: &[f64], policy: Policy) -> Self {
        let begin = Instant::now();
        let common =
            Arc::new(Common { clock: Clock::starting(begin), latency: FleetLatency::default() });
        let member = |(weight, passage): (&f64, u64)| {
            let backend = Backend::new(passage.to_string().into(), Arc::clone(&common));
            backend.open(Arc::new(()), passage);
            Member::new(Arc::new(backend), *weight)
        };
        let ready = weights.iter().zip(1..).map(member).collect();
        let snapshot = Snapshot::new(ready, Vec::new(), Standing::Ready);
        fastrand::seed(3);
        Self { snapshot, policy, common, begin, random: fastrand::Rng::with_seed(42) }
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
            let (fails, mean) = match behave(lease.passage) {
                Behaviour::Failing(mean) => (true, mean),
                Behaviour::Healthy(mean) => (false, mean),
            };
            ends.push(Reverse((elapsed + self.exponential(mean), running.len())));
            running.push(Some(Running { lease, started: self.begin + elapsed, fails }));
        }
    }

    fn pick(&mut self, elapsed: Duration) -> Lease<()> {
        let now = self.common.clock.tick(self.begin + elapsed);
        let moment = Moment { now, fleet: self.common.latency.read() };
        let random = &mut self.random;
        let (backend, passage) = self
            .snapshot
            .pick(self.policy, moment, &[], || random.u64(..))
            .expect("all are connected");
        backend.lease(passage, |()| true).expect("open")
    }

    fn end(&self, running: Running, elapsed: Duration) {
        let Running { lease, started, fails } = running;
        if fails {
            lease.backend.failed(started, self.begin + elapsed);
        } else {
            lease.backend.answered(started, self.begin + elapsed);
        }
    }

    fn received(&self) -> Vec<f64> {
        let picks = |member: &Member<()>| member.backend.counts()[1];
        let count = |picks: u64| f64::from(u32::try_from(picks).expect("few"));
        self.snapshot.ready.iter().map(|member| count(picks(member))).collect()
    }

    fn exponential(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.random.f64()).ln())
    }
}
