//! Whether a client pulls at all: not while the server leaves its queries unanswered, and not while
//! an operator has frozen it.
//!
//! ```text
//!            five timeouts in a row               a listen is answered
//!   Normal ────────────────────────▶ ReadOnly ─────────────────────────▶ Recovering ──▶ Normal
//!                                        ▲            two timeouts           │    drained
//!                                        └───────────────────────────────────┘
//! ```
//!
//! A listen with what is held, of all documents, says which have changed: it is the probe. One goes
//! out at growing intervals; soon after a push; and on another connection anyway, because every
//! listen is repeated there. Where the server has agreed to no listen, one query is the probe. A
//! refusal is as good an answer as any.
use std::time::{Duration, Instant};

use crate::{
    storm::{PullMode, ReadOnlyCounts},
    time::doubled,
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct ReadOnly {
    options: Options,
    stage: Stage,
    frozen: Option<Instant>,
    counts: ReadOnlyCounts,
}

/// When a client goes read-only, and how often it looks whether that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// After so many timeouts in a row; never, if that is none.
    pub(super) after: u32,
    pub(super) probe: Duration,
    pub(super) probe_cap: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Normal {
        timeouts: u32,
    },
    ReadOnly {
        since: Instant,
        probes: u32,
        probe_at: Instant,
        /// The cause of the listen that may be answered next.
        prompt: Prompt,
        /// When the last probe went out, and whether a push has hurried the next one.
        last: Option<Instant>,
        is_hurried: bool,
        /// The probe is a query, which has not gone out yet.
        is_query: bool,
    },
    Recovering {
        since: Instant,
        probes: u32,
        timeouts: u32,
    },
}

/// The cause of a listen that may end it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Prompt {
    Probe,
    Push,
    Reconnect,
}

impl ReadOnly {
    pub(super) fn new(options: Options) -> Self {
        let counts = ReadOnlyCounts::default();
        Self { options, stage: Stage::Normal { timeouts: 0 }, frozen: None, counts }
    }

    /// A query was not answered. `jitter` is for the first probe.
    pub(super) fn timed_out(&mut self, now: Instant, jitter: impl FnOnce() -> f64) {
        match &mut self.stage {
            Stage::Normal { timeouts } => {
                *timeouts += 1;
                if self.options.after > 0 && *timeouts >= self.options.after {
                    self.enter(now, now, 0, jitter());
                }
            }
            Stage::Recovering { since, probes, timeouts } => {
                *timeouts += 1;
                if *timeouts >= RELAPSE {
                    let (since, probes) = (*since, probes.saturating_add(1));
                    self.enter(now, since, probes, jitter());
                }
            }
            Stage::ReadOnly { .. } => {}
        }
    }

    fn enter(&mut self, now: Instant, since: Instant, probes: u32, jitter: f64) {
        let probe_at = now + self.pause(probes, jitter);
        let prompt = Prompt::Probe;
        self.counts.entered += 1;
        let (last, is_hurried, is_query) = (None, false, false);
        self.stage =
            Stage::ReadOnly { since, probes, probe_at, prompt, last, is_hurried, is_query };
    }

    /// A query was answered.
    pub(super) fn answered(&mut self) {
        match &mut self.stage {
            Stage::Normal { timeouts } | Stage::Recovering { timeouts, .. } => *timeouts = 0,
            Stage::ReadOnly { since, probes, .. } => {
                self.counts.left_by_answer += 1;
                self.stage = Stage::Recovering { since: *since, probes: *probes, timeouts: 0 };
            }
        }
    }

    /// A listen was answered, and what it found to be changed is known.
    pub(super) fn listen_answered(&mut self) {
        if let Stage::ReadOnly { since, probes, prompt, .. } = self.stage {
            *match prompt {
                Prompt::Probe => &mut self.counts.left_by_probe,
                Prompt::Push => &mut self.counts.left_by_push,
                Prompt::Reconnect => &mut self.counts.left_by_reconnect,
            } += 1;
            self.stage = Stage::Recovering { since, probes, timeouts: 0 };
        }
    }

    /// A push has come: the server may answer again, and the next probe is hurried. `jitter` keeps
    /// those that it went to apart.
    pub(super) fn pushed(&mut self, now: Instant, jitter: impl FnOnce() -> f64) {
        if let Stage::ReadOnly { probe_at, prompt, last, is_hurried, .. } = &mut self.stage
            && !std::mem::replace(is_hurried, true)
        {
            if *prompt == Prompt::Probe {
                *prompt = Prompt::Push;
            }
            let soon = now + AFTER_PUSH.mul_f64(jitter().clamp(0.0, 1.0));
            // Pushes come in rows, and a probe has to be answered first.
            let earliest = last.map_or(soon, |last| last + self.options.probe);
            *probe_at = (*probe_at).min(soon.max(earliest));
        }
    }

