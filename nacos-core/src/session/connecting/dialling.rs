//! Which servers are dialled, and what follows when none of them takes us.
use super::{
    ConnectingMachine, Context,
    link::{Addresses, Link},
    moves::MoveReason,
};
use crate::{
    error::ErrorKind,
    server::Server,
    session::{effects::Effect, ids::LinkId},
};

impl ConnectingMachine {
    /// Begins a search for a connection if one is due, and dials what is due in it.
    pub(super) fn search(&mut self, cx: &mut Context<'_>) {
        if self.searches.is_due(cx.now) {
            let order = self.order(cx);
            self.searches.begin(cx.now, order);
        }
        while let Some((server, within)) = self.searches.next_server(cx.now) {
            let link = LinkId(cx.output.next_id());
            self.links.add(link, Link::dialling(server.clone(), cx.now, within.each));
            let other_than = self.links.serving_id().filter(|_| self.must_not_be_dialled_anew(cx));
            cx.output.act(Effect::Dial { link, server, other_than, within });
        }
        if self.searches.is_over(cx.now, self.links.candidates().count()) {
            self.search_failed(cx);
        }
    }

    /// The servers to try, and in which order: of a move, the one that serves comes last.
    fn order(&mut self, cx: &Context<'_>) -> Vec<Server> {
        let redirect = self.moves.begin();
        let mut order = self.servers.next_order(redirect.as_ref());
        let stays = self.must_not_be_dialled_anew(cx);
        if self.moves.is_planned()
            && let Some(link) = self.links.serving_link()
        {
            // Also after a search that failed, and where it is the recommended one.
            order.sort_by_key(|server| *server == link.server);
            let anew = !stays || link.addresses == Addresses::More;
            order.retain(|server| anew || *server != link.server);
        }
        order
    }

    /// A new connection to the same server may lose what that one holds for us, and get nothing.
    fn must_not_be_dialled_anew(&self, cx: &Context<'_>) -> bool {
        self.moves.reason() == Some(MoveReason::Unresponsive) && cx.holdings.are_some()
    }

    /// Every server was tried, and none took us.
    fn search_failed(&mut self, cx: &mut Context<'_>) {
        let missing: Vec<String> = self.links.missing().collect();
        self.searches.fail(&missing);
        self.links.close_candidates(cx.output);
        self.search_later(cx);
        let jitter = cx.output.jitter();
        self.list_refresh.hurry(cx.now, jitter);
        if self.links.serving().is_none() {
            self.tell_waiting(ErrorKind::Disconnected);
        }
    }

    /// The next search begins after a while.
    pub(super) fn search_later(&mut self, cx: &mut Context<'_>) {
        // In a hurry only where a server may be back any moment.
        let is_hurried = !self.names.is_split_for_good();
        let (cap, jitter) = (self.options.backoff_cap, cx.output.jitter());
        self.searches.begin_later(cx.now, is_hurried, cap, jitter);
    }
}
