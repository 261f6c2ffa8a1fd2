//! How a connection begins to serve and ends, and when it is left for another.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::Event,
    Action, Asked, ConnectingMachine, Context, Decision, Lifetime, Link, LinkId, Liveness, Output,
    Phase, PlannedMove, Reason, Responsiveness, ServingLink,
    endings::{Ending, StreamLimit},
    link::{RETIREMENT, SetupConfirmation},
    moves::MoveReason,
    proxied::Finding,
};
use crate::{
    disconnect::Disconnect,
    server::Server,
    wire::{Request, connection::ServerCheckRequest, push::Redirect},
};

impl ConnectingMachine {
    /// The server has registered the connection: it serves from now on, in place of any other.
    pub(in super::super) fn handle_registered(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        abilities: BTreeMap<String, bool>,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Phase::SettingUp { confirmation, .. } = &link.phase else { return };
        let is_known = matches!(confirmation, SetupConfirmation::Probed { .. });
        link.phase = Phase::Ready;
        let (round_trip, server) = (link.round_trip, link.server.to_string().into());
        self.servers.taken(&link.server);
        self.search = None;
        self.next_search = None;
        let planned = self.planned_move.take();
        let reason = planned.map_or(Reason::Suspect, |planned| planned.reason.into());
        self.arrived();
        self.authentication.handle_serves(cx.now);
        let serving = ServingLink {
            link: id,
            server,
            since: cx.now,
            pushed: cx.now,
            liveness: Liveness::new(cx.now, self.options.patience, round_trip),
            responsiveness: Responsiveness::default(),
            is_known,
            abilities: Arc::new(abilities),
        };
        if let Some(former) = self.serving.replace(serving)
            && let Some(link) = self.links.get_mut(&former.link)
        {
            // Make before break: consumers see the instances all the time, and users' requests that
            // are under way there come to their end.
            let at_most = cx.now + RETIREMENT.max(self.options.request_timeout);
            link.phase = Phase::Retiring { deadline: cx.now + RETIREMENT, at_most };
            let why = match reason {
                Reason::Reset => "the server asked the client to move",
                Reason::Left => "the server is not on the list any more",
                Reason::Unresponsive => "the server answered health checks and nothing else",
                _ => "the server was silent, and another connection answered first",
            };
            cx.output.show(former.ended(cx.now, reason, why));
            self.endings.other();
        }
        self.abandon_candidates(cx.output);
        // The answers that the former connection still owes count no more, nor take room.
        cx.output.forget_calls_but_of(id);
        cx.output.show(Event::Serving(Some(id)));
        self.decisions.push_back(Decision::Serves);
    }

    /// A connection ended, or is of no use any more, for this `reason`.
    pub(in super::super) fn handle_lost(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        reason: Reason,
        why: &str,
    ) {
        let Some(link) = self.links.get(&id) else { return };
        let (server, is_named) = (link.server.clone(), link.is_named);
        let (is_candidate, is_late) = (link.is_candidate(), link.is_late(cx.now));
        let serving = self.serving.take_if(|serving| serving.link == id);
        let is_unknown = serving.is_some() && reason == Reason::Unusable;
        if is_unknown && cx.lifetime == Lifetime::Open {
            self.ask_unknown(cx, id);
        } else {
            self.close_link(cx.output, id);
        }
        if let Some(serving) = serving {
            cx.output.show(serving.ended(cx.now, reason, why));
            cx.output.show(Event::Serving(None));
            self.decisions.push_back(Decision::ServesNoMore);
            let limit = self.limit(cx, &serving, reason);
            let age = cx.now.saturating_duration_since(serving.since);
            let unknown_at_once = is_unknown && !serving.is_known && age < AT_ONCE;
            let is_good = age >= STABLE && !unknown_at_once;
            if unknown_at_once {
                self.unknown_at_once(cx, id, &server);
            } else {
                self.names.known_for_a_while();
            }
            if is_unknown {
                self.names.is_doubtful = true;
            } else if is_good && is_named {
                self.names.forget_before(id);
            }
            let mut why = self.names.explain(why);
            if let Some(limit) = limit {
                why = format!("{why}; {limit}");
            }
            self.outage.last_error = Some(format!("{server}: {why}").into());
            self.outage.is_hasty = false;
            // A server that takes us and drops us at once must not be asked in a hot loop.
            if is_good {
                self.outage.searches = 0;
                self.outage.since = cx.now;
            } else {
                self.outage.searches = self.outage.searches.saturating_add(1);
            }
            if self.search.is_none() {
                self.search_later(cx);
            }
        } else if is_candidate && let Some(search) = &mut self.search {
            let why = self.names.explain(why);
            search.failed(cx.now, &server, &why, is_late);
            self.search(cx);
        }
    }

