//! The statistics of one endpoint: atomic words that requests write and policies read.
//!
//! They know nothing of the connection that carries the requests, so nothing here is generic.
use std::sync::{
    Arc,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use tokio::time::Instant;

use super::{
    estimate::{Latency, Penalty, SetLatency, blend},
    tick::{Clock, Tick},
};

/// The counters and estimates of one endpoint. They outlive changes of its weight, its metadata and
/// its connection.
///
/// The words that every pick reads and every request writes come first, on a cache line of their
/// own.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Stats {
    in_flight: AtomicU32,
    /// The [`ConnectionId`] that requests may use; 0 for none. A hint: only a lease is proof.
    open: AtomicU64,
    latency: Latency,
    penalty: Penalty,
    picks: AtomicU64,
    failures: AtomicU64,
    address: Arc<str>,
    set: Arc<SetStats>,
}

/// The statistics that the endpoints of one set have in common.
#[derive(Debug)]
pub(crate) struct SetStats {
    pub(crate) clock: Clock,
    pub(crate) latency: SetLatency,
}

/// Names one connection of one endpoint: a number above 0 that one balancer never uses twice.
pub(crate) type ConnectionId = u64;

/// The values that all comparisons of one pick share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) now: Tick,
    /// The mean latency of the set, in seconds.
    pub(crate) set_latency: f32,
}

/// The counters of an endpoint, read one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) in_flight: u32,
    pub(crate) picks: u64,
    pub(crate) failures: u64,
}

impl Stats {
    pub(crate) fn new(address: Arc<str>, set: Arc<SetStats>) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            open: AtomicU64::new(CLOSED),
            latency: Latency::default(),
            penalty: Penalty::default(),
            picks: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            address,
            set,
        }
    }

    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The connection that requests may use, unless it is one of `avoid`.
    #[inline]
    pub(crate) fn available(&self, avoid: &[ConnectionId]) -> Option<ConnectionId> {
        let open = self.open.load(Acquire);
        (open != CLOSED && !avoid.contains(&open)).then_some(open)
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The latency to expect, in seconds. Failures add to it.
    #[inline]
    pub(crate) fn expected_latency(&self, moment: Moment) -> f32 {
        blend(self.latency.read(moment.now), moment.set_latency) + self.penalty.read(moment.now)
    }

    /// A request goes to the endpoint.
    #[inline]
    pub(super) fn request_began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.picks.fetch_add(1, Relaxed);
    }

    /// A request has left the endpoint, its response included.
    #[inline]
    pub(super) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Takes in a response.
    #[inline]
    pub(crate) fn answered(&self, started: Instant, now: Instant) {
        let seconds = seconds(started, now);
        self.latency.observe(seconds, self.set.clock.tick(now));
        self.set.latency.observe(seconds, || fastrand::u8(..));
    }

    /// Takes in that a request was given up: a response would have taken at least as long. That is
    /// evidence only if it is longer than usual.
    pub(crate) fn given_up(&self, started: Instant, now: Instant) {
        let (seconds, now) = (seconds(started, now), self.set.clock.tick(now));
        if seconds > self.latency.read(now).mean {
            self.latency.observe(seconds, now);
        }
    }

    /// Takes in a failure. One that comes quickly says nothing about latency.
    pub(crate) fn failed(&self, started: Instant, now: Instant) {
        self.failures.fetch_add(1, Relaxed);
        let tick = self.set.clock.tick(now);
        self.penalty.add(blend(self.latency.read(tick), self.set.latency.read()), tick);
        self.given_up(started, now);
    }

    /// Lets requests use `connection`, which the slot must hold already.
    pub(super) fn open(&self, connection: ConnectionId) {
        // Release: a request that reads the id finds the connection behind it.
        self.open.store(connection, Release);
    }

    pub(super) fn close(&self) {
        self.open.store(CLOSED, Relaxed);
    }

    /// Closes the endpoint, unless it has a newer connection than `connection` already.
    pub(super) fn close_if(&self, connection: ConnectionId) {
        let _newer = self.open.compare_exchange(connection, CLOSED, Relaxed, Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            in_flight: self.in_flight(),
            picks: self.picks.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }

    /// The mean latency in seconds, and the penalty on top of it.
    pub(crate) fn latency(&self, now: Instant) -> (f32, f32) {
        let now = self.set.clock.tick(now);
        (self.latency.read(now).mean, self.penalty.read(now))
    }
}

impl SetStats {
    pub(crate) fn starting(now: Instant) -> Self {
        Self { clock: Clock::starting(now), latency: SetLatency::default() }
    }

    #[inline]
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        Moment { now: self.clock.tick(now), set_latency: self.latency.read() }
    }
}

fn seconds(started: Instant, now: Instant) -> f32 {
    now.saturating_duration_since(started).as_secs_f32()
}

const CLOSED: ConnectionId = 0;
