//! Which of two lists of a service, sent over one connection, is the newer one.
//!
//! Servers stamp each list with their clock. Answers and pushes overtake each other,
//! so a list with a slightly older stamp is one that was overtaken. But clocks step back, and then
//! everything that is new has an older stamp: such a list must not be kept out.
use std::time::Duration;

use crate::session::ids::CallId;

/// The list of a service that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShownList {
    /// When its server made it, in milliseconds.
    stamp: i64,
    /// Requests with a higher number were sent after it came.
    last_call: u64,
}

/// A list, beside the one that is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    /// As far as anybody can tell, it is not older.
    Newer,
    /// It was overtaken by the list that is shown.
    Overtaken { by: Duration },
    /// The server's clock has stepped back since: nobody can tell.
    Stepped { by: Duration },
}

impl ShownList {
    /// A list with this stamp came after `last_call` was sent.
    pub(super) fn new(stamp: i64, last_call: u64) -> Self {
        Self { stamp, last_call }
    }

    /// How old a list with this stamp is; it answers `request`, or else was pushed.
    pub(super) fn age_of(self, stamp: i64, request: Option<CallId>) -> Age {
        // The server made the list that is shown before it saw such a request.
        if request.is_some_and(|CallId(number)| number > self.last_call) {
            return Age::Newer;
        }
        let behind = self.stamp.saturating_sub(stamp);
        let by = Duration::from_millis(u64::try_from(behind).unwrap_or_default());
        match behind {
            ..=0 => Age::Newer,
            1..=OVERTAKEN_BY => Age::Overtaken { by },
            _ => Age::Stepped { by },
        }
    }
}

/// Nobody is overtaken by more than this, in milliseconds: one answer takes no longer.
const OVERTAKEN_BY: i64 = 5000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overtaken_within_five_seconds_and_a_step_of_the_clock_beyond() {
        let shown = ShownList::new(10_000, 7);
        let age = |stamp| shown.age_of(stamp, None);
        for newer in [10_000, 10_001, i64::MAX] {
            assert_eq!(age(newer), Age::Newer, "{newer}");
        }
        assert_eq!(age(9_999), Age::Overtaken { by: Duration::from_millis(1) });
        assert_eq!(age(5_000), Age::Overtaken { by: Duration::from_secs(5) });
        assert_eq!(age(4_999), Age::Stepped { by: Duration::from_millis(5_001) });
        assert_eq!(age(0), Age::Stepped { by: Duration::from_secs(10) });
        let ever = Duration::from_millis(u64::try_from(i64::MAX).expect("positive"));
        assert_eq!(age(i64::MIN), Age::Stepped { by: ever });
    }

    #[test]
    fn answer_to_what_was_asked_since_is_never_overtaken() {
        let shown = ShownList::new(10_000, 7);
        for stamp in [9_000, 0, i64::MIN, i64::MAX] {
            assert_eq!(shown.age_of(stamp, Some(CallId(8))), Age::Newer);
            assert_eq!(shown.age_of(stamp, Some(CallId(7))), shown.age_of(stamp, None));
        }
    }

    proptest! {
        /// Wherever a stamp may lie, what comes after it is not kept out for longer than 5 s.
        #[test]
        fn no_stamp_freezes_what_comes_after(shown: i64, next: i64, wait in 5001_i64..) {
            let later = next.saturating_add(wait);
            let age = ShownList::new(shown, 0).age_of(next, None);
            if matches!(age, Age::Overtaken { .. }) {
                let age = ShownList::new(shown, 0).age_of(later, None);
                prop_assert!(!matches!(age, Age::Overtaken { .. }), "{age:?}");
            }
        }
    }
}
