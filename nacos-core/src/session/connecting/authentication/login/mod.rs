//! When to log in: to ask for what requests carry. Pure: says when, and is told how it went.
//!
//! ```text
//!   Due ──begin──▶ UnderWay ──granted──▶ Granted ──refresh time, denied──▶ Due
//!    ▲                 │
//!    └── retry time ── Failed ◀── refused, or nobody answers
//! ```
mod pace;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    time::{Duration, Instant},
};

use self::pace::logins;
use crate::{
    pace::Pace,
    session::backoff::{denied_delay, refused_delay, retry_delay},
    state::Denial,
    time::LONGEST,
};

/// The client's standing with the servers' authentication.
#[derive(Debug)]
pub(crate) struct Login {
    state: State,
    /// A token that may still be good is in use.
    has_token: bool,
    /// How many logins in a row nobody has answered.
    failures: u32,
    /// The refusals in a row, if there are any: they are remembered while the next login is asked.
    refusals: Option<Refusals>,
    /// Why nobody has answered the last login that ended, if nobody has; remembered like these.
    unreachable: Option<String>,
    /// The credentials that were granted a token, the last one at the end.
    proven: Vec<Tried>,
    pace: Pace,
    /// Servers let us in without a token: there is no hurry.
    is_relaxed: bool,
    /// How many different tokens there have been.
    grants: u64,
    /// When a refused token last caused a login, and how long it causes none after that.
    forced: Option<(Instant, Duration)>,
    /// A token was refused while, or so that, another one is on its way.
    refused: bool,
}

/// Names the credential that a login was asked with, among those of one client: a password that was
/// replaced in its file is another one. Says nothing about what it is.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) struct Tried(Option<u64>);

impl Tried {
    /// The credential with this keyed hash.
    pub(crate) fn named(hash: u64) -> Self {
        Self(Some(hash))
    }
}

impl fmt::Debug for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tried")
    }
}

/// The result of a login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenLease {
    /// How long it is good for; for ever, unless a server refuses it.
    pub(crate) lifetime: Option<Duration>,
    /// It is another token than the last one.
    pub(crate) changed: bool,
}

#[derive(Debug)]
enum State {
    /// No credentials: every request goes out as it is.
    Anonymous,
    Due {
        at: Instant,
    },
    UnderWay,
    Granted {
        refresh_at: Option<Instant>,
    },
    /// Refused, or nobody has answered.
    Failed {
        retry_at: Instant,
    },
}

/// Logins that were refused, one after the other.
#[derive(Debug)]
struct Refusals {
    with: Tried,
    since: Instant,
    count: u32,
    likely: Denial,
    /// The next try comes within seconds, and is not in vain as far as anybody can tell.
    soon: bool,
    /// The words of the last one.
    why: String,
}

impl Refusals {
    /// The series of tries begins anew.
    fn begin(&mut self, now: Instant) {
        self.since = now;
        self.count = 0;
    }
}

/// Why there is no token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LoginFailure {
    /// Refused, by somebody who means just that.
    Denied(String),
    /// Refused, which may pass by itself; `likely` is the likelier of the causes for a credential
    /// that has never worked.
    Refused { likely: Denial, why: String },
    /// The server knows no such user, perhaps not yet: some read theirs every 15 s.
    UnknownUser(String),
    /// No server answered, or not as a Nacos server would.
    Unreachable(String),
}

impl Login {
    pub(crate) fn new(has_credentials: bool, now: Instant) -> Self {
        let state = if has_credentials { State::Due { at: now } } else { State::Anonymous };
        Self {
            state,
            has_token: false,
            failures: 0,
            refusals: None,
            unreachable: None,
            proven: Vec::new(),
            pace: logins(),
            is_relaxed: false,
            grants: 0,
            forced: None,
            refused: false,
        }
    }

