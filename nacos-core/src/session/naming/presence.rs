//! Is what we registered still there? Asked once a minute, service by service.
//!
//! A server may lose a publication without a word, and its connection stays: nothing else would
//! ever tell. Only *presence* is looked at, and only of instances that are claimed as enabled:
//! weight, metadata and the enabled flag belong to operators, who may have changed them.
//!
//! ```text
//!              due                 seen, no news
//!   Waiting ──────────▶ Asking ─────────────────▶ Waiting
//!      ▲                   │ absent
//!      └──── held again ── Healing
//! ```
//!
//! What had to be registered again after a reconnect is looked at soon: a server that comes up with
//! the rest of its cluster may take what it is told meanwhile for outdated, and throw it away.
//!
//! An instance that an operator has disabled is hidden by every server, and looks lost. It is
//! asserted again once; if it is still not there soon after, it is hidden, and asserted again
//! ever more rarely: after 2, 4, 8 … checks.
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{
    key::ServiceKey,
    session::{ledger::Revision, queue::Queue, timers::Timers},
    time::give_or_take_a_fifth,
};

/// The services whose instances we claim and the server holds.
#[derive(Debug)]
pub(super) struct Presence {
    entries: HashMap<ServiceKey, Entry>,
    timers: Timers<ServiceKey>,
    /// Due, and waiting for one of those under way to end.
    queue: Queue<ServiceKey>,
    under_way: usize,
    /// What a former server held, and the present one does not yet.
    lost: HashSet<ServiceKey>,
}

#[derive(Debug)]
struct Entry {
    /// The claim that the server holds.
    revision: Revision,
    standing: Standing,
    /// How often in a row it was asserted again without being seen after.
    vain: u32,
    /// Absences that are let pass before the next assertion.
    patience: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Waiting {
        until: Instant,
    },
    Queued,
    Asking,
    /// Asserted again, and not held yet.
    Healing,
}

