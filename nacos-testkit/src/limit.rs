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

/// Ends the process if it is not dropped within ten minutes of real time, with the name of the
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
    /// Begins the ten minutes.
    pub fn start() -> Self {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        Self::new(REAL_LIMIT, move || {
            // Not through the harness, which keeps what a test prints until it is over.
            let _ = writeln!(stderr(), "{name} hangs: not over after {REAL_LIMIT:?}");
            std::process::abort();
        })
    }

    /// Begins the ten minutes of the test that runs on the ambient runtime: they are over when
    /// that runtime ends, which is one of its own with `#[tokio::test]`.
    ///
    /// For the function that starts what a test needs, so that every test has a limit and none
    /// has to hold it. Where it is called again, the first ten go on. A thread that blocks while
    /// the runtime ends is not seen.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```
    /// # use nacos_testkit::{Server, TimeLimit};
    /// async fn server() -> Server {
    ///     TimeLimit::for_test();
    ///     Server::start().await.expect("free ports")
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(server());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn for_test() {
        Self::start().until_runtime_ends();
    }

    fn until_runtime_ends(self) {
        tasks::spawn_until_runtime_ends(async move {
            let _limit = self;
            std::future::pending::<()>().await;
        });
    }

    fn new(limit: Duration, late: impl FnOnce() + Send + 'static) -> Self {
        let (running, over) = channel::<()>();
        tasks::spawn_thread(move || {
            if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                late();
            }
        });
        Self { _running: running }
    }
}

/// Far more than any test takes, on the slowest and busiest machine.
const REAL_LIMIT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use tokio::runtime::Builder;

    use super::*;

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "it hangs")]
    async fn what_never_comes_is_a_failure() {
        within(Duration::from_secs(3600), std::future::pending::<()>()).await;
    }

    #[test]
    fn limit_that_is_held_too_long_is_noticed() {
        let (late, seen) = channel();
        let _limit = TimeLimit::new(Duration::ZERO, move || late.send(()).expect("waited for"));
        assert_eq!(seen.recv_timeout(PATIENCE), Ok(()));
    }

    #[test]
    fn limit_that_is_dropped_ends_nothing() {
        let (late, seen) = channel();
        drop(TimeLimit::new(REAL_LIMIT, move || late.send(()).expect("waited for")));
        assert_eq!(seen.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn limit_of_a_test_holds_until_its_runtime_ends() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let (late, seen) = channel();
        runtime.block_on(async move {
            TimeLimit::new(REAL_LIMIT, move || late.send(()).expect("waited for"))
                .until_runtime_ends();
            tokio::task::yield_now().await;
        });
        assert_eq!(seen.try_recv(), Err(TryRecvError::Empty), "it goes on");
        drop(runtime);
        assert_eq!(seen.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }

    const PATIENCE: Duration = Duration::from_secs(60);
}
