//! The one task of a balancer: follows the set, keeps the connections, publishes snapshots.
use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{Future, FutureExt},
    stream::FuturesUnordered,
};
use nacos_core::{Live, Service, Subscription};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::registry::{EntryId, Registry};
use crate::{
    endpoint::Endpoint,
    pick::EndpointSet,
    time::sleep_until,
    transport::{BoxError, Connect, Connection},
};

/// Keeps the endpoints of one service connected.
///
/// It holds no handle of the balancer: dropping the last one ends it.
pub(crate) struct Controller<K: Connect> {
    connector: Arc<K>,
    connect_timeout: Duration,
    set: Arc<EndpointSet<K::Connection>>,
    registry: Registry<K::Connection>,
    dials: FuturesUnordered<Boxed<Dialed<K::Connection>>>,
    /// One for each connection: ends when the connection does.
    ends: FuturesUnordered<Boxed<EntryId>>,
    /// Whether the newest snapshot is older than the registry.
    stale: bool,
    published: Instant,
}

impl<K: Connect> Controller<K> {
    pub(crate) fn new(
        connector: K,
        connect_timeout: Duration,
        set: Arc<EndpointSet<K::Connection>>,
    ) -> Self {
        Self {
            connector: Arc::new(connector),
            connect_timeout,
            registry: Registry::new(Arc::clone(&set.stats)),
            set,
            dials: FuturesUnordered::new(),
            ends: FuturesUnordered::new(),
            stale: false,
            published: Instant::now(),
        }
    }

    /// Follows `services`, and holds the subscription that feeds them.
    ///
    /// Never returns: when no newer set will come, the endpoints of the last one stay connected.
    pub(crate) async fn run(mut self, mut services: Live<Service>, source: Option<Subscription>) {
        let _source = source;
        self.handle_set(&services.get());
        let mut followed = true;
        loop {
            self.dial();
            self.publish();
            let deadline = self.deadline();
            tokio::select! {
                biased;
                // First: a newer set makes many of the other events irrelevant.
                service = services.changed(), if followed => match service {
                    Some(service) => self.handle_set(&service),
                    None => followed = false,
                },
                // Before dials: an endpoint that is lost is in the way of requests.
                Some(id) = self.ends.next() => {
                    debug!(service = %self.set.service, endpoint = %id.address(), "connection lost");
                    self.registry.handle_lost(&id, Instant::now(), fastrand::f64());
                    self.stale = true;
                }
                Some(dialed) = self.dials.next() => self.handle_dialed(dialed),
                // Last: backoff and the pace of publishing can wait for the other events.
                () = sleep_until(deadline) => {
                    self.registry.handle_timeout(Instant::now());
                    self.stale = true;
                }
            }
        }
    }

    fn handle_set(&mut self, service: &Service) {
        self.registry.handle_set(service, Instant::now());
        self.stale = true;
    }

    fn handle_dialed(&mut self, Dialed { id, endpoint, outcome }: Dialed<K::Connection>) {
        match &outcome {
            Ok(connection) => {
                let id = id.clone();
                self.ends.push(connection.closed().map(move |()| id).boxed());
            }
            Err(error) => {
                info!(
                    service = %self.set.service, endpoint = endpoint.address(), error = &**error,
                    "cannot connect"
                );
            }
        }
        self.registry.handle_dialed(&id, outcome, Instant::now(), fastrand::f64());
        self.stale = true;
    }

    fn dial(&mut self) {
        while self.dials.len() < DIALS {
            let Some((id, endpoint)) = self.registry.poll_dial() else { return };
            let connector = Arc::clone(&self.connector);
            let within = self.connect_timeout;
            let dial = async move {
                let connecting = connector.connect(endpoint.clone());
                let outcome = match timeout(within, connecting).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(format!("no connection within {within:?}").into()),
                };
                Dialed { id, endpoint, outcome }
            };
            self.dials.push(dial.boxed());
        }
    }

    /// Publishes a snapshot if the registry has changed, unless it is too soon.
    fn publish(&mut self) {
        let now = Instant::now();
        if self.stale && (now >= self.publishable() || !self.set.is_ready()) {
            self.set.publish(self.registry.snapshot());
            self.published = now;
            self.stale = false;
        }
    }

    /// Building takes linear time. While a big set connects, every connection is a change: the
    /// pauses in between keep the whole from taking quadratic time.
    fn publishable(&self) -> Instant {
        let size = u32::try_from(self.registry.len()).unwrap_or(u32::MAX);
        self.published + PAUSE_PER_ENDPOINT.saturating_mul(size).min(PAUSE)
    }

    fn deadline(&self) -> Option<Instant> {
        let publish = self.stale.then(|| self.publishable());
        [publish, self.registry.poll_timeout()].into_iter().flatten().min()
    }
}

/// The outcome of an attempt to connect.
struct Dialed<C> {
    id: EntryId,
    endpoint: Endpoint,
    outcome: Result<C, BoxError>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Attempts to connect that are under way at a time: a thousand endpoints that appear together
/// shall not cost a thousand handshakes at once.
const DIALS: usize = 32;
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_PER_ENDPOINT: Duration = Duration::from_micros(2);
