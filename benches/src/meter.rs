//! The time that a stretch of work takes: of the clock, and of this process' processors.
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// Runs from [`start`](Self::start) to [`stop`](Self::stop).
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    wall: Instant,
    cpu: ProcessTime,
}

/// The time that it took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Time that went by.
    pub wall: Duration,
    /// Processor time of all threads of this process, in user and kernel.
    pub cpu: Duration,
}

impl Meter {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        Self { cpu: ProcessTime::now(), wall: Instant::now() }
    }

    /// Ends.
    #[must_use]
    pub fn stop(self) -> Taken {
        Taken { wall: self.wall.elapsed(), cpu: self.cpu.elapsed() }
    }
}

/// In nanoseconds.
#[must_use]
pub fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// In microseconds.
#[must_use]
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// In milliseconds.
#[must_use]
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count, to divide by.
#[must_use]
pub fn amount(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of what one run does are far below 2⁵³")]
    let amount = count as f64;
    amount
}
