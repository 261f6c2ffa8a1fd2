//! Bringing a connection up: server check, stream and setup, until the server has registered it.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    super::{Event, backoff::setup_probe_delay},
    Asked, CallError, CallId, ConnectingMachine, Context, Effect, Lifetime, Link, LinkId, Payload,
    Phase, Reason,
    link::SetupConfirmation,
};
use crate::wire::{
    self, Failure, Request,
    connection::{
        ConnectionSetupRequest, HealthCheckRequest, HealthCheckResponse, ServerCheckRequest,
        ServerCheckResponse,
    },
};

impl ConnectingMachine {
    /// The connection stands: asks whether the server takes us.
    pub(super) fn check_server(&mut self, cx: &mut Context<'_>, id: LinkId) {
        let Some(Link { phase: Phase::Dialling { .. }, within, .. }) = self.links.get(id) else {
            return;
        };
        let within = *within;
        let check = ServerCheckRequest::new().outgoing();
        let call = self.call_within(cx, BEYOND * within, id, check, Asked::ServerCheck);
        if let Some(link) = self.links.get_mut(id) {
            link.phase = Phase::Checking { call, deadline: cx.now + within };
        }
    }

    /// A server check, or the health check that shows that the setup was understood, has ended.
    pub(super) fn handshake_answered(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        call: CallId,
        asked: Asked,
        answer: Result<Payload, CallError>,
    ) {
        let Some(link) = self.links.get(id) else { return };
        let expected = match (&link.phase, asked) {
            (Phase::Checking { call: expected, .. }, Asked::ServerCheck) => Some(*expected),
            (
                Phase::SettingUp {
                    confirmation: SetupConfirmation::Probed { call: expected, .. },
                    ..
                },
                Asked::SetupProbe,
            ) => *expected,
            _ => None,
        };
        if expected != Some(call) {
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.handle_lost(cx, id, Reason::Connection, &error.to_string()),
        };
        if matches!(asked, Asked::ServerCheck) {
            match wire::decode::<ServerCheckResponse>(&answer) {
                Ok(check) => {
                    self.names_link(cx, id, &check.connection_id);
                    self.set_up(cx, id, check.support_ability_negotiation);
                }
                Err(failure) => self.handle_lost(cx, id, Reason::Connection, &failure.to_string()),
            }
        } else {
            match wire::decode::<HealthCheckResponse>(&answer) {
                Ok(_) => self.handle_registered(cx, id, BTreeMap::new()),
                // The setup has not been read yet: unary requests may overtake the stream.
                Err(Failure::Answered(refusal)) if refusal.code == wire::UNREGISTERED => {
                    self.probe_setup_later(cx.now, id);
                }
                Err(failure) => self.handle_lost(cx, id, Reason::Connection, &failure.to_string()),
            }
        }
    }

    /// Server checks after the first health check, or in the handshake after an odd answer: see
    /// [`proxied`]. They wait for a first answer: a silent server is asked nothing more.
    ///
    /// [`proxied`]: super::proxied
    pub(super) fn ask_name(&mut self, cx: &mut Context<'_>, id: LinkId) {
        if cx.lifetime != Lifetime::Open {
            return;
        }
        let Some(link) = self.links.get_mut(id).filter(|link| !link.is_named) else { return };
        link.is_named = true;
        // Two: of a proxy that takes turns, one goes another way than the first check.
        for _ in 0..2 {
            self.call(cx, id, ServerCheckRequest::new().outgoing(), Asked::Name);
        }
    }

    pub(super) fn named(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        answer: &Result<Payload, CallError>,
    ) {
        // Any other answer, or none, does no harm: the connection does not depend on its name.
        if let Ok(Ok(check)) = answer.as_ref().map(wire::decode::<ServerCheckResponse>) {
            self.names_link(cx, id, &check.connection_id);
        }
        // It was only kept for that.
        if matches!(self.links.get(id), Some(Link { phase: Phase::Retiring { .. }, .. })) {
            self.links.close(cx.output, id);
        }
    }

    fn names_link(&mut self, cx: &mut Context<'_>, id: LinkId, name: &str) {
        let links = &self.links;
        if let Some(finding) = self.names.named(id, name, |other| links.contains(other)) {
            cx.output.show(Event::Proxied { server: links.server_name(id), finding });
        }
    }

    /// The server takes us: registers the connection.
    fn set_up(&mut self, cx: &mut Context<'_>, id: LinkId, announced: bool) {
        let Some(within) = self.links.get(id).map(|link| link.within) else { return };
        if self.names.is_doubtful {
            self.ask_name(cx, id);
        }
        let setup = ConnectionSetupRequest::new(
            self.options.config_namespace.as_tenant(),
            &self.options.app,
            &self.options.labels,
        )
        .payload();
        cx.output.act(Effect::OpenStream { link: id, setup, timeout: within });
        let confirmation = if announced {
            SetupConfirmation::Announced
        } else {
            let call = self.probe_setup(cx, id, within);
            SetupConfirmation::Probed { call: Some(call), next_at: cx.now, refusals: 0 }
        };
        if let Some(link) = self.links.get_mut(id) {
            if let Phase::Checking { deadline, .. } = link.phase {
                link.round_trip = Some((cx.now + within).saturating_duration_since(deadline));
            }
            link.phase = Phase::SettingUp { deadline: cx.now + within, confirmation };
        }
    }

    fn probe_setup(&mut self, cx: &mut Context<'_>, id: LinkId, within: Duration) -> CallId {
        let request = HealthCheckRequest::new().outgoing();
        self.call_within(cx, BEYOND * within, id, request, Asked::SetupProbe)
    }

    fn probe_setup_later(&mut self, now: Instant, id: LinkId) {
        if let Some(Link { phase: Phase::SettingUp { confirmation, .. }, .. }) =
            self.links.get_mut(id)
            && let SetupConfirmation::Probed { call, next_at, refusals } = confirmation
        {
            *call = None;
            *next_at = now + setup_probe_delay(*refusals);
            *refusals = refusals.saturating_add(1);
        }
    }

    /// Looks after connections whose time has come.
    pub(super) fn advance_links(&mut self, cx: &mut Context<'_>) {
        for id in self.links.due(cx.now) {
            let Some(link) = self.links.get(id) else { continue };
            let within = link.within;
            match &link.phase {
                Phase::Checking { .. } => {
                    let why = format!("no answer to the server check within {within:?}");
                    self.handle_lost(cx, id, Reason::Connection, &why);
                }
                Phase::SettingUp { deadline, confirmation } if *deadline <= cx.now => {
                    if confirmation.was_refused_all_the_time() {
                        self.unknown_at_once(cx, id, self.links.server_name(id));
                    }
                    let why = format!("the setup was not acknowledged within {within:?}");
                    self.handle_lost(cx, id, Reason::Connection, &why);
                }
                Phase::SettingUp { confirmation: SetupConfirmation::Probed { .. }, .. } => {
                    let probe = self.probe_setup(cx, id, within);
                    if let Some(Link { phase: Phase::SettingUp { confirmation, .. }, .. }) =
                        self.links.get_mut(id)
                        && let SetupConfirmation::Probed { call, .. } = confirmation
                    {
                        *call = Some(probe);
                    }
                }
                Phase::Retiring { .. } => self.links.close(cx.output, id),
                Phase::Dialling { .. } | Phase::SettingUp { .. } | Phase::Ready => {}
            }
        }
    }
}

/// The session gives a request of the handshake up itself, before the driver does.
const BEYOND: u32 = 2;
