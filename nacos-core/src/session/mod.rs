//! The life of a client's session with its servers, without the I/O.
//!
//! Three kinds of methods, told apart by name: `handle_*` takes in what happened, `poll_*` hands
//! out what to do about it, the rest are commands and getters. Call every `poll_*` after each
//! `handle_*` and each command. Time comes in as an argument, randomness as a function given at
//! construction; nothing here reads a clock, draws a number or awaits.
//!
//! What happens where: [`connect`] gets and changes connections, [`redo`] sends claims and queries
//! over the one that serves; the small machines beside them decide one thing each.
mod admission;
mod backoff;
mod campaign;
mod claims;
mod connect;
mod documents;
mod doubts;
mod endings;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod ledger;
mod link;
mod listens;
mod liveness;
mod locate;
mod login;
mod metrics;
mod moves;
mod presence;
mod proxied;
mod publication;
mod pushes;
mod queue;
mod redo;
mod responsiveness;
mod self_check;
mod servers;
mod setback;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod steps;
mod timers;
mod told;
mod union;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    admission::Admission,
    campaign::Campaign,
    claims::Claims,
    documents::{Cause, Documents},
    doubts::Doubts,
    endings::Endings,
    freshness::Shown,
    link::{BUSY_PAUSE, Link},
    liveness::Liveness,
    locate::Locate,
    login::Login,
    moves::{MoveReason, Moves, PlannedMove},
    presence::Presence,
    proxied::{Finding, Names},
    redo::{Origin, Pending},
    responsiveness::Responsiveness,
    servers::Servers,
};
pub(crate) use self::{
    admission::DEMANDED,
    backoff::{conflict_delay, reconnect_delay},
    claims::{ClaimKey, GuardId},
    ledger::Standing,
    link::LinkId,
    liveness::Patience,
    login::{Lease, LoginFailure, Tried},
    queue::Queue,
};
use crate::{
    call_error::CallError,
    disconnect::{Disconnect, Reason},
    document::DocumentState,
    error::ErrorKind,
    instance::Instance,
    key::{ConfigKey, Namespace, ServiceKey},
    resource::Resource,
    server::Server,
    service::Service,
    state::{Access, ClaimState, Denial, SessionState},
    wire::{Outgoing, Payload},
    within::Within,
};

/// Names a request of the session's own. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallId(u64);

/// What the caller is to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Open a connection; report with [`Session::handle_dialled`], at the latest after
    /// [`within.all`](Within::all).
    Dial { link: LinkId, server: Server, within: Within },
    /// Send a request; report with [`Session::handle_answer`], at the latest after `timeout`
    /// without any part of the answer.
    Call { link: LinkId, call: CallId, request: Payload, resource: Resource, timeout: Duration },
    /// Open the stream with `setup` as its first message, then report its messages with
    /// [`Session::handle_push`] and its end with [`Session::handle_lost`], as which it counts too
    /// if it cannot be opened within `timeout`.
    OpenStream { link: LinkId, setup: Payload, timeout: Duration },
    /// Close the socket. Nothing about this connection is to be reported any more.
    Close { link: LinkId },
    /// Log in, perhaps because what the last login brought was refused; report with
    /// [`Session::handle_login`].
    Login { refused: bool },
    /// Read the list of servers; report with [`Session::handle_servers`].
    Locate,
}