/// What to make of instances that are not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Absence {
    /// The publication is to be asserted again; `first` if it was seen, or new, before.
    Lost { first: bool },
    /// They were asserted again already: somebody hides them.
    Hidden,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            timers: Timers::new(),
            queue: Queue::new(),
            under_way: 0,
            lost: HashSet::new(),
        }
    }

    /// The server holds `revision` of what we claim of `service`.
    ///
    /// The first check comes at a random point of the interval, so that what was registered
    /// together is not asked for together; soon, if a former server held the service.
    pub(super) fn held(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        revision: Revision,
        jitter: f64,
    ) {
        let entry = self.entries.entry(service.clone()).or_insert(Entry {
            revision,
            standing: Standing::Queued,
            vain: 0,
            patience: 0,
        });
        let healed = entry.revision == revision && entry.standing == Standing::Healing;
        if !healed {
            self.under_way -= usize::from(entry.standing == Standing::Asking);
            *entry = Entry { revision, standing: Standing::Queued, vain: 0, patience: 0 };
        }
        let after = if self.lost.remove(service) {
            REDONE
        } else if healed {
            // After an assertion soon, so that a second loss is not taken for a hidden instance.
            SETTLED
        } else {
            SETTLED + SPREAD.mul_f64(jitter.clamp(0.0, 1.0))
        };
        self.wait(service, now + after);
    }

    /// Nothing is claimed of `service` any more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.lost.remove(service);
        if let Some(entry) = self.entries.remove(service) {
            self.under_way -= usize::from(entry.standing == Standing::Asking);
            self.timers.remove(service);
            self.queue.remove(service);
        }
    }

    /// A new connection: nothing is held, and nothing is under way.
    pub(super) fn reconnected(&mut self) {
        let mut lost = std::mem::take(&mut self.lost);
        lost.extend(std::mem::take(&mut self.entries).into_keys());
        *self = Self { lost, ..Self::new() };
    }

    /// The services to ask for now, each with the claim that the answer is to be compared with.
    #[must_use = "what is taken counts as asked for"]
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(ServiceKey, Revision)> {
        while let Some(service) = self.timers.pop(now) {
            // A time that was given up stays in the queue.
            if let Some(entry) = self.entries.get_mut(&service)
                && matches!(entry.standing, Standing::Waiting { until } if until <= now)
            {
                entry.standing = Standing::Queued;
                self.queue.push(service);
            }
        }
        let mut taken = Vec::new();
        while self.under_way < AT_ONCE
            && let Some(service) = self.queue.pop()
        {
            if let Some(entry) = self.entries.get_mut(&service)
                && entry.standing == Standing::Queued
            {
                entry.standing = Standing::Asking;
                self.under_way += 1;
                taken.push((service, entry.revision));
            }
        }
        taken
    }

    /// Every instance is there.
    pub(super) fn seen(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        revision: Revision,
        jitter: f64,
    ) {
        if let Some(entry) = self.asked(service, revision) {
            (entry.vain, entry.patience) = (0, 0);
            self.wait(service, now + interval(jitter));
        }
    }

    /// The answer says nothing: it could not be read, was refused, or never came.
    pub(super) fn unknown(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        revision: Revision,
        jitter: f64,
    ) {
        if self.asked(service, revision).is_some() {
            self.wait(service, now + interval(jitter));
        }
    }

    /// An instance is not there. Nothing, if the answer is to an older claim.
    pub(super) fn absent(
        &mut self,
        now: Instant,
        service: &ServiceKey,
        revision: Revision,
        jitter: f64,
    ) -> Option<Absence> {
        let entry = self.asked(service, revision)?;
        if entry.patience > 0 {
            entry.patience -= 1;
            self.wait(service, now + interval(jitter));
            return Some(Absence::Hidden);
        }
        let first = entry.vain == 0;
        entry.vain = entry.vain.saturating_add(1);
        // The check right after the assertion is one of them.
        entry.patience = 2_u32.saturating_pow(entry.vain).min(RAREST);
        entry.standing = Standing::Healing;
        Some(Absence::Lost { first })
    }

    /// When to take what is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        // Queries that wait for room are sent when an answer makes it.
        self.timers.next()
    }

    fn wait(&mut self, service: &ServiceKey, until: Instant) {
        if let Some(entry) = self.entries.get_mut(service) {
            entry.standing = Standing::Waiting { until };
            self.queue.remove(service);
            self.timers.push(until, service.clone());
        }
    }

    /// The entry of `service`, if it was asked for this very claim.
    fn asked(&mut self, service: &ServiceKey, revision: Revision) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(service)?;
        if entry.standing != Standing::Asking || entry.revision != revision {
            return None;
        }
        self.under_way -= 1;
        Some(entry)
    }
}

/// Every minute, give or take a fifth.
fn interval(jitter: f64) -> Duration {
    give_or_take_a_fifth(EVERY, jitter)
}

