//! The context of *naming* and *configs*: the connection that serves, and the output.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    cause::NoToken,
    ids::LinkId,
    lifetime::Lifetime,
    output::{CALL_TIMEOUT, Output, Pending},
};
use crate::wire::{Ability, Outgoing};

/// The moment and the serving connection as *naming* and *configs* see them, and the output for
/// their effects and events.
pub(super) struct ServingContext<'a> {
    pub(super) now: Instant,
    pub(super) connection: ConnectionFacts<'a>,
    pub(super) output: &'a mut Output,
}

impl ServingContext<'_> {
    /// Sends `request` over the connection that serves, which is there.
    pub(super) fn call(&mut self, mut request: Outgoing, asked: impl Into<Pending>) {
        let tag = self.connection.tag.filter(|_| request.is_by_tag);
        request.payload = request.payload.tagged(tag);
        if let Some(link) = self.connection.link {
            let origin = (link, self.connection.token);
            self.output.call(origin, CALL_TIMEOUT, request, asked.into());
        }
    }
}

/// The connection that serves, as far as it matters to what goes over it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts, none of which follows from another")]
pub(super) struct ConnectionFacts<'a> {
    /// Which it is, if one serves.
    pub(super) link: Option<LinkId>,
    /// Whether requests are let in, as far as is known.
    pub(super) is_let_in: bool,
    pub(super) lifetime: Lifetime,
    /// Which token requests carry, by number.
    pub(super) token: u64,
    /// Why requests carry no token, as far as is known.
    pub(super) no_token: Option<NoToken<'a>>,
    /// Whether something is due or under way that may let in requests that were refused, or there
    /// is no token because servers are not ready to grant one.
    pub(super) is_renewing: bool,
    /// Whether its server may not know its users' rights yet.
    pub(super) is_fresh: bool,
    /// Whether its server may leave documents out of a listen without a word: r-nacos, with those
    /// that the user may not read.
    pub(super) may_omit: bool,
    /// The gray tag of this client.
    pub(super) tag: Option<&'a str>,
    /// The name of its server, and what that has announced.
    pub(super) server: Option<(&'a str, &'a BTreeMap<String, bool>)>,
}

impl ConnectionFacts<'_> {
    /// Whether claims may go out.
    pub(super) fn may_send(&self) -> bool {
        self.link.is_some() && self.is_let_in && self.lifetime != Lifetime::Closed
    }

    /// Whether questions may: a client that closes has withdrawn everything, and asks nothing.
    pub(super) fn may_ask(&self) -> bool {
        self.may_send() && self.lifetime == Lifetime::Open
    }

    /// Why its server is not asked for something that needs `ability`; `None` if it has that.
    pub(super) fn lacks(&self, ability: Ability) -> Option<String> {
        let (server, abilities) = self.server?;
        ability.missing(abilities, server)
    }

    /// When something is sent again that is to be after `delay`. A session that closes does not
    /// wait for refused requests.
    pub(super) fn later(&self, now: Instant, delay: Option<Duration>) -> Option<Instant> {
        delay.filter(|_| self.lifetime == Lifetime::Open).map(|delay| now + delay)
    }
}
