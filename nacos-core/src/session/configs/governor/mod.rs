//! Which of the documents that may have changed may be asked for now.
//!
//! One change that concerns a thousand clients, or a server that comes back, must not become a
//! storm of queries. Each mechanism acts on one quantity: the [`bucket`] on the rate of this
//! client's queries, the [`stagger`] on their moment after an event that all clients have seen,
//! [`read_only`] on whether there are any, while nobody answers them or an operator wants none.
//! [`waiting`] keeps those that may not go out yet. Nothing is ever dropped: what may not be asked
//! for now stays dirty.
mod bucket;
mod read_only;
mod stagger;
mod waiting;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) use self::waiting::PullQueues;
use self::{
    bucket::{Bucket, Limits},
    read_only::ReadOnly,
    stagger::Stagger,
};
use crate::{
    key::ConfigKey,
    storm::{PullCounts, PullHold, PullMode, StormReport},
};

/// The options of the governor of queries.
#[derive(Clone, Debug)]
pub(crate) struct PullOptions {
    /// Tells this client from all others of its servers.
    pub(crate) instance_id: String,
    /// Queries at once; as many as documents are watched, a hundred at least, if it is not given.
    pub(crate) burst: Option<usize>,
    /// Queries that come back in a second; each document's once a minute, ten at least, if it is
    /// not given.
    pub(crate) rate: Option<usize>,
    /// The longest delay after a mass event.
    pub(crate) stagger: Duration,
    /// A mass event: no server has answered for so long.
    pub(crate) mass_outage: Duration,
    /// A mass event: two servers have dropped the client within this.
    pub(crate) mass_drops: Duration,
    /// Timeouts in a row after which nothing is asked for; never, if that is none.
    pub(crate) read_only_after: u32,
    /// The first pause before a probe, and the longest.
    pub(crate) probe: Duration,
    pub(crate) probe_cap: Duration,
    /// A client that does not pull for so long is an alarm.
    pub(crate) alarm_after: Duration,
}

impl PullOptions {
    /// The defaults, for the client that `instance_id` names.
    pub(crate) fn new(instance_id: impl Into<String>) -> Self {
        Self {
            instance_id: instance_id.into(),
            burst: None,
            rate: None,
            stagger: Duration::from_secs(1),
            mass_outage: Duration::from_secs(3),
            mass_drops: Duration::from_secs(10),
            read_only_after: 5,
            probe: Duration::from_secs(5),
            probe_cap: Duration::from_secs(60),
            // As long as a probe may be away.
            alarm_after: Duration::from_secs(60),
        }
    }
}

/// Why a document may have changed, or the reason to ask for it; in the order in which tokens are
/// given.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Class {
    /// Nothing is known of it yet.
    Start,
    /// The server, or a user, has hinted at it.
    Push,
    /// A listen has found a difference; or it is asked for again.
    Audit,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Start, Self::Push, Self::Audit];
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Governor {
    burst: Option<usize>,
    rate: Option<usize>,
    bucket: Bucket,
    stagger: Stagger,
    read_only: ReadOnly,
    counts: PullCounts,
    /// Queries up to this one are not counted when they are not answered: one that went out with
    /// them was counted.
    counted: u64,
    /// The mode that was shown last, and whether it was an alarm.
    shown: (PullMode, bool),
    alarm_after: Duration,
    /// When to look again whether a document may be asked for that waits.
    wake: Option<Instant>,
}

impl Governor {
    pub(super) fn new(now: Instant, options: &PullOptions) -> Self {
        let PullOptions { burst, rate, .. } = *options;
        Self {
            burst,
            rate,
            bucket: Bucket::new(now, Limits::new(burst, rate, 0)),
            stagger: Stagger::new(now, options),
            read_only: ReadOnly::new(read_only::Options {
                after: options.read_only_after,
                probe: options.probe,
                probe_cap: options.probe_cap,
            }),
            counts: PullCounts::default(),
            counted: 0,
            shown: (PullMode::Normal, false),
            alarm_after: options.alarm_after,
            wake: None,
        }
    }

