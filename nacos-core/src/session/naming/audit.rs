//! When a subscription is confirmed again: a server that has ceased to serve pushes nothing either,
//! and a client that only subscribes would never learn of it.
use std::time::{Duration, Instant};

use crate::{
    key::ServiceKey,
    session::{output::Output, queue::Queue},
    time::give_or_take_a_fifth,
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct SubscriptionAudit {
    /// The subscriptions that the server holds; the one that was confirmed longest ago first.
    held: Queue<ServiceKey>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// No request about services was answered yet.
    Never,
    /// One was, and none since.
    IdleSince(Instant),
    /// One subscription is confirmed then, unless a request is answered before.
    At(Instant),
}

impl SubscriptionAudit {
    pub(super) fn new() -> Self {
        Self { held: Queue::new(), next: Next::Never }
    }

    /// A new connection: its server holds nothing.
    pub(super) fn reconnected(&mut self) {
        *self = Self::new();
    }

    /// A request about services was answered: the server is at work.
    pub(super) fn answered(&mut self, now: Instant) {
        self.next = Next::IdleSince(now);
    }

    /// The server has confirmed the subscription of `service`.
    pub(super) fn confirmed(&mut self, service: &ServiceKey) {
        self.held.remove(service);
        self.held.push(service.clone());
    }

    /// Nobody subscribes to `service` any more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.held.remove(service);
    }

    /// The subscription to confirm now, if one is.
    #[must_use = "it counts as done"]
    pub(super) fn take_due(&mut self, now: Instant, output: &mut Output) -> Option<ServiceKey> {
        // Drawn here, so that connections that are busy or short draw nothing.
        if let Next::IdleSince(since) = self.next
            && now >= since + give_or_take_a_fifth(EVERY, 0.0)
        {
            self.next = Next::At(since + give_or_take_a_fifth(EVERY, output.jitter()));
        }
        if !matches!(self.next, Next::At(at) if at <= now) {
            return None;
        }
        self.answered(now);
        self.held.pop()
    }

    /// When to [take](Self::take_due) what is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.next {
            _ if self.held.is_empty() => None,
            Next::Never => None,
            Next::IdleSince(since) => Some(since + give_or_take_a_fifth(EVERY, 0.0)),
            Next::At(at) => Some(at),
        }
    }
}

/// One subscription is confirmed after this long without an answer about any service, give or take
/// a fifth: as often as listens are.
const EVERY: Duration = Duration::from_secs(180);
