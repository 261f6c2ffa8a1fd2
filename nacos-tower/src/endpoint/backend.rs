//! An endpoint as requests and the controller share it.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use super::{
    estimate::{FleetLatency, Latency, Penalty, blend},
    tick::{Clock, Tick},
};

/// What is counted and known of one endpoint. It outlives changes of weight, metadata and
/// connection.
///
/// A connection belongs to the controller and to the [`Lease`]s of requests that use it. Leaving
/// an endpoint is therefore giving up one's part: the controller takes the connection away from
/// here, and it closes when the last request under way has ended. No request can get in between,
/// because taking part is one atomic load.
///
/// What every pick reads and every request writes comes first, on a cache line of its own.
#[repr(align(64))]
pub(crate) struct Backend<C> {
    pending: AtomicU32,
    /// The [`Passage`] that is open; 0 for none. A hint: only a lease is proof.
    up: AtomicU64,
    latency: Latency,
    penalty: Penalty,
    picks: AtomicU64,
    failures: AtomicU64,
    connection: ArcSwapOption<C>,
    address: Arc<str>,
    common: Arc<Common>,
}

/// What the endpoints of one balancer share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) clock: Clock,
    /// The mean latency of all of them.
    pub(crate) latency: FleetLatency,
}

/// Which connection of which endpoint: a number above 0 that one balancer never uses twice.
pub(crate) type Passage = u64;

impl<C> Backend<C> {
    pub(crate) fn new(address: Arc<str>, common: Arc<Common>) -> Self {
        Self {
            pending: AtomicU32::new(0),
            up: AtomicU64::new(CLOSED),
            latency: Latency::default(),
            penalty: Penalty::default(),
            picks: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            connection: ArcSwapOption::empty(),
            address,
            common,
        }
    }

    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The passage to try, unless it is closed or one of `avoid`.
    #[inline]
    pub(crate) fn passage(&self, avoid: &[Passage]) -> Option<Passage> {
        let passage = self.up.load(Acquire);
        (passage != CLOSED && !avoid.contains(&passage)).then_some(passage)
    }

    /// What a choice between two endpoints looks at.
    #[inline]
    pub(crate) fn signals(&self, weight: f32, fleet: f32, now: Tick) -> Signals {
        let latency = blend(self.latency.read(now), fleet) + self.penalty.read(now);
        Signals { pending: small(self.pending.load(Relaxed)), weight, latency }
    }

    /// Takes part in the endpoint's connection.
    ///
    /// `None` if there is none, or if it is not `open` any more: then nobody tries it again until
    /// the controller has seen to it.
    #[inline]
    pub(crate) fn lease(
        self: &Arc<Self>,
        passage: Passage,
        open: impl Fn(&C) -> bool,
    ) -> Option<Lease<C>> {
        let Some(connection) = self.connection.load_full().filter(|connection| open(connection))
        else {
            // Unless it is about a newer connection already.
            let _newer = self.up.compare_exchange(passage, CLOSED, Relaxed, Relaxed);
            return None;
        };
        self.pending.fetch_add(1, Relaxed);
        self.picks.fetch_add(1, Relaxed);
        Some(Lease { connection, backend: Arc::clone(self), passage })
    }

    /// Takes in a response.
    #[inline]
    pub(crate) fn answered(&self, started: Instant, now: Instant) {
        let seconds = seconds(started, now);
        self.latency.observe(seconds, self.common.clock.tick(now));
        self.common.latency.observe(seconds, || fastrand::u8(..));
    }

    /// Takes in that a request was given up: a response would have taken at least as long. That
    /// tells something only if it is longer than usual.
    pub(crate) fn given_up(&self, started: Instant, now: Instant) {
        let (seconds, now) = (seconds(started, now), self.common.clock.tick(now));
        if seconds > self.latency.read(now).mean {
            self.latency.observe(seconds, now);
        }
    }

    /// Takes in a failure. One that comes quickly says nothing about latency.
    pub(crate) fn failed(&self, started: Instant, now: Instant) {
        self.failures.fetch_add(1, Relaxed);
        let tick = self.common.clock.tick(now);
        self.penalty.add(blend(self.latency.read(tick), self.common.latency.read()), tick);
        self.given_up(started, now);
    }

    /// Lets requests through `connection` from now on.
    pub(crate) fn open(&self, connection: Arc<C>, passage: Passage) {
        self.connection.store(Some(connection));
        // Release: whoever reads the passage finds the connection behind it.
        self.up.store(passage, Release);
    }

    /// Lets no request through any more; those under way keep their connection.
    pub(crate) fn close(&self) {
        self.up.store(CLOSED, Relaxed);
        self.connection.store(None);
    }

    /// Requests under way, requests ever sent here, failures.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [
            u64::from(self.pending.load(Relaxed)),
            self.picks.load(Relaxed),
            self.failures.load(Relaxed),
        ]
    }

    /// The mean latency in seconds, and the penalty on top of it.
    pub(crate) fn latency(&self, now: Instant) -> (f32, f32) {
        let now = self.common.clock.tick(now);
        (self.latency.read(now).mean, self.penalty.read(now))
    }
}

impl<C> fmt::Debug for Backend<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("address", &self.address)
            .field("up", &self.up)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

/// What is known of a drawn endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals {
    /// Requests under way.
    pub(crate) pending: f32,
    pub(crate) weight: f32,
    /// In seconds, failures included.
    pub(crate) latency: f32,
}

/// One request's part in a connection. Held until its response has ended.
pub(crate) struct Lease<C> {
    pub(crate) connection: Arc<C>,
    pub(crate) backend: Arc<Backend<C>>,
    pub(crate) passage: Passage,
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        self.backend.pending.fetch_sub(1, Relaxed);
    }
}

impl<C> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.backend).finish()
    }
}

/// A count of requests as a number to calculate with: above 65 535 it makes no difference.
#[inline]
fn small(count: u32) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

fn seconds(started: Instant, now: Instant) -> f32 {
    now.saturating_duration_since(started).as_secs_f32()
}

const CLOSED: Passage = 0;