    /// Another connection serves: every listen goes out again.
    pub(super) fn reconnected(&mut self) {
        if let Stage::ReadOnly { prompt, .. } = &mut self.stage {
            *prompt = Prompt::Reconnect;
        }
    }

    /// Nothing waits for a query any more, and none is under way. One that failed decides when it
    /// is retried; but a listen may have answered in its place.
    pub(super) fn drained(&mut self, are_retried: bool) {
        if let Stage::Recovering { timeouts, .. } = self.stage
            && (timeouts == 0 || !are_retried)
        {
            self.stage = Stage::Normal { timeouts };
        }
    }

    /// Nothing is watched any more: there is nothing to ask for, and nothing to probe with.
    pub(super) fn idles(&mut self) {
        self.stage = Stage::Normal { timeouts: 0 };
    }

    /// Whether a probe is due, which then counts as sent.
    #[must_use = "it counts as sent"]
    pub(super) fn take_probe(&mut self, now: Instant, jitter: impl FnOnce() -> f64) -> bool {
        if self.next_probe().is_none_or(|at| at > now) {
            return false;
        }
        let Stage::ReadOnly { probes, .. } = self.stage else { return false };
        let pause = self.pause(probes.saturating_add(1), jitter()).max(BETWEEN_PROBES);
        if let Stage::ReadOnly { probes, probe_at, prompt, last, is_hurried, .. } = &mut self.stage
        {
            *probes = probes.saturating_add(1);
            *probe_at = now + pause;
            *last = Some(now);
            *prompt = if std::mem::take(is_hurried) { Prompt::Push } else { Prompt::Probe };
        }
        true
    }

    /// The probe is a query: there is no listen to repeat.
    pub(super) fn ask_one(&mut self) {
        self.probe_by_query(true);
    }

    /// It has gone out.
    pub(super) fn asked_one(&mut self) {
        self.probe_by_query(false);
    }

    fn probe_by_query(&mut self, due: bool) {
        if let Stage::ReadOnly { is_query, .. } = &mut self.stage {
            *is_query = due;
        }
    }

    /// Whether the probe is a query that has not gone out yet.
    pub(super) fn may_ask_one(&self) -> bool {
        matches!(self.stage, Stage::ReadOnly { is_query: true, .. })
    }