    /// The limit that ended its stream and those before it, if there is one.
    fn limit(
        &mut self,
        cx: &mut Context<'_>,
        ended: &ServingLink,
        reason: Reason,
    ) -> Option<StreamLimit> {
        if reason != Reason::Stream {
            self.endings.other();
            return None;
        }
        let [age, silence] =
            [ended.since, ended.pushed].map(|since| cx.now.saturating_duration_since(since));
        let server = Arc::clone(&ended.server);
        let limit = self.endings.stream(Ending { server: Arc::clone(&server), age, silence })?;
        cx.output.show(Event::Proxied { server, finding: Finding::Limited(limit) });
        Some(limit)
    }

    /// The server does not know the connection: it is asked once more how it names it, and closed
    /// as soon as that is known. A proxy may have begun to send calls another way.
    fn ask_unknown(&mut self, cx: &mut Context<'_>, id: LinkId) {
        cx.output.forget_calls_of(id);
        self.call(cx, id, ServerCheckRequest::new().outgoing(), Asked::Name);
        if let Some(link) = self.links.get_mut(&id) {
            let at = cx.now + NAMED_WITHIN;
            link.phase = Phase::Retiring { deadline: at, at_most: at };
        }
    }

    /// A setup went well, and right after it the server did not know the connection.
    pub(super) fn unknown_at_once(&mut self, cx: &mut Context<'_>, id: LinkId, server: &Server) {
        if let Some(finding) = self.names.unknown_at_once(id) {
            cx.output.show(Event::Proxied { server: server.to_string().into(), finding });
        }
    }

    pub(super) fn close_link(&mut self, output: &mut Output, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        output.act(Action::Close { link: id });
        output.forget_calls_of(id);
        Some(link)
    }

    /// Closes every connection that has been replaced, and with it what its server still holds.
    pub(in super::super) fn close_retiring(&mut self, output: &mut Output) {
        self.close_links(output, |link| matches!(link.phase, Phase::Retiring { .. }));
    }

    /// Gives up every connection that has not come up yet.
    pub(super) fn abandon_candidates(&mut self, output: &mut Output) {
        self.close_links(output, Link::is_candidate);
    }

    fn close_links(&mut self, output: &mut Output, unwanted: impl Fn(&Link) -> bool) {
        let unwanted = self.links.iter().filter(|(_, link)| unwanted(link));
        let unwanted: Vec<LinkId> = unwanted.map(|(id, _)| *id).collect();
        for id in unwanted {
            self.close_link(output, id);
        }
    }

    /// The server asks us to move. We stay until another has taken us.
    pub(in super::super) fn handle_reset(
        &mut self,
        cx: &mut Context<'_>,
        redirect: Option<Redirect>,
    ) {
        if cx.lifetime != Lifetime::Open || self.search.is_some() {
            return;
        }
        let Some(since) = self.serving.as_ref().map(|serving| serving.since) else { return };
        if self.planned_move.is_none() || self.next_search.is_none() {
            let delay = self.moves.reset(cx.now, since, cx.output.jitter());
            self.plan_move(cx.now, MoveReason::Reset, delay);
        }
        // Asking again changes the target and not the time: else a move could be put off for ever.
        if let Some(planned) = &mut self.planned_move {
            planned.reason = MoveReason::Reset;
            planned.redirect = redirect;
        }
    }

    /// Another server is to serve; until it does, this one goes on.
    ///
    /// After a rolling restart operators move all clients at once: `delay` is not the same for all.
    pub(super) fn plan_move(&mut self, now: Instant, reason: MoveReason, delay: Duration) {
        self.planned_move = Some(PlannedMove { reason, redirect: None, has_begun: false });
        self.leave_what_serves(now);
        // A search beside a suspect finds another as well, and the next one begins after it.
        if self.search.is_none() {
            self.next_search = Some(now + delay);
        }
    }

    /// The session is over: nobody serves, and nothing is open.
    pub(in super::super) fn end(&mut self, cx: &mut Context<'_>) {
        self.search = None;
        self.next_search = None;
        if let Some(serving) = self.serving.take() {
            let why = "the client was shut down";
            cx.output.show(serving.ended(cx.now, Reason::Shutdown, why));
            cx.output.show(Event::Serving(None));
        }
        for link in std::mem::take(&mut self.links).into_keys() {
            cx.output.act(Action::Close { link });
        }
        cx.output.forget_calls();
    }
}

impl ServingLink {
    /// It serves no more.
    fn ended(&self, now: Instant, reason: Reason, why: &str) -> Event {
        let record = Disconnect {
            server: Arc::clone(&self.server),
            reason: reason.label(),
            cause: why.into(),
            at: now,
            served: now.saturating_duration_since(self.since),
            silent: now.saturating_duration_since(self.liveness.last_heard()),
            stream_silent: now.saturating_duration_since(self.pushed),
            round_trip: self.liveness.round_trip(),
            stall: Duration::ZERO,
        };
        Event::Ended { reason, record }
    }
}

/// A connection that lasted this long was a good one: the next outage begins from scratch.
pub(super) const STABLE: Duration = Duration::from_secs(5);
/// The first health check is answered by then, where there is nothing else to ask.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long a connection that its server does not know is kept, to learn its name.
const NAMED_WITHIN: Duration = Duration::from_secs(1);
