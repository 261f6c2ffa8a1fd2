//! Tells the session how its effects ended.
use std::sync::Arc;

use super::{Driver, Open, now};
use crate::{
    call_error::CallError,
    credentials::Grant,
    server_list::Listing,
    session::{CallId, LinkId, LoginFailure, TokenLease, Tried},
    transport::{Opened, Pushes, StreamMessage},
    wire::{Payload, label},
};

/// How a job ended.
pub(super) enum JobReport {
    Dialled(LinkId, Result<Opened, String>),
    Answered(CallId, Result<Payload, CallError>),
    StreamOpened(LinkId, Result<Pushes, CallError>),
    Pushed(LinkId, Pushes, Result<StreamMessage, CallError>),
    Ended(LinkId, String),
    LoggedIn(Result<Grant, (Tried, LoginFailure)>),
    ServerList(Result<Listing, String>),
    Forgotten,
}

impl Driver {
    pub(super) fn handle_report(&mut self, report: JobReport) {
        // Users' requests may have heard from the server meanwhile, so that comes first.
        self.sync_activity();
        let now = now();
        match report {
            JobReport::Dialled(id, outcome) => self.dialled(id, outcome),
            JobReport::Answered(call, answer) => {
                self.read(&answer);
                self.session.handle_answer(now, call, answer);
            }
            JobReport::StreamOpened(id, Ok(pushes)) => self.read_on(id, pushes),
            JobReport::StreamOpened(id, Err(error)) => self.stream_ended(id, &error),
            JobReport::Pushed(id, pushes, outcome) if self.links.contains_key(&id) => {
                self.pushed(id, pushes, outcome);
            }
            // Closed meanwhile.
            JobReport::Pushed(..) | JobReport::Forgotten => {}
            JobReport::ServerList(outcome) => self.server_list_read(outcome),
            JobReport::Ended(id, why) => self.session.handle_lost(now, id, &why),
            JobReport::LoggedIn(outcome) => {
                let unanswered = matches!(outcome, Err((_, LoginFailure::Unreachable(_))));
                self.slow_logins = if unanswered { self.slow_logins.saturating_add(1) } else { 0 };
                let tried = outcome.as_ref().map_or_else(|(tried, _)| *tried, Grant::tried);
                let outcome = outcome.map(|grant| {
                    let lifetime = grant.expires_after();
                    let changed = !self.grant.as_ref().is_some_and(|now| now.is_same(&grant));
                    if changed {
                        let former = self.grant.replace(Arc::new(grant));
                        self.forget(former);
                        self.meters.logged_in(now);
                    }
                    TokenLease { lifetime, changed }
                });
                let outcome = outcome.map_err(|(_, failure)| failure);
                self.session.handle_login(now, tried, outcome);
                self.show_current();
            }
        }
    }

    fn pushed(
        &mut self,
        id: LinkId,
        mut pushes: Pushes,
        outcome: Result<StreamMessage, CallError>,
    ) {
        let now = now();
        if let Ok(StreamMessage::Whole(payload) | StreamMessage::Unreadable { head: payload, .. }) =
            &outcome
        {
            self.meters.pushed(label::push_kind(payload));
        }
        match outcome {
            Ok(StreamMessage::Whole(payload)) => {
                if let Some(answer) = self.session.answer(&payload) {
                    pushes.answer(answer);
                }
                self.read_on(id, pushes);
                self.session.handle_push(now, id, &payload);
            }
            Ok(StreamMessage::Unreadable { head, why }) => {
                self.read_on(id, pushes);
                self.session.handle_unreadable(now, id, &head, &why.to_string());
            }
            Err(error) => self.stream_ended(id, &error),
        }
    }

    /// If it did so because its connection has, that is what counts.
    fn stream_ended(&mut self, id: LinkId, error: &CallError) {
        let end = match self.links.get(&id) {
            Some(Open::Up { link, .. }) => link.end().map(str::to_owned),
            _ => None,
        };
        match end {
            Some(why) => self.session.handle_lost(now(), id, &why),
            None => self.session.handle_stream_ended(now(), id, &error.to_string()),
        }
    }

    /// Counts what could not be read.
    fn read(&mut self, message: &Result<Payload, CallError>) {
        if matches!(message, Err(CallError::Unreadable(_) | CallError::Oversized { .. })) {
            self.meters.unreadable();
        }
    }
}
