//! Getting a connection, keeping it, and changing it for another.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Action, CallId, ClaimKey, Event, Lifetime, MoveReason, PlannedMove, Serving, Session,
    backoff::reconnect_delay,
    campaign::Campaign,
    endings::{Ending, Limit},
    ledger::Standing,
    link::{FIRST_PAUSE, Link, LinkId, Phase, RETIREMENT, Registration},
    liveness::{Liveness, Verdict},
    proxied::Finding,
    redo::Pending,
    responsiveness::Responsiveness,
};
use crate::{
    call_error::CallError,
    disconnect::Reason,
    error::ErrorKind,
    state::ClaimState,
    wire::{
        self, Failure, Payload, Request,
        connection::{
            ConnectionSetupRequest, HealthCheckRequest, HealthCheckResponse, ServerCheckRequest,
            ServerCheckResponse,
        },
        push::Redirect,
    },
};

impl Session {
    /// Begins a search for a connection if one is due, and dials what is due in it.
    pub(super) fn search(&mut self, now: Instant) {
        if self.campaign.is_none() && self.next_campaign.is_some_and(|at| at <= now) {
            self.next_campaign = None;
            let redirect = self.planned_move.as_mut().and_then(|planned| planned.redirect.take());
            let mut round = self.servers.round(redirect.as_ref());
            let stays = self.must_not_be_dialled_anew();
            if let Some(planned) = &mut self.planned_move {
                planned.has_begun = true;
                let serving = self.serving.as_ref();
                if let Some(link) = serving.and_then(|serving| self.links.get(&serving.link)) {
                    // Also after a pass that failed, and where it is the one that was recommended.
                    round.sort_by_key(|server| *server == link.server);
                    round.retain(|server| !stays || *server != link.server);
                }
            }
            self.campaign = Some(Campaign::new(now, round, self.outage.attempts));
        }
        while let Some((server, within)) =
            self.campaign.as_mut().and_then(|campaign| campaign.next(now))
        {
            let link = LinkId(self.fresh_id());
            self.links.insert(link, Link::dialling(server.clone(), now, within.each));
            self.actions.push_back(Action::Dial { link, server, within });
        }
        let under_way = self.links.values().filter(|link| link.is_candidate()).count();
        if self.campaign.as_ref().is_some_and(|campaign| campaign.is_over(now, under_way)) {
            self.search_failed(now);
        }
    }

    /// Every server was tried, and none took us.
    fn search_failed(&mut self, now: Instant) {
        let Some(campaign) = self.campaign.take() else { return };
        self.outage.last_error = Some(campaign.causes(self.missing()).into());
        self.outage.is_hasty = campaign.is_hasty(self.missing().count());
        self.abandon_candidates();
        self.outage.attempts = self.outage.attempts.saturating_add(1);
        self.search_later(now);
        let jitter = (self.jitter)();
        self.locate.hurry(now, jitter);
        if self.serving.is_none() {
            self.tell_waiting(ErrorKind::Disconnected);
        }
    }

    /// What keeps it from being connected right now.
    pub(crate) fn waits_for(&self) -> Option<String> {
        if let Some(campaign) = &self.campaign {
            return Some(campaign.causes(self.missing()));
        }
        let list = || (!self.locate.is_known()).then_some("the list of servers has not come yet");
        let login = || (!self.is_let_in()).then_some("the login has not ended yet");
        list().or_else(login).map(str::to_owned)
    }

    /// What the servers under way to have not done yet.
    fn missing(&self) -> impl Iterator<Item = String> {
        let candidates = self.links.values().filter(|link| link.is_candidate());
        candidates.map(|link| format!("{}: {}", link.server, link.missing()))
    }

    fn search_later(&mut self, now: Instant) {
        let jitter = (self.jitter)();
        let outage = now.saturating_duration_since(self.outage.since);
        let cap = self.options.backoff_cap;
        let delay = reconnect_delay(self.outage.attempts, outage, cap, jitter);
        self.next_campaign = Some(now + delay);
    }

    /// The connection stands: asks whether the server takes us.
    pub(super) fn check_server(&mut self, now: Instant, id: LinkId) {
        let Some(Link { phase: Phase::Dialling { .. }, within, .. }) = self.links.get(&id) else {
            return;
        };
        let within = *within;
        let check = ServerCheckRequest::new().outgoing();
        let call = self.call_within(BEYOND * within, id, check, Pending::ServerCheck);
        if let Some(link) = self.links.get_mut(&id) {
            link.phase = Phase::Checking { call, deadline: now + within };
        }
    }

