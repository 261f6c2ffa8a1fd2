//! When a server may be used: a port that answers is not enough.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Request;
use crate::canary::{Canary, log_in};
use crate::launch::Door;
use crate::process::Process;
use crate::wait::until;

/// The proof that a server must give after its start.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    /// A path that answers 200 once HTTP is served, authentication or not.
    pub(crate) health: &'static str,
    /// A word in the log after which nothing the server says can be trusted.
    pub(crate) fatal: &'static str,
    /// For all steps together.
    pub(crate) patience: Duration,
}

impl Readiness {
    /// Waits until the server is usable, or says why it will not be.
    pub(crate) fn wait(&self, process: &mut Process, door: &Door) -> Result<(), String> {
        let deadline = Instant::now() + self.patience;
        let Door { main, grpc, credentials } = door;
        self.step(process, deadline, "answered over HTTP", || {
            let answer = Request::get(self.health).send(*main, PROBE).ok()?;
            answer.is_ok().then_some(())
        })?;
        self.step(process, deadline, "listened for gRPC", || {
            TcpStream::connect_timeout(grpc, PROBE).ok()
        })?;
        // Both servers take users from a store that fills some time after the first answer.
        let token = match credentials {
            None => None,
            Some(credentials) => {
                Some(self.step(process, deadline, "let its user log in", || {
                    log_in(*main, credentials).ok()
                })?)
            }
        };
        let canary = Canary::new(token);
        self.step(process, deadline, "stored what it acknowledged", || {
            // Published anew each time: what was said during an election may be lost.
            if !canary.publish(*main, CONTENT) {
                return None;
            }
            until(Instant::now() + VISIBLE, || canary.is_readable(*main, CONTENT).then_some(()))
        })?;
        canary.remove(*main);
        // Last, for what went wrong while we asked.
        self.fate(process).map_or(Ok(()), Err)
    }

    fn step<T>(
        &self,
        process: &mut Process,
        deadline: Instant,
        promise: &str,
        mut ask: impl FnMut() -> Option<T>,
    ) -> Result<T, String> {
        until(deadline, || match self.fate(process) {
            Some(fate) => Some(Err(fate)),
            None => ask().map(Ok),
        })
        .unwrap_or_else(|| Err(format!("it never {promise}")))
    }

    /// Why nothing more is to be expected of it.
    fn fate(&self, process: &mut Process) -> Option<String> {
        if let Some(status) = process.exited() {
            return Some(format!("it ended with {status}"));
        }
        let fatal = process.log().contains(self.fatal);
        fatal.then(|| format!("its log says `{}`", self.fatal))
    }
}

const CONTENT: &str = "tweet";

/// For one probe.
const PROBE: Duration = Duration::from_secs(2);

/// How long a published configuration may stay invisible: Java Nacos takes up to 90 ms.
const VISIBLE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::env;
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::folder::Folder;
    use crate::launch::Launch;

    #[test]
    fn server_that_ends_is_not_waited_for() {
        let why = fate_of("echo bye; exit 7").expect_err("it never answers");
        assert!(why.contains("exit status: 7"), "{why}");
    }

    #[test]
    fn server_that_panics_is_not_waited_for() {
        let why = fate_of("echo \"thread 'x' panicked at y\"; sleep 600").expect_err("no answer");
        assert_eq!(why, "its log says `panicked`");
    }

    fn fate_of(script: &str) -> Result<(), String> {
        let folder = Folder::create(&env::temp_dir(), "readiness").expect("a directory");
        let launch = Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            folders: &[],
        };
        let log = folder.path().join("log");
        let mut process = Process::spawn(&launch, folder.path(), &log).expect("a shell");
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let door = Door { main: nowhere, grpc: nowhere, credentials: None };
        let patience = Duration::from_secs(60);
        Readiness { health: "/", fatal: "panicked", patience }.wait(&mut process, &door)
    }
}
