//! When the clients of one server would all ask at the same moment, and how they do not.
//!
//! A client that has lost its server alone asks at once. After a *mass event*, when no server has
//! answered for a while, or two have dropped us one after the other, thousands of others are likely
//! to be in the same position. Then each waits for a part of the stagger. Which part is a hash, so
//! that clients that started together do not clump, and it is another one after each event.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::PullOptions;

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Stagger {
    /// A hash of the client's name.
    instance: u64,
    /// The longest delay.
    most: Duration,
    /// An outage that all clients of a server are likely to have noticed.
    long: Duration,
    /// Two servers that drop a client within this time do so to more than one.
    twice_within: Duration,
    events: u64,
    until: Option<Instant>,
    /// Since when no server has answered.
    alone_since: Option<Instant>,
    /// The server that dropped us last, and when.
    dropped: Option<(Arc<str>, Instant)>,
    /// Two have within a short time.
    is_dropped_twice: bool,
}

impl Stagger {
    /// Of a client that begins now.
    pub(super) fn new(now: Instant, options: &PullOptions) -> Self {
        Self {
            instance: fnv(&options.instance_id),
            most: options.stagger,
            long: options.mass_outage,
            twice_within: options.mass_drops,
            events: 0,
            until: None,
            alone_since: Some(now),
            dropped: None,
            is_dropped_twice: false,
        }
    }

    /// The connection to `server` has ended without another; nobody has answered since then.
    pub(super) fn dropped(&mut self, now: Instant, server: &Arc<str>, since: Instant) {
        self.alone_since = Some(since.min(now));
        let former = self.dropped.replace((Arc::clone(server), now));
        self.is_dropped_twice |=
            former.is_some_and(|(former, at)| former != *server && now < at + self.twice_within);
    }

    /// Another connection serves. Says by how much this client is late, if that is a mass event.
    pub(super) fn serves(&mut self, now: Instant) -> Option<Duration> {
        let alone = self.alone_since.take();
        let is_long = alone.is_some_and(|since| now.saturating_duration_since(since) >= self.long);
        let is_mass = std::mem::take(&mut self.is_dropped_twice) || is_long;
        if !is_mass || self.most.is_zero() {
            return None;
        }
        let delay = self.delay(self.most);
        self.until = Some(now + delay);
        Some(delay)
    }

    /// The next of this client's delays, any part of `most`.
    pub(super) fn delay(&mut self, most: Duration) -> Duration {
        self.events += 1;
        part(self.instance, self.events, most)
    }

    /// Until when what a listen found is not asked for.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}

/// The part of `most` that is the turn of a client at an event.
fn part(instance: u64, event: u64, most: Duration) -> Duration {
    let hash = mixed(instance ^ event.wrapping_mul(GOLDEN));
    // 53 bits are what a fraction holds.
    #[expect(clippy::cast_precision_loss, reason = "it holds 53 bits")]
    let fraction = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    most.mul_f64(fraction)
}

/// FNV-1a: the same on every machine.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of `SplitMix64`: names that differ in one digit lie anywhere.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(3);

    fn stagger(now: Instant, name: &str, most: Duration) -> Stagger {
        Stagger::new(now, &PullOptions { stagger: most, ..PullOptions::new(name) })
    }

    fn served(name: &str) -> (Stagger, Instant) {
        let now = Instant::now();
        let mut stagger = stagger(now, name, MOST);
        assert_eq!(stagger.serves(now + SECOND), None, "an ordinary start");
        (stagger, now + SECOND)
    }

    #[test]
    fn one_server_that_is_lost_is_no_mass_event() {
        let (mut stagger, now) = served("a");
        for n in 1..9 {
            let now = now + 2 * n * SECOND;
            stagger.dropped(now, &"a".into(), now);
            assert_eq!(stagger.serves(now + SECOND), None, "again the same");
        }
        // The server asked us to move: nobody has dropped us.
        assert_eq!((stagger.serves(now + 99 * SECOND), stagger.until()), (None, None));
    }

    #[test]
    fn long_outage_and_two_servers_in_turn_are_mass_events() {
        let (mut stagger, now) = served("a");
        stagger.dropped(now, &"a".into(), now);
        let delay = stagger.serves(now + LONG).expect("a mass event");
        assert!(delay < MOST);
        assert_eq!(stagger.until(), Some(now + LONG + delay));

        let (mut stagger, now) = served("a");
        stagger.dropped(now, &"a".into(), now);
        assert_eq!(stagger.serves(now), None);
        stagger.dropped(now + 9 * SECOND, &"b".into(), now + 9 * SECOND);
        assert!(stagger.serves(now + 9 * SECOND).is_some());
        stagger.dropped(now + 30 * SECOND, &"a".into(), now + 30 * SECOND);
        assert_eq!(stagger.serves(now + 30 * SECOND), None, "long after that");
    }

    #[test]
    fn server_that_was_silent_before_it_was_lost_counts_from_then_on() {
        let (mut stagger, now) = served("a");
        stagger.dropped(now + LONG, &"a".into(), now);
        assert!(stagger.serves(now + LONG).is_some());
    }

    #[test]
    fn no_stagger_is_none() {
        let now = Instant::now();
        let mut stagger = stagger(now, "a", Duration::ZERO);
        assert_eq!((stagger.serves(now + 9 * SECOND), stagger.until()), (None, None));
    }

    #[test]
    fn delay_is_the_same_for_the_same_name_and_event_and_another_for_others() {
        let delays = |name: &str| {
            let mut stagger = stagger(Instant::now(), name, MOST);
            [MOST; 4].map(|most| stagger.delay(most))
        };
        assert_eq!(delays("orders-1"), delays("orders-1"));
        let mut all = [delays("orders-1"), delays("orders-2")].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8, "no two are the same");
        // It must not change with a release: old and new clients share the stagger.
        assert_eq!(delays("orders-1")[0].as_millis(), 22_108);
    }

    /// The greatest distance between what was drawn and a uniform distribution.
    fn kolmogorov_smirnov(mut drawn: Vec<f64>) -> f64 {
        drawn.sort_by(f64::total_cmp);
        let count = f64::from(u32::try_from(drawn.len()).expect("few"));
        let distances = drawn.iter().zip(0_u32..).map(|(drawn, place)| {
            let (below, above) = (f64::from(place) / count, f64::from(place + 1) / count);
            (drawn - below).abs().max((above - drawn).abs())
        });
        distances.fold(0.0, f64::max)
    }

    /// Names as they are: pods of one set, with the process id 1 and a counter.
    #[test]
    fn thousand_names_are_spread_evenly_over_the_stagger() {
        for event in 1..=5 {
            let drawn = (0..1000).map(|n| {
                let delay = part(fnv(&format!("orders-7d9f-{n}-1-{n:016x}")), event, MOST);
                delay.as_secs_f64() / MOST.as_secs_f64()
            });
            let distance = kolmogorov_smirnov(drawn.collect());
            // Of uniform ones, one in a hundred is further than 1.63 / √1000.
            assert!(distance < 0.0515, "{distance} after event {event}");
        }
        let one = (1..=1000).map(|event| part(fnv("a"), event, MOST).as_secs_f64() / 30.0);
        assert!(kolmogorov_smirnov(one.collect()) < 0.0515, "the turns of one client");
    }
}