    /// A server check, or the health check that shows that the setup was understood, has ended.
    pub(super) fn handshake_answered(
        &mut self,
        now: Instant,
        id: LinkId,
        call: CallId,
        pending: &Pending,
        answer: Result<Payload, CallError>,
    ) {
        let Some(link) = self.links.get(&id) else { return };
        let expected = match (&link.phase, pending) {
            (Phase::Checking { call: expected, .. }, Pending::ServerCheck) => Some(*expected),
            (
                Phase::SettingUp {
                    registration: Registration::Probed { call: expected, .. }, ..
                },
                Pending::SetupProbe,
            ) => *expected,
            _ => None,
        };
        if expected != Some(call) {
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.drop_link(now, id, &error.to_string()),
        };
        if matches!(pending, Pending::ServerCheck) {
            match wire::decode::<ServerCheckResponse>(&answer) {
                Ok(check) => {
                    self.names_link(id, &check.connection_id);
                    self.set_up(now, id, check.support_ability_negotiation);
                }
                Err(failure) => self.drop_link(now, id, &failure.to_string()),
            }
        } else {
            match wire::decode::<HealthCheckResponse>(&answer) {
                Ok(_) => self.serve(now, id, BTreeMap::new()),
                // The setup has not been read yet: unary requests may overtake the stream.
                Err(Failure::Answered(refusal)) if refusal.code == wire::UNREGISTERED => {
                    self.probe_setup_later(now, id);
                }
                Err(failure) => self.drop_link(now, id, &failure.to_string()),
            }
        }
    }

