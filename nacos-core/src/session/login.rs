//! When to log in: to ask for what requests carry. Pure: says when, and is told how it went.
//!
//! ```text
//!   Due ──begin──▶ UnderWay ──granted──▶ Granted ──refresh time, denied──▶ Due
//!    ▲                 │
//!    └── retry time ── Failed ◀── wrong password, or nobody answers
//! ```
use std::time::{Duration, Instant};

use super::backoff::{denied_delay, retry_delay};

/// The client's standing with the servers' authentication.
#[derive(Debug)]
pub(crate) struct Login {
    state: State,
    /// A token that may still be good is in use.
    has_token: bool,
    failures: u32,
    /// How many different tokens there have been.
    grants: u64,
    /// When a refused token last caused a login: at most one a minute.
    forced: Option<Instant>,
    /// A token was refused while, or so that, another one is on its way.
    refused: bool,
}

/// What a login brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
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
    Failed {
        retry_at: Instant,
        why: LoginFailure,
    },
}

/// Why there is no token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LoginFailure {
    /// The server knows no such user with that password.
    Denied(String),
    /// The server knows no such user, perhaps not yet: after its start it reads them late.
    UnknownUser(String),
    /// No server answered, or not as a Nacos server would.
    Unreachable(String),
}

impl LoginFailure {
    /// The same in words.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Denied(why) | Self::UnknownUser(why) | Self::Unreachable(why) => why,
        }
    }
}

impl Login {
    pub(crate) fn new(has_credentials: bool, now: Instant) -> Self {
        let state = if has_credentials { State::Due { at: now } } else { State::Anonymous };
        Self { state, has_token: false, failures: 0, grants: 0, forced: None, refused: false }
    }

    /// Whether to log in now; if so, it counts as begun.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = match self.state {
            State::Due { at } | State::Granted { refresh_at: Some(at) } => at <= now,
            State::Failed { retry_at, .. } => retry_at <= now,
            State::Anonymous | State::UnderWay | State::Granted { refresh_at: None } => false,
        };
        if due {
            self.state = State::UnderWay;
        }
        due
    }

    /// There is a token. Says whether what was refused is worth another try: there is another
    /// token than before, or whoever was refused still waits for what this login has brought, and
    /// has to be told.
    ///
    /// It is renewed at a random point of its last tenth, so that a thousand clients that logged
    /// in together do not do so again. Lifetimes below five seconds count as five: a server that
    /// grants nothing is asked politely all the same.
    pub(crate) fn granted(&mut self, now: Instant, lease: Lease, jitter: f64) -> bool {
        let share = 0.9 + 0.08 * jitter.clamp(0.0, 1.0);
        let lifetime = lease.lifetime.map(|lifetime| lifetime.clamp(SHORTEST, LONGEST));
        let refresh_at = lifetime.map(|lifetime| now + lifetime.mul_f64(share));
        let had_none = !std::mem::replace(&mut self.has_token, true);
        self.state = State::Granted { refresh_at };
        self.grants += u64::from(lease.changed);
        self.failures = 0;
        std::mem::take(&mut self.refused) || lease.changed || had_none
    }

    /// It did not work.
    pub(crate) fn failed(&mut self, now: Instant, why: LoginFailure, jitter: f64) {
        let delay = match why {
            LoginFailure::Denied(_) => {
                self.has_token = false;
                denied_delay(jitter)
            }
            LoginFailure::UnknownUser(_) => {
                self.has_token = false;
                retry_delay(self.failures, jitter)
            }
            LoginFailure::Unreachable(_) => retry_delay(self.failures, jitter),
        };
        self.failures = self.failures.saturating_add(1);
        self.state = State::Failed { retry_at: now + delay, why };
    }

    /// A server refused the token: it may have changed its secret, or forgotten us.
    ///
    /// At most once a minute this causes a login; a right that is missing is not gained by asking.
    /// It begins at once: users' requests wait for it, and clients meet a new secret of the servers
    /// whenever each of them next asks for something, not together.
    pub(crate) fn token_refused(&mut self, now: Instant) {
        let recently = self.forced.is_some_and(|at| now < at + FORCED_EVERY);
        let renewable = matches!(
            self.state,
            State::Granted { .. } | State::Failed { why: LoginFailure::Unreachable(_), .. }
        );
        if renewable && !recently {
            self.forced = Some(now);
            self.state = State::Due { at: now };
        }
        self.refused |= self.is_renewing();
    }

    /// Whether the login that is due or under way is to replace a token that was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// A server has taken us: a login that failed because none was there is tried again at once.
    pub(crate) fn server_is_back(&mut self, now: Instant) {
        if matches!(self.state, State::Failed { why: LoginFailure::Unreachable(_), .. }) {
            self.state = State::Due { at: now };
            self.failures = 0;
        }
    }

    /// How many different tokens there have been.
    pub(crate) fn grants(&self) -> u64 {
        self.grants
    }

    /// Whether requests may go out: there is a token, or there are no credentials.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Anonymous) || self.has_token
    }

    /// Whether a login is due or under way that may bring another token.
    pub(crate) fn is_renewing(&self) -> bool {
        matches!(self.state, State::Due { .. } | State::UnderWay)
    }

    /// Why there is no token, if the last login failed.
    pub(crate) fn failure(&self) -> Option<&LoginFailure> {
        match &self.state {
            State::Failed { why, .. } if !self.has_token => Some(why),
            _ => None,
        }
    }

    /// When [`begin`](Self::begin) will say yes.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Due { at } => Some(at),
            State::Granted { refresh_at } => refresh_at,
            State::Failed { retry_at, .. } => Some(retry_at),
            State::Anonymous | State::UnderWay => None,
        }
    }
}

