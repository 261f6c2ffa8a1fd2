//! Addresses of names that took a connection and have answered nothing over it.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Addresses to try last: a proxy without a server behind it takes every connection, and would hide
/// the other addresses of its name in every pass. Cheap to clone; every clone knows the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Unproven(Arc<Mutex<Names>>);

/// By host and port.
type Names = HashMap<(String, u16), Vec<Taken>>;

/// An address that has taken a connection.
#[derive(Debug)]
struct Taken {
    address: SocketAddr,
    /// Whether the connection has answered anything since.
    answered: Arc<AtomicBool>,
}

impl Unproven {
    /// The addresses of a name, in their order but for the unproven, which come last; of these,
    /// the one that was tried longest ago first.
    pub(super) fn last(
        &self,
        (host, port): (&str, u16),
        mut addresses: Vec<SocketAddr>,
    ) -> Vec<SocketAddr> {
        let mut names = self.lock();
        if let Some(taken) = names.get_mut(&(host.to_owned(), port)) {
            taken.retain(|taken| !taken.answered.load(Ordering::Relaxed));
            addresses
                .sort_by_key(|address| taken.iter().position(|taken| taken.address == *address));
        }
        addresses
    }

    /// This address took the connection; unproven until it has `answered`.
    pub(super) fn won(
        &self,
        (host, port): (&str, u16),
        address: SocketAddr,
        answered: Arc<AtomicBool>,
    ) {
        let mut names = self.lock();
        if names.len() >= MOST {
            names.clear();
        }
        let taken = names.entry((host.to_owned(), port)).or_default();
        taken.retain(|taken| taken.address != address && !taken.answered.load(Ordering::Relaxed));
        if taken.len() >= MOST {
            taken.clear();
        }
        taken.push(Taken { address, answered });
    }

    /// The unproven address that was tried last.
    #[cfg(test)]
    pub(super) fn newest(&self, (host, port): (&str, u16)) -> Option<SocketAddr> {
        let names = self.lock();
        names.get(&(host.to_owned(), port))?.last().map(|taken| taken.address)
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        // The value under the lock is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names, and addresses of each. Forgetting them costs a pass.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split(' ').map(|host| format!("10.0.0.{host}:1").parse().expect("valid")).collect()
    }

    #[test]
    fn every_address_has_its_turn_however_many_answer_nothing() {
        let (unproven, at) = (Unproven::default(), ("nacos", 1));
        let order = || unproven.last(at, addresses("1 2 3"));
        assert_eq!(order(), addresses("1 2 3"));
        for next in ["2 3 1", "3 1 2", "1 2 3", "2 3 1"] {
            unproven.won(at, order()[0], Arc::default());
            assert_eq!(order(), addresses(next));
        }
        assert_eq!(unproven.last(("other", 1), addresses("1 2 3")), addresses("1 2 3"));
    }

    #[test]
    fn address_that_has_answered_is_as_good_as_any() {
        let (unproven, at) = (Unproven::default(), ("nacos", 1));
        let answered = Arc::new(AtomicBool::new(false));
        unproven.won(at, addresses("1")[0], Arc::clone(&answered));
        assert_eq!(unproven.last(at, addresses("1 2")), addresses("2 1"));
        answered.store(true, Ordering::Relaxed);
        assert_eq!(unproven.last(at, addresses("1 2")), addresses("1 2"));
    }

    #[test]
    fn names_and_addresses_are_bounded() {
        let unproven = Unproven::default();
        for host in 0..2 * MOST {
            let host = host.to_string();
            unproven.won((&host, 1), addresses("1")[0], Arc::default());
        }
        for port in 1..1000 {
            let address = SocketAddr::from(([10, 0, 0, 1], port));
            unproven.won(("nacos", 1), address, Arc::default());
        }
        let names = unproven.lock();
        assert!(names.len() <= MOST && names.values().all(|taken| taken.len() <= MOST));
    }
}