/// See "Numbers that were chosen" in ARCHITECTURE.md.
const EVERY: Duration = Duration::from_secs(60);
/// A publication is not looked for sooner after it was held: servers show what was written late.
const SETTLED: Duration = Duration::from_secs(10);
/// What was registered again after a reconnect is looked for after this.
const REDONE: Duration = Duration::from_secs(2);
/// The first check of a publication comes within this after that.
const SPREAD: Duration = Duration::from_secs(50);
/// Queries under way at once.
const AT_ONCE: usize = 4;
/// A hidden instance is asserted again after this many checks at the latest: once an hour.
const RAREST: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_registered_together_is_asked_for_apart_and_a_few_at_once() {
        let now = Instant::now();
        let mut presence = Presence::new();
        for n in 0..100_u32 {
            presence.held(now, &service(n), revision(1), f64::from(n) / 100.0);
        }
        assert!(presence.take_due(now + Duration::from_millis(9999)).is_empty());
        let asked = |presence: &mut Presence, after| presence.take_due(now + after).len();
        assert_eq!(asked(&mut presence, SETTLED + Duration::from_secs(1)), 3);
        assert_eq!(asked(&mut presence, EVERY), AT_ONCE - 3);
        assert_eq!(asked(&mut presence, EVERY), 0);
        presence.seen(now + EVERY, &service(0), revision(1), 0.0);
        assert_eq!(asked(&mut presence, EVERY), 1);
    }

    #[test]
    fn answer_to_an_older_claim_says_nothing() {
        let (mut presence, now) = asking();
        presence.held(now, &service(1), revision(2), 0.0);
        assert_eq!(presence.absent(now, &service(1), revision(1), 0.0), None);
        assert_eq!(presence.under_way, 0);
        let late = now + SETTLED;
        assert_eq!(presence.take_due(late), [(service(1), revision(2))]);
    }

    #[test]
    fn forgotten_service_leaves_nothing_behind() {
        let (mut presence, now) = asking();
        presence.forget(&service(1));
        assert_eq!(presence.absent(now, &service(1), revision(1), 0.0), None);
        assert_eq!((presence.under_way, presence.entries.len()), (0, 0));
        for n in 0..1000 {
            presence.held(now, &service(n), revision(1), 0.5);
            presence.held(now, &service(n), revision(2), 0.5);
            presence.forget(&service(n));
        }
        assert_eq!((presence.queue.len(), presence.timers.len()), (0, 0));
    }

    #[test]
    fn hidden_instance_is_asserted_again_ever_more_rarely() {
        let _limit = nacos_testkit::TimeLimit::start();
        let (mut presence, mut now) = asking();
        let start = now;
        let mut assertions = Vec::new();
        let end = now + Duration::from_secs(24 * 3600);
        while now < end {
            match presence.absent(now, &service(1), revision(1), 0.5) {
                Some(Absence::Lost { first }) => {
                    assert_eq!(first, assertions.is_empty());
                    assertions.push((now - start).as_secs() / 60);
                    presence.held(now, &service(1), revision(1), 0.5);
                }
                Some(Absence::Hidden) => {}
                None => panic!("it was asked for"),
            }
            now = presence.next_timeout().expect("another check");
            assert_eq!(presence.take_due(now).len(), 1);
        }
        assert_eq!(assertions[..4], [0, 2, 6, 14]);
        assert!(assertions.len() < 30, "{assertions:?}");
    }

    #[test]
    fn seen_again_is_as_if_it_never_was_absent() {
        let (mut presence, now) = asking();
        for _ in 0..3 {
            let absence = presence.absent(now, &service(1), revision(1), 0.0);
            assert_eq!(absence, Some(Absence::Lost { first: true }));
            presence.held(now, &service(1), revision(1), 0.0);
            assert_eq!(presence.take_due(now + SETTLED).len(), 1);
            presence.seen(now, &service(1), revision(1), 0.0);
            assert_eq!(presence.take_due(now + interval(0.0)).len(), 1);
        }
    }

    #[test]
    fn what_is_registered_again_is_looked_for_soon_and_then_like_everything() {
        let (mut presence, now) = asking();
        // Two losses in a row: the second comes before anything is held again.
        presence.reconnected();
        presence.reconnected();
        presence.held(now, &service(1), revision(2), 0.0);
        presence.held(now, &service(2), revision(3), 0.0);
        assert_eq!(presence.next_timeout(), Some(now + REDONE));
        assert_eq!(presence.take_due(now + REDONE), [(service(1), revision(2))]);
        presence.seen(now + REDONE, &service(1), revision(2), 0.5);
        assert_eq!(presence.take_due(now + SETTLED), [(service(2), revision(3))]);
        assert_eq!(presence.next_timeout(), Some(now + REDONE + EVERY));
        assert_eq!(presence.take_due(now + REDONE + EVERY), [(service(1), revision(2))]);
        // A change of what is held is nothing that was lost.
        presence.held(now + EVERY, &service(1), revision(4), 0.0);
        assert_eq!(presence.next_timeout(), Some(now + EVERY + SETTLED));
    }

    #[test]
    fn what_was_withdrawn_meanwhile_is_new_when_it_comes_back() {
        let (mut presence, now) = asking();
        presence.reconnected();
        presence.forget(&service(1));
        presence.held(now, &service(1), revision(2), 0.0);
        assert_eq!(presence.next_timeout(), Some(now + SETTLED));
        assert!(presence.lost.is_empty());
    }

    /// One service, asked for.
    fn asking() -> (Presence, Instant) {
        let now = Instant::now();
        let mut presence = Presence::new();
        presence.held(now, &service(1), revision(1), 0.0);
        assert_eq!(presence.take_due(now + SETTLED).len(), 1);
        (presence, now + SETTLED)
    }

    fn service(n: u32) -> ServiceKey {
        ServiceKey::try_from(format!("s{n}").as_str()).expect("valid")
    }

    fn revision(n: u64) -> Revision {
        Revision::new(n)
    }
}