    // Inputs.

    /// So many documents are watched.
    pub(super) fn watches(&mut self, now: Instant, watched: usize) {
        self.bucket.resize(now, Limits::new(self.burst, self.rate, watched));
    }

    /// Nothing is watched any more.
    pub(super) fn idles(&mut self) {
        self.read_only.idles();
    }

    /// The connection to `server` has ended without another, and queries were under way on it if it
    /// `leaves_queries`. Nobody has answered since then.
    pub(super) fn dropped(
        &mut self,
        now: Instant,
        (server, since): (Arc<str>, Instant),
        leaves_queries: bool,
        jitter: impl FnOnce() -> f64,
    ) {
        self.stagger.dropped(now, &server, since);
        if leaves_queries {
            self.counts.timeouts += 1;
            self.read_only.timed_out(now, jitter);
        }
    }

    /// Another connection serves.
    pub(super) fn serves(&mut self, now: Instant) {
        self.read_only.reconnected();
        if self.stagger.serves(now).is_some() {
            self.counts.staggers += 1;
        }
    }

    /// A push about a watched document has come.
    pub(super) fn pushed(&mut self, now: Instant, jitter: impl FnOnce() -> f64) {
        self.read_only.pushed(now, jitter);
    }

    /// A query was answered. The server `is_overloaded` if it says so.
    pub(super) fn answered(&mut self, now: Instant, is_overloaded: bool) {
        self.read_only.answered();
        if is_overloaded && self.bucket.overloaded(now) {
            self.counts.overloads += 1;
        }
    }

    /// Query number `query`, for a document of which something is known, was not answered; `newest`
    /// is the last that went out.
    pub(super) fn timed_out(&mut self, now: Instant, query: u64, newest: u64, jitter: f64) {
        if query > self.counted {
            self.counted = newest;
            self.counts.timeouts += 1;
            self.read_only.timed_out(now, || jitter);
        }
    }

    /// A listen was answered.
    pub(super) fn listen_answered(&mut self) {
        self.read_only.listen_answered();
    }

    /// Whether something is to be sent, to learn whether the server answers.
    #[must_use = "it counts as done"]
    pub(super) fn take_probe(&mut self, now: Instant, jitter: impl FnOnce() -> f64) -> bool {
        self.read_only.take_probe(now, jitter)
    }

    /// One document may be asked for in spite of read-only, as the probe.
    pub(super) fn ask_one(&mut self) {
        self.read_only.ask_one();
    }

    /// An operator stops all pulls.
    pub(super) fn freeze(&mut self, now: Instant) {
        self.read_only.freeze(now);
    }

    /// An operator lets them go on.
    pub(super) fn thaw(&mut self) {
        self.read_only.thaw();
    }

    // Decisions.

    /// Whether a document of `class`, which waits, may be asked for now. That counts as asked.
    #[must_use = "it counts as asked"]
    pub(super) fn admits(&mut self, now: Instant, class: Class) -> bool {
        let gate = self.gate(now, class);
        let is_probe = gate == Some(PullHold::ReadOnly) && self.read_only.may_ask_one();
        if gate.is_some() && !is_probe || !self.bucket.take(now, class) {
            return false;
        }
        if is_probe {
            self.read_only.asked_one();
        }
        *match class {
            Class::Start => &mut self.counts.start,
            Class::Push => &mut self.counts.push,
            Class::Audit => &mut self.counts.audit,
        } += 1;
        true
    }

    /// This client's turn, within `most`, after a push that has come to many.
    pub(super) fn turn(&mut self, most: Duration) -> Duration {
        self.counts.jittered += 1;
        self.stagger.delay(most)
    }

