//! Watching the connection that serves: is the server there, and is it at work?
use std::{sync::Arc, time::Instant};

use super::{
    Addresses, Asked, CallError, CallId, ConnectingMachine, Context, Lifetime, Link, LinkId,
    Output, Payload, Reason, liveness::ProbeVerdict, moves::MoveReason,
};
use crate::{
    session::effects::Event,
    wire::{
        self, Failure, Request,
        connection::{HealthCheckRequest, HealthCheckResponse},
    },
};

impl ConnectingMachine {
    /// Asks a silent server whether it is there, and looks for another beside one that is suspect.
    pub(super) fn check_health(&mut self, cx: &mut Context<'_>) {
        let Some(serving) = self.links.serving() else { return };
        let link = serving.link;
        if serving.liveness.wants_probe(cx.now) {
            self.probe(cx, link);
        }
        self.look_for_another_if_suspect(cx);
    }

    fn look_for_another_if_suspect(&mut self, cx: &mut Context<'_>) {
        let suspect =
            self.links.serving().is_some_and(|serving| serving.liveness.is_suspect(cx.now));
        // A move that is put off does not wait any longer.
        let put_off = self.moves.is_put_off();
        let idle = self.searches.next().is_none_or(|at| put_off && at > cx.now);
        if suspect && !self.searches.is_on() && idle {
            self.leave_what_serves(cx.now);
            self.searches.begin_at(cx.now);
            self.search(cx);
        }
    }

    fn probe(&mut self, cx: &mut Context<'_>, link: LinkId) {
        let call = self.call(cx, link, HealthCheckRequest::new().outgoing(), Asked::HealthCheck);
        if let Some(serving) = self.links.serving_mut() {
            serving.liveness.probed(cx.now, call);
        }
    }

    pub(super) fn probe_answered(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        call: CallId,
        answer: Result<Payload, CallError>,
    ) {
        let Some(serving) = self.links.serving_on(id) else { return };
        if answer.is_ok() {
            serving.liveness.answered(cx.now, call);
            self.ask_name(cx, id);
        }
        let Some(serving) = self.links.serving() else { return };
        match answer {
            Ok(answer) => match wire::decode::<HealthCheckResponse>(&answer) {
                Err(Failure::Answered(refusal)) if refusal.code == wire::UNREGISTERED => {
                    self.handle_lost(cx, id, Reason::Unusable, &refusal.to_string());
                }
                // Any other answer shows that the server is there: one odd answer ends no session.
                // Java's -401 answers naming requests, and no health check.
                _ => self.handle_known(id),
            },
            Err(CallError::Timeout) => match serving.liveness.unanswered(call) {
                Some(ProbeVerdict::ProbeAgain) => self.probe(cx, id),
                Some(ProbeVerdict::Dead) => {
                    self.handle_lost(cx, id, Reason::HealthCheck, "three health checks unanswered");
                }
                None => {}
            },
            // Nor does one that cannot be read.
            Err(
                CallError::Status { .. } | CallError::Unreadable(_) | CallError::Oversized { .. },
            ) => self.handle_heard(cx.output, id, cx.now),
            Err(error) => self.handle_lost(cx, id, Reason::Connection, &error.to_string()),
        }
    }

    /// The server has answered a request on `link` as one does that knows it.
    pub(in super::super) fn handle_known(&mut self, link: LinkId) {
        if let Some(serving) = self.links.serving_on(link) {
            serving.is_known = true;
        }
    }

    /// A request was answered on the connection that serves: the server is at work.
    pub(in super::super) fn handle_request_answered(&mut self, output: &mut Output) {
        if let Some(serving) = self.links.serving_mut() {
            serving.responsiveness.answered();
        }
        self.moves.answered();
        self.stay(output, MoveReason::Unresponsive);
    }

    /// Requests were not answered on the connection that serves, where health checks may be.
    pub(in super::super) fn handle_requests_unanswered(
        &mut self,
        cx: &mut Context<'_>,
        count: u32,
    ) {
        let Some(serving) = self.links.serving_mut() else { return };
        if cx.lifetime != Lifetime::Open || !serving.responsiveness.unanswered(cx.now, count) {
            return;
        }
        let name = Arc::clone(&serving.server);
        let others = |link: &Link| {
            link.addresses == Addresses::More
                || self.servers.list().iter().any(|other| *other != link.server)
        };
        let alone = !self.links.serving_link().is_some_and(others);
        let leaves = !(alone && cx.holdings.are_some());
        // It is kept for what it holds and for want of another, until either changes.
        if !self.links.serving_mut().is_some_and(|serving| serving.responsiveness.tell(leaves)) {
            return;
        }
        let first = !self.moves.is_unresponsive();
        let delay = self.moves.unresponsive(cx.output.jitter());
        cx.output.show(Event::Unresponsive { server: name, leaves, first });
        if leaves && !self.moves.is_planned() {
            self.plan_move(cx.now, MoveReason::Unresponsive, delay);
        }
    }

    /// Something came from the server on `link`, the last of it at `at`.
    pub(in super::super) fn handle_heard(
        &mut self,
        output: &mut Output,
        link: LinkId,
        at: Instant,
    ) {
        if let Some(serving) = self.links.serving_on(link) {
            serving.liveness.heard(at);
            if serving.liveness.is_calm() {
                self.stop_looking(output);
            }
        }
    }
}
