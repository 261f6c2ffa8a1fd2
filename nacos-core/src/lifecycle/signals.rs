//! The signals that end a process.
use std::io;

use tracing::{info, info_span, warn};

use super::Shutdown;
use crate::tasks::{self, Task};

/// Pulls `shutdown` at the first signal, and hurries it at the second. Ends after that.
///
/// The handlers are in place when this returns. They stay for the life of the process, which the
/// system offers no way around: a later signal has no effect of its own any more.
pub(super) fn listen(shutdown: Shutdown) -> io::Result<Task<()>> {
    let mut signals = Signals::install()?;
    let span = info_span!(parent: None, "nacos signals");
    Ok(tasks::spawn_in(span, async move {
        let signal = signals.next().await;
        info!(signal, "shutting down");
        shutdown.begin();
        let signal = signals.next().await;
        warn!(signal, "shutting down at once");
        shutdown.hurry();
    }))
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(windows)]
struct Signals {
    ctrl_c: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self { ctrl_c: tokio::signal::windows::ctrl_c()? })
    }

    async fn next(&mut self) -> &'static str {
        self.ctrl_c.recv().await;
        "ctrl-c"
    }
}
