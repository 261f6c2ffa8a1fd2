//! The life of a client's session with its servers, without the I/O.
//!
//! Three kinds of methods, told apart by name: `handle_*` takes in what happened, `poll_*` hands
//! out what to do about it, the rest are commands and getters. Call every `poll_*` after each
//! `handle_*` and each command. Time comes in as an argument, randomness as a function given at
//! construction; nothing here reads a clock, draws a number or awaits.
//!
//! What happens where: [`connecting`] is a machine of its own with the same contract, which gets and
//! changes connections; [`redo`] sends claims and queries over the one that serves; the small machines
//! beside it decide one thing each. The session itself is the router: it owns the requests under way
//! and what goes [out](output), gives each input to whom it concerns, and lets the rest follow what
//! *connecting* decides.
mod backoff;
mod claims;
mod connecting;
mod documents;
mod doubts;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod ledger;
mod listens;
mod metrics;
mod output;
mod presence;
mod publication;
mod pushes;
mod queue;
mod redo;
mod self_check;
mod setback;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod steps;
mod timers;
mod told;
mod union;

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::{
    backoff::{conflict_delay, reconnect_delay},
    claims::{ClaimKey, GuardId},
    connecting::{
        ABOUT_LOGIN,
        admission::DEMANDED,
        link::LinkId,
        liveness::Patience,
        login::{Lease, LoginFailure, Tried},
    },
    ledger::Standing,
    queue::Queue,
};
use self::{
    claims::Claims,
    connecting::{Change, Connecting, proxied::Finding},
    documents::Documents,
    doubts::Doubts,
    freshness::Shown,
    output::{CALL_TIMEOUT, Call, Context, Holdings, Output},
    presence::Presence,
    redo::Pending,
};
use crate::{
    call_error::CallError,
    disconnect::{Disconnect, Reason},
    document::DocumentState,
    instance::Instance,
    key::{ConfigKey, Namespace, ServiceKey},
    resource::Resource,
    server::Server,
    service::Service,
    state::{ClaimState, SessionState},
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
    /// Names this client among those of its host.
    client_id: String,
    connecting: Connecting,
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

    lifetime: Lifetime,
    shown: SessionState,
    output: Output,
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

impl Session {
    /// A session that wants to connect at once; `servers` are none if their list is to be read
    /// first.
    pub(crate) fn new(
        now: Instant,
        servers: Vec<Server>,
        options: Options,
        mut jitter: Jitter,
    ) -> Self {
        Self {
            client_id: options.client_id.clone(),
            connecting: Connecting::new(now, servers, options, &mut jitter),
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
            lifetime: Lifetime::Open,
            shown: SessionState::Connecting { attempt: 0, last_error: None },
            output: Output::new(jitter),
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
        self.connect(now, Connecting::handle_timeout);
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
        self.connect(now, |connecting, cx| connecting.handle_dialled(cx, link, outcome));
        self.settle(now);
    }

    /// A request of the session's own was answered, or will not be.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        id: CallId,
        answer: Result<Payload, CallError>,
    ) {
        let Some(Call { origin, pending }) = self.output.answered(id) else { return };
        if answer.is_ok() {
            self.handle_heard(origin.link, now);
        }
        match pending {
            Pending::Connecting(asked) => self.connect(now, |connecting, cx| {
                connecting.handle_answer(cx, origin, asked, answer);
            }),
            // What the session has sent over another connection counts no more.
            _ if self.serving_link() != Some(origin.link) => {}
            pending => {
                match &answer {
                    Err(CallError::Timeout) => self.connect(now, |connecting, cx| {
                        connecting.handle_requests_unanswered(cx, 1);
                    }),
                    Err(CallError::NotSent(_) | CallError::Lost(_)) => {}
                    _ => self.connecting.handle_request_answered(&mut self.output),
                }
                self.redo_answered(now, origin, pending, answer);
            }
        }
        self.settle(now);
    }

    /// The server sent `payload` on the stream. It has been acknowledged already, or
    /// [answered](Self::answer).
    pub(crate) fn handle_push(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        self.connect(now, |connecting, cx| connecting.handle_stream_heard(cx, link));
        self.pushed(now, link, payload);
        self.settle(now);
    }

    /// The server sent something on the stream that is too large or no Nacos message; `head` is as
    /// much as is known of it.
    pub(crate) fn handle_unread(&mut self, now: Instant, link: LinkId, head: &Payload, why: &str) {
        self.connect(now, |connecting, cx| connecting.handle_stream_heard(cx, link));
        self.unread(now, link, head, why);
        self.settle(now);
    }

    /// The connection ended.
    pub(crate) fn handle_lost(&mut self, now: Instant, link: LinkId, why: &str) {
        self.lose_link(now, link, Reason::Connection, why);
        self.settle(now);
    }

    /// The stream ended, and as far as is known the connection did not.
    pub(crate) fn handle_stream_ended(&mut self, now: Instant, link: LinkId, why: &str) {
        self.connect(now, |connecting, cx| connecting.handle_stream_ended(cx, link, why));
        self.settle(now);
    }

    /// Users' requests were answered on `link`, the last one at `at`.
    pub(crate) fn handle_heard(&mut self, link: LinkId, at: Instant) {
        self.connecting.handle_heard(&mut self.output, link, at);
    }

    /// A user's request was answered on `link`.
    pub(crate) fn handle_answered(&mut self, link: LinkId) {
        if self.serving_link() == Some(link) {
            self.connecting.handle_request_answered(&mut self.output);
        }
    }

    /// `count` of users' requests were not answered on `link` for as long as one of ours may take.
    pub(crate) fn handle_unanswered(&mut self, now: Instant, link: LinkId, count: u32) {
        if self.serving_link() == Some(link) {
            self.connect(now, |connecting, cx| {
                connecting.handle_requests_unanswered(cx, count);
            });
        }
        self.settle(now);
    }

    /// Users' requests are under way on `link`: if it has been replaced, it stays a little longer,
    /// at most for as long as a request may take. One that nobody polls never ends by itself.
    pub(crate) fn handle_busy(&mut self, now: Instant, link: LinkId) {
        self.connecting.handle_busy(now, link);
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
        self.connect(now, |connecting, cx| connecting.handle_login(cx, with, outcome));
        self.settle(now);
    }

    /// The list of servers was read, or could not be.
    pub(crate) fn handle_servers(&mut self, now: Instant, outcome: Result<Vec<Server>, String>) {
        if self.lifetime != Lifetime::Open {
            return;
        }
        self.connect(now, |connecting, cx| connecting.handle_servers(cx, outcome));
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
        self.output.show(Event::Claim(guard, state));
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
                self.output.show(Event::Settled(key.clone()));
            }
        }
    }

    /// A request was denied with the token in use, or without one if there is none.
    pub(crate) fn token_refused(&mut self, now: Instant) {
        self.connecting.handle_denied(now);
    }

    /// Somebody wants to know, before anything else and until then, whether this session needs a
    /// login.
    pub(crate) fn knock(&mut self, until: Instant) {
        self.connecting.knock(until);
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
        self.output.poll_action()
    }

    /// What to show next, if anything.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.output.poll_event()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); never, once closed.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let closing = match self.lifetime {
            Lifetime::Closed => return None,
            Lifetime::Closing { deadline } => Some(deadline),
            Lifetime::Open => None,
        };
        // Refused claims and failed queries wait for a connection anyway.
        let refused = self.claims.next_retry().filter(|_| self.can_send());
        let asked =
            [self.documents.next_retry(), self.presence.next_timeout(), self.doubts.next_timeout()];
        let asked = asked.into_iter().filter(|_| self.can_ask());
        let times =
            [closing, self.connecting.poll_timeout(now, self.lifetime), refused, self.next_audit];
        times.into_iter().chain(asked).flatten().min()
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
        self.connecting.is_unresponsive()
    }

    /// Whether something is due or under way that may let in who was refused: a login, or the
    /// question whether one is needed.
    pub(crate) fn is_renewing(&self) -> bool {
        self.connecting.is_renewing()
    }

    /// Whether requests are to carry what the last login brought.
    pub(crate) fn has_token(&self) -> bool {
        self.connecting.has_token()
    }

    /// Whether there is nothing to do but to wait for the first list of servers.
    #[cfg(test)]
    fn awaits_servers(&self) -> bool {
        self.connecting.awaits_servers()
    }

    /// What keeps it from being connected right now.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.connecting.waits_for()
    }

    /// Every claimed key, and how much of it the server knows.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (&ClaimKey, Standing)> {
        self.claims.standings()
    }

    // Shared by the parts.

    /// The end of every input: sends what can be sent, closes what is done, shows what changed.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.connect(now, Connecting::ask_admission);
        self.send_due(now);
        if matches!(self.lifetime, Lifetime::Closing { .. })
            && (self.claims.remaining() == 0 || !self.can_send())
        {
            self.end(now);
        }
        let state = match self.lifetime {
            Lifetime::Closed => SessionState::Closed,
            _ => self.connecting.state(now),
        };
        if state != self.shown {
            self.shown = state.clone();
            self.output.show(Event::State(state));
        }
    }

    /// Gives `connecting` an input, and follows what it decides.
    fn connect(&mut self, now: Instant, handle: impl FnOnce(&mut Connecting, &mut Context<'_>)) {
        let (lifetime, holdings) = (self.lifetime, Holdings(&self.claims));
        let mut cx = Context { now, lifetime, holdings, output: &mut self.output };
        handle(&mut self.connecting, &mut cx);
        while let Some(change) = self.connecting.poll_change() {
            match change {
                Change::Serving(None) => drop(self.forgotten()),
                Change::Serving(Some(_)) => {
                    if self.forgotten() {
                        // What was withdrawn, and is told to nobody any more, would show there.
                        self.close_retiring();
                    }
                    self.next_audit = Some(self.audit_after(now));
                }
                Change::LetIn => {
                    self.claims.retry_refused(crate::wire::DENIED);
                    self.documents.retry_failed();
                }
                Change::Unreachable(cause) => {
                    let told = self.documents.unreachable(&cause);
                    let event = |(key, state)| Event::Document(key, state);
                    self.output.show_all(told.into_iter().map(event));
                }
            }
        }
    }

    /// Whoever serves, or will serve, holds nothing of ours. Says whether the withdrawal of an
    /// instance is thereby done.
    fn forgotten(&mut self) -> bool {
        let withdrawn = self.claims.reconnected();
        let instances = withdrawn.iter().any(|key| matches!(key, ClaimKey::Instances(_)));
        self.output.show_all(withdrawn.into_iter().map(Event::Settled));
        self.documents.reconnected();
        self.presence.reconnected();
        self.doubts.reconnected();
        self.lists.clear();
        self.listens_under_way = 0;
        let guards = self.claims.tell_all(&ClaimState::Pending).into_iter();
        self.output.show_all(guards.map(|guard| Event::Claim(guard, ClaimState::Pending)));
        instances
    }

    /// A connection is of no use any more, for this `reason`.
    fn lose_link(&mut self, now: Instant, link: LinkId, reason: Reason, why: &str) {
        self.connect(now, |connecting, cx| connecting.handle_lost(cx, link, reason, why));
    }

    /// Closes every connection that has been replaced, and with it what its server still holds.
    fn close_retiring(&mut self) {
        self.connecting.close_retiring(&mut self.output);
    }

    fn end(&mut self, now: Instant) {
        self.lifetime = Lifetime::Closed;
        self.connect(now, Connecting::end);
    }

    fn call(&mut self, link: LinkId, request: Outgoing, pending: Pending) -> CallId {
        let origin = (link, self.connecting.token());
        self.output.call(origin, CALL_TIMEOUT, request, pending)
    }

    fn serving_link(&self) -> Option<LinkId> {
        self.connecting.serving()
    }

    fn can_send(&self) -> bool {
        let may = self.serving_link().is_some() && self.connecting.is_let_in();
        may && self.lifetime != Lifetime::Closed
    }

    /// Whoever closes has withdrawn everything, and wants to know nothing any more.
    fn can_ask(&self) -> bool {
        self.can_send() && self.lifetime == Lifetime::Open
    }

    fn audit_after(&mut self, now: Instant) -> Instant {
        now + AUDIT_EVERY.mul_f64(0.8 + 0.4 * self.output.jitter())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.shown)
            .field("connecting", &self.connecting)
            .field("claims", &self.claims.remaining())
            .finish_non_exhaustive()
    }
}

/// Every listen is confirmed this often, give or take a fifth.
const AUDIT_EVERY: Duration = Duration::from_secs(180);
