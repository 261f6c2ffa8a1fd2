//! Every endpoint of a service and how it stands. No I/O, no clock, no randomness: what happened
//! comes in, what to do is asked for.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use nacos_core::Service;
use tokio::time::Instant;

use super::{
    backoff,
    eligible::{absence, wanted},
    seat::{Link, Seat},
};
use crate::{
    endpoint::{Backend, Common, Endpoint, Passage},
    pick::{Member, Other, Snapshot, Standing},
    transport::BoxError,
};

/// The endpoints by address: those that may be called, and those that have just been left.
///
/// It owns their connections, together with the requests that use them.
///
/// ```text
///            ┌──────────── handle_lost, at once ────────────┐
///            ▼                                              │ left
///   new ─▶ Queued ── next_dial ─▶ Dialing ── dialed ─────▶ Up ───▶ Lingering ─▶ dropped
///            ▲                      │ failed                ▲          │ back
///            └─ due ── Waiting ◀────┘                       └──────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Roster<C> {
    seats: BTreeMap<Arc<str>, Seat<C>>,
    common: Arc<Common>,
    queue: VecDeque<Ticket>,
    timers: BTreeSet<(Instant, Ticket)>,
    /// What the set says if nobody may be called.
    absence: Standing,
    last_number: u64,
}

/// Names one stay of one endpoint: who returns under the same address has another number.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ticket {
    address: Arc<str>,
    number: u64,
}

impl Ticket {
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl<C> Roster<C> {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        Self {
            seats: BTreeMap::new(),
            common,
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            absence: Standing::Undiscovered,
            last_number: 0,
        }
    }

    /// Takes over a whole set.
    ///
    /// Who stays keeps connection, counters and backoff, whatever else changed about it. A set
    /// that nobody knows yet changes nothing.
    pub(crate) fn handle_set(&mut self, service: &Service, now: Instant) {
        if !service.known {
            return;
        }
        self.absence = Standing::Empty(absence(service));
        let wanted = wanted(service);
        let left: Vec<Arc<str>> =
            self.seats.keys().filter(|address| !wanted.contains_key(*address)).cloned().collect();
        for address in left {
            self.leave(address, now);
        }
        for (address, endpoint) in wanted {
            self.seat(address, endpoint);
        }
    }

    /// Takes in how an attempt to connect ended. True if the connection is in use now.
    pub(crate) fn handle_dialed(
        &mut self,
        ticket: &Ticket,
        outcome: Result<C, BoxError>,
        now: Instant,
        jitter: f64,
    ) -> bool {
        let passage = self.number();
        // Nobody to be found: it was left meanwhile, and the connection is closed by dropping it.
        let Some(seat) = self.find(ticket) else { return false };
        match outcome {
            Ok(connection) => {
                seat.open(Arc::new(connection), passage, now);
                true
            }
            Err(cause) => {
                seat.failures = seat.failures.saturating_add(1);
                seat.cause = Some(cause.into());
                self.retry(ticket, now, jitter);
                false
            }
        }
    }

    /// Takes in that a connection ended.
    pub(crate) fn handle_lost(&mut self, ticket: &Ticket, now: Instant, jitter: f64) {
        let Some(seat) = self.find(ticket) else { return };
        seat.backend.close();
        match seat.link {
            Link::Up { since, .. } => {
                let held = now.saturating_duration_since(since) >= HOLDS;
                seat.failures = if held { 0 } else { seat.failures.saturating_add(1) };
                // Requests may wait for the next attempt, though it may have to wait as well.
                seat.cause = None;
                self.retry(ticket, now, jitter);
            }
            // It will not come back to this connection: nothing to linger for.
            _ => self.remove(ticket),
        }
    }