    /// Everything that may be asked for now is; `waiting` is the rest, for which there `is_room` or
    /// not. Returns those that have waited for long, and for what.
    #[must_use = "they count as told"]
    pub(super) fn rests(
        &mut self,
        now: Instant,
        waiting: &mut PullQueues,
        is_room: bool,
    ) -> Vec<(ConfigKey, PullHold)> {
        let mut told = Vec::new();
        self.wake = None;
        for class in Class::ALL {
            if waiting.first(class).is_none() {
                waiting.rests(class);
                continue;
            }
            let hold = self.hold(now, class);
            if is_room {
                let ready_at = match hold {
                    Some(PullHold::Throttled) | None => Some(self.bucket.ready_at(class)),
                    Some(PullHold::Staggered) => self.stagger.until(),
                    Some(PullHold::ReadOnly | PullHold::Frozen) => None,
                };
                self.wake = self.wake.into_iter().chain(ready_at).min();
            }
            let late = waiting.held(now, class, hold.is_some());
            let Some(why) = hold else { continue };
            let counts = &mut self.counts.held;
            *match why {
                PullHold::Throttled => &mut counts.throttled,
                PullHold::Staggered => &mut counts.staggered,
                PullHold::ReadOnly => &mut counts.read_only,
                PullHold::Frozen => &mut counts.frozen,
            } += late.len() as u64;
            told.extend(late.into_iter().map(|key| (key, why)));
        }
        self.wake = self.wake.into_iter().chain(waiting.next_told()).min();
        told
    }

    /// Nothing waits, and no query is under way. Some that failed may be retried.
    pub(super) fn drained(&mut self, are_retried: bool) {
        self.read_only.drained(are_retried);
    }

    /// Whether the client pulls, and whether that is an alarm, if it is news.
    #[must_use = "it counts as shown"]
    pub(super) fn take_mode(&mut self, now: Instant) -> Option<(PullMode, bool)> {
        let mode = self.read_only.mode();
        let shown = (mode, self.alarm_of(mode).is_some_and(|at| at <= now));
        (std::mem::replace(&mut self.shown, shown) != shown).then_some(shown)
    }

    /// Why a document of `class` would not be asked for, apart from tokens.
    fn gate(&self, now: Instant, class: Class) -> Option<PullHold> {
        match self.read_only.mode() {
            PullMode::Frozen { .. } => Some(PullHold::Frozen),
            // Of one that was never seen there is nothing to show: its queries are retried at
            // their own pace, and do not count.
            PullMode::ReadOnly { .. } if class != Class::Start => Some(PullHold::ReadOnly),
            _ => {
                let staggered = self.stagger.until().is_some_and(|until| now < until);
                (class == Class::Audit && staggered).then_some(PullHold::Staggered)
            }
        }
    }

    fn hold(&self, now: Instant, class: Class) -> Option<PullHold> {
        let throttled = || (self.bucket.ready_at(class) > now).then_some(PullHold::Throttled);
        self.gate(now, class).or_else(throttled)
    }

    // Outputs.

    /// When to look again whether a document may be asked for that waits.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.wake
    }

    /// Whether the next probe decides when the server is asked again, be the client frozen or not.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.is_read_only()
    }

    /// When a probe is due.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.read_only.next_probe()
    }

    /// When the mode becomes an alarm.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let (mode, is_alarming) = self.shown;
        self.alarm_of(mode).filter(|_| !is_alarming)
    }

    /// When a client that does not pull is one to be alarmed about.
    fn alarm_of(&self, mode: PullMode) -> Option<Instant> {
        match mode {
            PullMode::ReadOnly { since } | PullMode::Frozen { since } => {
                Some(since + self.alarm_after)
            }
            PullMode::Normal | PullMode::Recovering { .. } => None,
        }
    }

    /// The report, of which the caller knows how many documents there are of each kind.
    pub(super) fn report(&self, watched: usize, waiting: usize, under_way: usize) -> StormReport {
        let (tokens, at) = self.bucket.tokens();
        let (capacity, refill) = self.bucket.measures();
        StormReport {
            mode: self.shown.0,
            is_alarming: self.shown.1,
            watched,
            waiting,
            under_way,
            tokens,
            at,
            capacity,
            refill,
            staggered_until: self.stagger.until(),
            counts: PullCounts { read_only: self.read_only.counts(), ..self.counts },
        }
    }
}