    /// When a probe is due; an operator's freeze is not looked into.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        match self.stage {
            Stage::ReadOnly { probe_at, .. } if self.frozen.is_none() => Some(probe_at),
            _ => None,
        }
    }

    /// An operator stops all pulls.
    pub(super) fn freeze(&mut self, now: Instant) {
        self.frozen.get_or_insert(now);
    }

    /// An operator lets them go on.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Whether it is, be it frozen as well or not.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.stage, Stage::ReadOnly { .. })
    }

    pub(super) fn mode(&self) -> PullMode {
        match (self.frozen, self.stage) {
            (Some(since), _) => PullMode::Frozen { since },
            (None, Stage::Normal { .. }) => PullMode::Normal,
            (None, Stage::ReadOnly { since, .. }) => PullMode::ReadOnly { since },
            (None, Stage::Recovering { since, .. }) => PullMode::Recovering { since },
        }
    }

    pub(super) fn counts(&self) -> ReadOnlyCounts {
        self.counts
    }

    /// The pause before a probe, of which `probes` have gone out: any part of it, so that thousands
    /// of clients of one server do not ask together.
    fn pause(&self, probes: u32, jitter: f64) -> Duration {
        let most = doubled(self.options.probe, probes, self.options.probe_cap);
        most.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

/// Timeouts after which a server that had answered again does not.
const RELAPSE: u32 = 2;
/// A push goes to thousands at the same moment.
const AFTER_PUSH: Duration = Duration::from_secs(1);
/// However short the jitter makes a pause.
const BETWEEN_PROBES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn read_only() -> (ReadOnly, Instant) {
        let options = Options { after: 5, probe: 5 * SECOND, probe_cap: 60 * SECOND };
        (ReadOnly::new(options), Instant::now())
    }

    fn entered() -> (ReadOnly, Instant) {
        let (mut read_only, now) = read_only();
        for _ in 0..5 {
            read_only.timed_out(now, || 1.0);
        }
        assert_eq!(read_only.mode(), PullMode::ReadOnly { since: now });
        (read_only, now)
    }

    #[test]
    fn five_timeouts_in_a_row_and_no_fewer_stop_the_pulls() {
        let (mut read_only, now) = read_only();
        for round in 0..9 {
            for _ in 0..4 {
                read_only.timed_out(now, || 1.0);
            }
            assert_eq!(read_only.mode(), PullMode::Normal, "round {round}");
            read_only.answered();
        }
        assert_eq!(entered().0.counts().entered, 1);
    }

    #[test]
    fn who_never_goes_read_only_does_not() {
        let options = Options { after: 0, probe: SECOND, probe_cap: SECOND };
        let mut read_only = ReadOnly::new(options);
        for _ in 0..99 {
            read_only.timed_out(Instant::now(), || 1.0);
        }
        assert_eq!(read_only.mode(), PullMode::Normal);
    }

    #[test]
    fn probes_go_out_at_growing_intervals() {
        let _limit = nacos_testkit::TimeLimit::start();
        let (mut read_only, start) = entered();
        let mut pauses = Vec::new();
        let mut now = start;
        for _ in 0..7 {
            let at = read_only.next_probe().expect("read-only");
            assert!(!read_only.take_probe(now + (at - now) / 2, || 1.0));
            assert!(read_only.take_probe(at, || 1.0));
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60]);
        // The least jitter.
        let at = read_only.next_probe().expect("read-only");
        assert!(read_only.take_probe(at, || 0.0));
        assert_eq!(read_only.next_probe(), Some(at + BETWEEN_PROBES));
    }

    #[test]
    fn each_push_hurries_the_next_probe_and_none_follows_another_too_soon() {
        let (mut read_only, start) = entered();
        for _ in 0..5 {
            let at = read_only.next_probe().expect("read-only");
            assert!(read_only.take_probe(at, || 1.0));
        }
        let mut now = read_only.next_probe().expect("read-only");
        assert!(now > start + 60 * SECOND && read_only.take_probe(now, || 1.0));
        for _ in 0..3 {
            read_only.pushed(now + 9 * SECOND, || 1.0);
            assert_eq!(read_only.next_probe(), Some(now + 10 * SECOND));
            now += 10 * SECOND;
            assert!(read_only.take_probe(now, || 1.0));
        }
        read_only.pushed(now + SECOND, || 1.0);
        read_only.pushed(now + 2 * SECOND, || 0.0);
        assert_eq!(read_only.next_probe(), Some(now + 5 * SECOND));
    }

    #[test]
    fn each_exit_leads_out_and_is_counted() {
        for exit in ["probe", "push", "reconnect", "answer"] {
            let (mut read_only, now) = entered();
            match exit {
                "push" => {
                    read_only.pushed(now, || 0.5);
                    assert_eq!(read_only.next_probe(), Some(now + SECOND / 2));
                    assert!(read_only.take_probe(now + SECOND, || 1.0));
                }
                "reconnect" => read_only.reconnected(),
                "answer" => read_only.answered(),
                _ => assert!(read_only.take_probe(now + 5 * SECOND, || 1.0)),
            }
            if exit != "answer" {
                assert_eq!(read_only.mode(), PullMode::ReadOnly { since: now }, "{exit}");
                read_only.listen_answered();
            }
            assert_eq!(read_only.mode(), PullMode::Recovering { since: now }, "{exit}");
            assert_eq!(read_only.next_probe(), None);
            read_only.drained(false);
            assert_eq!(read_only.mode(), PullMode::Normal, "{exit}");
            let counts = read_only.counts();
            let left = match exit {
                "push" => counts.left_by_push,
                "reconnect" => counts.left_by_reconnect,
                "answer" => counts.left_by_answer,
                _ => counts.left_by_probe,
            };
            let all = counts.left_by_push
                + counts.left_by_reconnect
                + counts.left_by_answer
                + counts.left_by_probe;
            assert_eq!((left, all), (1, 1), "{exit}");
        }
    }

    #[test]
    fn two_timeouts_of_one_that_recovers_lead_back_and_it_is_asked_more_rarely() {
        let (mut read_only, now) = entered();
        read_only.listen_answered();
        read_only.timed_out(now, || 1.0);
        read_only.answered();
        read_only.timed_out(now, || 1.0);
        read_only.drained(true);
        assert_eq!(read_only.mode(), PullMode::Recovering { since: now }, "it may still fail");
        read_only.timed_out(now + SECOND, || 1.0);
        assert_eq!(read_only.mode(), PullMode::ReadOnly { since: now }, "since the beginning");
        assert_eq!(read_only.next_probe(), Some(now + 11 * SECOND));
    }

    #[test]
    fn timeout_whose_query_a_listen_has_replaced_does_not_keep_it_from_recovering() {
        let (mut read_only, _) = entered();
        read_only.listen_answered();
        read_only.timed_out(Instant::now(), || 1.0);
        read_only.drained(false);
        assert_eq!(read_only.mode(), PullMode::Normal);
    }

    #[test]
    fn frozen_client_neither_pulls_nor_probes_until_it_is_thawed() {
        let (mut read_only, now) = entered();
        read_only.freeze(now + SECOND);
        read_only.freeze(now + 9 * SECOND);
        assert_eq!(read_only.mode(), PullMode::Frozen { since: now + SECOND });
        assert_eq!(read_only.next_probe(), None);
        assert!(!read_only.take_probe(now + 99 * SECOND, || 1.0));
        read_only.pushed(now, || 0.0);
        assert_eq!(read_only.mode(), PullMode::Frozen { since: now + SECOND });
        read_only.thaw();
        assert_eq!(read_only.mode(), PullMode::ReadOnly { since: now }, "as before");
    }
}
