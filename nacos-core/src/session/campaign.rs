//! One attempt to get a connection: every server once, the next beside a slow one.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::server::Server;

/// One pass over the cluster that ends with the first connection that comes up.
#[derive(Debug)]
pub(crate) struct Campaign {
    waiting: VecDeque<Server>,
    tried: Vec<Server>,
    /// When the next server is tried beside those under way.
    next_at: Instant,
    deadline: Instant,
    failures: Vec<String>,
}

impl Campaign {
    pub(crate) fn new(now: Instant, servers: Vec<Server>) -> Self {
        let waiting = servers.into();
        let (tried, failures) = (Vec::new(), Vec::new());
        Self { waiting, tried, next_at: now, deadline: now + DEADLINE, failures }
    }

    /// The next server to dial, if it is time to.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Server> {
        if self.next_at > now || self.deadline <= now {
            return None;
        }
        let server = self.waiting.pop_front()?;
        self.next_at = now + BESIDE;
        self.tried.push(server.clone());
        Some(server)
    }

    /// The cluster has changed: who left it is not tried any more, who joined it still is.
    pub(crate) fn relist(&mut self, list: &[Server]) {
        self.waiting.retain(|server| list.contains(server));
        for server in list {
            if !self.tried.contains(server) && !self.waiting.contains(server) {
                self.waiting.push_back(server.clone());
            }
        }
    }

    /// An attempt failed: the next server need not wait for it any longer.
    pub(crate) fn failed(&mut self, now: Instant, server: &Server, why: &str) {
        self.failures.push(format!("{server}: {why}"));
        self.next_at = now;
    }

    /// Whether nothing is left to try; `under_way` attempts may still succeed.
    pub(crate) fn is_over(&self, now: Instant, under_way: usize) -> bool {
        self.deadline <= now || (self.waiting.is_empty() && under_way == 0)
    }

    /// Every server that was tried, and why it failed.
    pub(crate) fn causes(&self) -> String {
        if self.failures.is_empty() {
            return "no server answered".to_owned();
        }
        self.failures.join("; ")
    }

    pub(crate) fn next_timeout(&self) -> Instant {
        if self.waiting.is_empty() { self.deadline } else { self.next_at.min(self.deadline) }
    }
}

/// A server that has not come up by then gets company.
const BESIDE: Duration = Duration::from_millis(250);
/// For the whole pass.
const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_server_gets_company_and_a_failed_one_a_successor_at_once() {
        let start = Instant::now();
        let servers = Server::parse_list("a,b,c", 1000).expect("valid");
        let mut campaign = Campaign::new(start, servers);
        let a = campaign.next(start).expect("the first");
        assert_eq!(campaign.next(start), None);
        assert_eq!(campaign.next_timeout(), start + BESIDE);

        let b = campaign.next(start + BESIDE).expect("company");
        campaign.failed(start + BESIDE, &b, "refused");
        assert!(campaign.next(start + BESIDE).is_some());
        campaign.failed(start + BESIDE, &a, "silent");
        assert!(!campaign.is_over(start + BESIDE, 1));
        assert!(campaign.is_over(start + BESIDE, 0));
        assert_eq!(campaign.causes(), "b:8848: refused; a:8848: silent");
    }

    #[test]
    fn pass_follows_a_change_of_the_cluster() {
        let start = Instant::now();
        let list = |text| Server::parse_list(text, 1000).expect("valid");
        let mut campaign = Campaign::new(start, list("a,b,c"));
        let a = campaign.next(start).expect("the first");
        campaign.relist(&list("d,c,a"));
        let mut hosts = Vec::new();
        campaign.failed(start, &a, "refused");
        while let Some(server) = campaign.next(start) {
            campaign.failed(start, &server, "refused");
            hosts.push(server.host().to_owned());
        }
        assert_eq!(hosts, ["c", "d"]);
    }

    #[test]
    fn whole_pass_has_a_deadline() {
        let start = Instant::now();
        let mut campaign = Campaign::new(start, Server::parse_list("a,b", 1000).expect("valid"));
        assert!(campaign.next(start).is_some());
        assert!(campaign.is_over(start + DEADLINE, 1));
        assert_eq!(campaign.next(start + DEADLINE), None);
    }
}
