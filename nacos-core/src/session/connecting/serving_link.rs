//! The connection that serves, and what is known on it.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{endings::Ending, liveness::Liveness, responsiveness::Responsiveness};
use crate::{
    disconnect::{Disconnect, Reason},
    session::{effects::Event, ids::LinkId},
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(in crate::session) struct ServingLink {
    pub(super) link: LinkId,
    /// As it was named in the options, or in the list.
    pub(in crate::session) server: Arc<str>,
    pub(super) since: Instant,
    /// When something came last on the stream.
    pub(super) pushed: Instant,
    pub(super) liveness: Liveness,
    pub(super) responsiveness: Responsiveness,
    /// A request of the session's own was answered on it, as by a server that knows it.
    pub(super) is_known: bool,
    pub(in crate::session) abilities: Arc<BTreeMap<String, bool>>,
}

impl ServingLink {
    /// How long it has served.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether its server may not know its users' rights yet.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < FRESH
    }

    /// Whether it is a good one: the next outage begins from scratch.
    pub(super) fn is_stable(&self, now: Instant) -> bool {
        self.age(now) >= STABLE
    }

    /// Whether its server has not known it from the beginning, where that says now that it does
    /// not.
    pub(super) fn was_never_known(&self, now: Instant) -> bool {
        !self.is_known && self.age(now) < AT_ONCE
    }

    /// Its stream ends.
    pub(super) fn ending(&self, now: Instant) -> Ending {
        let [age, silence] =
            [self.since, self.pushed].map(|since| now.saturating_duration_since(since));
        Ending { server: Arc::clone(&self.server), age, silence }
    }

    /// It serves no more.
    pub(super) fn ended(&self, now: Instant, reason: Reason, why: &str) -> Event {
        let record = Disconnect {
            server: Arc::clone(&self.server),
            reason: reason.label(),
            cause: why.into(),
            at: now,
            served: self.age(now),
            silent: now.saturating_duration_since(self.liveness.last_heard()),
            stream_silent: now.saturating_duration_since(self.pushed),
            round_trip: self.liveness.round_trip(),
            stall: Duration::ZERO,
        };
        Event::Ended { reason, record }
    }
}

/// Java reads users and their rights within 15 s of its start.
const FRESH: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: the next outage begins from scratch.
const STABLE: Duration = Duration::from_secs(5);
/// The first health check is answered by then, where there is nothing else to ask.
const AT_ONCE: Duration = Duration::from_secs(10);
