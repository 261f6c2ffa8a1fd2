//! How the session stands, as its users are told.
use std::{sync::Arc, time::Instant};

use super::{ABOUT_LOGIN, AccessNews, Cause, ConnectingMachine, Decision};
use crate::{error::ErrorKind, state::SessionState};

impl ConnectingMachine {
    /// How the session stands, unless it is closed.
    pub(in super::super) fn state(&self, now: Instant) -> SessionState {
        let authentication = &self.authentication;
        if let Some((likely, cause)) = authentication.denied(self.serving()) {
            return SessionState::Denied { likely, cause: cause.into() };
        }
        match &self.serving {
            Some(serving) if authentication.is_let_in() && !authentication.is_awaited() => {
                SessionState::Connected {
                    server: Arc::clone(&serving.server),
                    since: serving.since,
                    abilities: Arc::clone(&serving.abilities),
                    access: authentication.access(),
                }
            }
            Some(_) => match authentication.unreachable(self.serving()) {
                Some(cause) => SessionState::Backoff {
                    until: authentication.next_login().unwrap_or(now),
                    cause: format!("{ABOUT_LOGIN}{cause}").into(),
                },
                None => SessionState::Connecting {
                    failed_searches: self.outage.searches,
                    last_error: self.outage.last_error.clone(),
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
        match (self.next_search.or(self.list_refresh.retry_at()), &self.outage.last_error) {
            // A server that was only too slow for the first try has not failed yet.
            (Some(until), Some(cause)) if !self.outage.is_hasty => {
                SessionState::Backoff { until, cause: with_login(cause) }
            }
            (_, last_error) => SessionState::Connecting {
                failed_searches: self.outage.searches,
                last_error: last_error.as_ref().map(with_login),
            },
        }
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
        let login = self.authentication.cause(self.serving());
        let text = match (login, &self.outage.last_error) {
            (Some(why), _) if self.serving.is_some() || kind == ErrorKind::Denied => why.into(),
            (_, Some(error)) => Arc::clone(error),
            (Some(why), None) => why.into(),
            (None, None) => "no server answered".into(),
        };
        self.decisions.push_back(Decision::Unreachable(Cause { kind, text }));
    }
}
