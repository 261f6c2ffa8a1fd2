//! How many queries may go out: a bucket of tokens, one for each query of a watched document.
//!
//! The bucket counts the tokens that are gone, not those that are left: so it starts full, and
//! stays full while its capacity grows with the documents that are watched. Tokens come back at a
//! steady rate. In any time `w`, no more than `max(capacity, documents at start) + refill × w`
//! queries are granted.
use std::time::{Duration, Instant};

use super::Class;

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Bucket {
    limits: Limits,
    /// The tokens that are gone.
    spent: f64,
    /// Queries beyond the capacity, for documents of which nothing was known, or from when it was
    /// larger. They come back last: nobody else waits for that.
    overdraft: f64,
    /// When that was so.
    at: Instant,
    /// How often the refill is halved, and until when the last of these holds.
    halvings: u32,
    halved_until: Instant,
}

/// The measures of a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    capacity: f64,
    /// In a second.
    refill: f64,
    watched: f64,
}

impl Limits {
    /// For so many documents under watch, and what the options say.
    pub(super) fn new(burst: Option<usize>, rate: Option<usize>, watched: usize) -> Self {
        Self {
            capacity: number(
                burst.unwrap_or(watched.saturating_mul(ROUNDS).max(LEAST_CAPACITY)).max(1),
            ),
            refill: number(rate.unwrap_or((watched / ROUND).max(LEAST_REFILL)).max(1)),
            watched: number(watched),
        }
    }

    /// How many tokens may be gone after a query of `class`. Some are kept for the classes above,
    /// but no more than leave a full bucket one round of all documents.
    fn of(self, class: Class) -> f64 {
        let room = self.capacity - self.watched;
        let room = if room < 0.0 { self.capacity } else { room };
        let kept = |most: f64, part: f64| most.min((self.capacity / part).floor()).min(room);
        self.capacity
            - match class {
                Class::Start => 0.0,
                Class::Push => kept(5.0, 20.0),
                Class::Audit => kept(20.0, 5.0),
            }
    }
}

impl Bucket {
    pub(super) fn new(now: Instant, limits: Limits) -> Self {
        Self { limits, spent: 0.0, overdraft: 0.0, at: now, halvings: 0, halved_until: now }
    }

    /// The measures are these from now on.
    pub(super) fn resize(&mut self, now: Instant, limits: Limits) {
        if limits == self.limits {
            return;
        }
        self.refill(now);
        // Those who are left do not wait for the queries of those who are gone. If they come back,
        // what is gone is.
        let (owed, before) = (self.spent + self.overdraft, self.limits.capacity);
        if limits.capacity < before {
            self.spent = self.spent.min(limits.capacity);
            self.overdraft = owed - self.spent;
        } else if limits.capacity > before {
            self.spent = owed.min(limits.capacity);
            self.overdraft = owed - self.spent;
        }
        self.limits = limits;
    }

    /// Takes a token for a query of `class`, if there is one for it.
    #[must_use = "it is gone"]
    pub(super) fn take(&mut self, now: Instant, class: Class) -> bool {
        self.refill(now);
        if self.missing(class) <= NOTHING {
            self.spent += 1.0;
        } else if class == Class::Start
            && self.overdraft + 1.0 <= self.limits.watched - self.limits.capacity + NOTHING
        {
            self.overdraft += 1.0;
        } else {
            return false;
        }
        true
    }

    /// When there is a token for `class`, unless others take it.
    pub(super) fn ready_at(&self, class: Class) -> Instant {
        let missing = self.missing(class);
        if missing <= NOTHING {
            return self.at;
        }
        let whole = Duration::from_secs_f64(missing / self.rate()) + ROUNDING;
        let at = self.at + whole;
        // From then on it goes faster.
        if self.halvings > 0 { at.min(self.halved_until.max(self.at)) } else { at }
    }

    /// The server says that it is overloaded: the bucket is empty, and fills half as fast for a
    /// while. Says whether that is news.
    pub(super) fn overloaded(&mut self, now: Instant) -> bool {
        self.refill(now);
        let last = self.halved_until.checked_sub(HALVED_FOR);
        if self.halvings > 0 && last.is_some_and(|last| now < last + TOGETHER) {
            return false;
        }
        self.spent = self.spent.max(self.limits.capacity);
        self.halvings = (self.halvings + 1).min(MOST_HALVINGS);
        self.halved_until = now + HALVED_FOR;
        true
    }

    /// The tokens that are left, and when that was so.
    pub(super) fn tokens(&self) -> (u64, Instant) {
        (whole(self.limits.capacity - self.spent), self.at)
    }

