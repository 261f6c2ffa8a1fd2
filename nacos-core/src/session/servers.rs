//! Which server to try next.
use crate::{server::Server, wire::push::Redirect};

/// The servers of the cluster, in the order in which this client tries them.
///
/// A random start spreads clients over the cluster; after that it rotates, so that a server that
/// just failed is the last to be tried again.
#[derive(Debug)]
pub(crate) struct Servers {
    list: Vec<Server>,
    next: usize,
}

impl Servers {
    /// `jitter`, uniform in `[0, 1)`, chooses the first server.
    pub(crate) fn new(list: Vec<Server>, jitter: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index into a short list; the remainder keeps it in range"
        )]
        let next = (jitter.clamp(0.0, 1.0) * list.len() as f64) as usize % list.len().max(1);
        Self { list, next }
    }

    /// The cluster as it is now. Says whether it is another one; the order counts for nothing.
    pub(crate) fn replace(&mut self, list: Vec<Server>, jitter: f64) -> bool {
        let changed =
            list.len() != self.list.len() || list.iter().any(|server| !self.list.contains(server));
        if changed {
            *self = Self::new(list, jitter);
        }
        changed
    }

    pub(crate) fn list(&self) -> &[Server] {
        &self.list
    }

    /// One pass over the cluster, beginning with `first` if it belongs to it.
    pub(crate) fn round(&mut self, first: Option<&Redirect>) -> Vec<Server> {
        let redirected = first.and_then(|redirect| {
            // The port decides between servers of one ip only: that of the list is the one that is
            // reachable from here.
            let there = |server: &Server| server.host() == redirect.ip;
            let exact = |server: &Server| there(server) && Some(server.port()) == redirect.port;
            self.list.iter().position(exact).or_else(|| self.list.iter().position(there))
        });
        let start = redirected.unwrap_or(self.next);
        let mut round = self.list.clone();
        if !round.is_empty() {
            round.rotate_left(start % self.list.len());
            self.next = (start + 1) % self.list.len();
        }
        round
    }

    /// This server has taken us: whoever looks for another tries it last.
    pub(crate) fn taken(&mut self, server: &Server) {
        if let Some(at) = self.list.iter().position(|other| other == server) {
            self.next = (at + 1) % self.list.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(jitter: f64) -> Servers {
        Servers::new(Server::parse_list("a,b,c", 1000).expect("valid"), jitter)
    }

    fn hosts(round: &[Server]) -> String {
        round.iter().map(Server::host).collect()
    }

    #[test]
    fn rounds_begin_at_random_and_rotate() {
        let mut servers = servers(0.4);
        assert_eq!(hosts(&servers.round(None)), "bca");
        assert_eq!(hosts(&servers.round(None)), "cab");
        assert_eq!(hosts(&self::servers(1.0).round(None)), "abc");
    }

    #[test]
    fn server_that_served_is_tried_last() {
        let mut servers = servers(0.0);
        servers.round(None);
        let third = Server::parse_list("c", 1000).expect("valid").remove(0);
        servers.taken(&third);
        assert_eq!(hosts(&servers.round(None)), "abc");
    }

    #[test]
    fn another_list_begins_at_random_and_the_same_one_goes_on() {
        let list = |text| Server::parse_list(text, 1000).expect("valid");
        let mut servers = servers(0.0);
        servers.round(None);
        assert!(!servers.replace(list("c,b,a"), 0.9));
        assert_eq!(hosts(&servers.round(None)), "bca");
        assert!(servers.replace(list("d,e"), 0.9));
        assert_eq!(hosts(&servers.round(None)), "ed");
    }

    #[test]
    fn recommended_server_comes_first_if_it_is_known() {
        let redirect = |ip: &str| Redirect { ip: ip.to_owned(), port: Some(1) };
        assert_eq!(hosts(&servers(0.0).round(Some(&redirect("c")))), "cab");
        assert_eq!(hosts(&servers(0.0).round(Some(&redirect("z")))), "abc");
    }
}
