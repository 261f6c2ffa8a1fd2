//! Is what we registered still there? Asked once a minute, service by service.
//!
//! A server may lose a publication without telling us, and its connection stays: only this check
//! shows it. Only *presence* is looked at, and only of instances that are claimed as enabled:
//! weight, metadata and the enabled flag belong to operators, who may have changed them.
//!
//! ```text
//!              due                 seen, no news
//!   Waiting ──────────▶ Asking ─────────────────▶ Waiting
//!      ▲                   │ absent
//!      └──── held again ── Healing
//! ```
//!
//! A publication that was registered again after a reconnect is looked at soon: a server that comes
//! up with the rest of its cluster may take a registration of that time for outdated, and discard
//! it.
//!
//! An instance that an operator has disabled is hidden by every server, and looks lost. It is
//! asserted again once; if it is still not there soon after, it is hidden, and asserted again
//! ever more rarely: after 2, 4, 8 … checks.
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{NamingMachine, asked::Asked, key::NamingKey};
use crate::{
    instance::Instance,
    key::ServiceKey,
    service::Service,
    session::{
        effects::Event,
        entries::Entries,
        ledger::{Revision, Standing},
        queue::Queue,
        serving_context::ServingContext,
        timers::Timers,
    },
    time::give_or_take_a_fifth,
    wire::{
        Request,
        naming::{ServiceInfo, ServiceQueryRequest},
    },
};

/// The services whose instances we claim and the server holds.
#[derive(Debug)]
pub(super) struct SelfCheck {
    entries: Entries<ServiceKey, Entry>,
    timers: Timers<ServiceKey>,
    /// Due, and waiting for one of those under way to end.
    queue: Queue<ServiceKey>,
    under_way: usize,
    /// The services that a former server held, and the present one does not hold yet.
    lost: BTreeSet<ServiceKey>,
}

#[derive(Debug)]
struct Entry {
    /// The claim that the server holds.
    revision: Revision,
    state: CheckState,
    /// How often in a row it was asserted again without being seen after.
    vain: u32,
    /// Absences that are let pass before the next assertion.
    patience: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CheckState {
    Waiting {
        until: Instant,
    },
    Queued,
    Asking,
    /// Asserted again, and not held yet.
    Healing,
}

/// The conclusion from instances that are not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Absence {
    /// The publication is to be asserted again; `first` if it was seen, or new, before.
    Lost { first: bool },
    /// They were asserted again already: somebody hides them.
    Hidden,
}

impl SelfCheck {
    pub(super) fn new() -> Self {
        Self {
            entries: Entries::new(),
            timers: Timers::new(),
            queue: Queue::new(),
            under_way: 0,
            lost: BTreeSet::new(),
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
            state: CheckState::Queued,
            vain: 0,
            patience: 0,
        });
        let healed = entry.revision == revision && entry.state == CheckState::Healing;
        if !healed {
            self.under_way -= usize::from(entry.state == CheckState::Asking);
            *entry = Entry { revision, state: CheckState::Queued, vain: 0, patience: 0 };
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
            self.under_way -= usize::from(entry.state == CheckState::Asking);
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
                && matches!(entry.state, CheckState::Waiting { until } if until <= now)
            {
                entry.state = CheckState::Queued;
                self.queue.push(service);
            }
        }
        let mut taken = Vec::new();
        while self.under_way < AT_ONCE
            && let Some(service) = self.queue.pop()
        {
            if let Some(entry) = self.entries.get_mut(&service)
                && entry.state == CheckState::Queued
            {
                entry.state = CheckState::Asking;
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
        entry.state = CheckState::Healing;
        Some(Absence::Lost { first })
    }

    /// When to take what is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        // Queries that wait for room are sent when an answer makes it.
        self.timers.next()
    }

    fn wait(&mut self, service: &ServiceKey, until: Instant) {
        if let Some(entry) = self.entries.get_mut(service) {
            entry.state = CheckState::Waiting { until };
            self.queue.remove(service);
            self.timers.push(until, service.clone());
        }
    }