    /// Server checks after the first health check, or in the handshake after an odd answer: see
    /// [`proxied`]. Not before there was an answer: who is silent is asked nothing more.
    ///
    /// [`proxied`]: super::proxied
    fn ask_name(&mut self, id: LinkId) {
        if self.lifetime != Lifetime::Open {
            return;
        }
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.is_named) else { return };
        link.is_named = true;
        // Two: of a proxy that takes turns, one goes another way than the first check.
        for _ in 0..2 {
            self.call(id, ServerCheckRequest::new().outgoing(), Pending::Name);
        }
    }

    pub(super) fn named(&mut self, id: LinkId, answer: &Result<Payload, CallError>) {
        // Whatever else it says, or if nothing: the question was asked by the way.
        if let Ok(Ok(check)) = answer.as_ref().map(wire::decode::<ServerCheckResponse>) {
            self.names_link(id, &check.connection_id);
        }
    }

    fn names_link(&mut self, id: LinkId, name: &str) {
        let links = &self.links;
        if let Some(finding) = self.names.named(id, name, |other| links.contains_key(&other)) {
            self.events.push_back(Event::Proxied { server: self.server_name(id), finding });
        }
    }

    /// The server takes us: registers the connection.
    fn set_up(&mut self, now: Instant, id: LinkId, announced: bool) {
        let Some(within) = self.links.get(&id).map(|link| link.within) else { return };
        if self.names.is_doubtful {
            self.ask_name(id);
        }
        let setup = ConnectionSetupRequest::new(
            self.options.config_namespace.as_tenant(),
            &self.options.app,
        )
        .payload();
        self.actions.push_back(Action::OpenStream { link: id, setup, timeout: within });
        let registration = if announced {
            Registration::Announced
        } else {
            let call = self.probe_setup(id, within);
            Registration::Probed { call: Some(call), next_at: now, pause: FIRST_PAUSE }
        };
        if let Some(link) = self.links.get_mut(&id) {
            if let Phase::Checking { deadline, .. } = link.phase {
                link.round_trip = Some((now + within).saturating_duration_since(deadline));
            }
            link.phase = Phase::SettingUp { deadline: now + within, registration };
        }
    }

    fn probe_setup(&mut self, id: LinkId, within: Duration) -> CallId {
        let request = HealthCheckRequest::new().outgoing();
        self.call_within(BEYOND * within, id, request, Pending::SetupProbe)
    }

    fn probe_setup_later(&mut self, now: Instant, id: LinkId) {
        if let Some(Link { phase: Phase::SettingUp { registration, .. }, .. }) =
            self.links.get_mut(&id)
            && let Registration::Probed { call, next_at, pause } = registration
        {
            *call = None;
            *next_at = now + *pause;
            *pause *= 2;
        }
    }

    /// Looks after connections whose time has come.
    pub(super) fn advance_links(&mut self, now: Instant) {
        let is_due = |link: &Link| link.next_timeout().is_some_and(|at| at <= now);
        let due = self.links.iter().filter(|(_, link)| is_due(link));
        let due: Vec<LinkId> = due.map(|(id, _)| *id).collect();
        for id in due {
            let Some(link) = self.links.get(&id) else { continue };
            let within = link.within;
            match &link.phase {
                Phase::Checking { .. } => {
                    let why = format!("no answer to the server check within {within:?}");
                    self.drop_link(now, id, &why);
                }
                Phase::SettingUp { deadline, .. } if *deadline <= now => {
                    let why = format!("the setup was not acknowledged within {within:?}");
                    self.drop_link(now, id, &why);
                }
                Phase::SettingUp { registration: Registration::Probed { .. }, .. } => {
                    let probe = self.probe_setup(id, within);
                    if let Some(Link { phase: Phase::SettingUp { registration, .. }, .. }) =
                        self.links.get_mut(&id)
                        && let Registration::Probed { call, .. } = registration
                    {
                        *call = Some(probe);
                    }
                }
                Phase::Retiring { .. } => drop(self.close_link(id)),
                Phase::Dialling { .. } | Phase::SettingUp { .. } | Phase::Ready => {}
            }
        }
    }

    /// The server has registered the connection: it serves from now on, in place of any other.
    pub(super) fn serve(&mut self, now: Instant, id: LinkId, abilities: BTreeMap<String, bool>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !matches!(link.phase, Phase::SettingUp { .. }) {
            return;
        }
        link.phase = Phase::Ready;
        let round_trip = link.round_trip;
        self.servers.taken(&link.server);
        self.campaign = None;
        self.next_campaign = None;
        let planned = self.planned_move.take();
        let reason = planned.map_or(Reason::Suspect, |planned| planned.reason.into());
        self.arrived();
        self.login.server_is_back(now);
        self.admission_on_another();
        let serving = Serving {
            link: id,
            since: now,
            pushed: now,
            liveness: Liveness::new(now, self.options.patience, round_trip),
            responsiveness: Responsiveness::default(),
            abilities: Arc::new(abilities),
        };
        if let Some(former) = self.serving.replace(serving)
            && let Some(link) = self.links.get_mut(&former.link)
        {
            // Make before break: consumers see the instances all the time, and users' requests that
            // are under way there come to their end.
            let at_most = now + RETIREMENT.max(self.options.request_timeout);
            link.phase = Phase::Retiring { deadline: now + RETIREMENT, at_most };
            let server = link.server.to_string().into();
            let why = match reason {
                Reason::Reset => "the server asked the client to move",
                Reason::Left => "the server is not on the list any more",
                Reason::Unresponsive => "the server answered health checks and nothing else",
                _ => "the server was silent, and another connection answered first",
            };
            self.events.push_back(former.ended(now, server, reason, why));
            self.endings.other();
        }
        self.abandon_candidates();
        // The answers that the former connection still owes count no more, nor take room.
        self.calls.retain(|_, call| call.origin.link == id);
        if self.forgotten() {
            // What was withdrawn, and is told to nobody any more, would show there.
            self.close_retiring();
        }
        self.next_audit = Some(self.audit_after(now));
        self.events.push_back(Event::Serving(Some(id)));
    }

    /// Whoever serves, or will serve, holds nothing of ours. Says whether the withdrawal of an
    /// instance is thereby done.
    fn forgotten(&mut self) -> bool {
        let withdrawn = self.claims.reconnected();
        let instances = withdrawn.iter().any(|key| matches!(key, ClaimKey::Instances(_)));
        self.events.extend(withdrawn.into_iter().map(Event::Settled));
        self.documents.reconnected();
        self.presence.reconnected();
        self.doubts.reconnected();
        self.lists.clear();
        self.listens_under_way = 0;
        let guards = self.claims.tell_all(&ClaimState::Pending).into_iter();
        self.events.extend(guards.map(|guard| Event::Claim(guard, ClaimState::Pending)));
        instances
    }

    /// A connection is of no use any more.
    pub(super) fn drop_link(&mut self, now: Instant, id: LinkId, why: &str) {
        self.lose_link(now, id, Reason::Connection, why);
    }

    /// The same, for another reason than that it has ended by itself.
    pub(super) fn lose_link(&mut self, now: Instant, id: LinkId, reason: Reason, why: &str) {
        let Some(link) = self.close_link(id) else { return };
        let serving = self.serving.take_if(|serving| serving.link == id);
        if let Some(serving) = serving {
            self.forgotten();
            let server: Arc<str> = link.server.to_string().into();
            self.events.push_back(serving.ended(now, Arc::clone(&server), reason, why));
            self.events.push_back(Event::Serving(None));
            let limit = self.limit(now, &serving, server, reason);
            let is_good = now.saturating_duration_since(serving.since) >= STABLE;
            if reason == Reason::Unusable {
                self.names.is_doubtful = true;
            } else if is_good {
                self.names.forget();
            }
            let mut why = self.names.explain(why);
            if let Some(limit) = limit {
                why = format!("{why}; {limit}");
            }
            self.outage.last_error = Some(format!("{}: {why}", link.server).into());
            self.outage.is_hasty = false;
            // A server that takes us and drops us at once must not be asked in a hot loop.
            if is_good {
                self.outage.attempts = 0;
                self.outage.since = now;
            } else {
                self.outage.attempts = self.outage.attempts.saturating_add(1);
            }
            if self.campaign.is_none() {
                self.search_later(now);
            }
        } else if link.is_candidate()
            && let Some(campaign) = &mut self.campaign
        {
            let why = self.names.explain(why);
            campaign.failed(now, &link.server, &why, link.is_late(now));
            self.search(now);
        }
    }

    /// What its stream has in common with those before it, if it has ended by a limit.
    fn limit(
        &mut self,
        now: Instant,
        ended: &Serving,
        server: Arc<str>,
        reason: Reason,
    ) -> Option<Limit> {
        if reason != Reason::Stream {
            self.endings.other();
            return None;
        }
        let [age, silence] =
            [ended.since, ended.pushed].map(|since| now.saturating_duration_since(since));
        let limit = self.endings.stream(Ending { server: Arc::clone(&server), age, silence })?;
        self.events.push_back(Event::Proxied { server, finding: Finding::Limited(limit) });
        Some(limit)
    }

    fn close_link(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        self.actions.push_back(Action::Close { link: id });
        self.calls.retain(|_, call| call.origin.link != id);
        Some(link)
    }

    /// Closes every connection that has been replaced, and with it what its server still holds.
    pub(super) fn close_retiring(&mut self) {
        self.close_links(|link| matches!(link.phase, Phase::Retiring { .. }));
    }

    /// Gives up every connection that has not come up yet.
    fn abandon_candidates(&mut self) {
        self.close_links(Link::is_candidate);
    }

    fn close_links(&mut self, unwanted: impl Fn(&Link) -> bool) {
        let unwanted = self.links.iter().filter(|(_, link)| unwanted(link));
        let unwanted: Vec<LinkId> = unwanted.map(|(id, _)| *id).collect();
        for id in unwanted {
            self.close_link(id);
        }
    }

    /// Asks a silent server whether it is there, and looks for another beside one that is suspect.
    pub(super) fn check_pulse(&mut self, now: Instant) {
        let Some(serving) = &self.serving else { return };
        let link = serving.link;
        if serving.liveness.wants_probe(now) {
            self.probe(now, link);
        }
        self.look_for_another_if_suspect(now);
    }

    fn look_for_another_if_suspect(&mut self, now: Instant) {
        let suspect = self.serving.as_ref().is_some_and(|serving| serving.liveness.is_suspect(now));
        // A move that is put off does not wait any longer.
        let put_off = self.planned_move.as_ref().is_some_and(|planned| !planned.has_begun);
        let idle = self.next_campaign.is_none_or(|at| put_off && at > now);
        if suspect && self.campaign.is_none() && idle {
            self.leave_what_serves(now);
            self.next_campaign = Some(now);
            self.search(now);
        }
    }

    fn probe(&mut self, now: Instant, link: LinkId) {
        let call = self.call(link, HealthCheckRequest::new().outgoing(), Pending::Probe);
        if let Some(serving) = &mut self.serving {
            serving.liveness.probed(now, call);
        }
    }

    pub(super) fn probe_answered(
        &mut self,
        now: Instant,
        id: LinkId,
        call: CallId,
        answer: Result<Payload, CallError>,
    ) {
        let Some(serving) = self.serving.as_mut().filter(|serving| serving.link == id) else {
            return;
        };
        if answer.is_ok() {
            serving.liveness.answered(now, call);
            self.ask_name(id);
        }
        let Some(serving) = &self.serving else { return };
        match answer {
            Ok(answer) => match wire::decode::<HealthCheckResponse>(&answer) {
                Err(Failure::Answered(refusal)) if refusal.code == wire::UNREGISTERED => {
                    self.lose_link(now, id, Reason::Unusable, &refusal.to_string());
                }
                // Whatever it says, it is there, and has been heard: one odd answer ends no session.
                _ => {}
            },
            Err(CallError::Timeout) => match serving.liveness.unanswered(call) {
                Some(Verdict::ProbeAgain) => self.probe(now, id),
                Some(Verdict::Dead) => {
                    self.lose_link(now, id, Reason::HealthCheck, "three health checks unanswered");
                }
                None => {}
            },
            // Nor does one that cannot be read.
            Err(
                CallError::Status { .. } | CallError::Unreadable(_) | CallError::Oversized { .. },
            ) => self.heard(now, id),
            Err(error) => self.drop_link(now, id, &error.to_string()),
        }
    }

    /// The suspect has answered first: the search beside it is over.
    pub(super) fn stop_looking(&mut self) {
        if self.serving.is_some() && self.planned_move.is_none() {
            self.campaign = None;
            self.next_campaign = None;
            self.abandon_candidates();
        }
    }

    /// The server asks us to move. We stay until another has taken us.
    pub(super) fn reset(&mut self, now: Instant, redirect: Option<Redirect>) {
        if self.lifetime != Lifetime::Open || self.campaign.is_some() {
            return;
        }
        let Some(since) = self.serving.as_ref().map(|serving| serving.since) else { return };
        if self.planned_move.is_none() || self.next_campaign.is_none() {
            let delay = self.moves.reset(now, since, (self.jitter)());
            self.plan_move(now, MoveReason::Reset, delay);
        }
        // Asking again changes the target and not the time: else a move could be put off for ever.
        if let Some(planned) = &mut self.planned_move {
            planned.reason = MoveReason::Reset;
            planned.redirect = redirect;
        }
    }

    /// A request was answered on the connection that serves: the server is at work.
    pub(super) fn answered(&mut self) {
        if let Some(serving) = &mut self.serving {
            serving.responsiveness.answered();
        }
        self.moves.answered();
        let unresponsive = |planned: &mut PlannedMove| planned.reason == MoveReason::Unresponsive;
        let calm = self.serving.as_ref().is_some_and(|serving| serving.liveness.is_calm());
        if self.planned_move.take_if(unresponsive).is_some() && calm {
            self.stop_looking();
        }
    }

    /// Requests were not answered on the connection that serves, where health checks may be.
    pub(super) fn unanswered(&mut self, now: Instant, count: u32) {
        let Some(serving) = &mut self.serving else { return };
        if self.lifetime != Lifetime::Open || !serving.responsiveness.unanswered(now, count) {
            return;
        }
        let server = serving.link;
        let others = |server| self.servers.list().iter().any(|other| other != server);
        let alone = !self.links.get(&server).is_some_and(|link| others(&link.server));
        let leaves = !(alone && self.holds_anything());
        let first = !self.moves.is_unresponsive();
        let delay = self.moves.unresponsive((self.jitter)());
        let server = self.server_name(server);
        self.events.push_back(Event::Unresponsive { server, leaves, first });
        if leaves && self.planned_move.is_none() {
            self.plan_move(now, MoveReason::Unresponsive, delay);
        }
    }

    /// A new connection to the same server may lose what that one holds for us, and get nothing.
    fn must_not_be_dialled_anew(&self) -> bool {
        let reason = self.planned_move.as_ref().map(|planned| planned.reason);
        reason == Some(MoveReason::Unresponsive) && self.holds_anything()
    }

    fn holds_anything(&self) -> bool {
        self.claims.standings().any(|(_, standing)| standing == Standing::Held)
    }

    /// A search begins while one serves: after a good one from scratch.
    fn leave_what_serves(&mut self, now: Instant) {
        self.outage.since = now;
        let served = |serving: &Serving| now.saturating_duration_since(serving.since);
        if self.serving.as_ref().is_some_and(|serving| served(serving) >= STABLE) {
            self.outage.attempts = 0;
        }
    }

    /// Another server is to serve; until it does, this one goes on.
    ///
    /// After a rolling restart operators move all clients at once: `delay` is not the same for all.
    pub(super) fn plan_move(&mut self, now: Instant, reason: MoveReason, delay: Duration) {
        self.planned_move = Some(PlannedMove { reason, redirect: None, has_begun: false });
        self.leave_what_serves(now);
        // A search beside a suspect finds another as well, and the next one begins after it.
        if self.campaign.is_none() {
            self.next_campaign = Some(now + delay);
        }
    }
}

/// The session itself gives a request of the handshake up before whoever sends it does.
const BEYOND: u32 = 2;
/// A connection that lasted this long was a good one: the next outage begins from scratch.
const STABLE: Duration = Duration::from_secs(5);
