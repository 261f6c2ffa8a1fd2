//! A client that runs as a process of its own: ours, or a rival.
mod watching;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

pub use self::watching::Watching;
use crate::Failure;

/// A client that takes orders.
#[derive(Clone, Debug)]
pub struct Subject {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

/// A client that holds what it was told to hold, until this is dropped.
#[derive(Debug)]
pub struct Holding {
    child: Child,
    _order: Option<ChildStdin>,
}

/// The resources that a process uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time of the threads that it has now.
    pub cpu: Duration,
    /// Its threads.
    pub threads: usize,
    /// Its TCP sockets.
    pub sockets: usize,
}

impl Subject {
    /// Ours: this program once more.
    ///
    /// # Errors
    ///
    /// The program does not know its own path.
    pub fn ours() -> Result<Self, Failure> {
        let program = env::current_exe()?;
        Ok(Self { name: "nacos-core", program, arguments: vec!["--client".to_owned()] })
    }

    /// The rival, if it has been built beside this program.
    ///
    /// # Errors
    ///
    /// The program does not know its own path.
    pub fn rival() -> Result<Option<Self>, Failure> {
        let program = env::current_exe()?.with_file_name("rival-nacos-sdk");
        Ok(program.exists().then(|| Self {
            name: "nacos-sdk 0.8.3",
            program,
            arguments: Vec::new(),
        }))
    }

    /// The rival, if it has been built, with `TCP_NODELAY` set on its sockets once it has
    /// connected: without that, much of what it needs is the time for which Linux delays
    /// acknowledgements.
    ///
    /// # Errors
    ///
    /// The program does not know its own path.
    pub fn repaired_rival() -> Result<Option<Self>, Failure> {
        Ok(Self::rival()?.map(|rival| Self {
            name: "nacos-sdk, TCP_NODELAY",
            arguments: vec!["--nodelay".to_owned()],
            ..rival
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Starts one that registers `service` and subscribes to that many others; it does when this
    /// returns.
    ///
    /// # Errors
    ///
    /// It could not.
    pub fn hold(
        &self,
        addresses: &str,
        service: &str,
        subscriptions: usize,
    ) -> Result<Holding, Failure> {
        let mut child =
            self.command(&["hold", addresses, service, &subscriptions.to_string()]).spawn()?;
        let order = child.stdin.take();
        let output = child.stdout.take();
        // From here on it is ended when this function fails.
        let holding = Holding { child, _order: order };
        let mut line = String::new();
        BufReader::new(output.ok_or("the client has no output")?).read_line(&mut line)?;
        if line.trim() == "held" { Ok(holding) } else { Err("the client holds nothing".into()) }
    }

    /// Lets it connect that often; the time of each in milliseconds, nothing for one that failed.
    ///
    /// # Errors
    ///
    /// It could not be run.
    pub fn starts(&self, addresses: &str, count: usize) -> Result<Vec<Option<f64>>, Failure> {
        let output = self.command(&["starts", addresses, &count.to_string()]).output()?;
        let lines = String::from_utf8(output.stdout)?;
        let times: Vec<_> = lines.lines().map(|line| line.parse().ok()).collect();
        if times.len() == count { Ok(times) } else { Err("the client gave up".into()) }
    }

    /// Lets it read the document of the benches; the median latency in microseconds, the calls per
    /// second, and the microseconds of processor time per call.
    ///
    /// # Errors
    ///
    /// It could not.
    pub fn reads(&self, address: &str, each: usize, in_flight: usize) -> Result<[f64; 3], Failure> {
        let order = ["reads", address, &each.to_string(), &in_flight.to_string()];
        let output = self.command(&order).output()?;
        let line = String::from_utf8(output.stdout)?;
        let figures: Vec<f64> = line.split_whitespace().flat_map(str::parse).collect();
        figures.try_into().map_err(|_| format!("{} could not read", self.name).into())
    }

    fn command(&self, order: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(order).env("HOME", env::temp_dir());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

impl Holding {
    /// The resources that the process uses. Linux only.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn usage(&self) -> Result<Usage, Failure> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let (mut nanos, mut threads) = (0, 0);
        for thread in fs::read_dir(process.join("task"))? {
            // The first field is the time on a processor, to the nanosecond; `stat` counts ticks.
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += times.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
            threads += 1;
        }
        Ok(Usage {
            cpu: Duration::from_nanos(nanos),
            threads,
            sockets: remote_ports(&process)?.len(),
        })
    }

    /// Whether one of its sockets leads to that port. Linux only.
    #[must_use]
    pub fn is_connected_to(&self, port: u16) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        remote_ports(&process).is_ok_and(|ports| ports.contains(&port))
    }
}

/// The remote ports of the TCP sockets that a process has.
fn remote_ports(process: &Path) -> Result<Vec<u16>, Failure> {
    let open = fs::read_dir(process.join("fd"))?.flatten();
    let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: &Path| {
        Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
    };
    let inodes: Vec<String> = links.filter_map(|link| inode(&link)).collect();
    let mut ports = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        // A machine without IPv6 has no second table.
        let table = fs::read_to_string(process.join(table)).unwrap_or_default();
        for line in table.lines().skip(1) {
            let mut fields = line.split_whitespace();
            let (remote, inode) = (fields.nth(2), fields.nth(6));
            let port = remote.and_then(|remote| remote.rsplit_once(':'));
            let port = port.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            if inode.is_some_and(|inode| inodes.iter().any(|own| own == inode)) {
                ports.extend(port);
            }
        }
    }
    Ok(ports)
}

impl Drop for Holding {
    fn drop(&mut self) {
        // It has nothing to tidy up; an error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
