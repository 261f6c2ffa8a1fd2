//! Where and by what it was measured: numbers without that mean nothing.
use std::{fs, thread};

use serde::Serialize;

/// The machine, as the head of a report names it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// How many threads it runs at once.
    pub processors: usize,
    /// The model of its processors, in their own words.
    pub model: String,
    /// Its load when this began: the averages of 1, 5 and 15 minutes.
    pub load: String,
    /// The compiler that built this program.
    pub rustc: &'static str,
}

impl Machine {
    /// This one, now; `unknown` where the system does not tell.
    #[must_use]
    pub fn here() -> Self {
        let unknown = || "unknown".to_owned();
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let model = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map(|(_, model)| model.trim().to_owned());
        let load = read("/proc/loadavg");
        let load: Vec<_> = load.split_whitespace().take(3).collect();
        Self {
            processors: thread::available_parallelism().map_or(0, usize::from),
            model: model.unwrap_or_else(unknown),
            load: if load.is_empty() { unknown() } else { load.join(" ") },
            rustc: env!("BUILT_BY"),
        }
    }
}
