//! How a connection begins to serve and ends.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Asked, ConnectingMachine, Context, Decision, Lifetime, LinkId, Liveness, Phase, Reason,
    Responsiveness, ServingLink,
    link::{RETIREMENT, SetupConfirmation},
    proxied::Finding,
};
use crate::{
    session::effects::Event,
    wire::{Request, connection::ServerCheckRequest},
};

impl ConnectingMachine {
    /// The server has registered the connection: it serves from now on, in place of any other.
    pub(in super::super) fn handle_registered(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        abilities: BTreeMap<String, bool>,
    ) {
        let Some(link) = self.links.get_mut(id) else { return };
        let Phase::SettingUp { confirmation, .. } = &link.phase else { return };
        let is_known = matches!(confirmation, SetupConfirmation::Probed { .. });
        link.phase = Phase::Ready;
        let (round_trip, server) = (link.round_trip, link.server.to_string().into());
        self.servers.taken(&link.server);
        self.searches.stop();
        let reason = self.moves.end().map_or(Reason::Suspect, Reason::from);
        self.list_refresh.arrived();
        self.authentication.handle_serves(cx.now);
        let former = self.links.serve(ServingLink {
            link: id,
            server,
            since: cx.now,
            pushed: cx.now,
            liveness: Liveness::new(cx.now, self.options.patience, round_trip),
            responsiveness: Responsiveness::default(),
            is_known,
            abilities: Arc::new(abilities),
        });
        if let Some(former) = former {
            // Make before break: consumers see the instances all the time, and users' requests that
            // are under way there come to their end.
            let at_most = RETIREMENT.max(self.options.request_timeout);
            self.links.retire(cx.now, former.link, RETIREMENT, at_most);
            let why = match reason {
                Reason::Reset => "the server asked the client to move",
                Reason::Left => "the server is not on the list any more",
                Reason::Unresponsive => "the server answered health checks and nothing else",
                _ => "the server was silent, and another connection answered first",
            };
            cx.output.show(former.ended(cx.now, reason, why));
            self.endings.other();
        }
        self.links.close_candidates(cx.output);
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
        let Some(link) = self.links.get(id) else { return };
        let (server, is_named) = (link.server.clone(), link.is_named);
        let (is_candidate, is_late) = (link.is_candidate(), link.is_late(cx.now));
        let serving = self.links.serve_no_more(id);
        let is_unknown = serving.is_some() && reason == Reason::Unusable;
        if is_unknown && cx.lifetime == Lifetime::Open {
            self.ask_unknown(cx, id);
        } else {
            self.links.close(cx.output, id);
        }
        if let Some(serving) = serving {
            cx.output.show(serving.ended(cx.now, reason, why));
            cx.output.show(Event::Serving(None));
            // It was asked three times, once in every such time.
            let silence = 3 * self.options.patience.suspect;
            let silence = if reason == Reason::HealthCheck { silence } else { Duration::ZERO };
            let since = cx.now.checked_sub(silence).unwrap_or(cx.now);
            let lost = Arc::clone(&serving.server);
            self.decisions.push_back(Decision::ServesNoMore { server: lost, since });
            self.serves_no_more(cx, &serving, is_named, reason, why);
        } else if is_candidate {
            let why = self.names.explain(why);
            if self.searches.attempt_failed(cx.now, &server, &why, is_late) {
                self.search(cx);
            }
        }
    }

    /// Nobody serves any more: why that is, and when a search begins.
    fn serves_no_more(
        &mut self,
        cx: &mut Context<'_>,
        ended: &ServingLink,
        is_named: bool,
        reason: Reason,
        why: &str,
    ) {
        let (id, server) = (ended.link, &ended.server);
        let is_unknown = reason == Reason::Unusable;
        let unknown_at_once = is_unknown && ended.was_never_known(cx.now);
        let is_good = ended.is_stable(cx.now) && !unknown_at_once;
        let limit = self.endings.ended(reason, ended.ending(cx.now));
        if let Some(limit) = limit {
            let finding = Finding::Limited(limit);
            cx.output.show(Event::Proxied { server: Arc::clone(server), finding });
        }
        if unknown_at_once {
            self.unknown_at_once(cx, id, Arc::clone(server));
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
        self.searches.lose(cx.now, &format!("{server}: {why}"), is_good);
        if !self.searches.is_on() {
            self.search_later(cx);
        }
    }

    /// The server does not know the connection: it is asked once more how it names it, and closed
    /// as soon as that is known. A proxy may have begun to send calls another way.
    fn ask_unknown(&mut self, cx: &mut Context<'_>, id: LinkId) {
        cx.output.forget_calls_of(id);
        self.call(cx, id, ServerCheckRequest::new().outgoing(), Asked::Name);
        self.links.retire(cx.now, id, NAMED_WITHIN, NAMED_WITHIN);
    }

    /// A setup went well, and right after it the server did not know the connection.
    pub(super) fn unknown_at_once(&mut self, cx: &mut Context<'_>, id: LinkId, server: Arc<str>) {
        if let Some(finding) = self.names.unknown_at_once(id) {
            cx.output.show(Event::Proxied { server, finding });
        }
    }

    /// The session is over: nobody serves, and nothing is open.
    pub(in super::super) fn end(&mut self, cx: &mut Context<'_>) {
        self.searches.stop();
        if let Some(serving) = self.links.close_all(cx.output) {
            let why = "the client was shut down";
            cx.output.show(serving.ended(cx.now, Reason::Shutdown, why));
            cx.output.show(Event::Serving(None));
        }
    }
}

/// How long a connection that its server does not know is kept, to learn its name.
const NAMED_WITHIN: Duration = Duration::from_secs(1);
