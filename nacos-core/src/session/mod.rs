//! The life of a client's session with its servers, without the I/O.
//!
//! Three kinds of methods, told apart by name: `handle_*` takes in what happened, `poll_*` hands
//! out what to do about it, the rest are commands and getters. Call every `poll_*` after each
//! `handle_*` and each command. Time comes in as an argument, randomness as a function given at
//! construction; nothing here reads a clock, draws a number or awaits.
//!
//! What happens where: [`connecting`] is a machine of its own with the same contract, which gets
//! and changes connections; [`redo`] sends claims and queries over the one that serves; the small
//! machines beside it decide one thing each. The session itself is the router: it owns the requests
//! under way and what goes [out](output), gives each input to whom it concerns, and lets the rest
//! follow what *connecting* decides.
mod actions;
mod backoff;
mod claims;
mod commands;
mod connecting;
mod documents;
mod doubts;
mod entries;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod ledger;
mod listens;
mod metrics;
mod options;
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
mod timer;
mod timers;
mod told;
mod union;

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

pub(crate) use self::{
    actions::{Action, Event},
    backoff::{conflict_delay, reconnect_delay},
    claims::{ClaimKey, GuardId},
    connecting::{
        ABOUT_LOGIN,
        admission::{DEMANDED, LOGIN_REFUSED},
        link::LinkId,
        liveness::Patience,
        login::{Lease, LoginFailure, Tried},
    },
    ledger::Standing,
    options::Options,
    queue::Queue,
};
use self::{
    claims::Claims,
    connecting::{Change, Connecting},
    documents::Documents,
    doubts::Doubts,
    freshness::Shown,
    output::{CALL_TIMEOUT, Call, Context, Holdings, Output},
    presence::Presence,
    redo::Pending,
    setback::Gone,
};
use crate::{
    call_error::CallError,
    disconnect::Reason,
    key::ServiceKey,
    server::Server,
    state::{ClaimState, SessionState},
    time::give_or_take_a_fifth,
    wire::{Outgoing, Payload},
};

/// Names a request of the session's own. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallId(u64);

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
            doubts: Doubts::new(),
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
        let outcome = match pending {
            Pending::Connecting(asked) => self
                .connect(now, |connecting, cx| connecting.handle_answer(cx, origin, asked, answer)),
            // What the session has sent over another connection counts no more.
            _ if self.serving_link() != Some(origin.link) => Ok(()),
            pending => {
                match &answer {
                    Err(CallError::Timeout) => self.connect(now, |connecting, cx| {
                        connecting.handle_requests_unanswered(cx, 1);
                    }),
                    Err(CallError::NotSent(_) | CallError::Lost(_) | CallError::Unsigned(_)) => {}
                    _ => self.connecting.handle_request_answered(&mut self.output),
                }
                self.redo_answered(now, origin, pending, answer)
            }
        };
        if let Err(Gone { reason, why }) = outcome {
            self.lose_link(now, origin.link, reason, &why);
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

    // Outputs.

    /// What to do next, if anything.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.output.poll_action()
    }

    /// What to show next, if anything.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.output.poll_event()
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

    /// Whether a refused login is tried again within seconds, and may be granted then.
    pub(crate) fn tries_soon(&self) -> bool {
        self.connecting.tries_soon()
    }

    /// Whether requests are to carry what the last login brought.
    pub(crate) fn has_token(&self) -> bool {
        self.connecting.has_token()
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
    fn connect<T>(
        &mut self,
        now: Instant,
        handle: impl FnOnce(&mut Connecting, &mut Context<'_>) -> T,
    ) -> T {
        let (lifetime, holdings) = (self.lifetime, Holdings(&self.claims));
        let mut cx = Context { now, lifetime, holdings, output: &mut self.output };
        let outcome = handle(&mut self.connecting, &mut cx);
        while let Some(change) = self.connecting.poll_change() {
            match change {
                Change::ServesNoMore => drop(self.forgotten()),
                Change::Serves => {
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
        outcome
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
        now + give_or_take_a_fifth(AUDIT_EVERY, self.output.jitter())
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
