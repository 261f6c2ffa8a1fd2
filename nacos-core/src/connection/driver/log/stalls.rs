//! The line of the log about a session that is kept waiting.
use std::time::Duration;

use tracing::warn;

use super::super::meters::TOO_LATE;

/// Warns once: the first warning says where to look.
#[derive(Debug, Default)]
pub(super) struct StallLog {
    warned: bool,
}

impl StallLog {
    /// The session was looked after that much too late.
    pub(super) fn late(&mut self, lag: Duration, dedicated_thread: bool) {
        if let Some(advice) = self.advice(lag, dedicated_thread) {
            warn!(lag_ms = lag.as_millis(), advice, "the session was kept waiting");
        }
    }

    /// The advice to log for that lag; none if advice has been logged already.
    fn advice(&mut self, lag: Duration, dedicated_thread: bool) -> Option<&'static str> {
        if lag < TOO_LATE || self.warned {
            return None;
        }
        self.warned = true;
        Some(if dedicated_thread {
            "the machine was overloaded, or the process was stopped"
        } else {
            "something blocks the runtime's workers, or the process was stopped; \
             `dedicated_thread` keeps the session alive meanwhile"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starvation_is_said_once_and_names_the_option_that_helps() {
        let mut log = StallLog::default();
        assert_eq!(log.advice(Duration::from_millis(999), false), None);
        let advice = log.advice(TOO_LATE, false).expect("late enough");
        assert!(advice.contains("`dedicated_thread`"), "{advice}");
        assert_eq!(log.advice(60 * TOO_LATE, false), None);
    }

    #[test]
    fn client_with_a_thread_of_its_own_is_not_advised_to_have_one() {
        let advice = StallLog::default().advice(TOO_LATE, true).expect("late enough");
        assert!(!advice.contains("dedicated_thread"), "{advice}");
    }
}