    /// The most tokens that there can be, and those that come back in a second.
    pub(super) fn measures(&self) -> (u64, u64) {
        (whole(self.limits.capacity), whole(self.rate().max(1.0)))
    }

    fn missing(&self, class: Class) -> f64 {
        self.spent + 1.0 - self.limits.of(class)
    }

    fn rate(&self) -> f64 {
        self.limits.refill / f64::from(1_u32 << self.halvings)
    }

    /// Gives back what has come back since the last time.
    fn refill(&mut self, now: Instant) {
        while self.halvings > 0 && self.halved_until <= now {
            self.refill_until(self.halved_until);
            self.halvings -= 1;
            self.halved_until += HALVED_FOR;
        }
        self.refill_until(now);
    }

    fn refill_until(&mut self, to: Instant) {
        let Some(time) = to.checked_duration_since(self.at) else { return };
        self.at = to;
        let back = time.as_secs_f64() * self.rate();
        let rest = (back - self.spent).max(0.0);
        self.spent = (self.spent - back).max(0.0);
        self.overdraft = (self.overdraft - rest).max(0.0);
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within these bounds")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, f64::from(u32::MAX)) as u64
}

/// All documents may be asked for at the start, and once more when all of them change soon after.
const ROUNDS: usize = 2;
/// A client of fifty documents may do so, too.
const LEAST_CAPACITY: usize = 100;
/// Tokens that come back in a second, at least.
const LEAST_REFILL: usize = 10;
/// A bucket is full again after this many seconds, with many documents.
const ROUND: usize = 60;
/// How long each halving of the refill lasts.
const HALVED_FOR: Duration = Duration::from_secs(30);
/// An eighth of the rate, at least: a server that is overloaded for long is asked all the same.
const MOST_HALVINGS: u32 = 3;
/// Answers to queries that were under way together say it once.
const TOGETHER: Duration = Duration::from_secs(1);
/// The errors of fractions are smaller.
const NOTHING: f64 = 1e-6;
/// Times are whole nanoseconds, and none may come too early.
const ROUNDING: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(now: Instant, burst: Option<usize>, watched: usize) -> Bucket {
        Bucket::new(now, Limits::new(burst, None, watched))
    }

    /// How many queries of `class` are granted at once.
    fn granted(bucket: &mut Bucket, now: Instant, class: Class) -> usize {
        (0..100_000).take_while(|_| bucket.take(now, class)).count()
    }

    #[test]
    fn classes_leave_tokens_for_those_above() {
        let now = Instant::now();
        for (class, most) in [(Class::Start, 100), (Class::Push, 95), (Class::Audit, 80)] {
            assert_eq!(granted(&mut bucket(now, None, 50), now, class), most, "{class:?}");
        }
        let mut bucket = bucket(now, None, 50);
        let all = [Class::Audit, Class::Push, Class::Start].map(|it| granted(&mut bucket, now, it));
        assert_eq!(all, [80, 15, 5]);
    }

    #[test]
    fn full_bucket_is_enough_for_one_round_of_all_documents() {
        let now = Instant::now();
        for watched in [1, 80, 90, 100, 101, 5000] {
            let all = granted(&mut bucket(now, None, watched), now, Class::Audit);
            assert!(all >= watched, "{all} of {watched}");
        }
    }

    #[test]
    fn all_documents_may_change_at_once_right_after_the_start() {
        let now = Instant::now();
        for watched in [1, 50, 1000, 5000] {
            let mut bucket = bucket(now, None, watched);
            assert!((0..watched).all(|_| bucket.take(now, Class::Start)));
            // But for the few tokens that are kept for starts.
            assert!(granted(&mut bucket, now, Class::Push) + 5 >= watched);
        }
    }

    #[test]
    fn tokens_come_back_at_the_rate_and_not_earlier() {
        let now = Instant::now();
        let mut bucket = bucket(now, None, 0);
        assert_eq!(granted(&mut bucket, now, Class::Start), 100);
        let at = bucket.ready_at(Class::Start);
        assert!(at > now + Duration::from_millis(99) && at < now + Duration::from_millis(101));
        assert!(!bucket.take(now + Duration::from_millis(99), Class::Start));
        assert!(bucket.take(at, Class::Start) && !bucket.take(at, Class::Start));
        assert_eq!(granted(&mut bucket, at + Duration::from_secs(3), Class::Start), 30);
        assert_eq!(granted(&mut bucket, at + Duration::from_secs(3600), Class::Start), 100);
    }

    #[test]
    fn start_overdraws_and_nobody_else_waits_for_that() {
        let now = Instant::now();
        let mut bucket = bucket(now, Some(100), 250);
        assert_eq!(granted(&mut bucket, now, Class::Start), 250);
        assert!(!bucket.take(now, Class::Push));
        // Five are kept, and one is needed: after 0.6 s, not after 15 s.
        assert!(bucket.take(now + Duration::from_millis(601), Class::Push));
        assert_eq!(granted(&mut bucket, now + Duration::from_secs(5), Class::Start), 49);
    }

