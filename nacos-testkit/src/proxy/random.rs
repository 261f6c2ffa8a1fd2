//! Scripts from a seed.

use std::time::Duration;

use fastrand::Rng;

use super::{Command, Script};

impl Script {
    /// A script of three to ten commands within this time, all of them what a network does to TCP,
    /// drawn from a seed: the same seed and time, the same script, in every run of this version. At
    /// the end of the time everything is healed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use nacos_testkit::proxy::Script;
    ///
    /// let within = Duration::from_secs(30);
    /// let script = Script::random(7, within);
    /// assert_eq!(script, Script::random(7, within));
    /// assert!(script.to_string().starts_with("seed 7\n"), "what is printed can be replayed");
    /// assert!(script.to_string().ends_with(": accept\nafter 0ns: pass\n"));
    /// ```
    pub fn random(seed: u64, within: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Whole milliseconds, as tokio's timers have them.
        let end = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let mut times: Vec<u64> = (0..rng.u32(3..=10)).map(|_| rng.u64(0..=end)).collect();
        times.sort_unstable();
        let mut script = Self::seeded(seed);
        let mut last = 0;
        for at in times {
            script = script.after(Duration::from_millis(at - last), command(&mut rng));
            last = at;
        }
        let rest = within.saturating_sub(Duration::from_millis(last));
        script.after(rest, Command::accept()).after(Duration::ZERO, Command::pass())
    }
}

/// Any command but `discard`: no network takes bytes out of the middle of a stream.
fn command(rng: &mut Rng) -> Command {
    let command = match rng.u8(0..9) {
        0 => Command::accept(),
        1 => Command::black_hole(),
        2 => {
            let latency = rng.u64(1..=2000);
            let jitter = rng.u64(0..=latency);
            Command::delay(Duration::from_millis(latency), Duration::from_millis(jitter))
        }
        3 => Command::half_close(),
        4 | 5 => Command::pass(),
        6 => Command::refuse(),
        7 => Command::reset(),
        // From 1 KiB/s to 1 MiB/s, each magnitude as often.
        _ => Command::throttle(1 << rng.u32(10..=20)),
    };
    match rng.u8(0..4) {
        0 => command.to_client(),
        1 => command.to_server(),
        _ => command,
    }
}
