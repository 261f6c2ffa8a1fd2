//! Which connection serves? The machine that gets one, keeps it, and changes it for another.
//!
//! It has the contract of the [session](super) that it is a part of: `handle_*` takes in what
//! happened, `poll_*` hands out what follows. It knows nothing of what goes over the connection but
//! whether the server holds anything ([`Holdings`](super::context::Holdings)), and of what it
//! decides the rest learns a [`Decision`].
//!
//! [`search`] looks for a connection, [`handshake`] brings one up, [`health_check`] watches the one
//! that serves, [`succession`] is how it begins and ends to serve, [`admission`] and [`login`] are
//! whether requests are let in, [`standing`] what users are told of all that. The other files
//! decide one thing each.
pub(super) mod admission;
pub(super) mod asked;
mod endings;
mod handshake;
mod health_check;
pub(super) mod link;
pub(super) mod liveness;
pub(super) mod login;
mod moves;
pub(super) mod proxied;
mod responsiveness;
mod search;
mod server_list;
mod servers;
mod standing;
mod succession;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    admission::Admission,
    asked::{Asked, Question},
    endings::Endings,
    link::{Addresses, BUSY_PAUSE, Link, Phase},
    liveness::Liveness,
    login::{Login, LoginFailure, TokenLease, Tried},
    moves::{Moves, PlannedMove},
    proxied::LinkNames,
    responsiveness::Responsiveness,
    search::Search,
    server_list::ListRefresh,
    servers::Servers,
};
use super::{
    actions::Action,
    cause::{ABOUT_LOGIN, Cause, NoToken},
    context::Context,
    ids::{CallId, LinkId},
    lifetime::Lifetime,
    options::Options,
    output::{CALL_TIMEOUT, Output, Pending, RequestOrigin},
    request_failure::Gone,
    serving_context::ConnectionFacts,
};
use crate::{
    call_error::CallError,
    disconnect::Reason,
    error::ErrorKind,
    server::Server,
    state::Denial,
    wire::{Outgoing, Payload, Refusal},
};

/// See the [module documentation](self).
pub(super) struct ConnectingMachine {
    options: Options,
    servers: Servers,
    list_refresh: ListRefresh,
    login: Login,
    admission: Admission,

    links: BTreeMap<LinkId, Link>,
    /// The connection that serves.
    serving: Option<ServingLink>,
    /// The search for a connection, if one is on.
    search: Option<Search>,
    /// When the next search begins.
    next_search: Option<Instant>,
    /// The server asked us to move: the next search is for another than the one that serves.
    planned_move: Option<PlannedMove>,
    moves: Moves,
    outage: Outage,
    names: LinkNames,
    endings: Endings,
    decisions: VecDeque<Decision>,
}

