//! The shares of endpoints, with fixed seeds: every run draws the same.
use std::{collections::BTreeMap, sync::Arc};

use http::Request;
use nacos_tower::{Policy, WeightedP2c, WeightedRandom, bench::Picker};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::network::{Network, Set, service, until_ready};

fn policies() -> [Arc<dyn Policy>; 3] {
    [Arc::new(WeightedRandom), Arc::new(WeightedP2c::strict()), Arc::new(WeightedP2c::balanced())]
}

#[test]
fn idle_endpoints_get_exactly_their_weights() {
    let sets: [&[f64]; 4] =
        [&[1.0, 2.0, 3.0], &[0.99, 0.005, 0.005], &[1.0, 1.0, 100.0], &[1.0; 50]];
    for policy in policies() {
        for (seed, weights) in (1..).zip(sets) {
            let mut random = fastrand::Rng::with_seed(seed);
            let (picker, now) = (Picker::new(weights, Arc::clone(&policy)), Instant::now());
            let mut drawn = BTreeMap::new();
            for _ in 0..PICKS {
                let endpoint = picker.pick(now, random.u64(..)).expect("all are connected");
                *drawn.entry(endpoint).or_insert(0_u32) += 1;
            }
            let sum: f64 = weights.iter().sum();
            for (number, weight) in (1..).zip(weights) {
                let expected = f64::from(PICKS) * weight / sum;
                let got = f64::from(drawn.get(&number).copied().unwrap_or(0));
                // Five standard deviations.
                let bound = 5.0 * expected.sqrt();
                assert!((got - expected).abs() < bound, "{policy:?}: {got} for {expected}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_shared_by_weight() {
    fastrand::seed(11);
    for policy in policies() {
        let network = Network::new();
        let (_set, services) = Set::new(service(&[("a", 1.0), ("b", 2.0), ("c", 3.0)]));
        let balance = network.builder().policy(Arc::clone(&policy)).follow(services);
        until_ready(&balance, 3).await;
        for _ in 0..6_000 {
            balance.clone().oneshot(Request::new(())).await.expect("answered");
        }
        for (address, expected) in [("a:1", 1_000.0), ("b:1", 2_000.0), ("c:1", 3_000.0)] {
            let got = f64::from(u32::try_from(network.received(address)).expect("few"));
            assert!((got - expected).abs() < 200.0, "{policy:?}, {address}: {got}");
        }
    }
}

const PICKS: u32 = 400_000;
