//! Which connection serves? The machine that gets one, keeps it, and changes it for another.
//!
//! It has the contract of the [session](super) that it is a part of: `handle_*` takes in what
//! happened, `poll_*` hands out what follows. It knows nothing of what goes over the connection but
//! whether the server holds anything ([`Holdings`](super::context::Holdings)), and of what it
//! decides the rest learns a [`Decision`].
//!
//! Each field is a type of its own, which decides one thing and calls none of the others:
//! [`Links`] are the connections, [`Searches`] are when one is looked for, [`Moves`] is whether the
//! one that serves is to be left, [`Authentication`] whether requests are let in. The methods of
//! the machine bring them together, in layers; no file calls a method of one above it:
//!
//! 1. [`health_check`] watches the one that serves, [`list_change`] follows the list of servers;
//! 2. [`handshake`] brings a connection up;
//! 3. [`succession`] is how one begins and ends to serve;
//! 4. [`dialling`] is whom to try, [`leaving`] when another is looked for while one serves;
//! 5. [`session_state`] is what users are told, [`calls`] how a request goes out.
pub(super) mod asked;
pub(super) mod authentication;
mod calls;
mod dialling;
mod endings;
mod handshake;
mod health_check;
mod leaving;
pub(super) mod link;
pub(super) mod links;
mod list_change;
mod list_refresh;
pub(super) mod liveness;
mod moves;
pub(super) mod proxied;
mod responsiveness;
mod searches;
mod servers;
pub(super) mod serving_link;
mod session_state;
mod succession;

use std::sync::Arc;
use std::{collections::VecDeque, fmt, time::Instant};

use self::{
    asked::Asked,
    authentication::{
        AccessNews, Authentication,
        login::{LoginFailure, TokenLease, Tried},
    },
    endings::Endings,
    link::{Addresses, Link, Phase},
    links::Links,
    list_refresh::ListRefresh,
    liveness::Liveness,
    moves::Moves,
    proxied::LinkNames,
    responsiveness::Responsiveness,
    searches::Searches,
    servers::Servers,
    serving_link::ServingLink,
};
use super::{
    cause::{ABOUT_LOGIN, Cause},
    context::Context,
    effects::Effect,
    ids::{CallId, LinkId},
    lifetime::Lifetime,
    options::Options,
    output::{Output, RequestOrigin},
    request_failure::Gone,
    serving_context::ConnectionFacts,
};
use crate::{
    call_error::CallError,
    disconnect::Reason,
    resource::Resource,
    server::Server,
    wire::{Payload, Refusal},
};

/// See the [module documentation](self).
pub(super) struct ConnectingMachine {
    options: Options,
    servers: Servers,
    list_refresh: ListRefresh,
    authentication: Authentication,
    links: Links,
    searches: Searches,
    moves: Moves,
    names: LinkNames,
    endings: Endings,
    decisions: VecDeque<Decision>,
}

/// News for the rest of the session.
#[derive(Debug)]
pub(super) enum Decision {
    /// Another connection serves: its server holds nothing of ours.
    Serves,
    /// None does any more: this server's does not, and nobody has answered since then.
    ServesNoMore { server: Arc<str>, since: Instant },
    /// Claims that were refused for want of a right may be granted now.
    LetIn,
    /// Watches that wait for a first answer get none for now.
    Unreachable(Cause),
}

/// The timers of this machine.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// The list of servers is asked for.
    ListRefresh,
    Login,
    /// Whether a login is needed is asked again, or not waited for any longer.
    Admission,
    /// A search begins, or the next server is tried.
    Search,
    /// A step of a handshake is given up or repeated, a replaced connection closed.
    Links,
    /// A health check is due, or the server becomes suspect.
    HealthCheck,
}

impl Timer {
    /// In the order in which they are looked after.
    const ALL: [Self; 6] = [
        Self::ListRefresh,
        Self::Login,
        Self::Admission,
        Self::Search,
        Self::Links,
        Self::HealthCheck,
    ];
}

