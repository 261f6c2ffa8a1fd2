//! The endpoints of a service as requests see them: the newest snapshot, and a way to wait for a
//! better one.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use nacos_core::{Live, LiveWriter, live};
use tokio::time::{Instant, timeout_at};

use super::{
    policy::Policy,
    snapshot::{Moment, Snapshot, Standing},
    tried::Tried,
};
use crate::{
    endpoint::{Common, Lease, Passage},
    error::{Cause, Error, ErrorKind},
    time::after,
};

/// What requests and the controller of one balancer share. The controller writes the snapshot;
/// requests read it, and write nothing but counters.
pub(crate) struct Fleet<C> {
    pub(crate) service: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) common: Arc<Common>,
    ready_timeout: Duration,
    snapshot: ArcSwap<Snapshot<C>>,
    /// Counts the snapshots. Only who found nobody listens.
    published: LiveWriter<u64>,
    resent: AtomicU64,
    waited: AtomicU64,
}

impl<C> Fleet<C> {
    pub(crate) fn new(
        service: Arc<str>,
        policy: Policy,
        ready_timeout: Duration,
        common: Arc<Common>,
    ) -> Self {
        let nothing = Snapshot::new(Vec::new(), Vec::new(), Standing::Undiscovered);
        Self {
            service,
            policy,
            common,
            ready_timeout,
            snapshot: ArcSwap::from_pointee(nothing),
            published: live(0).0,
            resent: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    pub(crate) fn publish(&self, snapshot: Snapshot<C>) {
        self.snapshot.store(Arc::new(snapshot));
        self.published.publish(*self.published.get() + 1);
    }

    /// Changes with every snapshot.
    pub(crate) fn published(&self) -> Live<u64> {
        self.published.reader()
    }

    /// Whether somebody is connected, as far as requests know.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.snapshot.load().standing, Standing::Ready)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<C>> {
        self.snapshot.load_full()
    }

    /// Finds an endpoint, without waiting.
    ///
    /// A connection that is not `open` any more is passed over, and not tried again by anybody.
    #[inline]
    pub(crate) fn lease(
        &self,
        now: Instant,
        tried: &Tried,
        open: impl Fn(&C) -> bool,
    ) -> Option<Lease<C>> {
        let snapshot = self.snapshot.load();
        self.lease_from(&snapshot, now, tried.all(), &open)
            .or_else(|| self.lease_from(&snapshot, now, tried.refused(), &open))
    }

    #[inline]
    fn lease_from(
        &self,
        snapshot: &Snapshot<C>,
        now: Instant,
        avoid: &[Passage],
        open: &impl Fn(&C) -> bool,
    ) -> Option<Lease<C>> {
        let common = &self.common;
        let moment = Moment { now: common.clock.tick(now), fleet: common.latency.read() };
        // Ends: an endpoint that grants no lease is closed to all picks thereby.
        loop {
            let (backend, passage) =
                snapshot.pick(self.policy, moment, avoid, || fastrand::u64(..))?;
            if let Some(lease) = backend.lease(passage, open) {
                return Some(lease);
            }
        }
    }

    /// Finds an endpoint, and waits for one if waiting can help: at most for the ready timeout.
    pub(crate) async fn ready(
        &self,
        tried: Tried,
        cause: Option<Cause>,
        open: impl Fn(&C) -> bool,
    ) -> Result<Lease<C>, Error> {
        self.waited.fetch_add(1, Relaxed);
        // Listening begins before looking, so that no snapshot is missed in between.
        let mut published = self.published.reader();
        let until = after(Instant::now(), self.ready_timeout);
        loop {
            if let Some(lease) = self.lease(Instant::now(), &tried, &open) {
                return Ok(lease);
            }
            let standing = self.snapshot().standing.clone();
            let hopeless = matches!(standing, Standing::Empty(_) | Standing::Failing(_));
            if hopeless || timeout_at(until, published.changed()).await.is_err() {
                return Err(self.unready(standing, cause));
            }
        }
    }

    /// Notes that a request goes to another endpoint, unsent.
    pub(crate) fn resending(&self) {
        self.resent.fetch_add(1, Relaxed);
    }

    /// Requests that were sent again, requests that had to wait.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.resent.load(Relaxed), self.waited.load(Relaxed)]
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.service)
    }

    fn unready(&self, standing: Standing, refused: Option<Cause>) -> Error {
        let (kind, cause) = match standing {
            Standing::Undiscovered => (ErrorKind::Undiscovered, None),
            Standing::Empty(cause) => (ErrorKind::NoEndpoint, Some(cause)),
            Standing::Failing(cause) => (ErrorKind::NotReady, Some(cause)),
            Standing::Connecting => (ErrorKind::NotReady, None),
            // Connected, and yet nobody took it.
            Standing::Ready => (ErrorKind::Unsent, None),
        };
        let error = self.error(kind);
        match cause.or(refused) {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

impl<C> fmt::Debug for Fleet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("service", &self.service)
            .field("standing", &self.snapshot().standing)
            .finish_non_exhaustive()
    }
}
