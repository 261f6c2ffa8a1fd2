//! The output of a session: the requests under way, the actions to do, and the events to show.
//!
//! The router owns it, and lends it to each machine in a [`Context`].
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Action, CallId, Event, Jitter, Lifetime, LinkId,
    claims::Claims,
    configs,
    connecting::Asked,
    ledger::Standing,
    naming::{self, NamingKey},
};
use crate::{
    key::{ConfigKey, ServiceKey},
    wire::Outgoing,
};

/// The moment as *connecting* sees it, and the output for its actions and events.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) lifetime: Lifetime,
    pub(super) holdings: Holdings<'a>,
    pub(super) output: &'a mut Output,
}

/// The claims that servers hold, as far as they matter to the choice of a connection.
#[derive(Clone, Copy)]
pub(super) struct Holdings<'a> {
    pub(super) naming: &'a Claims<NamingKey>,
    pub(super) configs: &'a Claims<ConfigKey>,
}

impl<'a> Holdings<'a> {
    /// Whether the server of the connection that serves holds anything.
    pub(super) fn are_some(self) -> bool {
        self.naming.are_held() || self.configs.are_held()
    }

    /// The services of which something is claimed, each with whether the server agreed to it.
    pub(super) fn services(self) -> impl Iterator<Item = (&'a ServiceKey, bool)> {
        let claimed = self.naming.standings();
        claimed.map(|(key, standing)| (key.service(), standing == Standing::Held))
    }

    /// The same of documents.
    pub(super) fn documents(self) -> impl Iterator<Item = (&'a ConfigKey, bool)> {
        self.configs.standings().map(|(key, standing)| (key, standing == Standing::Held))
    }
}

/// The moment and the serving connection as *naming* and *configs* see them, and the output for
/// their actions and events.
pub(super) struct Exchange<'a> {
    pub(super) now: Instant,
    pub(super) connection: Connection<'a>,
    pub(super) output: &'a mut Output,
}

impl Exchange<'_> {
    /// Sends `request` over the connection that serves, which is there.
    pub(super) fn call(&mut self, request: Outgoing, asked: impl Into<Pending>) {
        if let Some(link) = self.connection.link {
            let origin = (link, self.connection.token);
            self.output.call(origin, CALL_TIMEOUT, request, asked.into());
        }
    }
}

/// The connection that serves, as far as it matters to what goes over it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts, none of which follows from another")]
pub(super) struct Connection<'a> {
    /// Which it is, if one serves.
    pub(super) link: Option<LinkId>,
    /// Whether requests are let in, as far as is known.
    pub(super) is_let_in: bool,
    pub(super) lifetime: Lifetime,
    /// Which token requests carry, by number.
    pub(super) token: u64,
    /// Whether nobody logs in: there are no credentials.
    pub(super) is_anonymous: bool,
    /// Why servers refused the login, if there is no token.
    pub(super) refused_login: Option<&'a str>,
    /// Whether something is due or under way that may let in requests that were refused, or there
    /// is no token because servers are not ready to grant one.
    pub(super) is_renewing: bool,
    /// Whether its server may not know its users' rights yet.
    pub(super) is_fresh: bool,
}

impl Connection<'_> {
    /// Whether claims may go out.
    pub(super) fn may_send(&self) -> bool {
        self.link.is_some() && self.is_let_in && self.lifetime != Lifetime::Closed
    }

    /// Whether questions may: a client that closes has withdrawn everything, and asks nothing.
    pub(super) fn may_ask(&self) -> bool {
        self.may_send() && self.lifetime == Lifetime::Open
    }

    /// When something is sent again that is to be after `delay`. A session that closes does not
    /// wait for refused requests.
    pub(super) fn later(&self, now: Instant, delay: Option<Duration>) -> Option<Instant> {
        delay.filter(|_| self.lifetime == Lifetime::Open).map(|delay| now + delay)
    }
}

/// A request, and the connection and the token that it went out with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) link: LinkId,
    /// Which token it was: a refusal of an older one says nothing about the newest.
    pub(super) token: u64,
    pub(super) call: CallId,
}

/// The subject of a request of the session's own, by the machine that takes the answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connecting(Asked),
    Naming(naming::Asked),
    Configs(configs::Asked),
}

impl From<naming::Asked> for Pending {
    fn from(asked: naming::Asked) -> Self {
        Self::Naming(asked)
    }
}

impl From<configs::Asked> for Pending {
    fn from(asked: configs::Asked) -> Self {
        Self::Configs(asked)
    }
}

/// See the [module documentation](self).
pub(super) struct Output {
    jitter: Jitter,
    calls: HashMap<CallId, Call>,
    last_id: u64,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

/// A request of the session's own that is under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) origin: Origin,
    pub(super) pending: Pending,
}

impl Output {
    pub(super) fn new(jitter: Jitter) -> Self {
        Self {
            jitter,
            calls: HashMap::new(),
            last_id: 0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A random number, uniform in `[0, 1)`.
    pub(super) fn jitter(&mut self) -> f64 {
        (self.jitter)()
    }

    /// A number that no request and no connection has had.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Requests with a higher number have not been sent yet.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Sends `request` on `link`, with the token number `token`.
    pub(super) fn call(
        &mut self,
        (link, token): (LinkId, u64),
        timeout: Duration,
        request: Outgoing,
        pending: Pending,
    ) -> CallId {
        let call = CallId(self.next_id());
        self.calls.insert(call, Call { origin: Origin { link, token, call }, pending });
        let Outgoing { payload: request, resource } = request;
        self.act(Action::Call { link, call, request, resource, timeout });
        call
    }

    /// The request `call`, if its answer still counts. It is under way no more.
    pub(super) fn answered(&mut self, call: CallId) -> Option<Call> {
        self.calls.remove(&call)
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.calls.len()
    }

    /// The answers that `link` still owes count no more, nor take room.
    pub(super) fn forget_calls_of(&mut self, link: LinkId) {
        self.calls.retain(|_, call| call.origin.link != link);
    }

    /// The same for all connections but `link`.
    pub(super) fn forget_calls_but_of(&mut self, link: LinkId) {
        self.calls.retain(|_, call| call.origin.link == link);
    }

    /// The same for all connections.
    pub(super) fn forget_calls(&mut self) {
        self.calls.clear();
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn show(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn show_all(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events);
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

/// For one answer to a request of the session's own.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(3);
