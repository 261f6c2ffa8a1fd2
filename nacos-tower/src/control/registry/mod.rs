//! Every endpoint of a service and the state of its connection. A state machine without I/O, clock
//! and randomness: `handle_*` takes in events, `poll_*` hands out what to do.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use nacos_core::Service;
use tokio::time::Instant;

use super::{
    backoff,
    eligible::{speaker, why_none},
    entry::{ConnectionState, Entry},
};
use crate::{
    endpoint::{ConnectionId, Endpoint, SetStats, Slot, Stats, Status},
    pick::{Availability, OtherEndpoint, ReadyEndpoint, Snapshot},
    transport::BoxError,
};

/// The endpoints by address: those that may be called, and those that have just left the set.
///
/// It owns their connections, together with the requests that use them.
///
/// ```text
///            ┌────────────── handle_lost, at once ─────────────────┐
///            ▼                                                     │  left
///   new ─▶ Queued ── poll_dial ─▶ Connecting ── handle_dialed ─▶ Ready ───▶ Draining ─▶ dropped
///            ▲                      │ failed                       ▲           │ back
///            └─ due ── Backoff ◀────┘                              └───────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Registry<C> {
    entries: BTreeMap<Arc<str>, Entry<C>>,
    stats: Arc<SetStats>,
    queue: VecDeque<EntryId>,
    timers: BTreeSet<(Instant, EntryId)>,
    /// The newest set that a server has sent.
    set: Option<Service>,
    last_number: u64,
}

/// Names one stay of one endpoint: one that returns under the same address has another number.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct EntryId {
    address: Arc<str>,
    number: u64,
}

impl EntryId {
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl<C> Registry<C> {
    pub(crate) fn new(stats: Arc<SetStats>) -> Self {
        Self {
            entries: BTreeMap::new(),
            stats,
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            set: None,
            last_number: 0,
        }
    }

    /// Takes over a whole set.
    ///
    /// An endpoint that stays keeps its connection, counters and backoff, whatever else changed
    /// about it. A set that no server has sent yet changes nothing. Of any other only the addresses
    /// are looked at of which something has changed.
    pub(crate) fn handle_set(&mut self, service: &Service, now: Instant) {
        if !service.known {
            return;
        }
        let before = self.set.replace(service.clone());
        let before = before.unwrap_or_else(|| Service::unknown(service.key.clone()));
        let change = service.since(&before);
        let modified = change.modified.iter().map(|(_, after)| after);
        let changed = change.added.iter().chain(&change.removed).chain(modified);
        // An instance that goes may have the address of one that comes or stays.
        let changed: BTreeMap<Arc<str>, _> =
            changed.map(|instance| (instance.address().into(), instance)).collect();
        let mut eligible = Vec::new();
        for (address, instance) in changed {
            match speaker(service, instance) {
                Some(speaker) => eligible.push(Endpoint::at(address, Arc::clone(speaker))),
                None => self.leave(address, now),
            }
        }
        for endpoint in eligible {
            self.enter(endpoint);
        }
    }

    /// Takes in the outcome of an attempt to connect. True if the connection is in use now.
    pub(crate) fn handle_dialed(
        &mut self,
        id: &EntryId,
        outcome: Result<C, BoxError>,
        now: Instant,
        jitter: f64,
    ) -> bool {
        let connection_id = self.number();
        // None is found: it has left meanwhile, and dropping the connection closes it.
        let Some(entry) = self.find(id) else { return false };
        match outcome {
            Ok(connection) => {
                entry.open(Arc::new(connection), connection_id, now);
                true
            }
            Err(error) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.error = Some(error.into());
                self.retry(id, now, jitter);
                false
            }
        }
    }

    /// Takes in that a connection ended.
    pub(crate) fn handle_lost(&mut self, id: &EntryId, now: Instant, jitter: f64) {
        let Some(entry) = self.find(id) else { return };
        entry.slot.close();
        match entry.state {
            ConnectionState::Ready { since, .. } => {
                let held = now.saturating_duration_since(since) >= STABLE_AFTER;
                entry.failures = if held { 0 } else { entry.failures.saturating_add(1) };
                // Requests may wait for the next attempt, though it may have to wait as well.
                entry.error = None;
                self.retry(id, now, jitter);
            }
            // It will not return to this connection, so nothing is left to drain.
            _ => self.remove(id),
        }
    }

