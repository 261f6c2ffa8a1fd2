//! A time limit for tests that can fail by hanging only.
use std::{
    future::Future,
    io::{Write, stderr},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use tokio::time::timeout;

use crate::tasks;

/// Runs `test`, and panics if it is not over after `limit` of the runtime's clock.
///
/// On a paused clock a test that waits for what never comes fails at once, whatever `limit` is; one
/// that keeps its runtime busy, or blocks it, lets no clock go on: a [`TimeLimit`] ends that one.
///
/// # Panics
///
/// If `test` is not over in time.
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let answer = nacos_testkit::within(Duration::from_secs(60), async { 7 }).await;
/// assert_eq!(answer, 7);
/// # }
/// ```
///
/// # Cancel safety
///
/// As cancel safe as `test` is.
pub async fn within<T>(limit: Duration, test: impl Future<Output = T>) -> T {
    let _limit = TimeLimit::start();
    let Ok(value) = timeout(limit, test).await else {
        panic!("it hangs: not over after {limit:?}");
    };
    value
}

/// Ends the process if it is not dropped within two minutes of real time, with the name of the
/// thread that started it, which is that of the test.
///
/// For what blocks its thread, or spins: nothing inside the process can end that. All tests of the
/// process end with it, which is better than none of them ever ending.
///
/// ```
/// let _limit = nacos_testkit::TimeLimit::start();
/// // ... what may deadlock
/// ```
#[derive(Debug)]
#[must_use = "the limit is over when it is dropped"]
pub struct TimeLimit {
    _running: Sender<()>,
}

impl TimeLimit {
    /// Begins the two minutes.
    pub fn start() -> Self {
        let (running, over) = channel::<()>();
        let name = thread::current().name().unwrap_or("a test").to_owned();
        tasks::spawn_thread(move || {
            if over.recv_timeout(REAL_LIMIT) == Err(RecvTimeoutError::Timeout) {
                // Not through the harness, which keeps what a test prints until it is over.
                let _ = writeln!(stderr(), "{name} hangs: not over after {REAL_LIMIT:?}");
                std::process::abort();
            }
        });
        Self { _running: running }
    }
}

/// Far more than any test takes, on the slowest machine.
const REAL_LIMIT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "it hangs")]
    async fn what_never_comes_is_a_failure() {
        within(Duration::from_secs(3600), std::future::pending::<()>()).await;
    }

    #[test]
    fn limit_that_is_dropped_ends_nothing() {
        let limit = TimeLimit::start();
        drop(limit);
    }
}
