//! When another connection is looked for while one serves, and when that is not wanted any more.
use std::time::{Duration, Instant};

use super::{ConnectingMachine, Context, Lifetime, Output, moves::MoveReason};
use crate::wire::push::Redirect;

impl ConnectingMachine {
    /// The server asks us to move. We stay until another has taken us.
    pub(in super::super) fn handle_reset(
        &mut self,
        cx: &mut Context<'_>,
        redirect: Option<Redirect>,
    ) {
        if cx.lifetime != Lifetime::Open || self.searches.is_on() {
            return;
        }
        let Some(age) = self.links.serving().map(|serving| serving.age(cx.now)) else { return };
        if !self.moves.is_planned() || self.searches.next().is_none() {
            let delay = self.moves.reset(age, cx.output.jitter());
            self.plan_move(cx.now, MoveReason::Reset, delay);
        }
        // Asking again changes the target and not the time: else a move could be put off for ever.
        self.moves.redirect(redirect);
    }

    /// Another server is to serve; until it does, this one goes on.
    ///
    /// After a rolling restart operators move all clients at once: `delay` is not the same for all.
    pub(super) fn plan_move(&mut self, now: Instant, reason: MoveReason, delay: Duration) {
        self.moves.plan(reason);
        self.leave_what_serves(now);
        // A search beside a suspect finds another as well, and the next one begins after it.
        if !self.searches.is_on() {
            self.searches.begin_at(now + delay);
        }
    }

    /// A search begins while one serves.
    pub(super) fn leave_what_serves(&mut self, now: Instant) {
        let is_stable = self.links.serving().is_some_and(|serving| serving.is_stable(now));
        self.searches.leave(now, is_stable);
    }

    /// The reason to move has gone.
    pub(super) fn stay(&mut self, output: &mut Output, reason: MoveReason) {
        if self.moves.cancel(reason) && self.links.serve_calmly() {
            self.stop_looking(output);
        }
    }

    /// The suspect has answered first: the search beside it is over.
    pub(super) fn stop_looking(&mut self, output: &mut Output) {
        if self.links.serving().is_some() && !self.moves.is_planned() {
            self.searches.stop();
            self.links.close_candidates(output);
        }
    }
}
