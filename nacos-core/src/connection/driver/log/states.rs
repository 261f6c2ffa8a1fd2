//! The log of a session's states for operators: each outage once with its cause, its end once with
//! its length.
//!
//! A session changes its state with every attempt. A line for each change would be one every few
//! seconds for as long as a server is gone, and none at all would leave an outage unseen.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::throttle::{Burst, Throttle, line};
use crate::{
    disconnect::{Disconnect, Reason},
    state::{Access, SessionState},
};

/// The lines that were logged about the session's states, as far as the next line depends on them.
#[derive(Debug, Default)]
pub(super) struct StateLog {
    outage: Option<LoggedOutage>,
    /// How the last connection ended, until a line has said so: that of the outage after it, or one
    /// of its own where the outage is over without one.
    ended: Option<Disconnect>,
    /// A session that flaps fills no disk.
    ends: Burst,
    /// A session that flaps is worth one warning a minute.
    warnings: Throttle,
    details: Throttle,
    /// It was said that there is no login, and there has been none since.
    without_login: bool,
}

/// A time during which nobody serves.
#[derive(Debug)]
struct LoggedOutage {
    began: Instant,
    warned: bool,
    denied: bool,
}

/// The line that a new state is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Line {
    Connected { server: Arc<str> },
    WithoutLogin { server: Arc<str>, cause: Arc<str> },
    Again { server: Arc<str>, outage: Duration, said: bool },
    Outage { cause: Arc<str> },
    Denied { cause: Arc<str> },
    Detail { cause: Arc<str> },
}

impl StateLog {
    /// A connection that served has ended. Unless that was wanted, each leaves its record in one
    /// line that operators see: they look for it afterwards.
    pub(super) fn ended(&mut self, now: Instant, reason: Reason, record: &Disconnect) {
        let (server, why) = (&record.server, record.reason);
        if matches!(reason, Reason::Suspect | Reason::Reset | Reason::Left | Reason::Unresponsive) {
            let shown = self.ends.allows(now);
            let left_out = shown.then(|| self.ends.take_left_out()).flatten();
            line!(shown, info, %server, reason = why, %record, left_out,
                "a server was left for another");
            return;
        }
        debug!(%server, reason = why, %record, "a connection has ended");
        if reason != Reason::Shutdown {
            self.say_ended(now);
            self.ended = Some(record.clone());
        }
    }

    /// Says how a connection ended that no line has told of.
    fn say_ended(&mut self, now: Instant) {
        let Some(record) = self.ended.take() else { return };
        if self.ends.allows(now) {
            let left_out = self.ends.take_left_out();
            let (server, reason) = (&record.server, record.reason);
            info!(%server, reason, %record, left_out, "a connection had ended");
        }
    }

    /// Logs what is new about `state`.
    pub(super) fn observe(&mut self, now: Instant, state: &SessionState) {
        let line = self.line(now, state);
        if matches!(state, SessionState::Connected { .. }) {
            self.say_ended(now);
        }
        match line {
            None => {}
            Some(Line::Connected { server }) => info!(%server, "connected"),
            Some(Line::WithoutLogin { server, cause }) => warn!(
                %server, %cause,
                "connected without a login, which has failed and is not demanded: \
                 `require_login` forbids that"
            ),
            Some(Line::Again { server, outage, said }) => {
                line!(said, info, %server, ?outage, "connected again");
            }
            Some(Line::Outage { cause }) => {
                let ended = self.ended.take().map(tracing::field::display);
                let left_out = self.ends.take_left_out();
                warn!(%cause, ended, left_out, "not connected");
            }
            Some(Line::Denied { cause }) => warn!(%cause, "access denied"),
            Some(Line::Detail { cause }) => debug!(%cause, "still not connected"),
        }
    }

