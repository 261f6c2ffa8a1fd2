//! The times that the session waits for: a table for each machine.
//!
//! Each variant of [`Timer`] has to be named by both sides, what happens then and when that is, so
//! that neither can be forgotten. No times are stored here: the part that owns one decides. Keys
//! that wait each for a time of their own stay in queues ([`Timers`](super::timers::Timers)), of
//! which the next time is one entry there.
use std::time::Instant;

use super::{ConnectingMachine, Lifetime, Session};

/// The timers of the session: the end, and one for each machine.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Nobody waits for withdrawals any longer.
    Close,
    Connecting,
    Naming,
    Configs,
}

impl Timer {
    /// In the order in which they are looked after. The end comes first: what begins at that moment
    /// would only be ended.
    const ALL: [Self; 4] = [Self::Close, Self::Connecting, Self::Naming, Self::Configs];
}

impl Session {
    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.lifetime == Lifetime::Closed {
            return;
        }
        for timer in Timer::ALL {
            match timer {
                Timer::Close => {
                    if self.time_of(timer, now).is_some_and(|at| at <= now) {
                        self.end(now);
                        break;
                    }
                }
                Timer::Connecting => self.with_connecting(now, ConnectingMachine::handle_timeout),
                Timer::Naming => self.naming.handle_timeout(now),
                Timer::Configs => self.configs.handle_timeout(now, &mut self.output),
            }
        }
        self.settle(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); never, once closed.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        Timer::ALL.into_iter().filter_map(|timer| self.time_of(timer, now)).min()
    }

    /// When `timer` is due.
    fn time_of(&self, timer: Timer, now: Instant) -> Option<Instant> {
        match timer {
            Timer::Close => match self.lifetime {
                Lifetime::Closing { deadline } => Some(deadline),
                Lifetime::Open | Lifetime::Closed => None,
            },
            Timer::Connecting => self.connecting.poll_timeout(now, self.lifetime),
            Timer::Naming => self.naming.poll_timeout(&self.connection(now)),
            Timer::Configs => self.configs.poll_timeout(&self.connection(now)),
        }
    }
}