    /// The entry of `service`, if it was asked for this very claim.
    fn asked(&mut self, service: &ServiceKey, revision: Revision) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(service)?;
        if entry.state != CheckState::Asking || entry.revision != revision {
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
/// A publication that was registered again after a reconnect is looked for after this.
const REDONE: Duration = Duration::from_secs(2);
/// The first check of a publication comes within this after that.
const SPREAD: Duration = Duration::from_secs(50);
/// Queries under way at once.
const AT_ONCE: usize = 4;
/// A hidden instance is asserted again after this many checks at the latest: once an hour.
const RAREST: u32 = 64;

// Over the connection that serves.

impl NamingMachine {
    /// Asks for the services whose time has come.
    pub(in crate::session) fn send_checks(&mut self, cx: &mut ServingContext<'_>) {
        if !cx.connection.may_ask() {
            return;
        }
        for (service, revision) in self.self_check.take_due(cx.now) {
            if !self.holds(&service) {
                // It is looked for from when it is held again.
                self.self_check.forget(&service);
            } else if self.registrations.visible(&service).next().is_none() {
                let jitter = cx.output.jitter();
                self.self_check.unknown(cx.now, &service, revision, jitter);
            } else {
                let request = ServiceQueryRequest::new(&service).outgoing();
                cx.call(request, Asked::SelfCheck(service, revision));
            }
        }
    }

    /// Looks for our instances of `service` in this list. Without a list nobody knows: a client
    /// that may register need not be allowed to ask.
    pub(in crate::session) fn handle_self_check(
        &mut self,
        cx: &mut ServingContext<'_>,
        service: ServiceKey,
        revision: Revision,
        list: Option<ServiceInfo>,
    ) {
        if list.is_some() {
            self.audit.answered(cx.now);
        }
        let view = list.and_then(|list| list.into_service(service.clone()));
        let (now, jitter) = (cx.now, cx.output.jitter());
        if !self.holds(&service) {
            return self.self_check.forget(&service);
        }
        let Some(view) = view else {
            return self.self_check.unknown(now, &service, revision, jitter);
        };
        if self.registrations.visible(&service).all(|claimed| shows(&view, claimed)) {
            return self.self_check.seen(now, &service, revision, jitter);
        }
        if let Some(Absence::Lost { first }) =
            self.self_check.absent(now, &service, revision, jitter)
        {
            self.registrations.doubt(&service);
            self.claims.reassert(&NamingKey::Instances(service.clone()));
            cx.output.show(Event::Lost { service, first });
        }
    }

    /// Whether the server agreed to what we claim of `service`.
    fn holds(&self, service: &ServiceKey) -> bool {
        self.claims.standing(&NamingKey::Instances(service.clone())) == Some(Standing::Held)
    }
}

/// Whether `claimed` is there, whatever operators have made of it.
fn shows(view: &Service, claimed: &Instance) -> bool {
    let (ip, port, cluster) = claimed.identity();
    let claimed = (ip.trim(), port, cluster);
    // A view is in this order.
    view.instances.binary_search_by(|seen| seen.identity().cmp(&claimed)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_registered_together_is_asked_for_apart_and_a_few_at_once() {
        let now = Instant::now();
        let mut self_check = SelfCheck::new();
        for n in 0..100_u32 {
            self_check.held(now, &service(n), revision(1), f64::from(n) / 100.0);
        }
        assert!(self_check.take_due(now + Duration::from_millis(9999)).is_empty());
        let asked = |self_check: &mut SelfCheck, after| self_check.take_due(now + after).len();
        assert_eq!(asked(&mut self_check, SETTLED + Duration::from_secs(1)), 3);
        assert_eq!(asked(&mut self_check, EVERY), AT_ONCE - 3);
        assert_eq!(asked(&mut self_check, EVERY), 0);
        self_check.seen(now + EVERY, &service(0), revision(1), 0.0);
        assert_eq!(asked(&mut self_check, EVERY), 1);
    }

    #[test]
    fn answer_to_an_older_claim_says_nothing() {
        let (mut self_check, now) = asking();
        self_check.held(now, &service(1), revision(2), 0.0);
        assert_eq!(self_check.absent(now, &service(1), revision(1), 0.0), None);
        assert_eq!(self_check.under_way, 0);
        let late = now + SETTLED;
        assert_eq!(self_check.take_due(late), [(service(1), revision(2))]);
    }

    #[test]
    fn forgotten_service_leaves_nothing_behind() {
        let (mut self_check, now) = asking();
        self_check.forget(&service(1));
        assert_eq!(self_check.absent(now, &service(1), revision(1), 0.0), None);
        assert_eq!((self_check.under_way, self_check.entries.len()), (0, 0));
        for n in 0..1000 {
            self_check.held(now, &service(n), revision(1), 0.5);
            self_check.held(now, &service(n), revision(2), 0.5);
            self_check.forget(&service(n));
        }
        assert_eq!((self_check.queue.len(), self_check.timers.len()), (0, 0));
    }

    #[test]
    fn hidden_instance_is_asserted_again_ever_more_rarely() {
        let _limit = nacos_testkit::TimeLimit::start();
        let (mut self_check, mut now) = asking();
        let start = now;
        let mut assertions = Vec::new();
        let end = now + Duration::from_secs(24 * 3600);
        while now < end {
            match self_check.absent(now, &service(1), revision(1), 0.5) {
                Some(Absence::Lost { first }) => {
                    assert_eq!(first, assertions.is_empty());
                    assertions.push((now - start).as_secs() / 60);
                    self_check.held(now, &service(1), revision(1), 0.5);
                }
                Some(Absence::Hidden) => {}
                None => panic!("it was asked for"),
            }
            now = self_check.next_timeout().expect("another check");
            assert_eq!(self_check.take_due(now).len(), 1);
        }
        assert_eq!(assertions[..4], [0, 2, 6, 14]);
        assert!(assertions.len() < 30, "{assertions:?}");
    }

    #[test]
    fn seen_again_is_as_if_it_never_was_absent() {
        let (mut self_check, now) = asking();
        for _ in 0..3 {
            let absence = self_check.absent(now, &service(1), revision(1), 0.0);
            assert_eq!(absence, Some(Absence::Lost { first: true }));
            self_check.held(now, &service(1), revision(1), 0.0);
            assert_eq!(self_check.take_due(now + SETTLED).len(), 1);
            self_check.seen(now, &service(1), revision(1), 0.0);
            assert_eq!(self_check.take_due(now + interval(0.0)).len(), 1);
        }
    }

    #[test]
    fn what_is_registered_again_is_looked_for_soon_and_then_like_everything() {
        let (mut self_check, now) = asking();
        // Two losses in a row: the second comes before anything is held again.
        self_check.reconnected();
        self_check.reconnected();
        self_check.held(now, &service(1), revision(2), 0.0);
        self_check.held(now, &service(2), revision(3), 0.0);
        assert_eq!(self_check.next_timeout(), Some(now + REDONE));
        assert_eq!(self_check.take_due(now + REDONE), [(service(1), revision(2))]);
        self_check.seen(now + REDONE, &service(1), revision(2), 0.5);
        assert_eq!(self_check.take_due(now + SETTLED), [(service(2), revision(3))]);
        assert_eq!(self_check.next_timeout(), Some(now + REDONE + EVERY));
        assert_eq!(self_check.take_due(now + REDONE + EVERY), [(service(1), revision(2))]);
        // A change of what is held is nothing that was lost.
        self_check.held(now + EVERY, &service(1), revision(4), 0.0);
        assert_eq!(self_check.next_timeout(), Some(now + EVERY + SETTLED));
    }

    #[test]
    fn what_was_withdrawn_meanwhile_is_new_when_it_comes_back() {
        let (mut self_check, now) = asking();
        self_check.reconnected();
        self_check.forget(&service(1));
        self_check.held(now, &service(1), revision(2), 0.0);
        assert_eq!(self_check.next_timeout(), Some(now + SETTLED));
        assert!(self_check.lost.is_empty());
    }

    /// One service, asked for.
    fn asking() -> (SelfCheck, Instant) {
        let now = Instant::now();
        let mut self_check = SelfCheck::new();
        self_check.held(now, &service(1), revision(1), 0.0);
        assert_eq!(self_check.take_due(now + SETTLED).len(), 1);
        (self_check, now + SETTLED)
    }

    fn service(n: u32) -> ServiceKey {
        ServiceKey::try_from(format!("s{n}").as_str()).expect("valid")
    }

    fn revision(n: u64) -> Revision {
        Revision::new(n)
    }
}
