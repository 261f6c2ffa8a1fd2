//! A thousand sessions that have the same misfortune at the same moment.
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{faults::Faults, world::World, *};

/// The answer changes for everybody at the same moment; their moves do not.
#[test]
fn a_thousand_clients_do_not_leave_a_server_in_one_spike() {
    let _limit = nacos_testkit::TimeLimit::start();
    let mut moves = Vec::new();
    for seed in 0..1000 {
        let mut world = World::locating(seed, Faults::none());
        world.run(Duration::from_secs(100));
        let changed = world.now;
        world.server.list = Some("t");
        let before = world.dials;
        while world.dials == before {
            world.run(Duration::from_millis(100));
            assert!(world.now - changed < Duration::from_secs(100), "it never leaves");
        }
        moves.push(world.now - changed);
    }
    let first = *moves.iter().min().expect("a thousand");
    let last = *moves.iter().max().expect("a thousand");
    assert!(
        first > Duration::from_secs(12) && last < Duration::from_secs(75),
        "{first:?} {last:?}"
    );
    let mut seconds = BTreeMap::<u64, usize>::new();
    for time in &moves {
        *seconds.entry(time.as_secs()).or_default() += 1;
    }
    assert!(seconds.values().all(|&clients| clients < 100), "{seconds:?}");
}

/// A thousand clients lose their server at the same moment, and find it again after a restart, a
/// long one too. Were they in step, one window would see all of them.
#[test]
fn a_thousand_clients_do_not_return_in_one_spike() {
    let second = Duration::from_secs(1);
    for (outage, logs_in, window, most) in [
        // Full jitter over the first 50 ms, and over 250 ms after: some 8 each millisecond.
        (Duration::ZERO, false, Duration::from_millis(5), 200),
        (5 * second, true, Duration::from_millis(5), 200),
        // Over ten seconds: some ten each 50 ms.
        (300 * second, true, Duration::from_millis(50), 60),
    ] {
        let (mut dials, mut logins) = (Vec::new(), Vec::new());
        let (mut claims, mut listens) = (Vec::new(), Vec::new());
        for seed in 0..1000 {
            // Multiples of 3 have to log in, every 20 seconds.
            let seed = seed * 3 + u64::from(!logs_in);
            let mut world = World::new(seed, Faults::none());
            world.register("orders", GuardId(1), Instance::new("a", 1));
            world.watch("limits", GuardId(2));
            world.run(10 * second);
            let lost = world.now;
            world.server.go_down();
            world.server.logins_down = true;
            world.lose_links();
            world.run(outage);
            world.server.come_up();
            world.server.logins_down = false;
            world.run(12 * second);
            world.assert_consistent();
            let since = |at: &Instant| at.checked_duration_since(lost);
            dials.extend(world.dialled_at.iter().filter_map(since));
            logins.extend(world.logged_in_at.iter().filter_map(since));
            claims.extend(world.server.registered_at.iter().filter_map(since));
            listens.extend(world.server.listened_at.iter().filter_map(since));
        }
        // The eager 75 s begin each outage with the same cap, whatever comes after it.
        dials.retain(|at| *at >= outage);
        logins.retain(|at| *at >= outage);
        assert_eq!((claims.len(), listens.len()), (1000, 1000), "each returns once");
        assert!(logins.len() < 2500, "{} logins", logins.len());
        for (what, times) in
            [("dials", dials), ("logins", logins), ("claims", claims), ("listens", listens)]
        {
            let spike = spike(times, window);
            assert!(spike <= most, "{spike} {what} within {window:?} after {outage:?}");
        }
    }
}

/// How many of `times` the fullest window holds.
fn spike(times: Vec<Duration>, window: Duration) -> usize {
    let mut windows: HashMap<u128, usize> = HashMap::new();
    for at in times {
        *windows.entry(at.as_micros() / window.as_micros()).or_default() += 1;
    }
    windows.into_values().max().unwrap_or_default()
}
