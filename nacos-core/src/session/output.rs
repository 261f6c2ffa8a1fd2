//! The output of a session: the requests under way, the effects to do, and the events to show.
//!
//! The router owns it, and lends it to *connecting* in a [`Context`](super::context::Context),
//! to the other machines in a [`ServingContext`](super::serving_context::ServingContext).
use std::{collections::VecDeque, time::Duration};

use super::{
    configs::asked as configs,
    connecting::asked as connecting,
    effects::{Effect, Event},
    ids::{CallId, LinkId},
    naming::asked as naming,
};
use crate::{
    room::{Map, pop_front},
    wire::Outgoing,
};

/// A random number, uniform in `[0, 1)`.
pub(crate) type Jitter = Box<dyn FnMut() -> f64 + Send>;

/// A request, and the connection and the token that it went out with.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestOrigin {
    pub(super) link: LinkId,
    /// Which token it was: a refusal of an older one says nothing about the newest.
    pub(super) token: u64,
    pub(super) call: CallId,
}

/// The subject of a request of the session's own, by the machine that takes the answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connecting(connecting::Asked),
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
    calls: Map<CallId, PendingCall>,
    last_id: u64,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
}

/// A request of the session's own that is under way.
#[derive(Debug)]
pub(super) struct PendingCall {
    pub(super) origin: RequestOrigin,
    pub(super) pending: Pending,
}

impl Output {
    pub(super) fn new(jitter: Jitter) -> Self {
        Self {
            jitter,
            calls: Map::new(),
            last_id: 0,
            effects: VecDeque::new(),
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
        self.calls
            .insert(call, PendingCall { origin: RequestOrigin { link, token, call }, pending });
        let Outgoing { payload: request, resource, .. } = request;
        self.act(Effect::Call { link, call, request, resource, timeout });
        call
    }

    /// The request `call`, if its answer still counts. It is under way no more.
    pub(super) fn answered(&mut self, call: CallId) -> Option<PendingCall> {
        self.calls.remove(&call)
    }

    /// Whether the request `call`, which is under way, asks for a watched document.
    #[cfg(test)]
    pub(super) fn is_pull(&self, call: CallId) -> bool {
        let pending = self.calls.get(&call).map(|call| &call.pending);
        matches!(pending, Some(Pending::Configs(configs::Asked::Query(..))))
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

    pub(super) fn act(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(super) fn show(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn show_all(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events);
    }

    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        pop_front(&mut self.effects)
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        pop_front(&mut self.events)
    }
}

/// For one answer to a request of the session's own.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(3);