impl ConnectingMachine {
    pub(super) fn new(
        now: Instant,
        servers: Vec<Server>,
        options: Options,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Self {
        let list_refresh = ListRefresh::new(options.refresh, now);
        Self {
            servers: Servers::new(servers, jitter),
            authentication: Authentication::new(&options, now),
            // Without a list there is nothing to search.
            searches: Searches::new(now, list_refresh.is_known().then_some(now)),
            list_refresh,
            options,
            links: Links::default(),
            moves: Moves::default(),
            names: LinkNames::default(),
            endings: Endings::default(),
            decisions: VecDeque::new(),
        }
    }

    // Inputs.

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    ///
    /// Each timer is looked at, and each part decides for itself whether something is due: what
    /// happened since may have put it off, or brought it forward.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        for timer in Timer::ALL {
            match timer {
                Timer::ListRefresh
                    if cx.lifetime == Lifetime::Open && self.list_refresh.begin(cx.now) =>
                {
                    cx.output.act(Effect::FetchServerList);
                }
                Timer::Login if self.list_refresh.is_known() => {
                    if let Some(login) = self.authentication.begin_login(cx.now) {
                        cx.output.act(login);
                    }
                }
                Timer::ListRefresh | Timer::Login => {}
                Timer::Admission => self.authentication.handle_timeout(cx.now),
                Timer::Search => self.search(cx),
                Timer::Links => self.advance_links(cx),
                Timer::HealthCheck => self.check_health(cx),
            }
        }
    }

    /// A connection was opened, or could not be.
    pub(super) fn handle_dialled(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        outcome: Result<Addresses, String>,
    ) {
        match outcome {
            Ok(addresses) => {
                if let Some(link) = self.links.get_mut(link) {
                    link.addresses = addresses;
                }
                self.check_server(cx, link);
            }
            Err(why) => self.handle_lost(cx, link, Reason::Connection, &why),
        }
    }

    /// A request about the connection itself was answered, or will not be.
    pub(super) fn handle_answer(
        &mut self,
        cx: &mut Context<'_>,
        origin: RequestOrigin,
        asked: Asked,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        let RequestOrigin { link, call, .. } = origin;
        match asked {
            Asked::ServerCheck | Asked::SetupProbe => {
                self.handshake_answered(cx, link, call, asked, answer);
            }
            Asked::Name => self.named(cx, link, &answer),
            Asked::HealthCheck => self.probe_answered(cx, link, call, answer),
            Asked::Admission(question) => {
                let serving = self.links.serving_id();
                let news =
                    self.authentication.handle_answer(cx, serving, call, question, answer)?;
                self.tell_access(news);
            }
        }
        Ok(())
    }

    /// Something came on the stream of `link`.
    pub(super) fn handle_stream_heard(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handle_heard(cx.output, link, cx.now);
        if let Some(serving) = self.links.serving_on(link) {
            serving.pushed = cx.now;
        }
    }

    /// The stream ended, and as far as is known the connection did not.
    pub(super) fn handle_stream_ended(&mut self, cx: &mut Context<'_>, link: LinkId, why: &str) {
        // On one that has been replaced, requests may still be answered.
        let is_retiring = |link: &Link| matches!(link.phase, Phase::Retiring { .. });
        if !self.links.get(link).is_some_and(is_retiring) {
            self.handle_lost(cx, link, Reason::Stream, why);
        }
    }

    /// Closes every connection that has been replaced, and with it what its server still holds.
    pub(super) fn close_retiring(&mut self, output: &mut Output) {
        self.links.close_retiring(output);
    }

    /// Users' requests are under way on `link`: if it has been replaced, it stays a little longer.
    pub(super) fn handle_busy(&mut self, now: Instant, link: LinkId) {
        self.links.keep(now, link);
    }

    /// A login with the credential `with` ended: a grant, or why there is none.
    pub(super) fn handle_login(
        &mut self,
        cx: &mut Context<'_>,
        with: Tried,
        outcome: Result<TokenLease, LoginFailure>,
    ) {
        let (serving, jitter) = (self.links.serving_id(), cx.output.jitter());
        let news = self.authentication.handle_login(cx.now, serving, with, outcome, jitter);
        self.tell_access(news);
    }

    /// A request was denied with the token in use, or without one if there is none.
    pub(super) fn handle_denied(&mut self, now: Instant) {
        self.authentication.handle_denied(now);
    }

    /// A request that went out with this token was refused.
    pub(super) fn handle_refused(&mut self, now: Instant, token: u64, refusal: &Refusal) {
        if self.options.is_about_login(refusal) && token == self.authentication.token() {
            self.authentication.handle_denied(now);
        }
    }

    /// A user's request about `to` was answered without a token. Says whether the question whether
    /// a login is needed is asked now.
    pub(super) fn handle_admitted(&mut self, to: Resource) -> bool {
        self.authentication.handle_admitted(to)
    }

    /// Somebody wants to know, before anything else and until then, whether this session needs a
    /// login.
    pub(super) fn knock(&mut self, until: Instant) {
        self.authentication.knock(until);
    }

    /// Asks the server that serves whether a login is needed, if somebody wants to know.
    pub(super) fn ask_admission(&mut self, cx: &mut Context<'_>) {
        let (Some(link), Lifetime::Open) = (self.links.serving_id(), cx.lifetime) else { return };
        if let Some((question, request)) = self.authentication.poll_question(cx.now, cx.holdings) {
            let call = self.call(cx, link, request, Asked::Admission(question));
            self.authentication.asked(call);
        }
    }

    // Outputs.

    /// The next change that the rest of the session has to follow, if any.
    pub(super) fn poll_decision(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self, now: Instant, lifetime: Lifetime) -> Option<Instant> {
        let at = |timer| match timer {
            Timer::ListRefresh => {
                self.list_refresh.next_timeout().filter(|_| lifetime == Lifetime::Open)
            }
            Timer::Login => {
                self.authentication.next_login().filter(|_| self.list_refresh.is_known())
            }
            Timer::Admission => {
                self.authentication.next_timeout().filter(|_| self.links.serving().is_some())
            }
            Timer::Search => self.searches.next_timeout(now),
            Timer::Links => self.links.next_timeout(),
            Timer::HealthCheck => self.links.serving()?.liveness.next_timeout(now),
        };
        Timer::ALL.into_iter().filter_map(at).min()
    }

    // Getters.

    /// The connections, and the one of them that serves.
    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// The connection that serves, as far as it matters to what goes over it.
    pub(super) fn connection(&self, now: Instant, lifetime: Lifetime) -> ConnectionFacts<'_> {
        let serving = self.links.serving();
        // As far as is known, only r-nacos and old Java servers announce nothing.
        let has_no_abilities = |serving: &ServingLink| serving.abilities.is_empty();
        ConnectionFacts {
            link: self.links.serving_id(),
            is_let_in: self.authentication.is_let_in(),
            lifetime,
            token: self.authentication.token(),
            no_token: self.authentication.no_token(),
            is_renewing: self.authentication.is_renewing()
                || self.authentication.is_not_ready(self.links.serving_id()),
            is_fresh: serving.is_some_and(|serving| serving.is_fresh(now)),
            tag: self.options.labels.tag(),
            server: serving.map(|serving| (&*serving.server, &*serving.abilities)),
            may_omit: !self.authentication.is_anonymous() && serving.is_some_and(has_no_abilities),
        }
    }

    /// Whether requests are let in, and what they carry.
    pub(super) fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// Whether servers answer health checks and nothing else.
    pub(super) fn is_unresponsive(&self) -> bool {
        self.moves.is_unresponsive()
    }
}

impl fmt::Debug for ConnectingMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectingMachine").field("links", &self.links).finish_non_exhaustive()
    }
}

/// The parts that only tests look at.
#[cfg(test)]
impl ConnectingMachine {
    pub(super) fn plans_to_move(&self) -> bool {
        self.moves.is_planned()
    }

    pub(super) fn require_login(&mut self) {
        self.authentication.require_login();
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.searches.last_error().map(ToString::to_string)
    }
}
