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

use super::roster::{Roster, Ticket};
use crate::{
    endpoint::Endpoint,
    pick::Fleet,
    time::sleep_until,
    transport::{BoxError, Connect, Connection},
};

/// Keeps the endpoints of one service connected.
///
/// It holds no handle of the balancer: dropping the last of those ends it.
pub(crate) struct Controller<K: Connect> {
    connector: Arc<K>,
    connect_timeout: Duration,
    fleet: Arc<Fleet<K::Connection>>,
    roster: Roster<K::Connection>,
    dials: FuturesUnordered<Boxed<Dialed<K::Connection>>>,
    /// One for each connection: ends when the connection does.
    ends: FuturesUnordered<Boxed<Ticket>>,
    /// Whether the newest snapshot is older than the roster.
    stale: bool,
    published: Instant,
}

impl<K: Connect> Controller<K> {
    pub(crate) fn new(
        connector: K,
        connect_timeout: Duration,
        fleet: Arc<Fleet<K::Connection>>,
    ) -> Self {
        Self {
            connector: Arc::new(connector),
            connect_timeout,
            roster: Roster::new(Arc::clone(&fleet.common)),
            fleet,
            dials: FuturesUnordered::new(),
            ends: FuturesUnordered::new(),
            stale: false,
            published: Instant::now(),
        }
    }

    /// Follows `services`, and keeps what makes them come.
    ///
    /// Never returns: when no newer set will come, the last one still wants to be kept connected.
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
                // First: a newer set makes much of what the others report irrelevant.
                service = services.changed(), if followed => match service {
                    Some(service) => self.handle_set(&service),
                    None => followed = false,
                },
                // Before dials: an endpoint that is lost is in the way of requests.
                Some(ticket) = self.ends.next() => {
                    debug!(service = %self.fleet.service, endpoint = %ticket.address(), "connection lost");
                    self.roster.handle_lost(&ticket, Instant::now(), fastrand::f64());
                    self.stale = true;
                }
                Some(dialed) = self.dials.next() => self.handle_dialed(dialed),
                // Last: backoff and the pace of publishing can wait for the others.
                () = sleep_until(deadline) => {
                    self.roster.handle_timeout(Instant::now());
                    self.stale = true;
                }
            }
        }
    }

    fn handle_set(&mut self, service: &Service) {
        self.roster.handle_set(service, Instant::now());
        self.stale = true;
    }

    fn handle_dialed(&mut self, Dialed { ticket, endpoint, outcome }: Dialed<K::Connection>) {
        match &outcome {
            Ok(connection) => {
                let ticket = ticket.clone();
                self.ends.push(connection.closed().map(move |()| ticket).boxed());
            }
            Err(error) => {
                info!(
                    service = %self.fleet.service, endpoint = endpoint.address(), error = &**error,
                    "cannot connect"
                );
            }
        }
        self.roster.handle_dialed(&ticket, outcome, Instant::now(), fastrand::f64());
        self.stale = true;
    }

    fn dial(&mut self) {
        while self.dials.len() < DIALS {
            let Some((ticket, endpoint)) = self.roster.poll_dial() else { return };
            let connector = Arc::clone(&self.connector);
            let within = self.connect_timeout;
            let dial = async move {
                let connecting = connector.connect(endpoint.clone());
                let outcome = match timeout(within, connecting).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(format!("no connection within {within:?}").into()),
                };
                Dialed { ticket, endpoint, outcome }
            };
            self.dials.push(dial.boxed());
        }
    }

    /// Publishes what has changed, unless it is too soon.
    fn publish(&mut self) {
        let now = Instant::now();
        if self.stale && (now >= self.publishable() || !self.fleet.is_ready()) {
            self.fleet.publish(self.roster.snapshot());
            self.published = now;
            self.stale = false;
        }
    }

    /// Building takes linear time. While a big set connects, every connection is a change: the
    /// pauses in between keep the whole from taking quadratic time.
    fn publishable(&self) -> Instant {
        let size = u32::try_from(self.roster.len()).unwrap_or(u32::MAX);
        self.published + PAUSE_PER_ENDPOINT.saturating_mul(size).min(PAUSE)
    }

    fn deadline(&self) -> Option<Instant> {
        let publish = self.stale.then(|| self.publishable());
        [publish, self.roster.poll_timeout()].into_iter().flatten().min()
    }
}

/// How an attempt to connect ended.
struct Dialed<C> {
    ticket: Ticket,
    endpoint: Endpoint,
    outcome: Result<C, BoxError>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Attempts to connect that are under way at a time: a thousand endpoints that appear together
/// shall not cost a thousand handshakes at once.
const DIALS: usize = 32;
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_PER_ENDPOINT: Duration = Duration::from_micros(2);
