//! How a server begins: ready, registered, known.
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{
    Outcome, Step,
    address::{Source, towards},
    run::Run,
};
use crate::{
    error::{Error, ErrorKind},
    instance::Instance,
    key::ServiceKey,
    naming::Registration,
    state::{ClaimState, SessionState},
};

impl Run {
    /// Begins to serve, and keeps an eye on the registration. Ends with an error only.
    pub(super) async fn serve(
        &mut self,
        held: &mut Option<Registration>,
    ) -> Result<Infallible, Error> {
        self.recorder.enter(Step::WarmUp);
        self.options.warm_up.as_mut().await;
        self.recorder.leave(Outcome::Completed);
        if self.options.is_lazy {
            self.recorder.skip([Step::Register]);
            self.recorder.enter(Step::Serve);
            self.member.ready();
            *held = Some(self.register().await?);
        } else {
            self.recorder.enter(Step::Register);
            *held = Some(self.register().await?);
            if let Some(registration) = held {
                // It stays where it is, so that an end in between withdraws it properly.
                registration.acknowledged().await?;
            }
            self.recorder.leave(Outcome::Completed);
            self.recorder.enter(Step::Serve);
            self.member.ready();
        }
        match held {
            Some(registration) => self.attend(registration).await,
            None => std::future::pending().await,
        }
    }

    /// Claims the instance, as soon as there is a server to claim it at.
    async fn register(&mut self) -> Result<Registration, Error> {
        let server = self.connected().await?;
        let (ip, source) = match self.ip.clone() {
            Some(known) => known,
            None => match towards(&server).await {
                Ok(ip) => (ip.to_string(), Source::Route),
                Err(error) => {
                    let doing = format!("find the address that reaches {server}");
                    return Err(Error::new(ErrorKind::InvalidOption, doing).because(error));
                }
            },
        };
        let port = self.options.address.port.unwrap_or(self.bound.port());
        info!(service = %self.service, %ip, port, ?source, "registering");
        let is_local = |ip: IpAddr| ip.is_loopback();
        if ip.parse().is_ok_and(is_local) && !towards(&server).await.is_ok_and(is_local) {
            warn!(%ip, "no other host can call this address");
        }
        self.ip = Some((ip.clone(), source));
        let instance = Instance { ip, port, ..self.options.instance.clone() };
        self.recorder.report.instance = Some(instance.clone());
        self.client.naming().register(&self.service, instance)
    }

    /// Waits for a connection, within a limit unless it was told to be lazy; returns its server.
    async fn connected(&mut self) -> Result<Arc<str>, Error> {
        let is_lazy = self.options.is_lazy;
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
        match settled.as_deref() {
            Some(SessionState::Connected { server, .. }) => Ok(Arc::clone(server)),
            _ => Err(self.unanswered()),
        }
    }

    /// Why Nacos has not answered.
    fn unanswered(&self) -> Error {
        let state = self.client.state().get();
        let kind = match &*state {
            SessionState::Connected { .. } => ErrorKind::Timeout,
            SessionState::Closed => ErrorKind::Closed,
            SessionState::Denied { .. } => ErrorKind::Denied,
            _ => ErrorKind::Disconnected,
        };
        let error = Error::new(kind, format!("register {} as {}", self.bound, self.service));
        match state.cause() {
            Some(cause) => error.because(cause.to_string()),
            None => error,
        }
    }

    /// Logs what becomes of the registration, and follows a host whose address changes. Never ends.
    async fn attend(&mut self, registration: &mut Registration) -> Result<Infallible, Error> {
        let mut claim = registration.claim();
        let mut session = self.client.state();
        loop {
            tokio::select! {
                // By the name that tells the namespace, too.
                Some(claim) = claim.changed() => log(registration.service(), &claim),
                // A host whose address changes loses its connection first.
                Some(state) = session.changed() => {
                    let is_routed = matches!(self.ip, Some((_, Source::Route)));
                    if let SessionState::Connected { server, .. } = &*state && is_routed {
                        follow(registration, server).await;
                        self.recorder.report.instance = Some(registration.instance().clone());
                    }
                }
                // The client was shut down under the server, which goes on.
                else => return std::future::pending().await,
            }
        }
    }
}

/// Registers the address that reaches `server` now, if it is another one.
pub(super) async fn follow(registration: &mut Registration, server: &str) {
    let ip = match towards(server).await {
        // That of a server on this host says nothing about the host's address.
        Ok(ip) if ip.is_loopback() => return,
        Ok(ip) => ip.to_string(),
        Err(error) => return debug!(%error, server, "the address that reaches it is unknown"),
    };
    let before = registration.instance();
    if before.ip == ip {
        return;
    }
    info!(service = %registration.service(), before = before.ip, ip, "the host's address changed");
    let moved = Instance { ip, ..before.clone() };
    if let Err(error) = registration.update(moved) {
        warn!(%error, "the old address stays registered");
    }
}

fn log(service: &ServiceKey, claim: &ClaimState) {
    match claim {
        ClaimState::Held => info!(%service, "registered"),
        ClaimState::Pending => debug!(%service, "not registered at present"),
        ClaimState::Refused { code, message, retrying } => {
            warn!(%service, code, %message, retrying, "the registration was refused");
        }
    }
}

/// For the connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