    /// Takes in that time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, id)) = self.timers.first().cloned() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            let Some(entry) = self.find(&id) else { continue };
            match entry.state {
                ConnectionState::Backoff => {
                    entry.state = ConnectionState::Queued;
                    self.queue.push_back(id);
                }
                ConnectionState::Draining { since, .. } if since + KEPT_FOR_RETURN <= now => {
                    self.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The endpoint to dial next.
    pub(crate) fn poll_dial(&mut self) -> Option<(EntryId, Endpoint)> {
        while let Some(id) = self.queue.pop_front() {
            if let Some(entry) = self.find(&id)
                && matches!(entry.state, ConnectionState::Queued)
            {
                entry.state = ConnectionState::Connecting;
                let endpoint = entry.endpoint.clone();
                return Some((id, endpoint));
            }
        }
        None
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All endpoints, as requests and reports are to see them from now on.
    pub(crate) fn snapshot(&self) -> Snapshot<C> {
        let (mut ready, mut others) = (Vec::with_capacity(self.entries.len()), Vec::new());
        let (mut connecting, mut failing) = (false, None);
        for entry in self.entries.values() {
            let slot = &entry.slot;
            let status = entry.status();
            match status {
                Status::Ready => {
                    let (slot, endpoint) = (Arc::clone(slot), entry.endpoint.clone());
                    ready.push(ReadyEndpoint { slot, endpoint });
                    continue;
                }
                Status::Draining => {}
                Status::Connecting => connecting = true,
                Status::Failing => failing = entry.error.as_ref().or(failing),
            }
            let weight = entry.endpoint.weight();
            others.push(OtherEndpoint { stats: Arc::clone(slot.stats()), weight, status });
        }
        let availability = match failing {
            _ if !ready.is_empty() => Availability::Ready,
            _ if connecting => Availability::Connecting,
            Some(error) => Availability::Failing(error.clone()),
            None => match &self.set {
                Some(set) => Availability::Empty(why_none(set)),
                None => Availability::Undiscovered,
            },
        };
        Snapshot::new(ready, others, availability)
    }

    /// Gives an endpoint of the set an entry, or updates the one that it has.
    fn enter(&mut self, endpoint: Endpoint) {
        let number = self.number();
        let address = Arc::clone(endpoint.shared_address());
        let Some(entry) = self.entries.get_mut(&address) else {
            self.queue.push_back(EntryId { address: Arc::clone(&address), number });
            let stats = Stats::new(Arc::clone(&address), Arc::clone(&self.stats));
            let slot = Arc::new(Slot::new(Arc::new(stats)));
            self.entries.insert(address, Entry::new(number, endpoint, slot));
            return;
        };
        entry.endpoint = endpoint;
        if let ConnectionState::Draining { connection, since } = &entry.state {
            // A new id: a request that was turned away under the old one must not close this one.
            entry.open(Arc::clone(connection), number, *since);
        }
    }

    /// Lets no new request to an endpoint. Requests under way keep its connection, and the registry
    /// keeps it for a while as well: endpoints that flap return to it.
    fn leave(&mut self, address: Arc<str>, now: Instant) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        let id = EntryId { address, number: entry.number };
        match &entry.state {
            ConnectionState::Draining { .. } => {}
            ConnectionState::Ready { connection, .. } => {
                entry.state =
                    ConnectionState::Draining { connection: Arc::clone(connection), since: now };
                entry.slot.close();
                self.timers.insert((now + KEPT_FOR_RETURN, id));
            }
            ConnectionState::Connecting | ConnectionState::Queued | ConnectionState::Backoff => {
                self.remove(&id);
            }
        }
    }

    fn retry(&mut self, id: &EntryId, now: Instant, jitter: f64) {
        let Some(entry) = self.find(id) else { return };
        let delay = backoff::delay(entry.failures, jitter);
        if delay.is_zero() {
            entry.state = ConnectionState::Queued;
            self.queue.push_back(id.clone());
        } else {
            entry.state = ConnectionState::Backoff;
            self.timers.insert((now + delay, id.clone()));
        }
    }

    fn find(&mut self, id: &EntryId) -> Option<&mut Entry<C>> {
        self.entries.get_mut(&id.address).filter(|entry| entry.number == id.number)
    }

    fn remove(&mut self, id: &EntryId) {
        if self.find(id).is_some() {
            self.entries.remove(&id.address);
        }
    }

    fn number(&mut self) -> ConnectionId {
        self.last_number += 1;
        self.last_number
    }
}

/// The end of a connection that lasted this long is no failed attempt.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// How long the connection to an endpoint that left the set is kept for its return.
const KEPT_FOR_RETURN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
