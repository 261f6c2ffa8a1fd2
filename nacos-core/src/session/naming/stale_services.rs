//! Which services are in doubt, after a push that could not be read or a list that seems to be
//! older than the one before it, and when to ask for them: at once, and once a minute at most, each
//! service for itself.
use std::time::Instant;

use crate::{
    key::ServiceKey,
    room::Map,
    session::{backoff::ASKED_EVERY, timers::Timers},
};

/// The services in doubt.
#[derive(Debug)]
pub(super) struct StaleServices {
    /// When each of them is asked for.
    these: Timers<ServiceKey>,
    /// When all are, if any of them may be in doubt.
    all: Option<Instant>,
    /// When each service was last asked for: of those alone that somebody subscribes to.
    asked: Map<ServiceKey, Instant>,
    /// When each service was last to be asked for because its server's clock had stepped.
    stepped: Map<ServiceKey, Instant>,
    /// When all were.
    all_asked: Option<Instant>,
}

/// The services that are to be asked for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Stale {
    These(Vec<ServiceKey>),
    All,
}

impl StaleServices {
    pub(super) fn new() -> Self {
        Self {
            these: Timers::new(),
            all: None,
            asked: Map::new(),
            stepped: Map::new(),
            all_asked: None,
        }
    }

    /// The views of `services`, to which somebody subscribes, may be out of date.
    pub(super) fn these(&mut self, now: Instant, services: &[ServiceKey]) {
        for service in services {
            let asked = self.asked.get(service).copied().max(self.all_asked);
            self.these.push(not_again_before(now, asked), service.clone());
        }
    }

    /// The list of `service` is of another epoch, and decides nothing by itself: it is asked for at
    /// once, though it may have been in doubt less than a minute ago. Steps of the clock have a
    /// minute of their own.
    pub(super) fn stepped(&mut self, now: Instant, service: &ServiceKey) {
        let last = self.stepped.get(service).copied();
        let waiting = last.filter(|at| *at > now);
        let at = waiting.unwrap_or_else(|| not_again_before(now, last));
        self.stepped.insert(service.clone(), at);
        self.these.push(at, service.clone());
    }

    /// The view of any service may be out of date.
    pub(super) fn all(&mut self, now: Instant) {
        self.all = Some(not_again_before(now, self.all_asked));
    }

    /// Nobody wants to know about `service` any more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.these.remove(service);
        self.asked.remove(service);
        self.stepped.remove(service);
    }

    /// The services to ask for now, if there are any.
    pub(super) fn take(&mut self, now: Instant) -> Option<Stale> {
        if self.all.is_some_and(|at| at <= now) {
            self.all = None;
            self.these.clear();
            self.all_asked = Some(now);
            return Some(Stale::All);
        }
        let services: Vec<_> = std::iter::from_fn(|| self.these.pop(now)).collect();
        for service in &services {
            self.asked.insert(service.clone(), now);
        }
        (!services.is_empty()).then_some(Stale::These(services))
    }

    /// On a new connection everything is asked for.
    pub(super) fn reconnected(&mut self) {
        self.these.clear();
        self.all = None;
    }

    /// When [`take`](Self::take) has something that it has not now.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.these.next().into_iter().chain(self.all).min()
    }
}

/// Now, or a minute after the last time.
fn not_again_before(now: Instant, last: Option<Instant>) -> Instant {
    last.map_or(now, |last| now.max(last + ASKED_EVERY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        ServiceKey::try_from(name).expect("valid")
    }

    #[test]
    fn step_of_the_clock_is_asked_about_at_once_whatever_was_in_doubt_before() {
        let (mut stale, now) = (StaleServices::new(), Instant::now());
        let asked =
            |stale: &mut StaleServices, at| stale.take(at) == Some(Stale::These(vec![key("one")]));
        let one = key("one");
        stale.these(now, std::slice::from_ref(&one));
        assert!(asked(&mut stale, now));
        let soon = now + std::time::Duration::from_secs(1);
        stale.stepped(soon, &one);
        assert!(asked(&mut stale, soon));
        for seconds in 2..60 {
            stale.stepped(now + std::time::Duration::from_secs(seconds), &one);
        }
        assert_eq!(stale.next_timeout(), Some(soon + ASKED_EVERY), "once a minute");
        assert!(asked(&mut stale, soon + ASKED_EVERY));
        stale.forget(&one);
        assert_eq!(stale.stepped.len(), 0);
    }

    #[test]
    fn doubts_are_resolved_at_once_and_then_once_a_minute_each_service_for_itself() {
        let (mut stale, now) = (StaleServices::new(), Instant::now());
        let [one, two] = ["a", "b"].map(key);
        let these = |services: &[&ServiceKey]| {
            Some(Stale::These(services.iter().map(|&service| service.clone()).collect()))
        };
        assert_eq!(stale.take(now), None);
        stale.these(now, std::slice::from_ref(&one));
        assert_eq!(stale.take(now), these(&[&one]));
        assert_eq!(stale.next_timeout(), None);

        let soon = now + ASKED_EVERY / 2;
        stale.these(soon, &[one.clone(), two.clone()]);
        assert_eq!(stale.take(soon), these(&[&two]), "nobody has asked for it yet");
        stale.these(soon, &[one.clone(), two.clone()]);
        assert_eq!(stale.take(soon), None);
        let later = now + ASKED_EVERY;
        assert_eq!(stale.next_timeout(), Some(later));
        assert_eq!(stale.take(later), these(&[&one]));
        assert_eq!(stale.next_timeout(), Some(soon + ASKED_EVERY));
        stale.forget(&two);
        assert_eq!(stale.next_timeout(), None, "nobody subscribes to it any more");
        assert_eq!(stale.asked.len(), 1);

        stale.these(later, &[]);
        assert_eq!(stale.take(later + 2 * ASKED_EVERY), None, "nothing to ask for");
    }

    #[test]
    fn all_services_are_asked_for_together_once_a_minute() {
        let (mut stale, now) = (StaleServices::new(), Instant::now());
        let one = key("a");
        stale.these(now, std::slice::from_ref(&one));
        stale.all(now);
        assert_eq!(stale.take(now), Some(Stale::All));
        assert_eq!(stale.next_timeout(), None, "it is one of them");
        let soon = now + ASKED_EVERY / 2;
        stale.all(soon);
        stale.these(soon, std::slice::from_ref(&one));
        assert_eq!((stale.take(soon), stale.next_timeout()), (None, Some(now + ASKED_EVERY)));
        assert_eq!(stale.take(now + ASKED_EVERY), Some(Stale::All));
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_services_that_somebody_subscribes_to() {
        let (mut stale, now) = (StaleServices::new(), Instant::now());
        for n in 0..1000 {
            let service = key(&format!("s{n}"));
            stale.these(now, std::slice::from_ref(&service));
            assert!(stale.take(now).is_some());
            stale.these(now, std::slice::from_ref(&service));
            stale.forget(&service);
        }
        assert_eq!((stale.asked.len(), stale.these.len()), (0, 0));
    }
}
