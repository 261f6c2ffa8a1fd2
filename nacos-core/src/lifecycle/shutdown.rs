//! The trigger that ends servers.
use std::{fmt, sync::Arc};

use tokio::{sync::watch, time::Instant};

/// Ends the servers that listen to it: gracefully first, at once if it is told to hurry.
///
/// Cheap to clone; every clone is the same trigger. It is pulled once and stays pulled. A test
/// pulls it where a signal would be too coarse, and so does a program that ends for another reason.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use nacos_core::lifecycle::Shutdown;
///
/// let shutdown = Shutdown::new();
/// assert!(!shutdown.has_begun());
/// shutdown.clone().begin();
/// shutdown.begun().await;
/// # }
/// ```
#[derive(Clone)]
pub struct Shutdown {
    asked: Arc<watch::Sender<Requested>>,
}

/// The end that was asked for so far.
#[derive(Clone, Copy, Debug)]
enum Requested {
    Nothing,
    Gracefully(Instant),
    AtOnce(Instant),
}

impl Shutdown {
    /// A trigger that was not pulled yet.
    #[must_use]
    pub fn new() -> Self {
        Self { asked: Arc::new(watch::Sender::new(Requested::Nothing)) }
    }

    /// Begins the graceful end. A second call changes nothing.
    pub fn begin(&self) {
        self.asked.send_if_modified(|asked| {
            let first = matches!(asked, Requested::Nothing);
            if first {
                *asked = Requested::Gracefully(Instant::now());
            }
            first
        });
    }

    /// Ends at once: nothing is waited for any more, and open connections are cut.
    pub fn hurry(&self) {
        self.asked.send_modify(|asked| {
            *asked = Requested::AtOnce(asked.since().unwrap_or_else(Instant::now));
        });
    }

    /// Whether it was pulled.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.asked.borrow().since().is_some()
    }

    /// Waits until it is pulled.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn begun(&self) {
        self.since().await;
    }

    /// Waits until it is pulled, and tells when that was.
    pub(super) async fn since(&self) -> Instant {
        self.wait(Requested::since).await
    }

    /// Waits until it is told to hurry.
    pub(super) async fn hurried(&self) {
        self.wait(|asked| matches!(asked, Requested::AtOnce(_)).then_some(())).await;
    }

    async fn wait<T>(&self, answer: impl Fn(&Requested) -> Option<T>) -> T {
        let mut asked = self.asked.subscribe();
        loop {
            if let Some(answer) = answer(&asked.borrow_and_update()) {
                return answer;
            }
            if asked.changed().await.is_err() {
                // `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Requested {
    fn since(&self) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::Gracefully(since) | Self::AtOnce(since) => Some(*since),
        }
    }
}

/// The triggers that end one server: its lifecycle's, and its own, which pulls the other.
#[derive(Clone, Debug)]
pub(super) struct Triggers {
    pub(super) common: Shutdown,
    pub(super) own: Shutdown,
}

impl Triggers {
    pub(super) async fn begun(&self) -> Instant {
        tokio::select! {
            biased;
            // First, because the time of all servers counts from the first pull.
            since = self.common.since() => since,
            since = self.own.since() => {
                self.common.begin();
                since
            }
        }
    }

    pub(super) async fn hurried(&self) {
        tokio::select! {
            () = self.common.hurried() => {}
            () = self.own.hurried() => self.common.hurry(),
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("begun", &self.has_begun()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use nacos_testkit::TimeLimit;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_first_pull() {
        TimeLimit::for_test();
        let shutdown = Shutdown::new();
        let pulled = Instant::now();
        shutdown.begin();
        advance(Duration::from_secs(1)).await;
        shutdown.begin();
        shutdown.hurry();
        assert_eq!(shutdown.since().await, pulled);
        shutdown.hurried().await;
    }
}
