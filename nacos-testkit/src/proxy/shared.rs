//! The state that the handle, the ports and the connections of one proxy share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpStream, sync::watch};

use crate::line::Cut;

use super::{
    command::{Command, Direction, Scope},
    connection::{Connection, Observer},
    link::{Both, DIRECTIONS, Link},
};

/// The common part of a proxy.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The links that the next connection begins with.
    fresh: Both<Link>,
    open: BTreeMap<u64, Arc<Connection>>,
    pub(super) accepted: u64,
    pub(super) delivered: Both<u64>,
}

impl State {
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }
}

impl Shared {
    pub(super) fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.lock())
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes links, or ends connections.
    pub(super) fn handle_command(&self, command: Command) {
        self.change(|state| {
            if command.scope != Scope::Existing {
                for direction in DIRECTIONS.into_iter().filter(|it| command.concerns(*it)) {
                    state.fresh.of_mut(direction).change_fresh(command.what);
                }
            }
            if command.scope != Scope::Fresh {
                state.open.retain(|_, connection| !connection.handle_command(command));
            }
        });
    }

    /// Takes in an accepted connection; `None` when it is reset at once.
    pub(super) fn admit(&self, client: TcpStream) -> Option<Arc<Connection>> {
        self.change(|state| {
            let fresh = state.fresh;
            let number = state.accepted;
            state.accepted += 1;
            let connection = Connection::new(number, client, fresh);
            if DIRECTIONS.iter().any(|direction| fresh.of(*direction).reset) {
                connection.reset(|direction| fresh.of(direction).reset);
                return None;
            }
            state.open.insert(number, Arc::clone(&connection));
            Some(connection)
        })
    }

    /// Closes every connection at once.
    pub(super) fn close(&self) {
        let open = self.change(|state| std::mem::take(&mut state.open));
        for connection in open.values() {
            connection.cut(Cut::Close, Cut::Close);
        }
    }

    /// Changes the state; tasks that wait for changes look again.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.changes.send_modify(|version| *version += 1);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a test that holds the lock must not hide the reason behind a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Shared {
    fn delivered(&self, direction: Direction, bytes: usize) {
        self.change(|state| *state.delivered.of_mut(direction) += bytes as u64);
    }

    fn ended(&self, number: u64) {
        self.change(|state| state.open.remove(&number));
    }
}
