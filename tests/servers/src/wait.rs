//! Waiting for what has no event: a foreign process and its ports.

use std::thread;
use std::time::{Duration, Instant};

/// Asks until there is an answer, or gives up with `None` at the deadline. Asks at least once, and
/// blocks its thread in between.
pub fn until<T>(deadline: Instant, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server's port has no event to wait for, and nothing in this crate is async"
)]
fn pause() {
    thread::sleep(STEP);
}

/// Short beside a start (tens of milliseconds at least), long beside a probe.
const STEP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_once_even_after_the_deadline() {
        assert_eq!(until(Instant::now(), || Some(1)), Some(1));
        assert_eq!(until(Instant::now(), || None::<u8>), None);
    }

    #[test]
    fn asks_again_until_there_is_an_answer() {
        let mut asked = 0;
        let answer = until(Instant::now() + Duration::from_secs(60), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer, Some(3));
    }
}
