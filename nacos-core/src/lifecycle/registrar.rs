//! Keeps a server registered as what it should be.
//!
//! The desired instance, which should be registered, follows from inputs: what the program says of
//! it, and the ip that others reach it at. An input that changes is set, then
//! [`reconcile`](Registrar::reconcile) registers the difference; nothing else touches the
//! registration between its beginning and its end.
use std::{convert::Infallible, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, info, warn};

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
    /// The desired instance, but for its ip.
    instance: Instance,
    /// Its ip, as far as it is known, and its source.
    ip: Option<(String, AddressSource)>,
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
        Ok(Self { client, service, bound, instance, ip, registration: None })
    }

    /// Registers, as soon as there is a server to register at, for which it waits within a limit
    /// unless `is_lazy`. The server's acknowledgement is not waited for.
    ///
    /// # Errors
    ///
    /// There was no server in time, or it has refused this client, or the instance cannot be
    /// registered.
    pub(super) async fn register(&mut self, is_lazy: bool) -> Result<(), Error> {
        let server = self.connected(is_lazy).await?;
        if self.ip.is_none() {
            let ip = local_ip_towards(&server).await.map_err(|error| {
                let doing = format!("find the address that reaches {server}");
                Error::new(ErrorKind::InvalidOption, doing).because(error)
            })?;
            self.route_through(ip.to_string());
        }
        self.announce(&server).await;
        if let Some(desired) = self.desired() {
            self.registration = Some(self.client.naming().register(&self.service, desired)?);
        }
        Ok(())
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

    /// Logs what becomes of the registration, and follows a host whose address changes. Never ends.
    pub(super) async fn attend(&mut self) -> Infallible {
        let Some(mut claim) = self.claim() else { return std::future::pending().await };
        let mut session = self.client.state();
        loop {
            tokio::select! {
                // By the name that tells the namespace, too.
                Some(claim) = claim.changed() => self.log(&claim),
                // A host whose address changes loses its connection first.
                Some(state) = session.changed() => {
                    if let SessionState::Connected { server, .. } = &*state
                        && self.follow_route(server).await
                        && let Some(renewed) = self.claim()
                    {
                        claim = renewed;
                    }
                }
                // The client was shut down under the server, which goes on.
                else => return std::future::pending().await,
            }
        }
    }

    /// The instance that is registered, or was when it was deregistered.
    pub(super) fn instance(&self) -> Option<&Instance> {
        self.registration.as_ref().map(Registration::instance)
    }

    /// The registration, to be ended. From here on, nothing is desired any more.
    pub(super) fn take(&mut self) -> Option<Registration> {
        self.registration.take()
    }

    /// A subscription by which the end of the registration can be observed; none where that is
    /// refused: a user that may register may not always subscribe.
    pub(super) async fn observer(&self) -> Option<Subscription> {
        self.client.naming().subscribe(&self.service).ok()?.ready().await.ok()
    }

    /// The desired instance, as soon as its ip is known.
    fn desired(&self) -> Option<Instance> {
        let (ip, _) = self.ip.as_ref()?;
        Some(Instance { ip: ip.clone(), ..self.instance.clone() })
    }

    /// The route to the server leaves from `ip` now.
    pub(super) fn route_through(&mut self, ip: impl Into<String>) {
        self.ip = Some((ip.into(), AddressSource::Route));
    }

    /// Registers what should be registered, if that is something else than what is. Says whether it
    /// was.
    pub(super) fn reconcile(&mut self) -> bool {
        let desired = self.desired();
        let Some((registration, desired)) = self.registration.as_mut().zip(desired) else {
            return false;
        };
        if *registration.instance() == desired {
            return false;
        }
        match registration.update(desired) {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "the former instance stays registered");
                false
            }
        }
    }

    /// Takes the ip that reaches `server` now, where the route decides. Says whether another one
    /// was registered.
    pub(super) async fn follow_route(&mut self, server: &str) -> bool {
        let Some((before, AddressSource::Route)) = &self.ip else { return false };
        let ip = match local_ip_towards(server).await {
            // That of a server on this host says nothing about the host's address.
            Ok(ip) if ip.is_loopback() => return false,
            Ok(ip) => ip.to_string(),
            Err(error) => {
                debug!(%error, server, "the address that reaches it is unknown");
                return false;
            }
        };
        if *before != ip {
            info!(service = %self.service, before, ip, "the host's address changed");
            self.route_through(ip);
        }
        self.reconcile()
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
        let Some((ip, source)) = &self.ip else { return };
        info!(service = %self.service, %ip, port = self.instance.port, ?source, "registering");
        let is_local = |ip: IpAddr| ip.is_loopback();
        if ip.parse().is_ok_and(is_local) && !local_ip_towards(server).await.is_ok_and(is_local) {
            warn!(%ip, "no other host can call this address");
        }
    }

    fn claim(&self) -> Option<Live<ClaimState>> {
        self.registration.as_ref().map(Registration::claim)
    }

    fn log(&self, claim: &ClaimState) {
        let Some(registration) = &self.registration else { return };
        let service = registration.service();
        match claim {
            ClaimState::Held => info!(%service, "registered"),
            ClaimState::Pending => debug!(%service, "not registered at present"),
            ClaimState::Refused { code, message, retrying } => {
                warn!(%service, code, %message, retrying, "the registration was refused");
            }
        }
    }
}

/// For the connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