/// What the client's users see of it.
#[derive(Debug)]
pub(crate) enum Event {
    /// Users' requests go over this connection from now on, or over none.
    Serving(Option<LinkId>),
    /// The connection that served did so no more, and why; how late the session ran, it cannot know.
    Ended { reason: Reason, record: Disconnect },
    /// The session's state changed.
    State(SessionState),
    /// A watched document's state changed.
    Document(ConfigKey, DocumentState),
    /// A subscribed service, in full.
    Service(ServiceKey, Service),
    /// What the server knows of a guard's claim.
    Claim(GuardId, ClaimState),
    /// The server holds exactly what is claimed under this key.
    Settled(ClaimKey),
    /// The server had lost instances of ours without a word; they are asserted again. `first` unless
    /// it was so before, and they have not been seen since.
    Lost { service: ServiceKey, first: bool },
    /// The server answers health checks and nothing else. `leaves` unless there is nobody else, and
    /// it holds what a new connection to it might lose; `first` unless that was so of the one before.
    Unresponsive { server: Arc<str>, leaves: bool, first: bool },
    /// The server refused what is claimed under this key.
    Refused { key: ClaimKey, code: i32, message: Arc<str> },
    /// A message of the server's could not be read.
    Unread { kind: String, about: String, why: String },
    /// A list of a service is older than the one before it, by its server's clock: it was overtaken,
    /// and dropped, or is applied because the clock has stepped back.
    Older { service: ServiceKey, by: Duration, is_applied: bool },
    /// A proxy does to this server's connections, or to their streams, what they do not bear.
    Proxied { server: Arc<str>, finding: Finding },
    /// A watched document is not to be had, and that does not pass by itself.
    Withheld { key: ConfigKey, cause: Arc<str> },
}

/// What a session is made of, beside its servers.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The namespace of documents, which the setup message names.
    pub(crate) config_namespace: Namespace,
    /// The namespace of services.
    pub(crate) naming_namespace: Namespace,
    /// The application's name, shown in servers' consoles.
    pub(crate) app: String,
    /// Names this client among those of its host.
    pub(crate) client_id: String,
    /// Whether there is somebody to log in.
    pub(crate) has_credentials: bool,
    /// Whether a server that refuses the login is not to be used without one.
    pub(crate) require_login: bool,
    /// The longest delay between two attempts to connect.
    pub(crate) backoff_cap: Duration,
    /// How long a server's silence is borne.
    pub(crate) patience: Patience,
    /// The longest that a user's request may take.
    pub(crate) request_timeout: Duration,
    /// How often the list of servers is read; `None` if it never changes.
    pub(crate) refresh: Option<Duration>,
}

/// A random number, uniform in `[0, 1)`.
pub(crate) type Jitter = Box<dyn FnMut() -> f64 + Send>;

/// See the [module documentation](self).
pub(crate) struct Session {
    options: Options,
    jitter: Jitter,
    servers: Servers,
    locate: Locate,
    login: Login,
    admission: Admission,

    links: BTreeMap<LinkId, Link>,
    /// The connection that serves.
    serving: Option<Serving>,
    /// The search for a connection, if one is on.
    campaign: Option<Campaign>,
    /// When the next search begins.
    next_campaign: Option<Instant>,
    /// The server asked us to move: the next search is for another than the one that serves.
    planned_move: Option<PlannedMove>,
    moves: Moves,
    outage: Outage,
    names: Names,
    endings: Endings,

    claims: Claims,
    documents: Documents,
    presence: Presence,
    /// What is shown of each service, as far as it came over the connection that serves.
    lists: HashMap<ServiceKey, Shown>,
    /// Subscribed services by group and name: pushes of Java servers name no namespace.
    namesakes: HashMap<ServiceKey, Vec<ServiceKey>>,
    /// Services of which a push could not be read.
    doubts: Doubts,
    next_audit: Option<Instant>,
    /// When the last audit was.
    audited: Option<Instant>,
    listens_under_way: usize,
    /// How often refused listens may still be halved.
    listen_splits: usize,

    calls: HashMap<CallId, Call>,
    next_id: u64,
    lifetime: Lifetime,
    shown: SessionState,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

/// Whether the session is to live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lifetime {
    Open,
    /// Everything is withdrawn; closes when the server has acknowledged that, or then.
    Closing {
        deadline: Instant,
    },
    Closed,
}

/// The connection that serves, and what is known on it.
#[derive(Debug)]
struct Serving {
    link: LinkId,
    since: Instant,
    /// When something came last on the stream.
    pushed: Instant,
    liveness: Liveness,
    responsiveness: Responsiveness,
    abilities: Arc<BTreeMap<String, bool>>,
}

