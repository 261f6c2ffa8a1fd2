//! When streams may be reset, so that no server takes the client for an attacker.
use std::time::Duration;

use crate::pace::Pace;

/// Spreads the resets of one connection.
///
/// Servers end a connection that resets many streams: those on the `h2` crate, such as r-nacos,
/// after 20 that they have not looked at yet; servers and proxies on Netty after 200 within 30 s.
pub(super) fn resets() -> Pace {
    Pace::new(EVERY, AT_ONCE)
}

/// In the long run: 120 within 30 s.
const EVERY: Duration = Duration::from_millis(250);
/// After a while without any.
const AT_ONCE: u32 = 10;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn resets_stay_below_the_limits_of_every_server() {
        nacos_testkit::TimeLimit::for_test();
        let (mut pace, began) = (resets(), Instant::now());
        let turns = (0..1000).map(|_| {
            let mut now = began;
            while !pace.try_take(now) {
                now = pace.next(now);
            }
            now - began
        });
        let turns: Vec<_> = turns.collect();
        assert!(turns.is_sorted());
        for window in turns.windows(20) {
            let [first, .., last] = window else { unreachable!("there are 20") };
            assert!(*last > *first, "20 at once");
        }
        for window in turns.windows(200) {
            let [first, .., last] = window else { unreachable!("there are 200") };
            assert!(*last > *first + Duration::from_secs(30), "200 within 30 s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_resets_wait_for_nothing() {
        let (mut pace, began) = (resets(), Instant::now());
        for second in 0..100 {
            let now = began + Duration::from_secs(4 * second);
            for _ in 0..AT_ONCE {
                assert!(pace.try_take(now));
            }
        }
    }
}
