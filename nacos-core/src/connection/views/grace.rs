//! When a reader keeps its last view of a service though the server lists no instance any more that
//! may be called.
//!
//! A client that subscribes again before the providers have come back is sent an empty list, or one
//! of those that an operator has taken out of service, though the others have lived all the time.
//! So for a while after a lost connection such a list is not taken at its word.
use std::time::{Duration, Instant};

/// Whether lists can be taken at their word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Steadiness {
    #[default]
    Steady,
    /// A connection that served has ended, and none serves in its place.
    Lost,
    /// One does: others may still be on their way.
    SteadyFrom(Instant),
}

impl Steadiness {
    /// A connection serves. Says whether it comes in the place of one that was lost.
    pub(super) fn serves(&mut self, now: Instant) -> bool {
        let was_lost = matches!(self, Self::Lost);
        if was_lost {
            *self = Self::SteadyFrom(now + RETURN);
        }
        was_lost
    }

    /// The connection that serves cannot be asked. Says whether that is like a lost one: it has not
    /// served for long enough that lists could be taken at their word.
    pub(super) fn interrupted(&mut self, now: Instant) -> bool {
        let interrupted = matches!(*self, Self::SteadyFrom(at) if at > now);
        if interrupted {
            *self = Self::Lost;
        }
        interrupted
    }

    pub(super) fn is_steady(self, now: Instant) -> bool {
        match self {
            Self::Steady => true,
            Self::Lost => false,
            Self::SteadyFrom(at) => at <= now,
        }
    }
}

/// Whether a view is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Hold {
    #[default]
    No,
    /// Nobody serves: it is kept in any case, and then for no longer than this in all.
    Paused { left: Duration },
    /// Until a list comes of which something may be called, or until `at`. Other connections put
    /// that off, but not beyond `limit`.
    Until { at: Instant, limit: Instant },
    /// The next list decides, whatever it is; if none comes until then, the last one.
    Deciding { at: Instant, limit: Instant },
}

impl Hold {
    /// A list has come. `before` and `list` say whether anything of the former view, and of the
    /// list, may be called. Says whether the former view stays.
    pub(super) fn listed(
        &mut self,
        now: Instant,
        grace: Duration,
        steadiness: Steadiness,
        (before, list): (bool, bool),
    ) -> bool {
        *self = match *self {
            _ if list || !before => Self::No,
            Self::No if steadiness.is_steady(now) => Self::No,
            Self::No => Self::until(now, grace, longest(grace)),
            Self::Deciding { .. } => Self::No,
            held => held,
        };
        *self != Self::No
    }

    /// Its time has come. Says whether the service is to be asked for; if not, it is kept no more.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let Self::Until { limit, .. } = *self else {
            *self = Self::No;
            return false;
        };
        *self = Self::Deciding { at: now + DECISION, limit };
        true
    }

    /// A connection serves: the grace begins anew with it, but for what earlier ones have taken.
    pub(super) fn resume(&mut self, now: Instant, grace: Duration) {
        if let Self::Paused { left } = *self {
            *self = Self::until(now, grace, left);
        }
    }

    pub(super) fn pause(&mut self, now: Instant) {
        if let Self::Until { limit, .. } | Self::Deciding { limit, .. } = *self {
            *self = Self::Paused { left: limit.saturating_duration_since(now) };
        }
    }

    /// The same for a view with the grace `own` that begins beside one with `other`, which is held
    /// so: from the same moment on, and for as long as its own grace says.
    pub(super) fn for_newcomer(self, other: Duration, own: Duration) -> Self {
        let moved = |at: Instant, other: Duration, own: Duration| {
            at.checked_sub(other).map_or(at, |began| began + own)
        };
        let [most, own_most] = [other, own].map(longest);
        let [other, own] = [other, own].map(|grace| grace.min(LONGEST));
        match self {
            Self::No => Self::No,
            Self::Paused { left } => {
                Self::Paused { left: own_most.saturating_sub(most.saturating_sub(left)) }
            }
            Self::Until { at, limit } => {
                let limit = moved(limit, most, own_most);
                Self::Until { at: moved(at, other, own).min(limit), limit }
            }
            // It is doubted no more by who doubts it no longer than that one.
            Self::Deciding { at, limit } if own > other => {
                let limit = moved(limit, most, own_most);
                Self::Until { at: (at + own.saturating_sub(other)).min(limit), limit }
            }
            deciding @ Self::Deciding { .. } => deciding,
        }
    }

    /// When it expires.
    pub(super) fn next_timeout(self) -> Option<Instant> {
        match self {
            Self::No | Self::Paused { .. } => None,
            Self::Until { at, .. } | Self::Deciding { at, .. } => Some(at),
        }
    }

    fn until(now: Instant, grace: Duration, left: Duration) -> Self {
        Self::Until { at: now + grace.min(LONGEST).min(left), limit: now + left }
    }
}

