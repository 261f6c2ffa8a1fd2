//! Which server to try next.
use crate::{server::Server, wire::push::Redirect};

/// The servers of the cluster, in the order in which this client tries them.
///
/// A random order spreads clients over the cluster, and those of one server over all the others
/// once it fails; after that it rotates, so that a server that just failed is the last to be tried
/// again.
#[derive(Debug)]
pub(crate) struct Servers {
    list: Vec<Server>,
    next: usize,
}

impl Servers {
    /// `jitter`, uniform in `[0, 1)`, chooses the order.
    pub(crate) fn new(mut list: Vec<Server>, jitter: &mut dyn FnMut() -> f64) -> Self {
        for end in (2..=list.len()).rev() {
            list.swap(end - 1, below(end, jitter()));
        }
        Self { list, next: 0 }
    }

    /// The cluster as it is now. Says whether it is another one; the order counts for nothing.
    ///
    /// The server that would have been tried last still is, if it is still there: it serves, or has
    /// just failed.
    pub(crate) fn replace(&mut self, list: Vec<Server>, jitter: &mut dyn FnMut() -> f64) -> bool {
        let changed =
            list.len() != self.list.len() || list.iter().any(|server| !self.list.contains(server));
        if changed {
            self.list.rotate_left(self.next);
            let former = self.list.pop();
            *self = Self::new(list, jitter);
            if let Some(former) = former {
                self.taken(&former);
            }
        }
        changed
    }

    pub(crate) fn list(&self) -> &[Server] {
        &self.list
    }

    /// The order of the next search, beginning with `first` if it belongs to it.
    pub(crate) fn next_order(&mut self, first: Option<&Redirect>) -> Vec<Server> {
        let redirected = first.and_then(|redirect| {
            // The port decides between servers of one ip only: that of the list is the one that is
            // reachable from here.
            let there = |server: &Server| server.host() == redirect.ip;
            let exact = |server: &Server| there(server) && Some(server.port()) == redirect.port;
            self.list.iter().position(exact).or_else(|| self.list.iter().position(there))
        });
        let start = redirected.unwrap_or(self.next);
        let mut order = self.list.clone();
        if !order.is_empty() {
            order.rotate_left(start % self.list.len());
            self.next = (start + 1) % self.list.len();
        }
        order
    }

    /// This server has taken us: a search for another one tries it last.
    pub(crate) fn taken(&mut self, server: &Server) {
        if let Some(at) = self.list.iter().position(|other| other == server) {
            self.next = (at + 1) % self.list.len();
        }
    }
}

/// A number below `end`, for `jitter` within `[0, 1)`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an index into a short list, kept in range"
)]
fn below(end: usize, jitter: f64) -> usize {
    ((jitter.clamp(0.0, 1.0) * end as f64) as usize).min(end - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Such a number swaps nothing.
    const AS_GIVEN: f64 = 0.999;

    fn list(text: &str) -> Vec<Server> {
        Server::parse_list(text, 1000).expect("valid")
    }

    fn servers(jitter: f64) -> Servers {
        Servers::new(list("a,b,c"), &mut || jitter)
    }

    fn hosts(order: &[Server]) -> String {
        order.iter().map(Server::host).collect()
    }

    #[test]
    fn rounds_have_a_random_order_and_rotate() {
        let mut servers = servers(0.0);
        assert_eq!(hosts(&servers.next_order(None)), "bca");
        assert_eq!(hosts(&servers.next_order(None)), "cab");
        assert_eq!(hosts(&self::servers(AS_GIVEN).next_order(None)), "abc");
        for odd in [1.0, f64::INFINITY, -1.0, f64::NAN] {
            assert_eq!(self::servers(odd).next_order(None).len(), 3);
        }
    }

    /// Of a thousand clients, those of one server.
    #[test]
    fn clients_of_a_dead_server_spread_over_all_the_others() {
        let mut seconds = BTreeMap::<String, usize>::new();
        for (known, then) in [("a,b,c,d", "a,b,c,d"), ("a", "a,b,c,d")] {
            seconds.clear();
            for seed in 0..1000 {
                let mut dice = fastrand::Rng::with_seed(seed);
                let mut servers = Servers::new(list(known), &mut || dice.f64());
                if servers.next_order(None)[0].host() == "a" {
                    servers.taken(&list("a")[0]);
                    servers.replace(list(then), &mut || dice.f64());
                    *seconds.entry(servers.next_order(None)[0].host().to_owned()).or_default() += 1;
                }
            }
            let clients: usize = seconds.values().sum();
            assert_eq!(hosts_of(&seconds), "bcd");
            assert!(seconds.values().all(|&n| n > clients / 4), "{seconds:?} of {clients}");
        }
    }

    #[test]
    fn server_that_served_is_tried_last() {
        let mut servers = servers(AS_GIVEN);
        servers.next_order(None);
        servers.taken(&list("c")[0]);
        assert_eq!(hosts(&servers.next_order(None)), "abc");
        servers.taken(&list("b")[0]);
        assert!(servers.replace(list("b,c,d"), &mut || AS_GIVEN));
        assert_eq!(hosts(&servers.next_order(None)), "cdb", "also in another list");
    }

    #[test]
    fn another_list_has_another_order_and_the_same_one_goes_on() {
        let mut servers = servers(AS_GIVEN);
        servers.next_order(None);
        assert!(!servers.replace(list("c,b,a"), &mut || 0.0));
        assert_eq!(hosts(&servers.next_order(None)), "bca");
        assert!(servers.replace(list("d,e"), &mut || 0.0));
        assert_eq!(hosts(&servers.next_order(None)), "ed");
        assert!(servers.replace(Vec::new(), &mut || 0.0));
        assert_eq!(hosts(&servers.next_order(None)), "");
    }

    #[test]
    fn recommended_server_comes_first_if_it_is_known() {
        let redirect = |ip: &str| Redirect { ip: ip.to_owned(), port: Some(1) };
        assert_eq!(hosts(&servers(AS_GIVEN).next_order(Some(&redirect("c")))), "cab");
        assert_eq!(hosts(&servers(AS_GIVEN).next_order(Some(&redirect("z")))), "abc");
    }

    fn hosts_of(counts: &BTreeMap<String, usize>) -> String {
        counts.keys().map(String::as_str).collect()
    }
}
