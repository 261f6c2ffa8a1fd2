//! The server that is measured on: always another process, so that its work is not counted as ours.
use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::Failure;

/// Which server is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Choice {
    /// r-nacos if it is installed, else the test server.
    #[default]
    Usual,
    /// r-nacos, which the rig in `tests/servers` has installed.
    RNacos,
    /// Java Nacos, which the rig in `tests/servers` has installed.
    Java,
    /// The test server, in a process of its own.
    Testkit,
    /// One that runs already, by its main address.
    Given(String),
}

impl From<&str> for Choice {
    fn from(name: &str) -> Self {
        match name {
            "r-nacos" => Self::RNacos,
            "java" => Self::Java,
            "testkit" => Self::Testkit,
            address => Self::Given(address.to_owned()),
        }
    }
}

/// A server that runs. One that was started for this run ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    name: String,
    addr: String,
    _life: Life,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping it does")]
enum Life {
    Real(Box<servers::Running>),
    Testkit(Serving),
    Foreign,
}

impl Server {
    /// Starts it, or takes the one that runs.
    ///
    /// # Errors
    ///
    /// It is not installed, or did not start.
    pub fn start(choice: &Choice) -> Result<Self, Failure> {
        match choice {
            Choice::Usual => match servers::RNacos::builder().start() {
                Err(error) if error.is_unavailable() => Self::start(&Choice::Testkit),
                started => Ok(Self::real(started?)),
            },
            Choice::RNacos => Ok(Self::real(servers::RNacos::builder().start()?)),
            Choice::Java => Ok(Self::real(servers::JavaNacos::builder().start()?)),
            Choice::Testkit => {
                let (serving, addr) = Serving::start()?;
                let name = "nacos-testkit".to_owned();
                Ok(Self { name, addr, _life: Life::Testkit(serving) })
            }
            Choice::Given(addr) => {
                let name = "a server that was given".to_owned();
                Ok(Self { name, addr: addr.clone(), _life: Life::Foreign })
            }
        }
    }

    fn real(running: servers::Running) -> Self {
        let name = format!("{} {}", running.name(), running.version());
        Self { name, addr: running.addr().to_string(), _life: Life::Real(Box::new(running)) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its main address, as clients are given it.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Its gRPC address, 1000 above.
    ///
    /// # Errors
    ///
    /// The main address is not of the form `host:port`.
    pub fn grpc_addr(&self) -> Result<String, Failure> {
        let wrong = || format!("{:?} is not host:port", self.addr);
        let (host, port) = self.addr.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let port = port.checked_add(1000).ok_or_else(wrong)?;
        Ok(format!("{host}:{port}"))
    }
}

/// This program once more, as a server.
#[derive(Debug)]
struct Serving(Child);

impl Serving {
    fn start() -> Result<(Self, String), Failure> {
        let child = Command::new(env::current_exe()?)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // From here on it is ended when this function fails.
        let mut serving = Self(child);
        let output = serving.0.stdout.take().ok_or("the server has no output")?;
        let mut addr = String::new();
        BufReader::new(output).read_line(&mut addr)?;
        let addr = addr.trim().to_owned();
        if addr.is_empty() { Err("the server said no address".into()) } else { Ok((serving, addr)) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has nothing to tidy up; an error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_port_is_1000_above() {
        let server = |addr: &str| Server::start(&Choice::from(addr)).expect("given");
        assert_eq!(server("localhost:8848").grpc_addr().ok().as_deref(), Some("localhost:9848"));
        assert!(server("localhost").grpc_addr().is_err());
        assert!(server("localhost:65000").grpc_addr().is_err());
    }
}