/// For how long a view is held at most, on however many connections one after the other: a link
/// that flaps would begin the grace anew for ever.
fn longest(grace: Duration) -> Duration {
    CONNECTIONS * grace.min(LONGEST)
}

const CONNECTIONS: u32 = 3;
/// How long an empty list is doubted, unless a subscription says otherwise.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// For how long lists are doubted after a connection serves again: clients are back by then.
const RETURN: Duration = Duration::from_secs(30);
/// Within this a query was answered, or has failed twice.
const DECISION: Duration = Duration::from_secs(5);
/// For ever, in terms of a program; clocks can still be added to it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    /// There were instances that may be called, and there are none now.
    const LAST_GONE: (bool, bool) = (true, false);

    #[test]
    fn session_is_steady_until_a_loss_and_half_a_minute_after_its_successor() {
        let (mut steadiness, now) = (Steadiness::default(), Instant::now());
        assert!(!steadiness.serves(now) && steadiness.is_steady(now));
        steadiness = Steadiness::Lost;
        assert!(!steadiness.is_steady(now + 10 * RETURN));
        assert!(steadiness.serves(now));
        assert!(!steadiness.is_steady(now + RETURN.mul_f64(0.999)));
        // A second word of the same connection changes nothing.
        assert!(!steadiness.serves(now + RETURN / 2));
        assert!(steadiness.is_steady(now + RETURN));
    }

    #[test]
    fn connection_that_cannot_be_asked_is_like_a_lost_one_until_it_was_steady() {
        let now = Instant::now();
        let mut steadiness = Steadiness::SteadyFrom(now + RETURN);
        assert!(steadiness.interrupted(now) && !steadiness.is_steady(now + 2 * RETURN));
        assert!(steadiness.serves(now + RETURN));
        assert!(!steadiness.interrupted(now + 2 * RETURN), "a token that is refused later");
        assert!(steadiness.is_steady(now + 2 * RETURN));
        assert!(!Steadiness::Steady.interrupted(now) && !Steadiness::Lost.interrupted(now));
    }

    #[test]
    fn only_the_last_instances_are_held_and_only_after_a_loss() {
        let now = Instant::now();
        let held = |steadiness, turn| Hold::No.listed(now, GRACE, steadiness, turn);
        assert!(held(Steadiness::Lost, LAST_GONE));
        assert!(held(Steadiness::SteadyFrom(now + RETURN), LAST_GONE));
        assert!(!held(Steadiness::SteadyFrom(now), LAST_GONE));
        assert!(!held(Steadiness::Steady, LAST_GONE), "that is a deregistration");
        for turn in [(false, false), (false, true), (true, true)] {
            assert!(!held(Steadiness::Lost, turn), "{turn:?}");
        }
    }

    #[test]
    fn grace_ends_with_one_query_and_the_query_with_its_answer_or_without() {
        let (now, lost) = (Instant::now(), Steadiness::Lost);
        let mut hold = Hold::No;
        assert!(hold.listed(now, GRACE, lost, LAST_GONE));
        // Further empty lists make it no longer.
        assert!(hold.listed(now + GRACE / 2, GRACE, lost, LAST_GONE));
        assert_eq!(hold.next_timeout(), Some(now + GRACE));
        assert!(hold.expire(now + GRACE));
        let mut unanswered = hold;
        assert!(!hold.listed(now + GRACE, GRACE, lost, LAST_GONE));
        assert_eq!(unanswered.next_timeout(), Some(now + GRACE + DECISION));
        assert!(!unanswered.expire(now + GRACE + DECISION));
        assert_eq!((hold, unanswered), (Hold::No, Hold::No));
    }

    #[test]
    fn grace_begins_anew_with_a_connection() {
        let now = Instant::now();
        let mut deciding = Hold::until(now, GRACE, longest(GRACE));
        deciding.expire(now);
        for mut hold in [Hold::until(now, GRACE, longest(GRACE)), deciding] {
            hold.pause(now);
            assert_eq!(hold.next_timeout(), None);
            hold.resume(now, GRACE);
            assert_eq!(hold.next_timeout(), Some(now + GRACE));
            hold.resume(now + GRACE, GRACE);
            assert_eq!(hold.next_timeout(), Some(now + GRACE));
        }
        let mut none = Hold::No;
        none.pause(now);
        assert_eq!(none, Hold::No);
    }

    #[test]
    fn connections_that_end_in_turn_hold_a_view_for_three_graces_and_outages_do_not_count() {
        let (start, flap) = (Instant::now(), GRACE * 2 / 3);
        let (mut now, mut hold) = (start, Hold::No);
        assert!(hold.listed(now, GRACE, Steadiness::Lost, LAST_GONE));
        for _ in 0..4 {
            now += flap;
            hold.pause(now);
            now += 10 * GRACE;
            assert!(hold.listed(now, GRACE, Steadiness::Lost, LAST_GONE));
            hold.resume(now, GRACE);
        }
        // Four times two thirds have gone, so that a third is left.
        assert_eq!(hold.next_timeout(), Some(now + GRACE / 3));
        now += flap;
        assert!(hold.expire(now));
        // Nor does it begin anew because the answer is lost: the next list counts.
        hold.pause(now);
        hold.resume(now, GRACE);
        assert_eq!(hold.next_timeout(), Some(now));
        assert!(hold.expire(now) && !hold.listed(now, GRACE, Steadiness::Lost, LAST_GONE));
    }

    #[test]
    fn newcomer_doubts_an_empty_list_from_the_same_moment_and_for_its_own_grace() {
        let now = Instant::now();
        let (short, long) = (GRACE / 2, 2 * GRACE);
        let until = |grace| Hold::until(now, grace, longest(grace));
        let held = until(GRACE);
        assert_eq!(held.for_newcomer(GRACE, short), until(short));
        assert_eq!(held.for_newcomer(GRACE, long), until(long));
        let mut asking = held;
        asking.expire(now + GRACE);
        assert_eq!(asking.for_newcomer(GRACE, short), asking, "its query decides for both");
        let until = asking.for_newcomer(GRACE, long).next_timeout().expect("it is held");
        assert!(until >= now + long && until <= now + long + DECISION, "its own is not over");
        assert_eq!(Hold::No.for_newcomer(GRACE, long), Hold::No);
        for (own, left) in [(long, 5 * GRACE), (short, GRACE / 2), (GRACE / 3, Duration::ZERO)] {
            let paused = Hold::Paused { left: 2 * GRACE };
            assert_eq!(paused.for_newcomer(GRACE, own), Hold::Paused { left });
        }
    }

    #[test]
    fn no_grace_is_too_long_for_the_clock() {
        let mut hold = Hold::No;
        assert!(hold.listed(Instant::now(), Duration::MAX, Steadiness::Lost, LAST_GONE));
        let newcomer = hold.for_newcomer(Duration::MAX, GRACE).next_timeout();
        assert!(newcomer.is_some_and(|at| at <= Instant::now() + GRACE));
        let longest = hold.for_newcomer(Duration::MAX, Duration::MAX);
        assert_eq!(longest, hold);
        assert!(hold.next_timeout().is_some());
    }
}
