//! How the session stands, as its users are told.
use std::{sync::Arc, time::Instant};

use super::{ConnectingMachine, Decision, ErrorKind};
use crate::session::cause::{ABOUT_LOGIN, Cause, DEMANDED};
use crate::state::{Access, Denial, SessionState};

impl ConnectingMachine {
    /// How the session stands, unless it is closed.
    pub(in super::super) fn state(&self, now: Instant) -> SessionState {
        if let Some((likely, cause)) = self.denied() {
            return SessionState::Denied { likely, cause: cause.into() };
        }
        match &self.serving {
            Some(serving) if self.is_let_in() && !self.admission.is_awaited() => {
                SessionState::Connected {
                    server: Arc::clone(&serving.server),
                    since: serving.since,
                    abilities: Arc::clone(&serving.abilities),
                    access: self.access(),
                }
            }
            Some(_) => match self.login.unreachable() {
                Some(cause) if !self.is_undecided() => SessionState::Backoff {
                    until: self.login.next_timeout().unwrap_or(now),
                    cause: format!("{ABOUT_LOGIN}{cause}").into(),
                },
                _ => SessionState::Connecting {
                    failed_searches: self.outage.searches,
                    last_error: self.outage.last_error.clone(),
                },
            },
            None => self.searching(),
        }
    }

    /// The state of a session that nobody serves.
    fn searching(&self) -> SessionState {
        let with_login = |cause: &Arc<str>| match self.login.refusal() {
            // The faults of both are told at once: each hides the other.
            Some((_, refused)) => format!("{cause}; {ABOUT_LOGIN}{refused}").into(),
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

    /// The likely meaning of the servers' refusal of this client, and their words, if that is
    /// how it stands.
    pub(super) fn denied(&self) -> Option<(Denial, &str)> {
        if self.login.is_anonymous() {
            let demanded = self.serving.is_some() && self.admission.is_demanded();
            return demanded.then_some((Denial::Missing, DEMANDED));
        }
        let denial = self.login.denial()?;
        if self.options.require_login {
            return Some(denial);
        }
        let refused = self.serving.is_some() && !self.admission.is_open() && !self.is_undecided();
        refused.then_some(denial)
    }

    /// Whether the server that serves is being asked whether it lets us in without a login, and has
    /// never said no.
    pub(super) fn is_undecided(&self) -> bool {
        self.serving.is_some() && self.admission.is_asking() && !self.admission.is_demanded()
    }

    /// How it is let in.
    fn access(&self) -> Access {
        match self.login.failure() {
            _ if self.login.is_anonymous() => Access::Anonymous,
            Some(cause) => Access::WithoutLogin { cause: cause.into() },
            None => Access::Granted,
        }
    }

    /// Tells readers that wait for a first answer why there is none.
    pub(super) fn tell_waiting(&mut self, kind: ErrorKind) {
        let login = self.denied().map(|(_, why)| why).or(self.login.unreachable());
        let text = match (login, &self.outage.last_error) {
            (Some(why), _) if self.serving.is_some() || kind == ErrorKind::Denied => why.into(),
            (_, Some(error)) => Arc::clone(error),
            (Some(why), None) => why.into(),
            (None, None) => "no server answered".into(),
        };
        self.decisions.push_back(Decision::Unreachable(Cause { kind, text }));
    }
}