    /// Takes in that time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, ticket)) = self.timers.first().cloned() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            let Some(seat) = self.find(&ticket) else { continue };
            match seat.link {
                Link::Waiting => {
                    seat.link = Link::Queued;
                    self.queue.push_back(ticket);
                }
                Link::Lingering { since, .. } if since + LINGERS <= now => self.remove(&ticket),
                _ => {}
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Who is to be dialled next.
    pub(crate) fn poll_dial(&mut self) -> Option<(Ticket, Endpoint)> {
        while let Some(ticket) = self.queue.pop_front() {
            if let Some(seat) = self.find(&ticket)
                && matches!(seat.link, Link::Queued)
            {
                seat.link = Link::Dialing;
                let endpoint = seat.endpoint.clone();
                return Some((ticket, endpoint));
            }
        }
        None
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Everybody, as requests and reports are to see them from now on.
    pub(crate) fn snapshot(&self) -> Snapshot<C> {
        let (mut ready, mut others) = (Vec::with_capacity(self.seats.len()), Vec::new());
        let (mut connecting, mut failing) = (false, None);
        for seat in self.seats.values() {
            let backend = Arc::clone(&seat.backend);
            let state = match &seat.link {
                Link::Up { .. } => {
                    ready.push(Member::new(backend, seat.weight));
                    continue;
                }
                Link::Lingering { .. } => "draining",
                Link::Dialing | Link::Queued | Link::Waiting => {
                    failing = seat.cause.as_ref().or(failing);
                    connecting |= seat.cause.is_none();
                    if seat.cause.is_some() { "failing" } else { "connecting" }
                }
            };
            others.push(Other { backend, weight: seat.weight, state });
        }
        let standing = match failing {
            _ if !ready.is_empty() => Standing::Ready,
            _ if connecting => Standing::Connecting,
            Some(cause) => Standing::Failing(cause.clone()),
            None => self.absence.clone(),
        };
        Snapshot::new(ready, others, standing)
    }

    /// Gives an endpoint of the set a seat, or its old one.
    fn seat(&mut self, address: Arc<str>, endpoint: Endpoint) {
        let number = self.number();
        let Some(seat) = self.seats.get_mut(&address) else {
            self.queue.push_back(Ticket { address: Arc::clone(&address), number });
            let backend = Backend::new(Arc::clone(&address), Arc::clone(&self.common));
            self.seats.insert(address, Seat::new(number, endpoint, Arc::new(backend)));
            return;
        };
        seat.describe(endpoint);
        if let Link::Lingering { connection, since } = &seat.link {
            // A new passage: whoever was turned away from the old one must not shut this one.
            seat.open(Arc::clone(connection), number, *since);
        }
    }

    /// Lets no new request to an endpoint. Those under way keep its connection, and it is kept
    /// here for a while as well: endpoints that flap come back to it.
    fn leave(&mut self, address: Arc<str>, now: Instant) {
        let Some(seat) = self.seats.get_mut(&address) else { return };
        let ticket = Ticket { address, number: seat.number };
        match &seat.link {
            Link::Lingering { .. } => {}
            Link::Up { connection, .. } => {
                seat.link = Link::Lingering { connection: Arc::clone(connection), since: now };
                seat.backend.close();
                self.timers.insert((now + LINGERS, ticket));
            }
            Link::Dialing | Link::Queued | Link::Waiting => self.remove(&ticket),
        }
    }

    fn retry(&mut self, ticket: &Ticket, now: Instant, jitter: f64) {
        let Some(seat) = self.find(ticket) else { return };
        let delay = backoff::delay(seat.failures, jitter);
        if delay.is_zero() {
            seat.link = Link::Queued;
            self.queue.push_back(ticket.clone());
        } else {
            seat.link = Link::Waiting;
            self.timers.insert((now + delay, ticket.clone()));
        }
    }

    fn find(&mut self, ticket: &Ticket) -> Option<&mut Seat<C>> {
        self.seats.get_mut(&ticket.address).filter(|seat| seat.number == ticket.number)
    }

    fn remove(&mut self, ticket: &Ticket) {
        if self.find(ticket).is_some() {
            self.seats.remove(&ticket.address);
        }
    }

    fn number(&mut self) -> Passage {
        self.last_number += 1;
        self.last_number
    }
}

/// A connection that lasted this long was a good one: its end is no failed attempt.
const HOLDS: Duration = Duration::from_secs(5);
/// How long the connection to an endpoint that left the set is kept for its return.
const LINGERS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