    #[test]
    fn capacity_follows_the_documents_and_makes_no_tokens() {
        let now = Instant::now();
        let mut bucket = bucket(now, None, 0);
        bucket.resize(now, Limits::new(None, None, 5000));
        assert_eq!(granted(&mut bucket, now, Class::Push), 9995);
        assert_eq!(granted(&mut bucket, now, Class::Start), 5);
        assert_eq!(bucket.measures(), (10_000, 83));
        for _ in 0..1000 {
            bucket.resize(now, Limits::new(None, None, 0));
            bucket.resize(now, Limits::new(None, None, 5000));
        }
        assert!(!bucket.take(now, Class::Start));
    }

    #[test]
    fn those_who_are_left_do_not_wait_for_the_queries_of_those_who_are_gone() {
        let now = Instant::now();
        let mut bucket = bucket(now, None, 5000);
        assert_eq!(granted(&mut bucket, now, Class::Start), 10_000);
        bucket.resize(now, Limits::new(None, None, 10));
        assert!(!bucket.take(now, Class::Push));
        assert!(bucket.take(now + Duration::from_millis(601), Class::Push));
        // The others are back: no token has been made.
        bucket.resize(now + Duration::from_secs(1), Limits::new(None, None, 5000));
        assert_eq!(granted(&mut bucket, now + Duration::from_secs(1), Class::Start), 9);
    }

    #[test]
    fn overloaded_server_halves_the_refill_for_a_while() {
        let now = Instant::now();
        let mut bucket = bucket(now, None, 0);
        assert!(bucket.overloaded(now) && !bucket.overloaded(now + Duration::from_millis(9)));
        assert_eq!(bucket.measures(), (100, 5));
        assert!(!bucket.take(now, Class::Start));
        assert_eq!(granted(&mut bucket, now + Duration::from_secs(2), Class::Start), 10);
        assert!(bucket.overloaded(now + Duration::from_secs(2)));
        assert_eq!(bucket.measures().1, 2);
        for seconds in 3..10 {
            bucket.overloaded(now + Duration::from_secs(seconds));
        }
        assert_eq!(bucket.measures().1, 1, "an eighth, and at least one");
        let last = now + Duration::from_secs(9);
        let mut rates = Vec::new();
        for seconds in [29, 30, 60, 90] {
            assert!(bucket.take(last + Duration::from_secs(seconds), Class::Start));
            rates.push(bucket.measures().1);
        }
        assert_eq!(rates, [1, 2, 5, 10]);
    }

    fn class() -> impl Strategy<Value = Class> {
        prop_oneof![Just(Class::Start), Just(Class::Push), Just(Class::Audit)]
    }

    proptest! {
        /// The law, for each window that begins and ends with a query; and no class waits while
        /// there is a token for it.
        #[test]
        fn no_window_has_more_than_the_capacity_and_what_came_back(
            burst in proptest::option::of(1_usize..300),
            rate in proptest::option::of(1_usize..50),
            start in 0_usize..400,
            asked in proptest::collection::vec(
                (0_u64..4000, class(), 1_usize..120, proptest::option::of(0_usize..400)), 1..60,
            ),
        ) {
            let began = Instant::now();
            let limits = Limits::new(burst, rate, start);
            let mut bucket = Bucket::new(began, limits);
            let mut now = began;
            let mut grants: Vec<f64> = Vec::new();
            let (mut most, mut refill) = (limits.capacity.max(number(start)), limits.refill);
            for (pause, class, times, watched) in asked {
                now += Duration::from_millis(pause);
                if let Some(watched) = watched {
                    let limits = Limits::new(burst, rate, watched);
                    bucket.resize(now, limits);
                    most = most.max(limits.capacity).max(number(watched));
                    refill = refill.max(limits.refill);
                }
                for _ in 0..times {
                    let at = bucket.ready_at(class);
                    let is_granted = bucket.take(now, class);
                    prop_assert!(is_granted || bucket.ready_at(class) > now);
                    prop_assert!(!is_granted || at <= now + ROUNDING || class == Class::Start);
                    if is_granted {
                        grants.push((now - began).as_secs_f64());
                    }
                }
            }
            for (first, from) in grants.iter().enumerate() {
                for (last, to) in grants.iter().enumerate().skip(first) {
                    let allowed = most + refill * (to - from) + 1e-3;
                    prop_assert!(number(last - first + 1) <= allowed);
                }
            }
        }
    }
}
