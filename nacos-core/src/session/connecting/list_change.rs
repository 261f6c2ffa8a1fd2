//! The list of servers was read: what follows for a search, and for the server that serves.
use super::{ConnectingMachine, Context, moves::MoveReason};
use crate::{error::ErrorKind, server::Server, session::backoff::move_delay};

impl ConnectingMachine {
    /// Whether there is nothing to do but to wait for the first list.
    #[cfg(test)]
    pub(in super::super) fn awaits_servers(&self) -> bool {
        !self.list_refresh.is_known() && self.list_refresh.next_timeout().is_none()
    }

    /// The list of servers was read, or could not be.
    pub(in super::super) fn handle_servers(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Result<Vec<Server>, String>,
    ) {
        match outcome {
            Ok(list) if !list.is_empty() => self.listed(cx, list),
            Ok(_) => self.unlisted(cx, "the list of servers is empty"),
            Err(why) => self.unlisted(cx, &why),
        }
    }

    fn listed(&mut self, cx: &mut Context<'_>, list: Vec<Server>) {
        if !self.list_refresh.is_known() {
            self.searches.listed(cx.now);
        }
        let jitter = cx.output.jitter();
        self.list_refresh.found(cx.now, jitter);
        let changed = self.servers.replace(list, &mut || cx.output.jitter());
        if changed && self.searches.relist(self.servers.list()) {
            self.search(cx);
        }
        if self.links.serving().is_none() {
            if changed && !self.searches.is_on() {
                self.searches.begin_at(cx.now);
                self.search(cx);
            }
            return;
        }
        let serves = self.links.serving_link().map(|link| &link.server);
        if serves.is_some_and(|server| self.servers.list().contains(server)) {
            self.list_refresh.serves_there();
            self.stay(cx.output, MoveReason::Left);
        } else if self.list_refresh.is_gone(cx.now) && !self.moves.is_planned() {
            let delay = move_delay(0, cx.output.jitter());
            self.plan_move(cx.now, MoveReason::Left, delay);
        }
    }

    fn unlisted(&mut self, cx: &mut Context<'_>, why: &str) {
        let (cap, jitter) = (self.options.backoff_cap, cx.output.jitter());
        self.list_refresh.failed(cx.now, cap, jitter);
        if !self.list_refresh.is_known() {
            self.searches.unlisted(why);
            self.tell_waiting(ErrorKind::Disconnected);
        }
    }
}
