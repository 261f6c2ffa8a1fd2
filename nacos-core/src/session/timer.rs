//! The times that the session waits for: one table.
//!
//! Each variant of [`Timer`] has to be named by both sides, what happens then and when that is, so
//! that neither can be forgotten. Keys that wait each for a time of their own stay in queues
//! ([`Timers`](super::timers::Timers)), of which the next time is one entry here.
use std::time::Instant;

use super::{Connecting, Lifetime, Session};

/// What has a time of its own.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Nobody waits for withdrawals any longer.
    Close,
    /// Whatever *connecting* waits for.
    Connecting,
    /// Every listen is confirmed.
    Audit,
    /// Services that are in doubt are asked for.
    StaleServices,
    /// A refused claim is sent again.
    Claims,
    /// A document is asked for again.
    Documents,
    /// A registered service is looked for.
    SelfCheck,
}

impl Timer {
    /// In the order in which they are looked after. The end comes first: what begins at that moment
    /// would only be ended.
    const ALL: [Self; 7] = [
        Self::Close,
        Self::Connecting,
        Self::Audit,
        Self::StaleServices,
        Self::Claims,
        Self::Documents,
        Self::SelfCheck,
    ];
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
                Timer::Connecting => self.connect(now, Connecting::handle_timeout),
                Timer::Audit => self.audit_if_due(now),
                Timer::StaleServices => self.resolve_doubts(now),
                // Whatever is due is sent whenever the session settles.
                Timer::Claims | Timer::Documents | Timer::SelfCheck => {}
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
            Timer::Audit => self.next_audit,
            // Refused claims and failed queries wait for a connection anyway.
            Timer::Claims => self.claims.next_retry().filter(|_| self.can_send()),
            Timer::StaleServices => self.doubts.next_timeout().filter(|_| self.can_ask()),
            Timer::Documents => self.documents.next_retry().filter(|_| self.can_ask()),
            Timer::SelfCheck => self.presence.next_timeout().filter(|_| self.can_ask()),
        }
    }

    fn audit_if_due(&mut self, now: Instant) {
        if self.next_audit.is_some_and(|at| at <= now) {
            self.next_audit = Some(self.audit_after(now));
            self.audited = Some(now);
            self.claims.audit_listens();
        }
    }
}
