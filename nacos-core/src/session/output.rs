//! What goes out of a session: the requests under way, what is to be done, and what is to be shown.
//!
//! The router owns it, and lends it to each machine in a [`Context`].
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Action, CallId, Event, Jitter, Lifetime, LinkId,
    claims::{ClaimKey, Claims},
    ledger::Standing,
    redo::{Origin, Pending},
};
use crate::{
    key::{ConfigKey, ServiceKey},
    wire::Outgoing,
};

/// What a machine is told of the moment, and where it puts what it wants.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) lifetime: Lifetime,
    pub(super) holdings: Holdings<'a>,
    pub(super) output: &'a mut Output,
}

/// What servers hold of ours, as far as it matters to whoever chooses a connection.
#[derive(Clone, Copy)]
pub(super) struct Holdings<'a>(pub(super) &'a Claims);

impl<'a> Holdings<'a> {
    /// Whether the server of the connection that serves holds anything.
    pub(super) fn are_some(self) -> bool {
        self.0.holds_anything()
    }

    /// The services of which something is claimed, each with whether the server agreed to it.
    pub(super) fn services(self) -> impl Iterator<Item = (&'a ServiceKey, bool)> {
        self.0.standings().filter_map(|(key, standing)| match key {
            ClaimKey::Instances(service) | ClaimKey::Subscription(service) => {
                Some((service, standing == Standing::Held))
            }
            ClaimKey::Listen(_) => None,
        })
    }

    /// The same of documents.
    pub(super) fn documents(self) -> impl Iterator<Item = (&'a ConfigKey, bool)> {
        self.0.standings().filter_map(|(key, standing)| match key {
            ClaimKey::Listen(document) => Some((document, standing == Standing::Held)),
            ClaimKey::Instances(_) | ClaimKey::Subscription(_) => None,
        })
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

    /// What was asked as `call`, if its answer still counts. It is under way no more.
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
