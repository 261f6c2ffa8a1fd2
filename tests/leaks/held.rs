//! The resources that this process holds, counted.
use std::{
    fs,
    time::{Duration, Instant},
};

/// Tasks of the runtime, and what Linux shows of the process.
#[derive(Debug)]
pub(crate) struct Held {
    tasks: usize,
    threads: usize,
    /// Sockets above all, and what runtimes wait with.
    descriptors: usize,
}

impl Held {
    pub(crate) fn now() -> Self {
        Self {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
        }
    }

    /// Whether so many clients show, be it as tasks or as threads.
    pub(crate) fn exceeds(&self, before: &Self, clients: usize) -> bool {
        self.tasks.max(self.threads) >= before.tasks.min(before.threads) + clients
    }

    /// Waits until no more than this is held, for far longer than that may take; then what is.
    pub(crate) async fn is_reached(&self) -> Result<(), Self> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let now = Self::now();
            if now.tasks <= self.tasks
                && now.threads <= self.threads
                && now.descriptors <= self.descriptors
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(now);
            }
            // Threads of others need the processor, and tasks of this one need this thread.
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).expect("Linux shows it").count()
}
