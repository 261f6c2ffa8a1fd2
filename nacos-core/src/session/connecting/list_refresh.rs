//! Where the servers are, if that may change: when to ask, and whether to leave one.
//!
//! A list that cannot be read, or is empty, never replaces one that could. A server that is missing
//! once may be back in the next answer: only one that is missing again half an interval later is
//! left, the way that a server asks to be left, so that no flapping answer moves every client.
use std::time::{Duration, Instant};

use crate::{
    session::backoff::{list_refresh_delay, retry_delay},
    time::give_or_take_a_fifth,
};

/// When the list of servers is asked for.
#[derive(Debug)]
pub(crate) struct ListRefresh {
    /// How often; `None` for a list that never changes.
    every: Option<Duration>,
    known: bool,
    next: Option<Instant>,
    asked: Option<Instant>,
    failures: u32,
    /// The next time has been brought forward, because no server takes us.
    hurried: bool,
    /// How often that was so since one did.
    hurries: u32,
    /// Since when the server that serves has been missing.
    missing: Option<Instant>,
}

impl ListRefresh {
    pub(crate) fn new(every: Option<Duration>, now: Instant) -> Self {
        let next = every.map(|_| now);
        Self {
            every,
            known: every.is_none(),
            next,
            asked: None,
            failures: 0,
            hurried: false,
            hurries: 0,
            missing: None,
        }
    }

    /// Whether there is a list at all.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether to ask now; if so, the caller has to ask.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|at| at <= now);
        if due {
            self.next = None;
            self.hurried = false;
            self.asked = Some(now);
        }
        due
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// When the first list is asked for again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.next.filter(|_| !self.known)
    }

    /// None of the servers took us: there may be others by now.
    ///
    /// It is asked soon, and then ever more rarely until one takes us: in an outage every search
    /// fails, that of each client.
    pub(crate) fn hurry(&mut self, now: Instant, jitter: f64) {
        let (Some(every), Some(next), false) = (self.every, self.next, self.hurried) else {
            return;
        };
        let pause = list_refresh_delay(self.hurries, every);
        let soonest = self.asked.map_or(now, |asked| now.max(asked + pause));
        let soonest = soonest + (pause / 2).mul_f64(jitter.clamp(0.0, 1.0));
        if soonest < next {
            self.next = Some(soonest);
            self.hurried = true;
            self.hurries = self.hurries.saturating_add(1);
        }
    }

    /// A list was read.
    pub(crate) fn found(&mut self, now: Instant, jitter: f64) {
        self.known = true;
        self.failures = 0;
        self.next_in_turn(now, jitter);
    }

    /// None could be.
    pub(crate) fn failed(&mut self, now: Instant, cap: Duration, jitter: f64) {
        if self.known {
            self.next_in_turn(now, jitter);
        } else {
            self.next = Some(now + retry_delay(self.failures, jitter).min(cap));
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn next_in_turn(&mut self, now: Instant, jitter: f64) {
        self.next = self.every.map(|every| now + give_or_take_a_fifth(every, jitter));
    }

    /// Another server serves: nothing is known yet about its leaving, and the list is a good one.
    pub(crate) fn arrived(&mut self) {
        self.missing = None;
        self.hurries = 0;
    }

    /// The server that serves is on the list.
    pub(crate) fn serves_there(&mut self) {
        self.missing = None;
    }

    /// The server that serves is not on the list. Says whether it has left.
    pub(crate) fn is_gone(&mut self, now: Instant) -> bool {
        let since = *self.missing.get_or_insert(now);
        self.every.is_some_and(|every| now.saturating_duration_since(since) >= every / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);
    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn fixed_list_is_never_asked_for() {
        let now = Instant::now();
        let mut list_refresh = ListRefresh::new(None, now);
        list_refresh.hurry(now, 0.5);
        assert!(list_refresh.is_known() && !list_refresh.begin(now));
        assert_eq!(list_refresh.next_timeout(), None);
    }

    #[test]
    fn list_is_asked_for_at_once_and_then_every_interval() {
        let now = Instant::now();
        let mut list_refresh = ListRefresh::new(Some(EVERY), now);
        assert!(list_refresh.begin(now));
        assert!(!list_refresh.begin(now + EVERY), "one at a time");
        for (jitter, tenths) in [(0.0, 8), (0.5, 10), (1.0, 12)] {
            list_refresh.found(now, jitter);
            assert_eq!(list_refresh.next_timeout(), Some(now + EVERY * tenths / 10));
        }
        list_refresh.failed(now, CAP, 0.5);
        assert_eq!(list_refresh.next_timeout(), Some(now + EVERY), "the known list does meanwhile");
    }

    #[test]
    fn failing_first_list_is_asked_for_ever_more_rarely() {
        let mut now = Instant::now();
        let mut list_refresh = ListRefresh::new(Some(EVERY), now);
        let mut delays = Vec::new();
        for _ in 0..8 {
            assert!(list_refresh.begin(now));
            list_refresh.failed(now, CAP, 1.0);
            let next = list_refresh.retry_at().expect("another try");
            delays.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn failed_search_asks_soon_and_never_later_than_in_turn() {
        let now = Instant::now();
        for (jitter, after) in [(0.0, 20_000), (0.5, 20_250), (1.0, 20_500)] {
            let mut list_refresh = ListRefresh::new(Some(EVERY), now);
            assert!(list_refresh.begin(now));
            list_refresh.hurry(now, jitter);
            assert_eq!(list_refresh.next_timeout(), None, "it is being asked");
            list_refresh.found(now, 0.5);
            list_refresh.hurry(now + Duration::from_secs(20), jitter);
            assert_eq!(list_refresh.next_timeout(), Some(now + Duration::from_millis(after)));
            list_refresh.hurry(now + EVERY / 2, 0.0);
            assert_eq!(list_refresh.next_timeout(), Some(now + Duration::from_millis(after)));
            assert!(list_refresh.begin(now + EVERY));
            list_refresh.found(now + EVERY, 0.0);
            list_refresh.hurry(now + EVERY * 2, 0.0);
            assert!(list_refresh.next_timeout() <= Some(now + EVERY + EVERY * 4 / 5));
        }
    }

    #[test]
    fn failed_searches_in_a_row_ask_ever_more_rarely() {
        let mut now = Instant::now();
        let mut list_refresh = ListRefresh::new(Some(EVERY), now);
        let mut delays = Vec::new();
        for _ in 0..7 {
            assert!(list_refresh.begin(now));
            list_refresh.found(now, 0.5);
            (0..100).for_each(|_| list_refresh.hurry(now, 0.0));
            let next = list_refresh.next_timeout().expect("another try");
            delays.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn server_is_gone_when_it_is_missing_for_half_an_interval() {
        let now = Instant::now();
        let mut list_refresh = ListRefresh::new(Some(EVERY), now);
        assert!(!list_refresh.is_gone(now));
        assert!(!list_refresh.is_gone(now + EVERY / 3));
        assert!(list_refresh.is_gone(now + EVERY / 2));
        list_refresh.serves_there();
        assert!(!list_refresh.is_gone(now + EVERY));
    }
}
