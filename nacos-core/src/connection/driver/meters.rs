//! The meters of a driver: it measures itself, and counts the events of its session.
use std::time::{Duration, Instant};

use crate::{
    disconnect::Disconnect,
    session::Event,
    session_stats::SessionStats,
    storm::{PullCounts, StormReport},
    telemetry::{self, Share},
};

/// See the [module documentation](self).
pub(super) struct Meters {
    pub(super) share: Share,
    pub(super) stats: SessionStats,
    logged_in: Option<Instant>,
    /// The decisions that were counted.
    governed: PullCounts,
    /// When the session was last kept waiting for too long.
    starved: Option<Instant>,
    /// The longest recent wait, and when it was over.
    worst: (Instant, Duration),
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            share: Share::default(),
            stats: SessionStats::default(),
            logged_in: None,
            governed: PullCounts::default(),
            starved: None,
            worst: (super::now(), Duration::ZERO),
        }
    }

    /// Counts `event`; a connection that ends is no loss where the session `is_closing`. Notes in
    /// the record of an end how late the session ran, which it does not know itself.
    pub(super) fn observe(&mut self, now: Instant, event: &mut Event, is_closing: bool) {
        let counts = &mut self.stats;
        match event {
            Event::Serving(Some(_)) => {
                counts.connects += 1;
                telemetry::connected();
            }
            Event::Serving(None) => counts.losses += u64::from(!is_closing),
            Event::Ended { reason, record } => {
                telemetry::disconnected(*reason);
                record.stall = self.stall(now);
                self.ended(record);
            }
            Event::State(state) => self.share.state(state),
            Event::Lost { .. } => counts.reasserted += 1,
            Event::Proxied { finding, .. } => counts.proxy = Some(finding.to_string().into()),
            Event::Unreadable { .. } => self.unreadable(),
            Event::Older { is_applied, .. } => {
                telemetry::older_list(*is_applied);
                if *is_applied {
                    counts.clock_steps += 1;
                } else {
                    counts.overtaken += 1;
                }
            }
            Event::Document(..)
            | Event::Matches(..)
            | Event::Confirmed(_)
            | Event::Service(..)
            | Event::Claim(..)
            | Event::Settled(..)
            | Event::Unresponsive { .. }
            | Event::Withheld { .. }
            | Event::Pulls { .. }
            | Event::Held(..)
            | Event::Refused { .. } => {}
        }
    }

    /// A push has come.
    pub(super) fn pushed(&mut self, kind: &'static str) {
        self.stats.pushes += 1;
        telemetry::pushed(kind);
    }

    /// Counts what the governor of pulls has decided since the last time.
    pub(super) fn pulls(&mut self, storm: &StormReport) {
        telemetry::governed(&std::mem::replace(&mut self.governed, storm.counts), &storm.counts);
        self.share.pulls(storm);
    }

    /// A message could not be read.
    pub(super) fn unreadable(&mut self) {
        self.stats.unreadable += 1;
        telemetry::unreadable();
    }

    fn ended(&mut self, record: &Disconnect) {
        let former = self.stats.disconnects.iter();
        let kept = former.skip((self.stats.disconnects.len() + 1).saturating_sub(RECORDS));
        self.stats.disconnects = kept.cloned().chain([record.clone()]).collect();
    }

    pub(super) fn logged_in(&mut self, now: Instant) {
        self.logged_in = Some(now);
    }

    /// A timer that was due at `due` is looked after now. Notes how late, and returns it.
    pub(super) fn late(&mut self, due: Instant, now: Instant) -> Duration {
        let lag = now.saturating_duration_since(due);
        telemetry::lag(lag);
        if lag >= self.stall(now) {
            self.worst = (now, lag);
        }
        if let Some(since) = self.logged_in {
            telemetry::token_age(now.saturating_duration_since(since));
        }
        let starved = self.is_starved(lag, now);
        self.share.starved(starved);
        // In steps, so that no small difference wakes a reader of the stats.
        let shown = lag.as_millis() / 10 * 10;
        self.stats.lag = Duration::from_millis(u64::try_from(shown).unwrap_or(u64::MAX));
        lag
    }

    /// The longest that the session was kept waiting within the last minute.
    pub(super) fn stall(&self, now: Instant) -> Duration {
        let (at, lag) = self.worst;
        if now < at + SHOWN_FOR { lag } else { Duration::ZERO }
    }

    /// Whether the session was kept waiting a moment ago. It stays true for long enough to be seen
    /// by a reader who looks now and then.
    fn is_starved(&mut self, lag: Duration, now: Instant) -> bool {
        if lag >= TOO_LATE {
            self.starved = Some(now);
        }
        self.starved.is_some_and(|at| now < at + SHOWN_FOR)
    }
}

/// A fifth of what the strictest server waits for after a health check: later than this, servers
/// may take the client for dead.
pub(super) const TOO_LATE: Duration = Duration::from_secs(1);
/// How many ends of connections are remembered.
const RECORDS: usize = 8;
/// How long starvation is shown.
const SHOWN_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starvation_is_shown_for_a_minute() {
        let (mut meters, now) = (Meters::new(), Instant::now());
        assert!(!meters.is_starved(Duration::ZERO, now));
        assert!(meters.is_starved(TOO_LATE, now));
        assert!(meters.is_starved(Duration::ZERO, now + Duration::from_secs(59)));
        assert!(!meters.is_starved(Duration::ZERO, now + SHOWN_FOR));
    }

    #[tokio::test(start_paused = true)]
    async fn worst_stall_of_a_minute_is_known() {
        let (mut meters, now) = (Meters::new(), super::super::now());
        let late = |seconds| now + Duration::from_secs(seconds);
        meters.late(now, late(7));
        meters.late(late(8), late(9));
        assert_eq!(meters.stall(late(9)), Duration::from_secs(7));
        assert_eq!(meters.stall(late(67)), Duration::ZERO);
        meters.late(late(67), late(68));
        assert_eq!(meters.stall(late(68)), Duration::from_secs(1));
    }

    #[test]
    fn lag_is_shown_in_steps() {
        let (mut meters, now) = (Meters::new(), Instant::now());
        let late = |ms| now + Duration::from_millis(ms);
        meters.late(now, late(1239));
        assert_eq!(meters.stats.lag, Duration::from_millis(1230));
        meters.late(late(5), now);
        assert_eq!(meters.stats.lag, Duration::ZERO);
    }
}
