//! One search for a connection: which servers it tries, and how long each step may take.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{server::Server, time::doubled, within::Within};

/// One search: every server once, the next beside a slow one, until the first connection is up.
#[derive(Debug)]
pub(super) struct Search {
    waiting: VecDeque<Server>,
    tried: Vec<Server>,
    /// When the next server is tried beside those under way.
    next_at: Instant,
    /// After this no server is dialled: it would not be connected in time. Attempts under way end
    /// by then, so that their causes are known before the deadline.
    dials_until: Instant,
    deadline: Instant,
    /// How long each step towards a connection may take.
    patience: Duration,
    /// A server may have had too little time.
    is_late: bool,
    failures: Vec<String>,
}

impl Search {
    /// A search after `failed` ones.
    ///
    /// The first one is short, so that servers that are gone cost little; a later one reaches
    /// servers that are only slow.
    pub(super) fn new(now: Instant, servers: Vec<Server>, failed: u32) -> Self {
        let patience = doubled(STEP, failed, LONGEST_STEP);
        let all = DEADLINE.max(2 * patience);
        Self {
            waiting: servers.into(),
            tried: Vec::new(),
            next_at: now,
            dials_until: now + all.saturating_sub(LAST_STEPS),
            deadline: now + all,
            patience,
            is_late: false,
            failures: Vec::new(),
        }
    }

    /// The next server to dial, if it is time to, and how long that may take.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Server, Within)> {
        let left = self.dials_until.saturating_duration_since(now);
        if self.next_at > now || left.is_zero() {
            return None;
        }
        let server = self.waiting.pop_front()?;
        self.next_at = now + BESIDE;
        self.tried.push(server.clone());
        Some((server, Within { each: self.patience, all: left }))
    }

    /// The cluster has changed: servers that left it are not tried any more, and those that joined
    /// it are.
    pub(super) fn relist(&mut self, list: &[Server]) {
        self.waiting.retain(|server| list.contains(server));
        for server in list {
            if !self.tried.contains(server) && !self.waiting.contains(server) {
                self.waiting.push_back(server.clone());
            }
        }
    }

    /// An attempt failed, perhaps because it was too `late`: the next server need not wait for it
    /// any longer.
    pub(super) fn failed(&mut self, now: Instant, server: &Server, why: &str, late: bool) {
        self.failures.push(format!("{server}: {why}"));
        self.is_late |= late;
        self.next_at = now;
    }

    /// Whether nothing is left to try; `under_way` attempts may still succeed.
    pub(super) fn is_over(&self, now: Instant, under_way: usize) -> bool {
        let nothing_left = self.waiting.is_empty() || self.dials_until <= now;
        self.deadline <= now || (nothing_left && under_way == 0)
    }

    /// Whether a search that gives more time may find a server that this one has not; `under_way`
    /// attempts have not ended.
    pub(super) fn is_hasty(&self, under_way: usize) -> bool {
        (self.is_late || under_way > 0) && self.patience < LONGEST_STEP
    }

    /// Every server that was tried, and why it failed; of those `under_way`, what they have not
    /// done yet.
    pub(super) fn causes(&self, under_way: impl Iterator<Item = String>) -> String {
        let causes: Vec<String> = self.failures.iter().cloned().chain(under_way).collect();
        if causes.is_empty() {
            return "no server answered".to_owned();
        }
        causes.join("; ")
    }

    pub(super) fn next_timeout(&self, now: Instant) -> Instant {
        if self.waiting.is_empty() || self.dials_until <= self.next_at.max(now) {
            self.deadline
        } else {
            self.next_at
        }
    }
}

/// If a server has not come up by then, the next one is dialled beside it.
const BESIDE: Duration = Duration::from_millis(250);
/// For the whole search, unless that is less than two of its steps may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The part of the search that is kept for the steps after dialling.
const LAST_STEPS: Duration = Duration::from_millis(250);
/// For TCP and TLS of one address, for the server check, and for the setup, whose acknowledgement
/// was seen after 4 to 82 ms; doubled after each search that failed.
const STEP: Duration = Duration::from_secs(1);
const LONGEST_STEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_server_gets_company_and_a_failed_one_a_successor_at_once() {
        let start = Instant::now();
        let servers = Server::parse_list("a,b,c", 1000).expect("valid");
        let mut search = Search::new(start, servers, 0);
        let (a, within) = search.next(start).expect("the first");
        assert_eq!(within.each, STEP);
        assert_eq!(search.next(start), None);
        assert_eq!(search.next_timeout(start), start + BESIDE);

        let (b, _) = search.next(start + BESIDE).expect("company");
        search.failed(start + BESIDE, &b, "refused", false);
        assert!(search.next(start + BESIDE).is_some());
        search.failed(start + BESIDE, &a, "silent", true);
        assert!(!search.is_over(start + BESIDE, 1));
        assert!(search.is_over(start + BESIDE, 0));
        assert_eq!(search.causes(std::iter::empty()), "b:8848: refused; a:8848: silent");
    }

    #[test]
    fn search_follows_a_change_of_the_cluster() {
        let _limit = nacos_testkit::TimeLimit::start();
        let start = Instant::now();
        let list = |text| Server::parse_list(text, 1000).expect("valid");
        let mut search = Search::new(start, list("a,b,c"), 0);
        let (a, _) = search.next(start).expect("the first");
        search.relist(&list("d,c,a"));
        let mut hosts = Vec::new();
        search.failed(start, &a, "refused", false);
        while let Some((server, _)) = search.next(start) {
            search.failed(start, &server, "refused", false);
            hosts.push(server.host().to_owned());
        }
        assert_eq!(hosts, ["c", "d"]);
    }

    #[test]
    fn whole_search_has_a_deadline_and_what_is_dialled_in_it_an_earlier_one() {
        let start = Instant::now();
        let servers = Server::parse_list("a,b,c", 1000).expect("valid");
        let mut search = Search::new(start, servers, 0);
        let (a, within) = search.next(start).expect("the first");
        assert_eq!(within.all + LAST_STEPS, DEADLINE);
        let late = start + within.all;
        search.failed(late, &a, "silent", true);
        assert_eq!(search.next(late), None, "it would not be connected in time");
        assert_eq!(search.next_timeout(late), start + DEADLINE);
        assert!(!search.is_over(late, 1) && search.is_over(late, 0));
        assert!(search.is_over(start + DEADLINE, 1));
    }

    #[test]
    fn each_search_gives_more_time_to_those_that_may_only_be_slow() {
        let start = Instant::now();
        let mut steps = Vec::new();
        for failed in [0, 1, 2, 3, u32::MAX] {
            let servers = Server::parse_list("a", 1000).expect("valid");
            let mut search = Search::new(start, servers, failed);
            let (a, within) = search.next(start).expect("the first");
            assert!(within.all > within.each);
            search.failed(start, &a, "refused", false);
            assert!(!search.is_hasty(0), "time does not help against a refusal");
            search.failed(start, &a, "silent", true);
            assert_eq!(search.is_hasty(0), within.each < LONGEST_STEP);
            steps.push(within.each.as_secs());
        }
        assert_eq!(steps, [1, 2, 4, 5, 5]);
    }
}
