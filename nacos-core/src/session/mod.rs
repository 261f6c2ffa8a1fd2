//! The life of a client's session with its servers, without the I/O.
//!
//! Three kinds of methods, told apart by name: `handle_*` takes in what happened, `poll_*` hands
//! out what to do about it, the rest are commands and getters. Call every `poll_*` after each
//! `handle_*` and each command. Time comes in as an argument, randomness as a function given at
//! construction; nothing here reads a clock, draws a number or awaits.
//!
//! Three machines have the same contract, and fields of their own. [`connecting`] gets and changes
//! connections; over the one that serves, [`naming`] keeps the server told of registrations and
//! subscriptions, and [`configs`] of the documents that are watched. The session itself is the
//! router: it owns the requests under way and the [output](output), gives each input to the machine
//! that it concerns, classifies the answer to each [request](answers) once, and lets *naming* and
//! *configs* follow the decisions of *connecting*. One [type](claims) keeps the claims of either.
mod answers;
mod backoff;
mod cause;
mod claims;
mod commands;
mod configs;
mod connecting;
mod context;
mod effects;
mod entries;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod guard_set;
mod ids;
mod ledger;
mod lifetime;
mod naming;
mod options;
mod output;
mod pushes;
mod queue;
mod request_failure;
mod serving_context;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod steps;
mod timer;
mod timers;
mod told;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

pub(crate) use self::{
    backoff::{conflict_delay, reconnect_delay},
    cause::{ABOUT_LOGIN, NoToken},
    commands::Commands,
    configs::PullOptions,
    connecting::{
        authentication::login::{LoginFailure, TokenLease, Tried},
        link::Addresses,
        liveness::Patience,
    },
    effects::{Effect, Event},
    ids::{CallId, ClaimKey, GuardId, LinkId},
    ledger::Revision,
    options::Options,
    output::Jitter,
    queue::Queue,
    timers::Timers,
};
use self::{
    configs::ConfigsMachine,
    connecting::{ConnectingMachine, Decision},
    context::{Context, Holdings},
    lifetime::Lifetime,
    naming::NamingMachine,
    output::Output,
    serving_context::{ConnectionFacts, ServingContext},
};
use crate::{
    disconnect::Reason, resource::Resource, server::Server, state::SessionState,
    storm::StormReport, wire::Payload,
};

/// See the [module documentation](self).
pub(crate) struct Session {
    /// Names this client among those of its host.
    client_id: String,
    connecting: ConnectingMachine,
    naming: NamingMachine,
    configs: ConfigsMachine,

