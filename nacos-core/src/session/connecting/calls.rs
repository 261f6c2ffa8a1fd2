//! How a request about the connection itself goes out.
use std::time::Duration;

use super::{Asked, CallId, ConnectingMachine, Context, LinkId};
use crate::{
    session::output::{CALL_TIMEOUT, Pending},
    wire::Outgoing,
};

impl ConnectingMachine {
    /// Sends `request` on `link`; the answer comes to [`handle_answer`](Self::handle_answer).
    pub(super) fn call(
        &self,
        cx: &mut Context<'_>,
        link: LinkId,
        request: Outgoing,
        asked: Asked,
    ) -> CallId {
        self.call_within(cx, CALL_TIMEOUT, link, request, asked)
    }

    /// The same with another limit for the answer.
    pub(super) fn call_within(
        &self,
        cx: &mut Context<'_>,
        timeout: Duration,
        link: LinkId,
        request: Outgoing,
        asked: Asked,
    ) -> CallId {
        let origin = (link, self.authentication.token());
        cx.output.call(origin, timeout, request, Pending::Connecting(asked))
    }
}