impl Serving {
    /// It serves no more.
    fn ended(&self, now: Instant, server: Arc<str>, reason: Reason, why: &str) -> Event {
        let record = Disconnect {
            server,
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

/// How long nobody has served, and how often that was tried to be mended.
#[derive(Debug)]
struct Outage {
    since: Instant,
    attempts: u32,
    last_error: Option<Arc<str>>,
    /// The last pass failed because it gave too little time, and the next one gives more.
    is_hasty: bool,
}

/// A request of the session's own that is under way.
#[derive(Debug)]
struct Call {
    origin: Origin,
    pending: Pending,
}

impl Session {
    /// A session that wants to connect at once; `servers` are none if their list is to be read
    /// first.
    pub(crate) fn new(
        now: Instant,
        servers: Vec<Server>,
        options: Options,
        mut jitter: Jitter,
    ) -> Self {
        let servers = Servers::new(servers, &mut jitter);
        let locate = Locate::new(options.refresh, now);
        Self {
            servers,
            login: Login::new(options.has_credentials, now),
            admission: Admission::new(),
            // Without a list there is nothing to search.
            next_campaign: locate.is_known().then_some(now),
            locate,
            options,
            jitter,
            links: BTreeMap::new(),
            serving: None,
            campaign: None,
            planned_move: None,
            moves: Moves::default(),
            names: Names::default(),
            endings: Endings::default(),
            outage: Outage { since: now, attempts: 0, last_error: None, is_hasty: false },
            claims: Claims::new(),
            documents: Documents::new(),
            presence: Presence::new(),
            lists: HashMap::new(),
            namesakes: HashMap::new(),
            doubts: Doubts::default(),
            next_audit: None,
            audited: None,
            listens_under_way: 0,
            listen_splits: 0,
            calls: HashMap::new(),
            next_id: 0,
            lifetime: Lifetime::Open,
            shown: SessionState::Connecting { attempt: 0, last_error: None },
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    // Inputs.

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.lifetime == Lifetime::Closed {
            return;
        }
        // Before anything else that is due: what begins now would only be ended.
        if let Lifetime::Closing { deadline } = self.lifetime
            && deadline <= now
        {
            self.end(now);
            return self.settle(now);
        }
        if self.lifetime == Lifetime::Open && self.locate.begin(now) {
            self.actions.push_back(Action::Locate);
        }
        if self.locate.is_known() && self.login.begin(now) {
            let refused = self.login.is_refused();
            self.actions.push_back(Action::Login { refused });
        }
        self.admission_due(now);
        self.search(now);
        self.advance_links(now);
        self.check_pulse(now);
        if self.next_audit.is_some_and(|at| at <= now) {
            self.next_audit = Some(self.audit_after(now));
            self.audited = Some(now);
            self.claims.audit_listens();
        }
        self.resolve_doubts(now);
        self.settle(now);
    }

    /// A connection was opened, or could not be.
    pub(crate) fn handle_dialled(
        &mut self,
        now: Instant,
        link: LinkId,
        outcome: Result<(), String>,
    ) {
        match outcome {
            Ok(()) => self.check_server(now, link),
            Err(why) => self.drop_link(now, link, &why),
        }
        self.settle(now);
    }

    /// A request of the session's own was answered, or will not be.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        id: CallId,
        answer: Result<Payload, CallError>,
    ) {
        let Some(call) = self.calls.remove(&id) else { return };
        if answer.is_ok() {
            self.heard(now, call.origin.link);
        }
        match call.pending {
            Pending::ServerCheck | Pending::SetupProbe => {
                self.handshake_answered(now, call.origin.link, id, &call.pending, answer);
            }
            Pending::Name => self.named(call.origin.link, &answer),
            Pending::Probe => self.probe_answered(now, call.origin.link, id, answer),
            Pending::Admission(question) => self.admission_answered(now, id, question, answer),
            // What the session has sent over another connection counts no more.
            _ if self.serving_link() != Some(call.origin.link) => {}
            pending => {
                match &answer {
                    Err(CallError::Timeout) => self.unanswered(now, 1),
                    Err(CallError::NotSent(_) | CallError::Lost(_)) => {}
                    _ => self.answered(),
                }
                self.redo_answered(now, call.origin, pending, answer);
            }
        }
        self.settle(now);
    }

    /// The server sent `payload` on the stream. It has been acknowledged already, or
    /// [answered](Self::answer).
    pub(crate) fn handle_push(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        self.heard_on_stream(now, link);
        self.pushed(now, link, payload);
        self.settle(now);
    }

    /// The server sent something on the stream that is too large or no Nacos message; `head` is as
    /// much as is known of it.
    pub(crate) fn handle_unread(&mut self, now: Instant, link: LinkId, head: &Payload, why: &str) {
        self.heard_on_stream(now, link);
        self.unread(now, link, head, why);
        self.settle(now);
    }

    /// The connection ended.
    pub(crate) fn handle_lost(&mut self, now: Instant, link: LinkId, why: &str) {
        self.drop_link(now, link, why);
        self.settle(now);
    }

    /// The stream ended, and as far as is known the connection did not.
    pub(crate) fn handle_stream_ended(&mut self, now: Instant, link: LinkId, why: &str) {
        // On one that has been replaced, requests may still be answered.
        let is_retiring = |link: &Link| matches!(link.phase, link::Phase::Retiring { .. });
        if !self.links.get(&link).is_some_and(is_retiring) {
            self.lose_link(now, link, Reason::Stream, why);
        }
        self.settle(now);
    }

    /// Users' requests were answered on `link`, the last one at `at`.
    pub(crate) fn handle_heard(&mut self, link: LinkId, at: Instant) {
        self.heard(at, link);
    }

    /// A user's request was answered on `link`.
    pub(crate) fn handle_answered(&mut self, link: LinkId) {
        if self.serving_link() == Some(link) {
            self.answered();
        }
    }

    /// `count` of users' requests were not answered on `link` for as long as one of ours may take.
    pub(crate) fn handle_unanswered(&mut self, now: Instant, link: LinkId, count: u32) {
        if self.serving_link() == Some(link) {
            self.unanswered(now, count);
        }
        self.settle(now);
    }

    /// Users' requests are under way on `link`: if it has been replaced, it stays a little longer,
    /// at most for as long as a request may take. One that nobody polls never ends by itself.
    pub(crate) fn handle_busy(&mut self, now: Instant, link: LinkId) {
        if let Some(link::Phase::Retiring { deadline, at_most }) =
            self.links.get_mut(&link).map(|link| &mut link.phase)
        {
            *deadline = (*deadline).max(now + BUSY_PAUSE).min(*at_most);
        }
    }

    /// A user's request found that the server does not know `link` any more.
    pub(crate) fn handle_unusable(&mut self, now: Instant, link: LinkId) {
        if self.serving_link() == Some(link) {
            let why = "the server takes no requests on this connection any more";
            self.lose_link(now, link, Reason::Unusable, why);
        }
        self.settle(now);
    }

    /// A login with the credential `with` ended: a grant, or why there is none.
    pub(crate) fn handle_login(
        &mut self,
        now: Instant,
        with: Tried,
        outcome: Result<Lease, LoginFailure>,
    ) {
        if self.lifetime == Lifetime::Closed {
            return;
        }
        let jitter = (self.jitter)();
        match outcome {
            Ok(lease) => {
                self.admitted_by_token();
                if self.login.granted(now, with, lease, jitter) {
                    self.claims.retry_refused(crate::wire::DENIED);
                    self.documents.retry_failed();
                }
            }
            Err(why) => {
                let refused = !matches!(why, LoginFailure::Unreachable(_));
                self.login.failed(now, with, why, jitter);
                if refused {
                    self.login_refused();
                    self.tell_not_let_in();
                } else if !self.is_let_in() {
                    // A token that is still good serves on while its renewal fails.
                    self.tell_waiting(ErrorKind::Disconnected);
                }
            }
        }
        self.settle(now);
    }

    // Commands. Call `settle` after the last of a batch: claims made together are sent together.

    /// `guard` claims `key`, with `instance` if it registers one.
    pub(crate) fn assert(
        &mut self,
        key: ClaimKey,
        guard: GuardId,
        instance: Option<Arc<Instance>>,
    ) {
        if self.lifetime != Lifetime::Open {
            return;
        }
        match &key {
            ClaimKey::Listen(document) => self.documents.watch(document.clone()),
            ClaimKey::Subscription(service) => {
                let namesakes = self.namesakes.entry(service.unplaced()).or_default();
                if !namesakes.contains(service) {
                    namesakes.push(service.clone());
                }
            }
            ClaimKey::Instances(_) => {}
        }
        if let Some(instance) = &instance
            && self.claims.moves(&key, guard, instance)
        {
            // The former address would show there until that connection is closed.
            self.close_retiring();
        }
        let state = self.claims.assert(key, guard, instance);
        self.events.push_back(Event::Claim(guard, state));
    }

    /// `guard`, which watches `document`, wants it to be asked for regularly while the server lets
    /// nobody listen to it.
    pub(crate) fn poll_when_refused(&mut self, document: &ConfigKey, guard: GuardId) {
        self.documents.poll(document, guard);
        // A listen that stands refused is asked for again, and what becomes of it told anew.
        self.assert(ClaimKey::Listen(document.clone()), guard, None);
    }

    /// `guard` claims `key` no more.
    pub(crate) fn withdraw(&mut self, key: &ClaimKey, guard: GuardId) {
        if let ClaimKey::Listen(document) = key {
            self.documents.poll_no_more(document, guard);
        }
        if matches!(key, ClaimKey::Instances(_)) {
            // It would show there until that connection is closed.
            self.close_retiring();
        }
        if self.claims.withdraw(key, guard) {
            match key {
                ClaimKey::Listen(document) => self.documents.unwatch(document),
                ClaimKey::Subscription(service) => {
                    self.lists.remove(service);
                    self.doubts.forget(service);
                    if let Some(namesakes) = self.namesakes.get_mut(&service.unplaced()) {
                        namesakes.retain(|other| other != service);
                        if namesakes.is_empty() {
                            self.namesakes.remove(&service.unplaced());
                        }
                    }
                }
                ClaimKey::Instances(service) => self.presence.forget(service),
            }
            if !self.claims.is_known(key) {
                // The server of this connection has never heard of it.
                self.events.push_back(Event::Settled(key.clone()));
            }
        }
    }

    /// A request was denied with the token in use, or without one if there is none.
    pub(crate) fn token_refused(&mut self, now: Instant) {
        if self.login.has_token() {
            self.login.token_refused(now);
        } else {
            self.refused_without_token(now);
        }
    }

    /// Asks for a document again.
    pub(crate) fn refetch(&mut self, key: &ConfigKey) {
        self.documents.hint(key);
    }

    /// Withdraws every claim, and closes once the server has acknowledged that or at `deadline`.
    pub(crate) fn close(&mut self, deadline: Instant) {
        if self.lifetime == Lifetime::Open {
            self.lifetime = Lifetime::Closing { deadline };
            self.close_retiring();
            self.claims.withdraw_all();
        }
    }

    // Outputs.

    /// What to do next, if anything.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What to show next, if anything.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); never, once closed.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let closing = match self.lifetime {
            Lifetime::Closed => return None,
            Lifetime::Closing { deadline } => Some(deadline),
            Lifetime::Open => None,
        };
        let pulse = self.serving.as_ref().and_then(|serving| serving.liveness.next_timeout(now));
        // Refused claims and failed queries wait for a connection anyway.
        let refused = self.claims.next_retry().filter(|_| self.can_send());
        let asked =
            [self.documents.next_retry(), self.presence.next_timeout(), self.doubts.next_timeout()];
        let asked = asked.into_iter().filter(|_| self.can_ask());
        let times = [
            closing,
            pulse,
            refused,
            self.login.next_timeout().filter(|_| self.locate.is_known()),
            self.admission.next_timeout().filter(|_| self.serving.is_some()),
            self.locate.next_timeout().filter(|_| self.lifetime == Lifetime::Open),
            self.next_campaign,
            self.campaign.as_ref().map(|campaign| campaign.next_timeout(now)),
            self.next_audit,
        ];
        let links = self.links.values().filter_map(Link::next_timeout);
        times.into_iter().chain(asked).flatten().chain(links).min()
    }

    // Getters.

    /// Whether nothing will ever happen again.
    pub(crate) fn is_closed(&self) -> bool {
        self.lifetime == Lifetime::Closed
    }

    /// How many keys the server still holds or has to be told about, withdrawals included.
    pub(crate) fn remaining(&self) -> usize {
        self.claims.remaining()
    }

    /// How many claims are not held right now.
    pub(crate) fn unsettled(&self) -> usize {
        self.claims.unsettled()
    }

    /// Whether servers answer health checks and nothing else.
    pub(crate) fn is_unresponsive(&self) -> bool {
        self.moves.is_unresponsive()
    }

    /// Whether something is due or under way that may let in who was refused: a login, or the
    /// question whether one is needed.
    pub(crate) fn is_renewing(&self) -> bool {
        self.login.is_renewing() || !self.login.is_anonymous() && self.admission.is_asking()
    }

    /// Whether requests are to carry what the last login brought.
    pub(crate) fn has_token(&self) -> bool {
        self.login.has_token()
    }

    /// Every claimed key, and how much of it the server knows.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (&ClaimKey, Standing)> {
        self.claims.standings()
    }

