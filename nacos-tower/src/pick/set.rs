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
use http::Request;
use nacos_core::{Live, LiveWriter, live};
use tokio::time::{Instant, timeout_at};

use super::{
    args::{PickArgs, Random},
    policy::Policy,
    snapshot::{Availability, Snapshot},
    tried::Tried,
};
use crate::{
    endpoint::{ConnectionId, Lease, Moment, SetStats},
    error::{Error, ErrorKind, SharedError},
    time::after,
};

/// The state that requests and the controller of one balancer share. The controller writes the
/// snapshot; requests read it, and write nothing but counters.
pub(crate) struct EndpointSet<C> {
    pub(crate) service: Arc<str>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) stats: Arc<SetStats>,
    ready_timeout: Duration,
    snapshot: ArcSwap<Snapshot<C>>,
    /// Counts the snapshots. Only requests that found no endpoint listen.
    published: LiveWriter<u64>,
    resent: AtomicU64,
    waited: AtomicU64,
}

impl<C> EndpointSet<C> {
    pub(crate) fn new(
        service: Arc<str>,
        policy: Arc<dyn Policy>,
        ready_timeout: Duration,
        stats: Arc<SetStats>,
    ) -> Self {
        let nothing = Snapshot::new(Vec::new(), Vec::new(), Availability::Undiscovered);
        Self {
            service,
            policy,
            stats,
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

    /// Whether an endpoint is connected, as far as requests know.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.snapshot.load().availability(), Availability::Ready)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<C>> {
        self.snapshot.load_full()
    }

    /// Finds an endpoint for a request, without waiting.
    ///
    /// A connection that is not `open` any more is passed over, and no request tries it again.
    #[inline]
    pub(crate) fn lease<B>(
        &self,
        request: &Request<B>,
        now: Instant,
        tried: &Tried,
        open: impl Fn(&C) -> bool,
    ) -> Option<Lease<C>> {
        let args = &mut PickArgs::of(request, Random::of_thread());
        let (snapshot, moment) = (self.snapshot.load(), self.stats.moment(now));
        self.lease_from(&snapshot, moment, tried.all(), args, &open).or_else(|| {
            // Rather the endpoint of the try before this one than none.
            self.lease_from(&snapshot, moment, tried.without_last()?, args, &open)
        })
    }

    #[inline]
    fn lease_from(
        &self,
        snapshot: &Snapshot<C>,
        moment: Moment,
        avoid: &[ConnectionId],
        args: &mut PickArgs<'_>,
        open: &impl Fn(&C) -> bool,
    ) -> Option<Lease<C>> {
        // Ends, whatever the policy does: a connection that grants no lease is closed to all picks
        // thereby, and none that is closed is a candidate.
        loop {
            let (slot, id) = snapshot.pick(&*self.policy, moment, avoid, args)?;
            if let Some(lease) = slot.lease(id, open) {
                return Some(lease);
            }
        }
    }

    /// Finds an endpoint, and waits for one if waiting can help: at most for the ready timeout.
    /// Returns the request's head with it.
    pub(crate) async fn ready(
        &self,
        head: Request<()>,
        tried: Tried,
        refused: Option<SharedError>,
        open: impl Fn(&C) -> bool,
    ) -> Result<(Request<()>, Lease<C>), Error> {
        self.waited.fetch_add(1, Relaxed);
        // Listening begins before looking, so that no snapshot is missed in between.
        let mut published = self.published.reader();
        let until = after(Instant::now(), self.ready_timeout);
        loop {
            if let Some(lease) = self.lease(&head, Instant::now(), &tried, &open) {
                return Ok((head, lease));
            }
            let availability = self.snapshot().availability().clone();
            let hopeless =
                matches!(availability, Availability::Empty(_) | Availability::Failing(_));
            if hopeless || timeout_at(until, published.changed()).await.is_err() {
                return Err(self.unready(availability, refused));
            }
        }
    }

    /// Notes that a request goes to another endpoint, unsent.
    pub(crate) fn resending(&self) {
        self.resent.fetch_add(1, Relaxed);
    }

    /// How many requests were sent again, and how many had to wait.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.resent.load(Relaxed), self.waited.load(Relaxed)]
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.service)
    }

    fn unready(&self, availability: Availability, refused: Option<SharedError>) -> Error {
        let (kind, cause) = match availability {
            Availability::Undiscovered => (ErrorKind::Undiscovered, None),
            Availability::Empty(error) => (ErrorKind::NoEndpoint, Some(error)),
            Availability::Failing(error) => (ErrorKind::NotReady, Some(error)),
            Availability::Connecting => (ErrorKind::NotReady, None),
            // Connected, and yet none took it.
            Availability::Ready => (ErrorKind::Unsent, None),
        };
        let error = self.error(kind);
        match cause.or(refused) {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

impl<C> fmt::Debug for EndpointSet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSet")
            .field("service", &self.service)
            .field("availability", self.snapshot().availability())
            .finish_non_exhaustive()
    }
}