    fn line(&mut self, now: Instant, state: &SessionState) -> Option<Line> {
        if let SessionState::Connected { server, access, .. } = state {
            let server = Arc::clone(server);
            let outage = self.outage.take();
            if let Access::WithoutLogin { cause } = access {
                if !std::mem::replace(&mut self.without_login, true) {
                    return Some(Line::WithoutLogin { server, cause: Arc::clone(cause) });
                }
            } else {
                self.without_login = false;
            }
            return Some(match outage {
                None => Line::Connected { server },
                Some(LoggedOutage { began, warned, .. }) => {
                    let outage = now.saturating_duration_since(began);
                    Line::Again { server, outage, said: warned }
                }
            });
        }
        // On the way to a first server there is nothing to say yet; at the end nothing any more.
        let cause = Arc::clone(state.cause()?);
        let fresh = LoggedOutage { began: now, warned: false, denied: false };
        let outage = self.outage.get_or_insert(fresh);
        if matches!(state, SessionState::Denied { .. }) && !outage.denied {
            (outage.denied, outage.warned) = (true, true);
            return Some(Line::Denied { cause });
        }
        if !outage.warned && self.warnings.allows(now) {
            outage.warned = true;
            return Some(Line::Outage { cause });
        }
        self.details.allows(now).then_some(Line::Detail { cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Denial;

    #[test]
    fn outage_is_said_once_and_its_end_with_its_length() {
        let (mut log, start) = (StateLog::default(), Instant::now());
        let mut said = Vec::new();
        for second in 0..3600 {
            let now = start + second * SECOND;
            said.extend(log.line(now, &backoff(now)));
            said.extend(log.line(now, &connecting()));
        }
        said.extend(log.line(start + 3600 * SECOND, &connected(start)));
        assert_eq!(said[0], Line::Outage { cause: "refused".into() });
        let end = Line::Again { server: "a".into(), outage: 3600 * SECOND, said: true };
        assert_eq!(said.pop(), Some(end));
        let details = said.split_off(1);
        assert!(details.iter().all(|line| matches!(line, Line::Detail { .. })));
        assert!(details.len() <= 60, "{}", details.len());
    }

    #[test]
    fn session_that_flaps_is_one_warning_a_minute() {
        let (mut log, start) = (StateLog::default(), Instant::now());
        let mut loud = 0;
        for second in 0..600 {
            let now = start + second * SECOND;
            for state in [backoff(now), connected(now)] {
                let line = log.line(now, &state);
                loud += usize::from(matches!(
                    line,
                    Some(Line::Outage { .. } | Line::Again { said: true, .. })
                ));
            }
        }
        assert_eq!(loud, 20);
    }

    #[test]
    fn outage_right_after_another_is_said_as_soon_as_it_may_be() {
        let (mut log, start) = (StateLog::default(), Instant::now());
        log.line(start, &backoff(start));
        log.line(start + SECOND, &connected(start));
        let mut said = Vec::new();
        for second in 2..600 {
            let now = start + second * SECOND;
            let line = log.line(now, &backoff(now));
            said.extend(matches!(line, Some(Line::Outage { .. })).then_some(second));
        }
        assert_eq!(said, [60]);
    }

    #[test]
    fn wrong_password_is_said_once_until_it_is_right() {
        let (mut log, start) = (StateLog::default(), Instant::now());
        let denied = SessionState::Denied { likely: Denial::Wrong, cause: "no".into() };
        let waiting = SessionState::Connecting { failed_searches: 0, last_error: None };
        let mut said = 0;
        for minute in 0..60 {
            for state in [&denied, &waiting] {
                let line = log.line(start + minute * 60 * SECOND, state);
                said += usize::from(matches!(line, Some(Line::Denied { .. })));
            }
        }
        assert_eq!(said, 1);
        log.line(start, &connected(start));
        let again = log.line(start, &denied);
        assert_eq!(again, Some(Line::Denied { cause: "no".into() }));
    }

    #[test]
    fn connection_without_a_login_is_said_once_until_there_is_one() {
        let (mut log, start) = (StateLog::default(), Instant::now());
        let access = Access::WithoutLogin { cause: "refused".into() };
        let without = entered(start, access);
        let mut said = 0;
        for minute in 0..60 {
            for state in [&without, &backoff(start)] {
                let line = log.line(start + minute * 60 * SECOND, state);
                said += usize::from(matches!(line, Some(Line::WithoutLogin { .. })));
            }
        }
        assert_eq!(said, 1);
        log.line(start, &connected(start));
        let again = log.line(start, &without);
        assert!(matches!(again, Some(Line::WithoutLogin { .. })), "{again:?}");
    }

    fn connected(since: Instant) -> SessionState {
        entered(since, Access::Granted)
    }

    fn entered(since: Instant, access: Access) -> SessionState {
        SessionState::Connected { server: "a".into(), since, abilities: Arc::default(), access }
    }

    fn backoff(until: Instant) -> SessionState {
        SessionState::Backoff { until, cause: "refused".into() }
    }

    fn connecting() -> SessionState {
        SessionState::Connecting { failed_searches: 1, last_error: Some("refused".into()) }
    }

    const SECOND: Duration = Duration::from_secs(1);
}
