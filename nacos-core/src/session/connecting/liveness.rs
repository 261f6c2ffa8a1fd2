//! Is the server still there? Decided by silence, health checks and their answers.
//!
//! ```text
//!   heard ──4.9 s──▶ probe ──1 s──▶ suspect ──▶ a replacement is dialled beside it
//!     ▲                │ 3 s: another probe, three in all ──▶ dead
//!     └─── anything ───┘
//! ```
use std::time::{Duration, Instant};

use crate::session::ids::CallId;

/// How long a server may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Silence after which the server is asked.
    pub(crate) quiet: Duration,
    /// An unanswered health check makes the connection suspect after this.
    pub(crate) suspect: Duration,
}

impl Patience {
    /// Servers expect health checks about this often, and a replacement should not wait longer.
    /// Both together are a tenth of a second less than six seconds, so that it serves before those
    /// are over.
    pub(crate) const DEFAULT: Self =
        Self { quiet: Duration::from_millis(4900), suspect: Duration::from_secs(1) };
}

/// Whether the connection that serves is alive.
#[derive(Debug)]
pub(crate) struct Liveness {
    patience: Patience,
    heard: Instant,
    probe: Option<Probe>,
    /// The last health check, until it is answered.
    asked: Option<(CallId, Instant)>,
    round_trip: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    call: CallId,
    /// When the first one of this silence was sent.
    first: Instant,
    tries: u32,
}

/// The conclusion from an unanswered probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProbeVerdict {
    /// Send another.
    ProbeAgain,
    /// Give the connection up.
    Dead,
}

impl Liveness {
    /// `round_trip` is that of the handshake.
    pub(crate) fn new(now: Instant, patience: Patience, round_trip: Option<Duration>) -> Self {
        Self { patience, heard: now, probe: None, asked: None, round_trip }
    }

    /// When something came last.
    pub(crate) fn last_heard(&self) -> Instant {
        self.heard
    }

    /// How long the last request that was timed was under way.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// `call` was answered.
    pub(crate) fn answered(&mut self, now: Instant, call: CallId) {
        if let Some((_, sent)) = self.asked.take_if(|(asked, _)| *asked == call) {
            self.round_trip = Some(now.saturating_duration_since(sent));
        }
    }

    /// Something came from the server at `at`.
    pub(crate) fn heard(&mut self, at: Instant) {
        self.heard = self.heard.max(at);
        if self.probe.is_some_and(|probe| probe.first <= at) {
            self.probe = None;
        }
    }

    /// Whether nothing is asked that has not been answered.
    pub(crate) fn is_calm(&self) -> bool {
        self.probe.is_none()
    }

    /// Whether to send a health check now.
    pub(crate) fn wants_probe(&self, now: Instant) -> bool {
        self.probe.is_none() && self.heard + self.patience.quiet <= now
    }

    /// It was sent as `call`.
    pub(crate) fn probed(&mut self, now: Instant, call: CallId) {
        let earlier = self.probe.map_or((now, 0), |probe| (probe.first, probe.tries));
        self.probe = Some(Probe { call, first: earlier.0, tries: earlier.1 + 1 });
        self.asked = Some((call, now));
    }

    /// `call` was not answered. Nothing to do if it is not the probe of this silence.
    pub(crate) fn unanswered(&self, call: CallId) -> Option<ProbeVerdict> {
        let probe = self.probe.filter(|probe| probe.call == call)?;
        Some(if probe.tries < TRIES { ProbeVerdict::ProbeAgain } else { ProbeVerdict::Dead })
    }

    /// Whether the server has been silent long enough to look for another.
    pub(crate) fn is_suspect(&self, now: Instant) -> bool {
        self.probe.is_some_and(|probe| probe.first + self.patience.suspect <= now)
    }

    /// When a probe is due, or the server becomes suspect.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        match self.probe {
            None => Some(self.heard + self.patience.quiet),
            // Once suspect, the next thing to happen is an answer, or the end of the call.
            Some(probe) => Some(probe.first + self.patience.suspect).filter(|&at| at > now),
        }
    }
}

/// Unanswered health checks that end a connection.
const TRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Patience::DEFAULT.quiet;
    const SUSPECT: Duration = Patience::DEFAULT.suspect;
    const MS: Duration = Duration::from_millis(1);
    /// A millisecond before a server is asked, or is suspect.
    const JUST_QUIET: Duration = Duration::from_millis(4899);
    const JUST_SUSPECT: Duration = Duration::from_millis(5899);

    #[test]
    fn black_hole_is_suspected_within_six_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Patience::DEFAULT, None);
        assert!(!liveness.wants_probe(start + JUST_QUIET));
        assert!(liveness.wants_probe(start + QUIET));
        liveness.probed(start + QUIET, CallId(1));
        assert!(!liveness.is_suspect(start + JUST_SUSPECT));
        assert!(liveness.is_suspect(start + QUIET + SUSPECT));
    }

    #[test]
    fn three_unanswered_probes_end_it() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Patience::DEFAULT, None);
        for (call, verdict) in
            [(1, ProbeVerdict::ProbeAgain), (2, ProbeVerdict::ProbeAgain), (3, ProbeVerdict::Dead)]
        {
            liveness.probed(start + QUIET, CallId(call));
            assert_eq!(liveness.unanswered(CallId(call)), Some(verdict));
        }
        assert_eq!(liveness.unanswered(CallId(1)), None);
    }

    #[test]
    fn any_sign_of_life_clears_the_suspicion() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Patience::DEFAULT, None);
        liveness.probed(start + QUIET, CallId(1));
        liveness.heard(start + JUST_QUIET);
        assert!(liveness.is_suspect(start + QUIET + SUSPECT), "that was before the probe");
        liveness.heard(start + QUIET + MS);
        assert!(!liveness.is_suspect(start + QUIET + SUSPECT));
    }

    #[test]
    fn round_trip_is_that_of_the_last_answered_check() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Patience::DEFAULT, Some(MS));
        assert_eq!(liveness.round_trip(), Some(MS));
        liveness.probed(start, CallId(1));
        liveness.probed(start + QUIET, CallId(2));
        liveness.answered(start + QUIET, CallId(1));
        assert_eq!(liveness.round_trip(), Some(MS), "that was asked before");
        liveness.answered(start + QUIET + 7 * MS, CallId(2));
        assert_eq!(liveness.round_trip(), Some(7 * MS));
    }
}