    lifetime: Lifetime,
    shown: SessionState,
    output: Output,
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
            naming: NamingMachine::new(),
            configs: ConfigsMachine::new(now, &options.pulls),
            connecting: ConnectingMachine::new(now, servers, options, &mut jitter),
            lifetime: Lifetime::Open,
            shown: SessionState::Connecting { failed_searches: 0, last_error: None },
            output: Output::new(jitter),
        }
    }

    // Inputs.

    /// A connection was opened, or could not be.
    pub(crate) fn handle_dialled(
        &mut self,
        now: Instant,
        link: LinkId,
        outcome: Result<Addresses, String>,
    ) {
        self.with_connecting(now, |connecting, cx| connecting.handle_dialled(cx, link, outcome));
        self.settle(now);
    }

    /// The server sent `payload` on the stream. It has been acknowledged already, or
    /// [answered](Self::answer).
    pub(crate) fn handle_push(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        self.with_connecting(now, |connecting, cx| connecting.handle_stream_heard(cx, link));
        self.pushed(now, link, payload);
        self.settle(now);
    }

    /// The server sent something on the stream that is too large or no Nacos message; `head` is as
    /// much as is known of it.
    pub(crate) fn handle_unreadable(
        &mut self,
        now: Instant,
        link: LinkId,
        head: &Payload,
        why: &str,
    ) {
        self.with_connecting(now, |connecting, cx| connecting.handle_stream_heard(cx, link));
        self.unreadable(now, link, head, why);
        self.settle(now);
    }

    /// The connection ended.
    pub(crate) fn handle_lost(&mut self, now: Instant, link: LinkId, why: &str) {
        self.lose_link(now, link, Reason::Connection, why);
        self.settle(now);
    }

    /// The stream ended, and as far as is known the connection did not.
    pub(crate) fn handle_stream_ended(&mut self, now: Instant, link: LinkId, why: &str) {
        self.with_connecting(now, |connecting, cx| connecting.handle_stream_ended(cx, link, why));
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

    /// A user's request about `to` was answered on `link`, and carried no token.
    pub(crate) fn handle_admitted(&mut self, now: Instant, link: LinkId, to: Resource) {
        if self.serving_link() == Some(link) && self.connecting.handle_admitted(to) {
            self.settle(now);
        }
    }

    /// `count` of users' requests were not answered on `link` for as long as one of ours may take.
    pub(crate) fn handle_unanswered(&mut self, now: Instant, link: LinkId, count: u32) {
        if self.serving_link() == Some(link) {
            self.with_connecting(now, |connecting, cx| {
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
        outcome: Result<TokenLease, LoginFailure>,
    ) {
        if self.lifetime == Lifetime::Closed {
            return;
        }
        self.with_connecting(now, |connecting, cx| connecting.handle_login(cx, with, outcome));
        self.settle(now);
    }

    /// A user's request was denied with the token in use, or without one if there is none.
    pub(crate) fn handle_denied(&mut self, now: Instant) {
        self.connecting.handle_denied(now);
        self.settle(now);
    }

    /// The list of servers was read, or could not be.
    pub(crate) fn handle_servers(&mut self, now: Instant, outcome: Result<Vec<Server>, String>) {
        if self.lifetime != Lifetime::Open {
            return;
        }
        self.with_connecting(now, |connecting, cx| connecting.handle_servers(cx, outcome));
        self.settle(now);
    }

    // Outputs.

    /// The next effect, if there is one.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.output.poll_effect()
    }

    /// The next event, if there is one.
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
        let Self { naming, configs, .. } = self;
        naming.claims().remaining() + configs.claims().remaining() + configs.patterns().remaining()
    }

    /// How many claims are not held right now.
    pub(crate) fn unsettled(&self) -> usize {
        let Self { naming, configs, .. } = self;
        naming.claims().unsettled() + configs.claims().unsettled() + configs.patterns().unsettled()
    }

    /// The answer to `payload`, if it asks what this client holds: for each document its size in
    /// bytes and its digest, nothing for one that is not held, and never any content.
    pub(crate) fn answer(&self, payload: &Payload) -> Option<Payload> {
        self.configs.answer(&self.client_id, payload)
    }

    /// Whether servers answer health checks and nothing else.
    pub(crate) fn is_unresponsive(&self) -> bool {
        self.connecting.is_unresponsive()
    }

    /// Whether something is due or under way that may let in who was refused: a login, or the
    /// question whether one is needed.
    pub(crate) fn is_renewing(&self) -> bool {
        self.connecting.authentication().is_renewing()
    }

    /// Whether a refused login is tried again within seconds, and may be granted then.
    pub(crate) fn tries_soon(&self) -> bool {
        self.connecting.authentication().tries_soon()
    }

    /// Whether a user's request that finds nobody who lets it in is worth a try without a token.
    pub(crate) fn tries_without_token(&self) -> bool {
        self.connecting.authentication().tries_without_token(self.serving_link())
    }

    /// The server of the connection that serves, as it was named in the options, or in the list.
    pub(crate) fn server(&self) -> Option<&Arc<str>> {
        self.connecting.links().serving().map(|serving| &serving.server)
    }

    /// The abilities of that server.
    pub(crate) fn abilities(&self) -> Option<&Arc<BTreeMap<String, bool>>> {
        self.connecting.links().serving().map(|serving| &serving.abilities)
    }

    /// Whether requests are to carry what the last login brought.
    pub(crate) fn has_token(&self) -> bool {
        self.connecting.authentication().has_token()
    }

    /// How the pulls of documents are governed.
    pub(crate) fn storm(&self) -> StormReport {
        self.configs.storm()
    }

    /// Why the session is not connected right now.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.connecting.waits_for()
    }

    // Shared by the parts.

    /// The end of every input: sends what can be sent, closes what is done, shows what changed.
    fn settle(&mut self, now: Instant) {
        self.with_connecting(now, ConnectingMachine::ask_admission);
        self.send_due(now);
        self.configs.show_mode(now, &mut self.output);
        if matches!(self.lifetime, Lifetime::Closing { .. })
            && (self.remaining() == 0 || !self.connection(now).may_send())
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

    /// Sends what is due over the connection that serves: first what others see of this client,
    /// then what it wants to know, and last whether the server still has the former.
    fn send_due(&mut self, now: Instant) {
        if !self.connection(now).may_send() {
            return;
        }
        let room = MAX_CALLS.saturating_sub(self.output.under_way());
        self.with_naming(now, |naming, cx| naming.send_claims(cx, room));
        self.with_configs(now, ConfigsMachine::send_due);
        self.with_naming(now, NamingMachine::send_checks);
    }

    /// Gives *connecting* an input, and follows what it decides.
    fn with_connecting<T>(
        &mut self,
        now: Instant,
        handle: impl FnOnce(&mut ConnectingMachine, &mut Context<'_>) -> T,
    ) -> T {
        let holdings = Holdings {
            naming: self.naming.claims(),
            configs: self.configs.claims(),
            patterns: self.configs.patterns(),
        };
        let (lifetime, output) = (self.lifetime, &mut self.output);
        let mut cx = Context { now, lifetime, holdings, output };
        let outcome = handle(&mut self.connecting, &mut cx);
        while let Some(decision) = self.connecting.poll_decision() {
            match decision {
                Decision::ServesNoMore { server, since } => {
                    self.configs.handle_lost(now, (server, since), &mut self.output);
                    self.forgotten();
                }
                Decision::Serves => {
                    if self.forgotten() {
                        // The former server would still show instances whose withdrawal counts as
                        // done.
                        self.close_retiring();
                    }
                    self.configs.handle_serves(now, &mut self.output);
                }
                Decision::LetIn => {
                    self.naming.handle_admitted();
                    self.configs.handle_admitted();
                }
                Decision::Unreachable(why) => {
                    self.configs.handle_unreachable(&mut self.output, &why);
                }
            }
        }
        outcome
    }

    /// Gives *naming* an input.
    fn with_naming<T>(
        &mut self,
        now: Instant,
        handle: impl FnOnce(&mut NamingMachine, &mut ServingContext<'_>) -> T,
    ) -> T {
        let connection = self.connecting.connection(now, self.lifetime);
        handle(&mut self.naming, &mut ServingContext { now, connection, output: &mut self.output })
    }

    /// Gives *configs* an input.
    fn with_configs<T>(
        &mut self,
        now: Instant,
        handle: impl FnOnce(&mut ConfigsMachine, &mut ServingContext<'_>) -> T,
    ) -> T {
        let connection = self.connecting.connection(now, self.lifetime);
        handle(&mut self.configs, &mut ServingContext { now, connection, output: &mut self.output })
    }

    /// The server of the next connection holds nothing of ours. Says whether the withdrawal of an
    /// instance is thereby done.
    fn forgotten(&mut self) -> bool {
        let withdrawn = self.naming.handle_reconnected(&mut self.output);
        self.configs.handle_reconnected(&mut self.output);
        withdrawn
    }

    /// A connection is of no use any more, for this `reason`.
    fn lose_link(&mut self, now: Instant, link: LinkId, reason: Reason, why: &str) {
        self.with_connecting(now, |connecting, cx| connecting.handle_lost(cx, link, reason, why));
    }

    /// Closes every connection that has been replaced, and with it what its server still holds.
    fn close_retiring(&mut self) {
        self.connecting.close_retiring(&mut self.output);
    }

    fn end(&mut self, now: Instant) {
        self.lifetime = Lifetime::Closed;
        self.with_connecting(now, ConnectingMachine::end);
    }

    fn serving_link(&self) -> Option<LinkId> {
        self.connecting.links().serving_id()
    }

    fn connection(&self, now: Instant) -> ConnectionFacts<'_> {
        self.connecting.connection(now, self.lifetime)
    }
}

/// Getters for tests.
#[cfg(test)]
impl Session {
    fn can_send(&self, now: Instant) -> bool {
        self.connection(now).may_send()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.shown)
            .field("connecting", &self.connecting)
            .field("claims", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// Requests of the session's own under way at once.
const MAX_CALLS: usize = 256;