    /// Whether to log in now; if so, it counts as begun.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = match self.state {
            State::Due { at } | State::Granted { refresh_at: Some(at) } => at <= now,
            State::Failed { retry_at } => retry_at <= now,
            State::Anonymous | State::UnderWay | State::Granted { refresh_at: None } => false,
        };
        if due {
            self.state = State::UnderWay;
        }
        due
    }

    /// There is a token. Returns whether refused requests are worth another try. They are if the
    /// token is another one than before, or if they still wait for the result of this login.
    ///
    /// It is renewed at a random point of its last tenth, so that a thousand clients that logged
    /// in together do not do so again. Lifetimes below five seconds count as five: a server that
    /// grants nothing is asked politely all the same.
    pub(crate) fn granted(
        &mut self,
        now: Instant,
        with: Tried,
        lease: TokenLease,
        jitter: f64,
    ) -> bool {
        let share = 0.9 + 0.08 * jitter.clamp(0.0, 1.0);
        let lifetime = lease.lifetime.map(|lifetime| lifetime.clamp(SHORTEST, LONGEST));
        let refresh_at = lifetime.map(|lifetime| now + lifetime.mul_f64(share));
        let had_none = !std::mem::replace(&mut self.has_token, true);
        self.state = State::Granted { refresh_at };
        self.grants += u64::from(lease.changed);
        self.failures = 0;
        self.refusals = None;
        self.unreachable = None;
        self.proven.retain(|tried| *tried != with);
        if self.proven.len() == REMEMBERED {
            self.proven.remove(0);
        }
        self.proven.push(with);
        self.is_relaxed = false;
        std::mem::take(&mut self.refused) || lease.changed || had_none
    }

    /// It did not work, with the credential `with`.
    pub(crate) fn failed(&mut self, now: Instant, with: Tried, why: LoginFailure, jitter: f64) {
        self.unreachable = None;
        let delay = match why {
            LoginFailure::Unreachable(why) => {
                let delay = retry_delay(self.failures, jitter);
                self.failures = self.failures.saturating_add(1);
                self.unreachable = Some(why);
                delay
            }
            refused => self.refused(now, with, refused, jitter),
        };
        self.state = State::Failed { retry_at: now + delay };
    }

    /// A server refused the credential. Returns when to try it again.
    fn refused(&mut self, now: Instant, with: Tried, why: LoginFailure, jitter: f64) -> Duration {
        let proven = self.proven.contains(&with);
        let first = |refusals: &Refusals| (refusals.since, refusals.count);
        let same = self.refusals.as_ref().filter(|refusals| refusals.with == with);
        let (since, count) = same.map_or((now, 0), first);
        let lasted = now.saturating_duration_since(since);
        let soon = if proven { lasted < PROVEN_FOR } else { count < UNPROVEN_TRIES };
        let mut paced = |delay| self.pace.take(now, now + delay).saturating_duration_since(now);
        let delay = match &why {
            _ if self.is_relaxed => denied_delay(jitter),
            LoginFailure::UnknownUser(_) if !(proven && soon) => {
                let delay = retry_delay(count, jitter);
                let is_reading = lasted < LOADED_WITHIN / 2;
                paced(if is_reading { delay.min(READING_CAP) } else { delay })
            }
            _ if soon => paced(refused_delay(count, jitter)),
            _ => denied_delay(jitter),
        };
        let hopeful = soon && !matches!(why, LoginFailure::Denied(_));
        let (likely, why) = match why {
            LoginFailure::Refused { why, .. } if soon && proven => (Denial::NotReady, why),
            LoginFailure::Refused { likely, why } if soon => (likely, why),
            LoginFailure::UnknownUser(why) if lasted < LOADED_WITHIN => (Denial::NotReady, why),
            LoginFailure::Denied(why)
            | LoginFailure::Refused { why, .. }
            | LoginFailure::UnknownUser(why)
            | LoginFailure::Unreachable(why) => (Denial::Wrong, why),
        };
        // The token that was granted before is good until a server refuses it, or it ends.
        self.has_token &= proven && !self.refused;
        self.failures = 0;
        let count = count.saturating_add(1);
        self.refusals = Some(Refusals { with, since, count, likely, soon: hopeful, why });
        delay
    }

    /// A server refused the token: it may have changed its secret, or forgotten us.
    ///
    /// At most once a minute this causes a login; a right that is missing is not gained by asking.
    /// It begins at once: users' requests wait for it, and clients meet a new secret of the servers
    /// whenever each of them next asks for something, not together.
    pub(crate) fn token_refused(&mut self, now: Instant) {
        match self.state {
            State::Granted { .. } => self.force(now),
            State::Failed { .. } if self.unreachable.is_some() => self.force(now),
            // The one that was granted before is no good, and no other is granted.
            State::Failed { .. } => self.has_token = false,
            State::Anonymous | State::Due { .. } | State::UnderWay => {}
        }
        self.refused |= self.is_renewing();
    }

    /// Servers let us in without a token, and one of them does so no more: a login is worth a try.
    pub(crate) fn is_demanded(&mut self, now: Instant) {
        if matches!(self.state, State::Failed { .. }) {
            self.force(now);
        }
    }

    fn force(&mut self, now: Instant) {
        let too_soon = self.forced.is_some_and(|(at, pause)| now < at + pause);
        if too_soon || self.pace.next(now) > now {
            return;
        }
        self.pace.take(now, now);
        self.forced = Some((now, FORCED_EVERY));
        self.state = State::Due { at: now };
    }

    /// Whether servers let us in without a token: then a refused login is tried again by the
    /// minute. A login that no server has answered keeps its pace: a server that restarts answers
    /// within seconds, and may demand the login then. Where a server wants a token after all, the
    /// login is tried at once, and begins its series.
    pub(crate) fn relax(&mut self, now: Instant, is_relaxed: bool, jitter: f64) {
        let was_relaxed = std::mem::replace(&mut self.is_relaxed, is_relaxed);
        match &mut self.state {
            State::Failed { retry_at }
                if is_relaxed && !was_relaxed && self.unreachable.is_none() =>
            {
                *retry_at = now + denied_delay(jitter);
            }
            State::Failed { .. } if was_relaxed && !is_relaxed => {
                if let Some(refusals) = &mut self.refusals {
                    refusals.begin(now);
                }
                self.force(now);
            }
            _ => {}
        }
    }

    /// Whether the login that is due or under way is to replace a token that was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// A server has taken us: a login that failed because none was there is tried again at once.
    pub(crate) fn server_is_back(&mut self, now: Instant) {
        if matches!(self.state, State::Failed { .. }) && self.unreachable.is_some() {
            self.state = State::Due { at: now };
            // A server that comes and goes is not asked more often each time.
            self.failures = self.failures.min(1);
        }
        // It may have forgotten the token that was granted before.
        if let Some((_, pause)) = &mut self.forced {
            *pause = FORCED_AFTER_RESTART;
        }
        // One that has just started refuses for a while what it knew before.
        let Some(refusals) = &mut self.refusals else { return };
        if !self.proven.contains(&refusals.with) {
            return;
        }
        if now.saturating_duration_since(refusals.since) < PROVEN_FOR {
            // Its minute begins anew. The next try is seconds away, and a connection that flaps is
            // no reason to hurry it.
            refusals.since = now;
            return;
        }
        refusals.begin(now);
        if let State::Failed { retry_at } = &mut self.state
            && self.unreachable.is_none()
            && *retry_at > now + FIRST_AGAIN
        {
            *retry_at = (*retry_at).min(self.pace.take(now, now + FIRST_AGAIN));
        }
    }

    /// How many different tokens there have been.
    pub(crate) fn grants(&self) -> u64 {
        self.grants
    }

    /// Whether nobody logs in: there are no credentials.
    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.state, State::Anonymous)
    }

    /// Whether there is a token.
    pub(crate) fn has_token(&self) -> bool {
        self.has_token
    }

    /// Whether one is due or under way after one that nobody answered.
    pub(crate) fn is_tried_anew(&self) -> bool {
        self.is_renewing() && self.unreachable.is_some()
    }

    /// Whether a login is due or under way that may bring another token.
    pub(crate) fn is_renewing(&self) -> bool {
        matches!(self.state, State::Due { .. } | State::UnderWay)
    }

    /// Why no server has answered the last login, if that is why there is no token, and no other
    /// login is due or under way.
    pub(crate) fn unreachable(&self) -> Option<&str> {
        let why = self.unreachable.as_deref().filter(|_| !self.has_token)?;
        matches!(self.state, State::Failed { .. }).then_some(why)
    }

    /// Why the last login that ended did not succeed, if there is no token: that nobody has
    /// answered it, or what servers said.
    pub(crate) fn failure(&self) -> Option<&str> {
        let unreachable = self.unreachable.as_deref().filter(|_| !self.has_token);
        unreachable.or(self.refusal().map(|(_, why)| why))
    }

    /// The servers' words when they refused the last login, and their likely meaning, if
    /// there is no token.
    pub(crate) fn denial(&self) -> Option<(Denial, &str)> {
        self.refusal().filter(|_| self.unreachable().is_none())
    }

    /// The same, though nobody may have answered since.
    pub(crate) fn refusal(&self) -> Option<(Denial, &str)> {
        let refusals = self.refusals.as_ref().filter(|_| !self.has_token)?;
        Some((refusals.likely, &refusals.why))
    }

    /// Whether a login was refused, and is tried again within seconds with some hope.
    pub(crate) fn tries_soon(&self) -> bool {
        self.refusals.as_ref().is_some_and(|refusals| refusals.soon)
    }

    /// When [`begin`](Self::begin) will say yes.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Due { at } => Some(at),
            State::Granted { refresh_at } => refresh_at,
            State::Failed { retry_at } => Some(retry_at),
            State::Anonymous | State::UnderWay => None,
        }
    }
}

/// A refused token is not replaced sooner than the last one that was.
const FORCED_EVERY: Duration = Duration::from_secs(60);
/// Nor than this, where a server has started since.
const FORCED_AFTER_RESTART: Duration = Duration::from_secs(5);
/// How many credentials that have worked are remembered: one in use, one to come, and the files of
/// somebody who goes back to an older one.
const REMEMBERED: usize = 8;
/// A credential that has worked is tried again soon for so long.
const PROVEN_FOR: Duration = Duration::from_secs(60);
/// One that never has: so many times.
const UNPROVEN_TRIES: u32 = 3;
/// Twice the time in which 2.3 reads its users.
const LOADED_WITHIN: Duration = Duration::from_secs(30);
/// While it reads them, it is asked this often at least: `connect` waits 5 s, and the last of the
/// growing delays would take it past users that were there after two.
const READING_CAP: Duration = Duration::from_secs(2);
/// The first of the delays after a refusal.
const FIRST_AGAIN: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_secs(5);
