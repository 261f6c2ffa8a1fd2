//! Keeps a server registered as what it should be.
//!
//! The [desired instance](super::desired) follows from inputs. An input that changes is set, then
//! [`reconcile`](Registrar::reconcile) registers the difference; nothing else touches the
//! registration between its beginning and its end.
use std::{convert::Infallible, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::{desired::Desired, ramp::WeightRamp};
use crate::{
    client::Client,
    error::{Error, ErrorKind},
    instance::Instance,
    key::ServiceKey,
    live::Live,
    naming::{AddressPolicy, AddressSource, Registration, Subscription, local_ip_towards},
    state::{ClaimState, SessionState},
};

/// See the [module documentation](self).
pub(super) struct Registrar {
    client: Client,
    service: ServiceKey,
    bound: SocketAddr,
    desired: Desired,
    /// The program's own health, if it has a source of it.
    health: Option<Live<bool>>,
    ramp: WeightRamp,
    /// Dropping it deregisters.
    registration: Option<Registration>,
}

impl Registrar {
    /// For a server that listens at `bound`; `instance` is what is registered, but for its address.
    ///
    /// # Errors
    ///
    /// `policy` names an ip that cannot be called.
    pub(super) fn new(
        client: Client,
        service: ServiceKey,
        bound: SocketAddr,
        policy: &AddressPolicy,
        instance: Instance,
    ) -> Result<Self, Error> {
        let ip = policy.ip(bound)?;
        let instance = Instance { port: policy.port.unwrap_or(bound.port()), ..instance };
        let desired = Desired::new(instance, ip);
        let ramp = WeightRamp::new(Duration::ZERO);
        Ok(Self { client, service, bound, desired, health: None, ramp, registration: None })
    }

    /// With `health` as an input, and a weight that rises over `ramp` once it is registered.
    pub(super) fn with_inputs(mut self, health: Option<Live<bool>>, ramp: Duration) -> Self {
        self.ramp = WeightRamp::new(ramp);
        self.desired.share = self.ramp.share();
        self.health = health;
        self
    }

    /// The server is ready: registers it, as soon as there is a server to register at, for which it
    /// waits within a limit unless `is_lazy`. The server's acknowledgement is not waited for.
    ///
    /// # Errors
    ///
    /// There was no server in time, or it has refused this client, or the instance cannot be
    /// registered.
    pub(super) async fn register(&mut self, is_lazy: bool) -> Result<(), Error> {
        self.desired.is_ready = true;
        let server = self.connected(is_lazy).await?;
        if self.desired.ip.is_none() {
            let ip = local_ip_towards(&server).await.map_err(|error| {
                let doing = format!("find the address that reaches {server}");
                Error::new(ErrorKind::InvalidOption, doing).because(error)
            })?;
            self.route_through(ip.to_string());
        }
        self.announce(&server).await;
        // The warm-up, and the wait for a server, may have taken long.
        self.desired.is_healthy = self.health.as_ref().is_none_or(|health| *health.get());
        self.reconcile().map(drop)
    }

    /// Waits until the server has acknowledged what was registered.
    ///
    /// # Errors
    ///
    /// It has refused it, or did not answer in time.
    pub(super) async fn acknowledged(&self) -> Result<(), Error> {
        match &self.registration {
            Some(registration) => registration.acknowledged().await,
            None => Ok(()),
        }
    }

    /// Logs what becomes of the registration, and follows the inputs that change while the server
    /// runs: the host's address, its health, the share of its weight. Never ends.
    pub(super) async fn attend(&mut self) -> Infallible {
        let mut session = self.client.state();
        while let Some(mut claim) = self.claim() {
            // An update has a claim of its own.
            while !self.keep_up() {
                tokio::select! {
                    // By the name that tells the namespace, too.
                    Some(claim) = claim.changed() => self.note(&claim),
                    // A host whose address changes loses its connection first.
                    Some(state) = session.changed() => {
                        if let SessionState::Connected { server, .. } = &*state {
                            self.follow_route(server).await;
                        }
                    }
                    Some(is_healthy) = changed(self.health.as_mut()) => {
                        self.set_healthy(*is_healthy);
                    }
                    () = self.ramp.stepped(), if self.ramp.rises() => {
                        self.desired.share = self.ramp.share();
                    }
                    // The client was shut down under the server, which goes on.
                    else => return std::future::pending().await,
                }
            }
        }
        std::future::pending().await
    }

    /// The instance that is registered, or was when it was deregistered.
    pub(super) fn instance(&self) -> Option<&Instance> {
        self.registration.as_ref().map(Registration::instance)
    }

    /// The registration, to be ended. From here on, nothing is desired any more.
    pub(super) fn take(&mut self) -> Option<Registration> {
        self.desired.is_ready = false;
        self.registration.take()
    }

    /// A subscription by which the end of the registration can be observed; none where that is
    /// refused: a user that may register may not always subscribe.
    pub(super) async fn observer(&self) -> Option<Subscription> {
        self.client.naming().subscribe(&self.service).ok()?.ready().await.ok()
    }

    /// The route to the server leaves from `ip` now.
    pub(super) fn route_through(&mut self, ip: impl Into<String>) {
        self.desired.ip = Some((ip.into(), AddressSource::Route));
    }

    /// The program says that it may be called, or may not.
    fn set_healthy(&mut self, is_healthy: bool) {
        let service = &self.service;
        if self.desired.is_healthy != is_healthy {
            if is_healthy {
                info!(%service, "healthy again: takes traffic");
            } else {
                warn!(%service, "unhealthy, as the program says: takes no traffic");
            }
        }
        self.desired.is_healthy = is_healthy;
    }

    /// Makes what is registered what should be. Says whether it was something else.
    ///
    /// # Errors
    ///
    /// The instance cannot be registered; what is registered stays.
    pub(super) fn reconcile(&mut self) -> Result<bool, Error> {
        match (&mut self.registration, self.desired.instance()) {
            (Some(registration), Some(desired)) if *registration.instance() != desired => {
                registration.update(desired)?;
            }
            (None, Some(desired)) => {
                self.registration = Some(self.client.naming().register(&self.service, desired)?);
            }
            (Some(_), None) => self.registration = None,
            (Some(_), Some(_)) | (None, None) => return Ok(false),
        }
        Ok(true)
    }

    /// The same while the server runs, which no error ends.
    fn keep_up(&mut self) -> bool {
        self.reconcile().unwrap_or_else(|error| {
            warn!(%error, "the former instance stays registered");
            false
        })
    }

    /// Takes the ip that reaches `server` now, where the route decides.
    pub(super) async fn follow_route(&mut self, server: &str) {
        let Some((before, AddressSource::Route)) = &self.desired.ip else { return };
        let ip = match local_ip_towards(server).await {
            // That of a server on this host says nothing about the host's address.
            Ok(ip) if ip.is_loopback() => return,
            Ok(ip) => ip.to_string(),
            Err(error) => {
                debug!(%error, server, "the address that reaches it is unknown");
                return;
            }
        };
        if *before != ip {
            info!(service = %self.service, before, ip, "the host's address changed");
            self.route_through(ip);
        }
    }

    /// Waits for a connection, within a limit unless `is_lazy`; returns its server.
    async fn connected(&self, is_lazy: bool) -> Result<Arc<str>, Error> {
        let mut state = self.client.state();
        let settled = state.wait_for(|state| match state {
            SessionState::Connected { .. } | SessionState::Closed => true,
            state => state.is_refused() && !is_lazy,
        });
        let settled = if is_lazy {
            settled.await
        } else {
            timeout(ANSWER_LIMIT, settled).await.unwrap_or_default()
        };
        if let Some(SessionState::Connected { server, .. }) = settled.as_deref() {
            return Ok(Arc::clone(server));
        }
        let doing = format!("register {} as {}", self.bound, self.service);
        Err(self.client.state().get().error_of(doing))
    }

    /// Logs what is registered at `server` now.
    async fn announce(&self, server: &str) {
        let Some((ip, source)) = &self.desired.ip else { return };
        info!(service = %self.service, %ip, port = self.desired.instance.port, ?source, "registering");
        let is_local = |ip: IpAddr| ip.is_loopback();
        if ip.parse().is_ok_and(is_local) && !local_ip_towards(server).await.is_ok_and(is_local) {
            warn!(%ip, "no other host can call this address");
        }
    }

    fn claim(&self) -> Option<Live<ClaimState>> {
        self.registration.as_ref().map(Registration::claim)
    }

    fn note(&mut self, claim: &ClaimState) {
        let Some(registration) = &self.registration else { return };
        let service = registration.service();
        match claim {
            ClaimState::Held => {
                info!(%service, "registered");
                self.ramp.begin(Instant::now());
            }
            ClaimState::Pending => debug!(%service, "not registered at present"),
            ClaimState::Refused { code, message, retrying } => {
                warn!(%service, code, %message, retrying, "the registration was refused");
            }
        }
    }
}

/// The next value of `source`; none if there is none, or no more will come.
async fn changed(source: Option<&mut Live<bool>>) -> Option<Arc<bool>> {
    source?.changed().await
}

/// For the connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
