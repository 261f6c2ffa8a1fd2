//! Commands in a sequence, each after something has happened.

use std::{fmt, io, time::Duration};

use super::{Command, FaultProxy};

/// The network's course in a test: commands, each of which waits for its trigger.
///
/// A trigger counts from the moment at which the step before was applied, or the script begun.
/// [`Display`](fmt::Display) prints one step a line, and the seed of a [random](Self::random) one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nacos_testkit::proxy::{Command, Script};
///
/// let script = Script::new()
///     .after_connections(1, Command::throttle(64_000).to_client())
///     .after_bytes(4096, Command::reset())
///     .after(Duration::from_secs(2), Command::pass());
/// assert_eq!(
///     script.to_string(),
///     "after 1 connections: throttle 64000 B/s to client\n\
///      after 4096 bytes: reset, open connections\n\
///      after 2s: pass\n"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a script does nothing until it is played"]
pub struct Script {
    seed: Option<u64>,
    steps: Vec<(Trigger, Command)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Bytes(u64),
    Connections(u64),
    Time(Duration),
}

impl Script {
    /// A script without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Then waits this long, by the clock of the runtime, and applies a command.
    pub fn after(self, wait: Duration, command: Command) -> Self {
        self.then(Trigger::Time(wait), command)
    }

    /// Then waits until this many bytes have been delivered, in both directions together, and
    /// applies a command. Forever, if no more bytes come through.
    pub fn after_bytes(self, bytes: u64, command: Command) -> Self {
        self.then(Trigger::Bytes(bytes), command)
    }

    /// Then waits until this many connections have been accepted, and applies a command.
    pub fn after_connections(self, connections: u64, command: Command) -> Self {
        self.then(Trigger::Connections(connections), command)
    }

    pub(super) fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed), ..Self::new() }
    }

    fn then(mut self, trigger: Trigger, command: Command) -> Self {
        self.steps.push((trigger, command));
        self
    }
}

impl FaultProxy {
    /// Plays a script to its end. Its commands stay in force.
    ///
    /// Time is tokio's, so that a paused clock rules it. Something else has to go on meanwhile:
    /// join it with that.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); the steps after the failed one are not played.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops between two steps. Applied commands stay in force; played again,
    /// the script begins anew.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use nacos_testkit::proxy::{Command, FaultProxy, Script};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let client = async {};
    /// let proxy = FaultProxy::nacos(server.addr()).await?;
    /// let outage = Script::new()
    ///     .after(Duration::from_millis(5), Command::refuse())
    ///     .after(Duration::from_millis(5), Command::accept());
    /// let (played, ()) = tokio::join!(proxy.play(&outage), client);
    /// played?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn play(&self, script: &Script) -> io::Result<()> {
        for (trigger, command) in &script.steps {
            match trigger {
                Trigger::Bytes(count) => {
                    let until = self.delivered_at_all().saturating_add(*count);
                    self.until(|proxy| proxy.delivered_at_all() >= until).await;
                }
                Trigger::Connections(count) => {
                    let until = self.accepted().saturating_add(*count);
                    self.until(|proxy| proxy.accepted() >= until).await;
                }
                Trigger::Time(wait) => tokio::time::sleep(*wait).await,
            }
            tracing::debug!(%command, "network changes");
            self.apply(*command)?;
        }
        Ok(())
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.seed {
            writeln!(f, "seed {seed}")?;
        }
        for (trigger, command) in &self.steps {
            match trigger {
                Trigger::Bytes(count) => writeln!(f, "after {count} bytes: {command}")?,
                Trigger::Connections(count) => {
                    writeln!(f, "after {count} connections: {command}")?;
                }
                Trigger::Time(wait) => writeln!(f, "after {wait:?}: {command}")?,
            }
        }
        Ok(())
    }
}
