//! The ports of one server, which no other server of ours can take while it is down.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::{Error, ErrorKind};

/// A loopback port for HTTP and those that Nacos derives from it.
///
/// A killed server's ports must still be its own when it comes back, so they are held by a lock
/// file, not by a socket: against every other process of this user until drop, and until the
/// process dies at the latest. Against strangers they are chosen below the range from which
/// systems take the ports of outgoing connections, and seen to be free.
#[derive(Debug)]
pub(crate) struct Ports {
    main: u16,
    _lock: File,
}

impl Ports {
    /// Takes free ports, with `locks` as the directory that all processes agree upon.
    pub(crate) fn reserve(locks: &Path) -> Result<Self, Error> {
        fs::create_dir_all(locks).map_err(|error| {
            Error::new(ErrorKind::Machine, format_args!("cannot create {}", locks.display()))
                .because(error)
        })?;
        // Anywhere, so that two processes seldom meet and a port rests before it is used again.
        let start = RandomState::new().hash_one(()) % u64::from(SLOTS);
        (0..SLOTS)
            .map(|step| (u64::from(step) + start) % u64::from(SLOTS))
            .filter_map(|slot| u16::try_from(slot).ok())
            .find_map(|slot| Self::take(locks, FIRST + 2 * slot, is_free))
            .ok_or_else(|| {
                let last = FIRST + 2 * SLOTS;
                let text = format_args!("every port from {FIRST} to {last} is taken");
                Error::new(ErrorKind::Machine, text)
            })
    }

    /// Where HTTP is served; Nacos derives all others from it.
    pub(crate) fn main(&self) -> SocketAddr {
        loopback(self.main)
    }

    /// Where gRPC is served.
    pub(crate) fn grpc(&self) -> SocketAddr {
        loopback(self.main + 1000)
    }

    fn take(locks: &Path, main: u16, is_free: impl Fn(u16) -> bool) -> Option<Self> {
        let lock = File::create(locks.join(main.to_string())).ok()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
        }
        used_by(main).into_iter().all(is_free).then_some(Self { main, _lock: lock })
    }
}

/// Where an r-nacos with this main port serves its console, if it does.
pub(crate) fn console(main: SocketAddr) -> SocketAddr {
    SocketAddr::new(main.ip(), main.port() - 1000)
}

/// HTTP; raft of Java Nacos, or the console of r-nacos; gRPC for clients; gRPC among Java servers.
fn used_by(main: u16) -> [u16; 4] {
    [main, main - 1000, main + 1000, main + 1001]
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Every second port of a thousand, so that no two sets overlap.
const FIRST: u16 = 20_000;
const SLOTS: u16 = 500;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::env;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn sets_of_ports_never_overlap() {
        let all: Vec<u16> = (0..SLOTS).flat_map(|slot| used_by(FIRST + 2 * slot)).collect();
        let apart: HashSet<u16> = all.iter().copied().collect();
        assert_eq!(apart.len(), all.len());
    }

    #[test]
    fn reserved_ports_are_held_until_drop_though_nobody_listens() {
        let locks = Folder::create(&env::temp_dir(), "ports").expect("a directory");
        let held = Ports::take(locks.path(), FIRST, |_| true).expect("ports");
        assert!(Ports::take(locks.path(), FIRST, |_| true).is_none());
        drop(held);
        assert!(Ports::take(locks.path(), FIRST, |_| true).is_some());
    }

    #[test]
    fn one_port_of_a_stranger_spoils_the_set() {
        let locks = Folder::create(&env::temp_dir(), "ports").expect("a directory");
        for taken in used_by(FIRST) {
            assert!(Ports::take(locks.path(), FIRST, |port| port != taken).is_none());
        }
        assert!(Ports::take(locks.path(), FIRST, |_| true).is_some(), "the lock was given back");
    }

    #[test]
    fn grpc_is_a_thousand_above() {
        let locks = Folder::create(&env::temp_dir(), "ports").expect("a directory");
        let ports = Ports::reserve(locks.path()).expect("ports");
        assert_eq!(ports.grpc().port(), ports.main().port() + 1000);
        assert!(ports.main().ip().is_loopback());
    }
}