    // Shared by the parts.

    /// The end of every input: sends what can be sent, closes what is done, shows what changed.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.ask_admission();
        self.send_due(now);
        if matches!(self.lifetime, Lifetime::Closing { .. })
            && (self.claims.remaining() == 0 || !self.can_send())
        {
            self.end(now);
        }
        let state = self.state(now);
        if state != self.shown {
            self.shown = state.clone();
            self.events.push_back(Event::State(state));
        }
    }

    fn state(&self, now: Instant) -> SessionState {
        if self.lifetime == Lifetime::Closed {
            return SessionState::Closed;
        }
        if let Some((likely, cause)) = self.denied() {
            return SessionState::Denied { likely, cause: cause.into() };
        }
        match &self.serving {
            Some(serving) if self.is_let_in() && !self.admission.is_awaited() => {
                SessionState::Connected {
                    server: self.server_name(serving.link),
                    since: serving.since,
                    abilities: Arc::clone(&serving.abilities),
                    access: self.access(),
                }
            }
            Some(_) => match self.login.unreachable() {
                Some(cause) => SessionState::Backoff {
                    until: self.login.next_timeout().unwrap_or(now),
                    cause: format!("{ABOUT_LOGIN}{cause}").into(),
                },
                None => SessionState::Connecting {
                    attempt: self.outage.attempts,
                    last_error: self.outage.last_error.clone(),
                },
            },
            None => self.searching(),
        }
    }

    /// The state of a session that nobody serves.
    fn searching(&self) -> SessionState {
        let with_login = |cause: &Arc<str>| match self.login.refusal() {
            // What is wrong with both is told at once: each hides the other.
            Some((_, refused)) => format!("{cause}; {ABOUT_LOGIN}{refused}").into(),
            None => Arc::clone(cause),
        };
        match (self.next_campaign.or(self.locate.retry_at()), &self.outage.last_error) {
            // What was only too slow for the first try has not failed yet.
            (Some(until), Some(cause)) if !self.outage.is_hasty => {
                SessionState::Backoff { until, cause: with_login(cause) }
            }
            (_, last_error) => SessionState::Connecting {
                attempt: self.outage.attempts,
                last_error: last_error.as_ref().map(with_login),
            },
        }
    }

    /// What the servers' refusal of this client is likely to mean, and what they said, if that is
    /// how it stands.
    fn denied(&self) -> Option<(Denial, &str)> {
        if self.login.is_anonymous() {
            let demanded = self.serving.is_some() && self.admission.is_demanded();
            return demanded.then_some((Denial::Missing, DEMANDED));
        }
        let denial = self.login.denial()?;
        if self.options.require_login {
            return Some(denial);
        }
        let undecided = self.admission.is_asking() && !self.admission.is_demanded();
        let refused = self.serving.is_some() && !self.admission.is_open() && !undecided;
        refused.then_some(denial)
    }

    /// How it is let in.
    fn access(&self) -> Access {
        match self.login.refusal() {
            _ if self.login.is_anonymous() => Access::Anonymous,
            Some((_, cause)) => Access::WithoutLogin { cause: cause.into() },
            None => Access::Granted,
        }
    }

    fn end(&mut self, now: Instant) {
        self.lifetime = Lifetime::Closed;
        self.campaign = None;
        self.next_campaign = None;
        if let Some(serving) = self.serving.take() {
            let server = self.server_name(serving.link);
            let why = "the client was shut down";
            self.events.push_back(serving.ended(now, server, Reason::Shutdown, why));
            self.events.push_back(Event::Serving(None));
        }
        for link in std::mem::take(&mut self.links).into_keys() {
            self.actions.push_back(Action::Close { link });
        }
        self.calls.clear();
    }

    fn call(&mut self, link: LinkId, request: Outgoing, pending: Pending) -> CallId {
        self.call_within(CALL_TIMEOUT, link, request, pending)
    }

    fn call_within(
        &mut self,
        timeout: Duration,
        link: LinkId,
        request: Outgoing,
        pending: Pending,
    ) -> CallId {
        let call = CallId(self.fresh_id());
        let origin = Origin { link, token: self.login.grants(), call };
        self.calls.insert(call, Call { origin, pending });
        let Outgoing { payload: request, resource } = request;
        self.actions.push_back(Action::Call { link, call, request, resource, timeout });
        call
    }

    fn heard(&mut self, at: Instant, link: LinkId) {
        if let Some(serving) = &mut self.serving
            && serving.link == link
        {
            serving.liveness.heard(at);
            if serving.liveness.is_calm() {
                self.stop_looking();
            }
        }
    }

    fn heard_on_stream(&mut self, now: Instant, link: LinkId) {
        self.heard(now, link);
        if let Some(serving) = self.serving.as_mut().filter(|serving| serving.link == link) {
            serving.pushed = now;
        }
    }

    fn serving_link(&self) -> Option<LinkId> {
        self.serving.as_ref().map(|serving| serving.link)
    }

    fn can_send(&self) -> bool {
        self.serving.is_some() && self.is_let_in() && self.lifetime != Lifetime::Closed
    }

    /// Whether requests may go out: there is a token, or none is needed as far as is known.
    fn is_let_in(&self) -> bool {
        if self.login.is_anonymous() {
            !self.admission.is_demanded()
        } else {
            self.login.has_token() || self.admission.is_open()
        }
    }

    /// Whoever closes has withdrawn everything, and wants to know nothing any more.
    fn can_ask(&self) -> bool {
        self.can_send() && self.lifetime == Lifetime::Open
    }

    fn server_name(&self, link: LinkId) -> Arc<str> {
        self.links.get(&link).map_or_else(String::new, |link| link.server.to_string()).into()
    }

    /// Tells whoever waits for a first answer why there is none.
    fn tell_waiting(&mut self, kind: ErrorKind) {
        let login = self.denied().map(|(_, why)| why).or(self.login.unreachable());
        let text = match (login, &self.outage.last_error) {
            (Some(why), _) if self.serving.is_some() || kind == ErrorKind::Denied => why.into(),
            (_, Some(error)) => Arc::clone(error),
            (Some(why), None) => why.into(),
            (None, None) => "no server answered".into(),
        };
        let told = self.documents.unreachable(&Cause { kind, text });
        self.events.extend(told.into_iter().map(|(key, state)| Event::Document(key, state)));
    }

    fn audit_after(&mut self, now: Instant) -> Instant {
        now + AUDIT_EVERY.mul_f64(0.8 + 0.4 * (self.jitter)())
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.shown)
            .field("links", &self.links)
            .field("claims", &self.claims.remaining())
            .finish_non_exhaustive()
    }
}

/// What a cause begins with that is about the login, not about a connection.
pub(crate) const ABOUT_LOGIN: &str = "login: ";
/// For one answer to a request of the session's own.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Every listen is confirmed this often, give or take a fifth.
const AUDIT_EVERY: Duration = Duration::from_secs(180);