/// A refused token is not replaced sooner than the last one that was.
const FORCED_EVERY: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const SHORTEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(seconds: u64) -> Lease {
        Lease { lifetime: Some(Duration::from_secs(seconds)), changed: true }
    }

    #[test]
    fn token_without_an_end_is_replaced_only_when_it_is_refused() {
        let now = Instant::now();
        let mut login = Login::new(true, now);
        assert!(login.begin(now));
        assert!(login.granted(now, Lease { lifetime: None, changed: true }, 0.5));
        assert_eq!(login.next_timeout(), None);
        assert!(!login.begin(now + LONGEST));
        login.token_refused(now);
        assert!(login.begin(now) && login.is_refused());
    }

    #[test]
    fn same_token_again_is_no_reason_to_try_anew_unless_somebody_was_refused() {
        let now = Instant::now();
        let same = Lease { lifetime: None, changed: false };
        let mut login = Login::new(true, now);
        assert!(login.begin(now));
        login.granted(now, lease(20), 0.0);
        let later = now + Duration::from_secs(18);
        assert!(login.begin(later) && !login.is_refused());
        assert!(!login.granted(later, same, 0.0), "looked at, and as it was");
        login.token_refused(later);
        assert!(login.begin(later));
        assert!(login.granted(later, same, 0.0), "whoever was refused has to be told");
        assert_eq!(login.grants(), 1);
        login.token_refused(later);
        assert!(!login.is_renewing() && !login.is_refused(), "once a minute");
    }

    #[test]
    fn token_is_renewed_in_the_last_tenth_of_its_life() {
        let now = Instant::now();
        for (jitter, seconds) in [(0.0, 18.0), (1.0, 19.6)] {
            let mut login = Login::new(true, now);
            assert!(login.begin(now));
            login.granted(now, lease(20), jitter);
            let refresh = login.next_timeout().expect("a time") - now;
            assert!((refresh.as_secs_f64() - seconds).abs() < 1e-6, "{refresh:?}");
        }
    }

    #[test]
    fn wrong_password_is_never_tried_in_a_hot_loop() {
        let now = Instant::now();
        let mut login = Login::new(true, now);
        assert!(login.begin(now));
        login.failed(now, LoginFailure::Denied("user not found".to_owned()), 0.0);
        assert!(!login.begin(now + Duration::from_millis(59_999)));
        assert!(login.begin(now + Duration::from_secs(60)));
        login.failed(now, LoginFailure::Denied("user not found".to_owned()), 1.0);
        assert!(!login.begin(now + Duration::from_millis(71_999)), "nor with all the others");
        assert!(login.begin(now + Duration::from_secs(72)));
    }

    #[test]
    fn user_that_is_not_known_yet_is_tried_again_soon_and_then_ever_later() {
        let now = Instant::now();
        let mut login = Login::new(true, now);
        let mut delays = Vec::new();
        for _ in 0..9 {
            login.failed(now, LoginFailure::UnknownUser("nobody".to_owned()), 0.0);
            delays.push((login.next_timeout().expect("a time") - now).as_millis());
        }
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn refused_token_causes_one_login_a_minute() {
        let now = Instant::now();
        let mut login = Login::new(true, now);
        let mut logins = 0;
        for second in 0..120 {
            let now = now + Duration::from_secs(second);
            login.token_refused(now);
            if login.begin(now) {
                logins += 1;
                login.granted(now, lease(18_000), 0.5);
            }
        }
        assert_eq!(logins, 3, "the first one, and one in each minute");
    }

    #[test]
    fn failing_renewal_keeps_the_token_that_may_still_be_good() {
        let now = Instant::now();
        let mut login = Login::new(true, now);
        assert!(login.begin(now));
        login.granted(now, lease(20), 0.0);
        assert!(login.begin(now + Duration::from_secs(18)));
        login.failed(now, LoginFailure::Unreachable("refused".to_owned()), 0.0);
        assert!(login.is_ready());
        assert_eq!(login.failure(), None);
    }

    #[test]
    fn login_that_found_nobody_is_tried_at_once_when_a_server_is_back() {
        let now = Instant::now();
        let mut login = Login::new(true, now);
        for _ in 0..9 {
            login.failed(now, LoginFailure::Unreachable("refused".to_owned()), 1.0);
        }
        login.server_is_back(now);
        assert!(login.begin(now));
        login.failed(now, LoginFailure::Denied("no".to_owned()), 1.0);
        login.server_is_back(now);
        assert!(!login.begin(now), "a wrong password is none the better for it");
    }

    #[test]
    fn hostile_lifetimes_are_bounded() {
        let now = Instant::now();
        for ttl in [Duration::ZERO, Duration::MAX] {
            let mut login = Login::new(true, now);
            login.granted(now, Lease { lifetime: Some(ttl), changed: true }, 0.0);
            let refresh = login.next_timeout().expect("a time") - now;
            assert!(refresh >= Duration::from_secs(4) && refresh <= LONGEST);
        }
    }
}
