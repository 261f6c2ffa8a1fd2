//! Looking for a connection: when a search begins, whom it dials, and when it has failed.
use std::time::Instant;

use super::{
    super::backoff::reconnect_delay, ABOUT_LOGIN, Action, Campaign, Connecting, Context, Link,
    LinkId, Output, Serving, moves::MoveReason, succession::STABLE,
};
use crate::error::ErrorKind;

impl Connecting {
    /// Begins a search for a connection if one is due, and dials what is due in it.
    pub(super) fn search(&mut self, cx: &mut Context<'_>) {
        if self.campaign.is_none() && self.next_campaign.is_some_and(|at| at <= cx.now) {
            self.next_campaign = None;
            let redirect = self.planned_move.as_mut().and_then(|planned| planned.redirect.take());
            let mut round = self.servers.round(redirect.as_ref());
            let stays = self.must_not_be_dialled_anew(cx);
            if let Some(planned) = &mut self.planned_move {
                planned.has_begun = true;
                let serving = self.serving.as_ref();
                if let Some(link) = serving.and_then(|serving| self.links.get(&serving.link)) {
                    // Also after a pass that failed, and where it is the one that was recommended.
                    round.sort_by_key(|server| *server == link.server);
                    round.retain(|server| !stays || *server != link.server);
                }
            }
            self.campaign = Some(Campaign::new(cx.now, round, self.outage.attempts));
        }
        while let Some((server, within)) =
            self.campaign.as_mut().and_then(|campaign| campaign.next(cx.now))
        {
            let link = LinkId(cx.output.next_id());
            self.links.insert(link, Link::dialling(server.clone(), cx.now, within.each));
            cx.output.act(Action::Dial { link, server, within });
        }
        let under_way = self.links.values().filter(|link| link.is_candidate()).count();
        if self.campaign.as_ref().is_some_and(|campaign| campaign.is_over(cx.now, under_way)) {
            self.search_failed(cx);
        }
    }

    /// Every server was tried, and none took us.
    fn search_failed(&mut self, cx: &mut Context<'_>) {
        let Some(campaign) = self.campaign.take() else { return };
        self.outage.last_error = Some(campaign.causes(self.missing()).into());
        self.outage.is_hasty = campaign.is_hasty(self.missing().count());
        self.abandon_candidates(cx.output);
        self.outage.attempts = self.outage.attempts.saturating_add(1);
        self.search_later(cx);
        let jitter = cx.output.jitter();
        self.locate.hurry(cx.now, jitter);
        if self.serving.is_none() {
            self.tell_waiting(ErrorKind::Disconnected);
        }
    }

    /// What keeps it from being connected right now.
    pub(in super::super) fn waits_for(&self) -> Option<String> {
        if let Some(campaign) = &self.campaign {
            return Some(campaign.causes(self.missing()));
        }
        let list = || (!self.locate.is_known()).then_some("the list of servers has not come yet");
        let login = || (!self.is_let_in()).then(|| format!("{ABOUT_LOGIN}it has not ended yet"));
        list().map(str::to_owned).or_else(login)
    }

    /// What the servers under way to have not done yet.
    fn missing(&self) -> impl Iterator<Item = String> {
        let candidates = self.links.values().filter(|link| link.is_candidate());
        candidates.map(|link| format!("{}: {}", link.server, link.missing()))
    }

    pub(super) fn search_later(&mut self, cx: &mut Context<'_>) {
        let jitter = cx.output.jitter();
        let outage = cx.now.saturating_duration_since(self.outage.since);
        let cap = self.options.backoff_cap;
        let delay = reconnect_delay(self.outage.attempts, outage, cap, jitter);
        self.next_campaign = Some(cx.now + delay);
    }

    /// The suspect has answered first: the search beside it is over.
    pub(super) fn stop_looking(&mut self, output: &mut Output) {
        if self.serving.is_some() && self.planned_move.is_none() {
            self.campaign = None;
            self.next_campaign = None;
            self.abandon_candidates(output);
        }
    }

    /// A new connection to the same server may lose what that one holds for us, and get nothing.
    fn must_not_be_dialled_anew(&self, cx: &Context<'_>) -> bool {
        let reason = self.planned_move.as_ref().map(|planned| planned.reason);
        reason == Some(MoveReason::Unresponsive) && cx.holdings.are_some()
    }

    /// A search begins while one serves: after a good one from scratch.
    pub(super) fn leave_what_serves(&mut self, now: Instant) {
        self.outage.since = now;
        let served = |serving: &Serving| now.saturating_duration_since(serving.since);
        if self.serving.as_ref().is_some_and(|serving| served(serving) >= STABLE) {
            self.outage.attempts = 0;
        }
    }
}
