//! A server that runs, and what can be done to it.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::canary::log_in;
use crate::folder::Folder;
use crate::launch::Plan;
use crate::ports::{self, Ports};
use crate::process::{Process, Signal, read_log};
use crate::{Answer, Error, ErrorKind, Product, Request, cache};

/// A real server with ports and a directory of its own.
///
/// Drop kills it, and gives both back.
#[derive(Debug)]
#[must_use = "the server is killed when this is dropped"]
pub struct Running {
    // In this order: the process must be gone before its directory and its ports are free.
    process: Option<Process>,
    plan: Plan,
    starts: u32,
    site: Site,
}

/// The parts that outlive a server's process: its directory and its ports.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) ports: Ports,
}

impl Site {
    pub(crate) fn choose(product: Product) -> Result<Self, Error> {
        let ports = Ports::reserve(&cache::root().join("ports"))?;
        Ok(Self { folder: Folder::create(&env::temp_dir(), product.name())?, ports })
    }
}

impl Running {
    /// Starts a server for the first time, from an empty directory at each try.
    pub(crate) fn start(site: Site, plan: Plan) -> Result<Self, Error> {
        let mut running = Self { process: None, plan, starts: 0, site };
        running.attempt(|site| site.folder.wipe())?;
        Ok(running)
    }

    /// Where it serves HTTP: the address that clients are configured with.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.plan.door.main
    }

    /// Where it serves gRPC, which clients compute from [`addr`](Self::addr).
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.plan.door.grpc
    }

    /// Where r-nacos serves its console, if it was started with one.
    #[must_use]
    pub fn console_addr(&self) -> SocketAddr {
        ports::console(self.addr())
    }

    /// Which server it is.
    #[must_use]
    pub fn product(&self) -> Product {
        self.plan.product
    }

    /// Its name, as in a sentence.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.plan.product.name()
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.plan.product.version()
    }

    /// How often its process was started, lost starts included.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Its log since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        read_log(&self.log_path())
    }

    /// Asks its HTTP side something.
    ///
    /// # Errors
    ///
    /// Those of [`Request::send`].
    pub fn ask(&self, request: &Request) -> Result<Answer, Error> {
        request.send(self.addr(), PATIENCE)
    }

    /// Logs in with the credentials it was started with and gives the token; none when it knows
    /// no users.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unanswered`] when it does not answer, or refuses.
    pub fn log_in(&self) -> Result<Option<String>, Error> {
        let credentials = self.plan.door.credentials.as_ref();
        credentials.map(|credentials| log_in(self.addr(), credentials)).transpose()
    }

    /// Freezes it, as a machine that hangs: its connections stay open, nothing is answered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`].
    pub fn pause(&mut self) -> Result<(), Error> {
        self.process()?.signal(Signal::Freeze)
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.process()?.signal(Signal::Continue)
    }

    /// Ends it without a word, as a loss of power. Ports and data stay.
    ///
    /// r-nacos acknowledges before it has written: what it took in the last milliseconds may be
    /// missing after the next start, and is back after the one that follows. Writes that were
    /// 300 ms old were never seen missing (0.8.8).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`].
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process()?;
        if let Some(process) = self.process.take() {
            process.kill();
        }
        Ok(())
    }

    /// Asks it to leave, and ends it when it has not within some seconds. Ports and data stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`].
    pub fn stop(&mut self) -> Result<(), Error> {
        self.process()?;
        match self.process.take() {
            Some(process) => process.stop(GRACE),
            None => Ok(()),
        }
    }

    /// Starts it again on the same ports with the same data, stopping it first if it runs, and
    /// waits until it is usable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unready`] when it does not come up again.
    pub fn restart(&mut self) -> Result<(), Error> {
        if self.process().is_ok() {
            self.stop()?;
        }
        self.attempt(|_| Ok(()))
    }

    /// Tries to start it; `prepare` is called after each failure.
    fn attempt(&mut self, prepare: impl Fn(&Site) -> Result<(), Error>) -> Result<(), Error> {
        // Many tries are for starts that are lost at once, not for a server that hangs each time.
        let deadline = Instant::now() + 2 * self.plan.readiness.patience;
        let mut left = self.plan.tries;
        loop {
            left = left.saturating_sub(1);
            match self.launch() {
                Err(error)
                    if error.kind() == ErrorKind::Unready
                        && left > 0
                        && Instant::now() < deadline =>
                {
                    self.process = None;
                    prepare(&self.site)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn launch(&mut self) -> Result<(), Error> {
        let folder = self.site.folder.path();
        for name in self.plan.launch.folders {
            fs::create_dir_all(folder.join(name)).map_err(|error| {
                let text = format_args!("cannot create {name} for {}", self.plan.product);
                Error::new(ErrorKind::Machine, text).because(error)
            })?;
        }
        self.starts += 1;
        let log = self.log_path();
        let process = Process::spawn(&self.plan.launch, folder, &log)?;
        let process = self.process.insert(process);
        self.plan.readiness.wait(process, &self.plan.door).map_err(|why| {
            let (product, main) = (self.plan.product, self.plan.door.main);
            let log = process.log_end();
            let text =
                format_args!("{product} on {main} is of no use: {why}; its log ends with\n{log}");
            Error::new(ErrorKind::Unready, text)
        })
    }

    /// The process, if there is one that has not ended by itself.
    fn process(&mut self) -> Result<&mut Process, Error> {
        let product = self.plan.product;
        let gone =
            move |how: &str| Error::new(ErrorKind::NotRunning, format_args!("{product} {how}"));
        let process = self.process.as_mut().ok_or_else(|| gone("was stopped"))?;
        match process.exited() {
            None => Ok(process),
            Some(status) => {
                let log = process.log_end();
                Err(gone(&format!("ended by itself with {status}; its log ends with\n{log}")))
            }
        }
    }

    /// A file for each start: an old panic must not condemn the next one.
    fn log_path(&self) -> PathBuf {
        self.site.folder.path().join(format!("start-{}.log", self.starts))
    }
}

/// For one request of a test.
const PATIENCE: Duration = Duration::from_secs(10);

/// r-nacos leaves within 1.5 s, Java Nacos within 2 s.
const GRACE: Duration = Duration::from_secs(10);
