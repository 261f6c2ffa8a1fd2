//! How the session stands, as its users are told.
use std::{sync::Arc, time::Instant};

use super::{ABOUT_LOGIN, AccessNews, Cause, ConnectingMachine, Decision};
use crate::{error::ErrorKind, state::SessionState};

impl ConnectingMachine {
    /// How the session stands, unless it is closed.
    pub(in super::super) fn state(&self, now: Instant) -> SessionState {
        let (authentication, serving) = (&self.authentication, self.links.serving_id());
        if let Some((likely, cause)) = authentication.denied(serving) {
            return SessionState::Denied { likely, cause: cause.into() };
        }
        match self.links.serving() {
            Some(serving) if authentication.is_let_in() && !authentication.is_awaited() => {
                SessionState::Connected {
                    server: Arc::clone(&serving.server),
                    since: serving.since,
                    abilities: Arc::clone(&serving.abilities),
                    access: authentication.access(),
                }
            }
            Some(_) => match authentication.unreachable(serving) {
                Some(cause) => SessionState::Backoff {
                    until: authentication.next_login().unwrap_or(now),
                    cause: format!("{ABOUT_LOGIN}{cause}").into(),
                },
                None => SessionState::Connecting {
                    failed_searches: self.searches.failed(),
                    last_error: self.searches.last_error().cloned(),
                },
            },
            None => self.searching(),
        }
    }

    /// The state of a session that nobody serves.
    fn searching(&self) -> SessionState {
        let with_login = |cause: &Arc<str>| match self.authentication.refusal() {
            // The faults of both are told at once: each hides the other.
            Some(refused) => format!("{cause}; {ABOUT_LOGIN}{refused}").into(),
            None => Arc::clone(cause),
        };
        let next = self.searches.next().or(self.list_refresh.retry_at());
        match (next, self.searches.last_error()) {
            // A server that was only too slow for the first try has not failed yet.
            (Some(until), Some(cause)) if !self.searches.is_hasty() => {
                SessionState::Backoff { until, cause: with_login(cause) }
            }
            (_, last_error) => SessionState::Connecting {
                failed_searches: self.searches.failed(),
                last_error: last_error.map(with_login),
            },
        }
    }

    /// Why the session is not connected right now.
    pub(in super::super) fn waits_for(&self) -> Option<String> {
        if let Some(causes) = self.searches.causes(self.links.missing()) {
            return Some(causes);
        }
        if !self.list_refresh.is_known() {
            return Some("the list of servers has not come yet".to_owned());
        }
        let why = self.authentication.failure().unwrap_or("it has not ended yet");
        (!self.authentication.is_let_in()).then(|| format!("{ABOUT_LOGIN}{why}"))
    }

    /// Tells the rest of the session who is let in now, or is not.
    pub(super) fn tell_access(&mut self, news: Option<AccessNews>) {
        match news {
            Some(AccessNews::LetIn) => self.decisions.push_back(Decision::LetIn),
            Some(AccessNews::KeptOut(kind)) => self.tell_waiting(kind),
            None => {}
        }
    }

    /// Tells readers that wait for a first answer why there is none.
    pub(super) fn tell_waiting(&mut self, kind: ErrorKind) {
        let serving = self.links.serving_id();
        let text = match (self.authentication.cause(serving), self.searches.last_error()) {
            (Some(why), _) if serving.is_some() || kind == ErrorKind::Denied => why.into(),
            (_, Some(error)) => Arc::clone(error),
            (Some(why), None) => why.into(),
            (None, None) => "no server answered".into(),
        };
        self.decisions.push_back(Decision::Unreachable(Cause { kind, text }));
    }
}
