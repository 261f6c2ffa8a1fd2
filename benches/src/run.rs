//! One run: how much is measured, and on which server.
use std::{cell::OnceCell, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::{
    Failure,
    args::Args,
    server::{Choice, Server},
};

/// One run. The server is started when a group asks for it, so that the others need none.
#[derive(Debug)]
pub struct Run {
    smoke: bool,
    rounds: Option<usize>,
    choice: Choice,
    server: OnceCell<Server>,
}

impl Run {
    /// A run as the command line wants it.
    #[must_use]
    pub fn new(args: &Args) -> Self {
        let choice = args.server.clone();
        Self { smoke: args.smoke, rounds: args.rounds, choice, server: OnceCell::new() }
    }

    /// How many rounds each side of a contest does: an odd number, so that the median is one of
    /// them.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.smoke { 1 } else { 15 })
    }

    /// Whether nothing is to be learnt but that it runs.
    #[must_use]
    pub fn is_smoke(&self) -> bool {
        self.smoke
    }

    /// How often something is done within a round: `full`, or hardly ever in a smoke test.
    #[must_use]
    pub fn count(&self, full: usize) -> usize {
        if self.smoke { full.div_ceil(500) } else { full }
    }

    /// How long an outage lasts: so many seconds, or a tenth of one in a smoke test.
    #[must_use]
    pub fn outage(&self, seconds: u64) -> Duration {
        if self.smoke { Duration::from_millis(100) } else { Duration::from_secs(seconds) }
    }

    /// The server, started if it does not run yet.
    ///
    /// # Errors
    ///
    /// It did not start.
    pub fn server(&self) -> Result<&Server, Failure> {
        if let Some(server) = self.server.get() {
            return Ok(server);
        }
        let server = Server::start(&self.choice)?;
        Ok(self.server.get_or_init(|| server))
    }

    /// The server, if any group has asked for it.
    #[must_use]
    pub fn started(&self) -> Option<&Server> {
        self.server.get()
    }
}

/// The runtime that a client runs on.
#[derive(Clone, Copy, Debug)]
pub enum Flavor {
    /// Two workers, as a small service has.
    TwoWorkers,
    /// One thread for everything.
    CurrentThread,
}

impl Flavor {
    /// As it is called in a report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoWorkers => "2 workers",
            Self::CurrentThread => "1 thread",
        }
    }

    /// A new runtime.
    ///
    /// # Errors
    ///
    /// The system gives no more threads or files.
    pub fn runtime(self) -> Result<Runtime, Failure> {
        let mut builder = match self {
            Self::TwoWorkers => Builder::new_multi_thread(),
            Self::CurrentThread => Builder::new_current_thread(),
        };
        if matches!(self, Self::TwoWorkers) {
            builder.worker_threads(2);
        }
        Ok(builder.enable_all().build()?)
    }
}

/// Runs `work` as a task of `runtime`, where a service's own work runs: what is given to `block_on`
/// itself runs beside the workers, and pays for a change of threads at every wake-up.
///
/// # Errors
///
/// Those of `work`; and it panicked.
pub fn on<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    runtime.block_on(runtime.spawn(work))?
}
