//! Queries for watched documents: the law that they keep in any history, histories in which they
//! are stopped and throttled, and those of many sessions that see the same.
use std::time::{Duration, Instant};

use super::{faults::Faults, world::World, *};
use crate::storm::StormReport;

/// The limit of a session's queries, reckoned apart from it: in whole numbers, over all windows of
/// time at once.
pub(super) struct Law {
    began: Instant,
    pulls: PullOptions,
    watched: u64,
    granted: u64,
    /// The least of what was granted before a query, less what had come back by then.
    least: i128,
    pub(super) queried_at: Vec<Instant>,
}

impl Law {
    pub(super) fn new(began: Instant, pulls: PullOptions) -> Self {
        Self { began, pulls, watched: 0, granted: 0, least: i128::MAX, queried_at: Vec::new() }
    }

    /// A query goes out. In a window that begins with any query and ends with this one, there are
    /// at most as many as the bucket holds, and as have come back meanwhile.
    fn grant(&mut self, now: Instant) {
        let given = |given: Option<usize>, other: u64| given.map_or(other, |given| given as u64);
        let capacity = given(self.pulls.burst, (2 * self.watched).max(100)).max(self.watched);
        let refill = given(self.pulls.rate, (self.watched / 60).max(10));
        let micros = (now - self.began).as_micros();
        let back = i128::from(refill) * i128::try_from(micros).expect("some hours");
        self.least = self.least.min(i128::from(self.granted) * MILLION - back);
        self.granted += 1;
        let window = i128::from(self.granted) * MILLION - back - self.least;
        // A microsecond for each rounding.
        let most = i128::from(capacity) * MILLION + 10 * i128::from(refill);
        assert!(window <= most, "{window} of {most} after {micros} µs");
        self.queried_at.push(now);
    }
}

impl World {
    /// Queries keep the law, and none goes out for what is known while they are stopped.
    pub(super) fn assert_governed(&mut self, effect: &Effect) {
        let report = self.session.storm();
        let watched = self.wanted.values().filter(|(key, _)| matches!(key, ClaimKey::Listen(_)));
        let watched = watched.map(|(key, _)| key).collect::<std::collections::HashSet<_>>().len();
        self.law.watched = self.law.watched.max(watched as u64);
        let longest = self.now + self.law.pulls.stagger;
        assert!(report.staggered_until.is_none_or(|until| until <= longest), "{report:?}");
        let Effect::Call { call, .. } = effect else { return };
        if self.session.output.is_pull(*call) {
            assert!(!matches!(report.mode, PullMode::Frozen { .. }), "{report:?}");
            self.law.grant(self.now);
        }
    }

    fn freeze(&mut self, is_frozen: bool) {
        let now = self.now;
        self.session.handle_commands(now, |commands| commands.freeze(now, is_frozen));
    }
}

/// Few tokens, short patience, servers that answer nothing, connections that are lost, an operator
/// who freezes and thaws: nothing is lost in the end.
#[test]
fn any_history_of_throttled_pulls_ends_with_what_the_server_has() {
    let given = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match given("SIMULATED_SEED") {
        Some(alone) => alone..alone + 1,
        None => 0..given("SIMULATED_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = Seen::default();
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| throttled(seed));
        let Ok(storm) = outcome else {
            panic!("seed {seed} failed; run it alone with SIMULATED_SEED={seed}");
        };
        seen.add(&storm);
    }
    if given("SIMULATED_SEED").is_none() {
        seen.assert_all();
    }
}

fn throttled(seed: u64) -> StormReport {
    let mut dice = fastrand::Rng::with_seed(seed ^ 0x57_0211);
    let pulls = PullOptions {
        burst: dice.bool().then(|| dice.usize(1..6)),
        rate: dice.bool().then(|| dice.usize(1..4)),
        stagger: Duration::from_millis(dice.u64(0..8000)),
        read_only_after: dice.u32(1..4),
        ..PullOptions::new(format!("c{seed}"))
    };
    let servers = Server::parse_list("s,t", 1000).expect("valid");
    let mut world = World::governed(servers, None, seed, Faults::some(&mut dice), pulls);
    world.has_credentials = false;
    world.server.guards = false;
    world.server.additive = dice.bool();
    for n in 0..dice.u64(1..12) {
        world.watch(&format!("n{n}"), GuardId(n));
        let ClaimKey::Listen(key) = document(&format!("n{n}")) else { unreachable!("it is one") };
        if dice.bool() {
            let most = Duration::from_millis(dice.u64(0..3000));
            world.session.commands().pull_jitter(&key, GuardId(n), most);
        }
    }
    for _ in 0..dice.u32(10..60) {
        match dice.u32(0..13) {
            0..=4 => {
                let name = format!("n{}", dice.u32(0..12));
                world.change_document(&name, dice.bool().then(|| dice.u32(0..9).to_string()));
            }
            5 => world.lose_links(),
            6 => world.server.toggle(if dice.bool() { "s" } else { "t" }),
            7 if dice.bool() => world.server.mute = !world.server.mute,
            7 | 11 => world.server.withholds = !world.server.withholds,
            8 => world.freeze(dice.bool()),
            9 => world.reset(""),
            10 => world.sleep(Duration::from_secs(dice.u64(0..60))),
            _ => world.server.paused = !world.server.paused,
        }
        let pause = if dice.bool() { dice.u64(0..20_000_000) } else { dice.u64(0..5000) };
        world.run(Duration::from_micros(pause));
    }
    world.server.heal();
    world.faults = Faults::none();
    world.freeze(false);
    world.run(Duration::from_secs(300));
    world.assert_consistent();
    let storm = world.session.storm();
    assert_eq!((storm.mode, storm.waiting, storm.under_way), (PullMode::Normal, 0, 0));
    world.assert_closes();
    storm
}