/// News for the rest of the session.
#[derive(Debug)]
pub(super) enum Decision {
    /// Another connection serves: its server holds nothing of ours.
    Serves,
    /// None does any more.
    ServesNoMore,
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

/// The connection that serves, and what is known on it.
#[derive(Debug)]
struct ServingLink {
    link: LinkId,
    /// As it was named in the options, or in the list.
    server: Arc<str>,
    since: Instant,
    /// When something came last on the stream.
    pushed: Instant,
    liveness: Liveness,
    responsiveness: Responsiveness,
    /// A request of the session's own was answered on it, as by a server that knows it.
    is_known: bool,
    abilities: Arc<BTreeMap<String, bool>>,
}

/// How long nobody has served, and how often that was tried to be mended.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Searches that failed.
    searches: u32,
    last_error: Option<Arc<str>>,
    /// The last search failed because it gave too little time, and the next one gives more.
    is_hasty: bool,
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
            login: Login::new(options.has_credentials, now),
            admission: Admission::new(),
            // Without a list there is nothing to search.
            next_search: list_refresh.is_known().then_some(now),
            list_refresh,
            options,
            links: BTreeMap::new(),
            serving: None,
            search: None,
            planned_move: None,
            moves: Moves::default(),
            outage: Outage { since: now, searches: 0, last_error: None, is_hasty: false },
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
                    cx.output.act(Action::FetchServerList);
                }
                Timer::Login if self.list_refresh.is_known() && self.login.begin(cx.now) => {
                    cx.output.act(Action::Login { refused: self.login.is_refused() });
                }
                Timer::ListRefresh | Timer::Login => {}
                Timer::Admission => self.admission_due(cx.now),
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
                if let Some(link) = self.links.get_mut(&link) {
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
            Asked::Admission(question) => self.admission_answered(cx, call, question, answer)?,
        }
        Ok(())
    }

    /// Something came on the stream of `link`.
    pub(super) fn handle_stream_heard(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.handle_heard(cx.output, link, cx.now);
        if let Some(serving) = self.serving.as_mut().filter(|serving| serving.link == link) {
            serving.pushed = cx.now;
        }
    }

    /// The stream ended, and as far as is known the connection did not.
    pub(super) fn handle_stream_ended(&mut self, cx: &mut Context<'_>, link: LinkId, why: &str) {
        // On one that has been replaced, requests may still be answered.
        let is_retiring = |link: &Link| matches!(link.phase, Phase::Retiring { .. });
        if !self.links.get(&link).is_some_and(is_retiring) {
            self.handle_lost(cx, link, Reason::Stream, why);
        }
    }

    /// Users' requests are under way on `link`: if it has been replaced, it stays a little longer.
    pub(super) fn handle_busy(&mut self, now: Instant, link: LinkId) {
        if let Some(Phase::Retiring { deadline, at_most }) =
            self.links.get_mut(&link).map(|link| &mut link.phase)
        {
            *deadline = (*deadline).max(now + BUSY_PAUSE).min(*at_most);
        }
    }

    /// A login with the credential `with` ended: a grant, or why there is none.
    pub(super) fn handle_login(
        &mut self,
        cx: &mut Context<'_>,
        with: Tried,
        outcome: Result<TokenLease, LoginFailure>,
    ) {
        let jitter = cx.output.jitter();
        match outcome {
            Ok(lease) => {
                self.admitted_by_token();
                if self.login.granted(cx.now, with, lease, jitter) {
                    self.decisions.push_back(Decision::LetIn);
                }
            }
            Err(why) => {
                self.login.failed(cx.now, with, why, jitter);
                self.login_failed();
                self.tell_not_let_in();
            }
        }
    }

    /// A request was denied with the token in use, or without one if there is none.
    pub(super) fn handle_denied(&mut self, now: Instant) {
        if self.login.has_token() {
            self.login.token_refused(now);
        } else {
            self.refused_without_token(now);
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
            Timer::Login => self.login.next_timeout().filter(|_| self.list_refresh.is_known()),
            Timer::Admission => self.admission.next_timeout().filter(|_| self.serving.is_some()),
            Timer::Search => {
                let under_way = self.search.as_ref().map(|search| search.next_timeout(now));
                self.next_search.into_iter().chain(under_way).min()
            }
            Timer::Links => self.links.values().filter_map(Link::next_timeout).min(),
            Timer::HealthCheck => self.serving.as_ref()?.liveness.next_timeout(now),
        };
        Timer::ALL.into_iter().filter_map(at).min()
    }

    // Getters.

    /// The connection that serves.
    pub(super) fn serving(&self) -> Option<LinkId> {
        self.serving.as_ref().map(|serving| serving.link)
    }

    /// The same, as far as it matters to what goes over it.
    pub(super) fn connection(&self, now: Instant, lifetime: Lifetime) -> ConnectionFacts<'_> {
        let is_fresh = |serving: &ServingLink| now.saturating_duration_since(serving.since) < FRESH;
        // As far as is known, only r-nacos and old Java servers announce nothing.
        let has_no_abilities = |serving: &ServingLink| serving.abilities.is_empty();
        ConnectionFacts {
            link: self.serving(),
            is_let_in: self.is_let_in(),
            lifetime,
            token: self.token(),
            no_token: self.no_token(),
            is_renewing: self.is_renewing() || self.is_not_ready(),
            is_fresh: self.serving.as_ref().is_some_and(is_fresh),
            may_omit: !self.login.is_anonymous()
                && self.serving.as_ref().is_some_and(has_no_abilities),
        }
    }

    fn no_token(&self) -> Option<NoToken<'_>> {
        if self.login.is_anonymous() {
            return Some(NoToken::NoCredentials);
        }
        self.login.failure().map(NoToken::LoginFailed)
    }

    /// Whether requests may go out: there is a token, or none is needed as far as is known.
    pub(super) fn is_let_in(&self) -> bool {
        if self.login.is_anonymous() {
            !self.admission.is_demanded()
        } else {
            self.login.has_token() || self.admission.is_open()
        }
    }

    /// Whether another login may let in what was refused so.
    pub(super) fn is_about_login(&self, refusal: &Refusal) -> bool {
        self.options.is_about_login(refusal)
    }

    /// Whether servers answer health checks and nothing else.
    pub(super) fn is_unresponsive(&self) -> bool {
        self.moves.is_unresponsive()
    }

    /// Whether something is due or under way that may let in who was refused: a login, or the
    /// question whether one is needed.
    pub(super) fn is_renewing(&self) -> bool {
        self.login.is_renewing() || !self.login.is_anonymous() && self.admission.is_asking()
    }

    /// Whether there is no token because servers are not ready to grant one, it seems.
    fn is_not_ready(&self) -> bool {
        self.denied().is_some_and(|(likely, _)| likely == Denial::NotReady)
    }

    /// Whether this client is refused, and waiting does not help, as far as is known.
    fn is_refused(&self) -> bool {
        self.denied().is_some_and(|(likely, _)| likely != Denial::NotReady)
    }

    /// Whether a refused login is tried again within seconds, and may be granted then.
    pub(super) fn tries_soon(&self) -> bool {
        self.login.tries_soon()
    }

    /// Whether a user's request that finds nobody who lets it in is worth a try without a token:
    /// it may be about what everybody may do, which those that were asked for are not. A request
    /// whose login has worked before waits for the next one instead, as long as there is hope.
    pub(super) fn tries_without_token(&self) -> bool {
        let has_failed = self.login.failure().is_some() && self.login.grants() == 0;
        let is_forbidden = self.options.require_login && !self.login.is_anonymous();
        self.serving.is_some()
            && !self.is_let_in()
            && !self.is_undecided()
            && !is_forbidden
            && (self.is_refused() || has_failed)
    }

    /// The server of the connection that serves, as it was named in the options, or in the list.
    pub(super) fn server(&self) -> Option<&Arc<str>> {
        self.serving.as_ref().map(|serving| &serving.server)
    }

    /// The abilities of that server.
    pub(super) fn abilities(&self) -> Option<&Arc<BTreeMap<String, bool>>> {
        self.serving.as_ref().map(|serving| &serving.abilities)
    }

    /// Whether requests are to carry what the last login brought.
    pub(super) fn has_token(&self) -> bool {
        self.login.has_token()
    }

    /// Which token that is, by number.
    pub(super) fn token(&self) -> u64 {
        self.login.grants()
    }

    fn call(&self, cx: &mut Context<'_>, link: LinkId, request: Outgoing, asked: Asked) -> CallId {
        self.call_within(cx, CALL_TIMEOUT, link, request, asked)
    }

    fn call_within(
        &self,
        cx: &mut Context<'_>,
        timeout: Duration,
        link: LinkId,
        request: Outgoing,
        asked: Asked,
    ) -> CallId {
        let origin = (link, self.login.grants());
        cx.output.call(origin, timeout, request, Pending::Connecting(asked))
    }

    fn server_name(&self, link: LinkId) -> Arc<str> {
        self.links.get(&link).map_or_else(String::new, |link| link.server.to_string()).into()
    }
}

impl fmt::Debug for ConnectingMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectingMachine").field("links", &self.links).finish_non_exhaustive()
    }
}

/// Java reads users and their rights within 15 s of its start.
const FRESH: Duration = Duration::from_secs(60);

/// The parts that only tests look at.
#[cfg(any(test, fuzzing))]
impl ConnectingMachine {
    pub(super) fn links(&self) -> &BTreeMap<LinkId, Link> {
        &self.links
    }
}

#[cfg(test)]
impl ConnectingMachine {
    pub(super) fn plans_to_move(&self) -> bool {
        self.planned_move.is_some()
    }

    pub(super) fn require_login(&mut self) {
        self.options.require_login = true;
    }

    pub(super) fn last_error(&self) -> Option<Arc<str>> {
        self.outage.last_error.clone()
    }
}
