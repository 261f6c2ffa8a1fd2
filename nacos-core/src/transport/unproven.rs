//! Addresses of names that took a connection over which no server has served.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Addresses to try last. A proxy without a server behind it takes every connection, and a server
/// that is starting refuses every client. Such an address would hide the other addresses of its
/// name in every search. A clone is cheap, and all clones know the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Unproven(Arc<Mutex<Names>>);

/// By host and port, the addresses in the order in which they were tried.
type Names = HashMap<(String, u16), Vec<SocketAddr>>;

/// An address that took a connection, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    unproven: Unproven,
    name: (String, u16),
    address: SocketAddr,
}

impl Unproven {
    /// The addresses of a name, in their order but for the unproven, which come last; of these,
    /// the one that was tried longest ago first.
    pub(super) fn last(
        &self,
        (host, port): (&str, u16),
        mut addresses: Vec<SocketAddr>,
    ) -> Vec<SocketAddr> {
        if let Some(unproven) = self.lock().get(&(host.to_owned(), port)) {
            addresses.sort_by_key(|address| unproven.iter().position(|other| other == address));
        }
        addresses
    }

    /// This address took the connection; it is unproven until a server serves over that.
    pub(super) fn won(&self, (host, port): (&str, u16), address: SocketAddr) -> Reached {
        let reached = Reached { unproven: self.clone(), name: (host.to_owned(), port), address };
        reached.doubt();
        reached
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        // The value under the lock is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reached {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A server serves over the connection.
    pub(crate) fn prove(&self) {
        let mut names = self.unproven.lock();
        if let Some(unproven) = names.get_mut(&self.name) {
            unproven.retain(|other| *other != self.address);
            if unproven.is_empty() {
                names.remove(&self.name);
            }
        }
    }

    /// No server does, or not any more.
    pub(crate) fn doubt(&self) {
        let mut names = self.unproven.lock();
        if names.len() >= MOST && !names.contains_key(&self.name) {
            names.clear();
        }
        let unproven = names.entry(self.name.clone()).or_default();
        unproven.retain(|other| *other != self.address);
        if unproven.len() >= MOST {
            unproven.clear();
        }
        unproven.push(self.address);
    }
}

/// Names, and addresses of each. Forgetting them costs a search.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split(' ').map(|host| format!("10.0.0.{host}:1").parse().expect("valid")).collect()
    }

    #[test]
    fn every_address_has_its_turn_however_many_serve_nobody() {
        let (unproven, at) = (Unproven::default(), ("nacos", 1));
        let order = || unproven.last(at, addresses("1 2 3"));
        assert_eq!(order(), addresses("1 2 3"));
        for next in ["2 3 1", "3 1 2", "1 2 3", "2 3 1"] {
            unproven.won(at, order()[0]);
            assert_eq!(order(), addresses(next));
        }
        assert_eq!(unproven.last(("other", 1), addresses("1 2 3")), addresses("1 2 3"));
    }

    #[test]
    fn address_is_as_good_as_any_for_as_long_as_a_server_serves_there() {
        let (unproven, at) = (Unproven::default(), ("nacos", 1));
        let order = || unproven.last(at, addresses("1 2"));
        let first = unproven.won(at, addresses("1")[0]);
        assert_eq!(order(), addresses("2 1"));
        first.prove();
        assert_eq!(order(), addresses("1 2"));
        let second = unproven.won(at, addresses("2")[0]);
        first.doubt();
        assert_eq!(order(), addresses("2 1"), "the one that was tried longest ago");
        second.prove();
        first.prove();
        assert_eq!(order(), addresses("1 2"));
        assert!(unproven.lock().is_empty());
    }

    #[test]
    fn names_and_addresses_are_bounded() {
        let unproven = Unproven::default();
        for host in 0..2 * MOST {
            let host = host.to_string();
            unproven.won((&host, 1), addresses("1")[0]);
        }
        for port in 1..1000 {
            let address = SocketAddr::from(([10, 0, 0, 1], port));
            unproven.won(("nacos", 1), address);
        }
        let names = unproven.lock();
        assert!(names.len() <= MOST && names.values().all(|unproven| unproven.len() <= MOST));
    }
}