/// The decisions of all histories together: a mechanism that is never used proves nothing.
#[derive(Debug, Default)]
struct Seen {
    throttled: u64,
    staggered: u64,
    read_only: u64,
    left: [u64; 4],
    frozen: u64,
}

impl Seen {
    fn add(&mut self, storm: &StormReport) {
        let counts = &storm.counts;
        self.throttled += counts.held.throttled;
        self.staggered += counts.held.staggered;
        self.frozen += counts.held.frozen;
        let read_only = &counts.read_only;
        self.read_only += read_only.entered;
        let left = [
            read_only.left_by_push,
            read_only.left_by_reconnect,
            read_only.left_by_probe,
            read_only.left_by_answer,
        ];
        for (sum, left) in self.left.iter_mut().zip(left) {
            *sum += left;
        }
    }

    fn assert_all(&self) {
        let others = [self.throttled, self.staggered, self.read_only, self.frozen];
        assert!(others.iter().chain(&self.left).all(|times| *times > 0), "{self:?}");
    }
}

/// The bucket holds two rounds of all documents, and no more.
#[test]
fn session_that_watches_many_documents_may_pull_two_rounds_of_them_at_once() {
    let _limit = nacos_testkit::TimeLimit::start();
    let mut world = World::new(7, Faults::none());
    let names: Vec<_> = (0..150).map(|n| format!("n{n}")).collect();
    for (name, guard) in names.iter().zip(0..) {
        world.server.documents.insert(name.clone(), "0".to_owned());
        world.watch(name, GuardId(guard));
    }
    world.run(Duration::from_secs(1));
    let began = world.now;
    for round in 1..5 {
        for name in &names {
            world.change_document(name, Some(round.to_string()));
        }
        world.run(Duration::from_millis(500));
    }
    // One round was for the start, and a few tokens have come back.
    let soon = began + Duration::from_secs(2);
    let asked = world.law.queried_at.iter().filter(|at| **at <= soon).count();
    assert!((300..340).contains(&asked), "{asked}");
    world.run(Duration::from_secs(60));
    world.assert_consistent();
}

/// 200 sessions watch 50 documents each, one of which all of them share: its change costs as many
/// queries as there are sessions, not as many as there are documents.
#[test]
fn change_of_a_shared_document_is_one_query_a_session_spread_over_the_jitter() {
    let _limit = nacos_testkit::TimeLimit::start();
    let mut queried = Vec::new();
    for seed in 0..200 {
        let mut world = World::new(seed, Faults::none());
        for n in 0..50 {
            let name = if n == 0 { "shared".to_owned() } else { format!("n{n}") };
            world.server.documents.insert(name.clone(), "1".to_owned());
            world.watch(&name, GuardId(n));
        }
        let ClaimKey::Listen(shared) = document("shared") else { unreachable!("it is one") };
        world.session.commands().pull_jitter(&shared, GuardId(0), Duration::from_secs(1));
        world.run(Duration::from_secs(10));
        assert_eq!(world.law.queried_at.len(), 50, "each was read once");
        let changed = world.now;
        world.change_document("shared", Some("2".to_owned()));
        world.run(Duration::from_secs(5));
        let since = |at: &Instant| at.checked_duration_since(changed);
        queried.extend(world.law.queried_at.iter().filter_map(since));
        world.assert_consistent();
    }
    assert_eq!(queried.len(), 200);
    assert!(queried.iter().all(|at| *at <= Duration::from_millis(1001)));
    let most = most_within(Duration::from_millis(100), queried);
    assert!(most <= 50, "{most} queries within 100 ms");
}

/// A cluster is away for some seconds, and a thousand sessions come back to it.
#[test]
fn restart_with_a_thousand_sessions_spreads_queries_over_the_stagger() {
    let _limit = nacos_testkit::TimeLimit::start();
    for changed in [0, 3] {
        let mut queried = Vec::new();
        let mut served = Vec::new();
        for seed in 0..1000 {
            let mut world = World::new(seed * 3 + 1, Faults::none());
            for n in 0..5 {
                let name = format!("n{n}");
                world.server.documents.insert(name.clone(), "1".to_owned());
                world.watch(&name, GuardId(n));
            }
            world.run(Duration::from_secs(10));
            let before = world.law.queried_at.len();
            let lost = world.now;
            world.server.go_down();
            world.lose_links();
            world.run(Duration::from_secs(5));
            for n in 0..changed {
                world.server.documents.insert(format!("n{n}"), "2".to_owned());
            }
            world.server.come_up();
            world.run(Duration::from_secs(10));
            world.assert_consistent();
            let listened = world.server.listened_at.last().expect("it came back");
            served.push(*listened - lost);
            queried.extend(world.law.queried_at[before..].iter().map(|at| *at - lost));
        }
        assert_eq!(queried.len(), 1000 * changed, "listens alone where nothing has changed");
        let back = most_within(Duration::from_millis(100), served);
        assert!(back > 300, "all are back in a moment: {back} within 100 ms");
        let mean = queried.len() / 10;
        let most = most_within(Duration::from_millis(100), queried);
        assert!(most <= 3 * mean, "{most} queries within 100 ms, {mean} on average");
    }
}

/// The most of `times` in any window.
fn most_within(window: Duration, mut times: Vec<Duration>) -> usize {
    times.sort();
    let within = |(first, from): (usize, &Duration)| {
        times.partition_point(|at| *at < *from + window) - first
    };
    times.iter().enumerate().map(within).max().unwrap_or_default()
}

const MILLION: i128 = 1_000_000;
const SEEDS: u64 = 500;
