//! Which services are in doubt, after a push that could not be read or a list that seems to be
//! older than the one before it, and when to ask for them: at once, and once a minute at most.
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::key::ServiceKey;

/// The services in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    pending: Option<Doubted>,
    /// When they were last asked for.
    asked: Option<Instant>,
}

/// What is to be asked for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Doubted {
    These(BTreeSet<ServiceKey>),
    All,
}

impl Doubts {
    /// What is known of `services` may be out of date.
    pub(super) fn these(&mut self, services: &[ServiceKey]) {
        // Of a service that nobody subscribes to any more: no reason to ask, nor to wait after it.
        if services.is_empty() {
            return;
        }
        match &mut self.pending {
            Some(Doubted::All) => {}
            Some(Doubted::These(pending)) => pending.extend(services.iter().cloned()),
            None => self.pending = Some(Doubted::These(services.iter().cloned().collect())),
        }
    }

    /// Nobody wants to know about `service` any more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        if let Some(Doubted::These(pending)) = &mut self.pending {
            pending.remove(service);
            if pending.is_empty() {
                self.pending = None;
            }
        }
    }

    /// What is known of any service may be.
    pub(super) fn all(&mut self) {
        self.pending = Some(Doubted::All);
    }

    /// What to ask for now, if anything.
    pub(super) fn take(&mut self, now: Instant) -> Option<Doubted> {
        if self.next_timeout().is_some_and(|at| at > now) {
            return None;
        }
        let doubted = self.pending.take()?;
        self.asked = Some(now);
        Some(doubted)
    }

    /// On a new connection everything is asked for.
    pub(super) fn reconnected(&mut self) {
        self.pending = None;
    }

    /// When [`take`](Self::take) has something that it has not now.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.pending.as_ref().and(self.asked).map(|asked| asked + ASKED_EVERY)
    }
}

/// A server that sends nothing but what cannot be read is asked no more often, be it about services
/// or about documents.
pub(super) const ASKED_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_resolved_at_once_and_then_once_a_minute() {
        let (mut doubts, now) = (Doubts::default(), Instant::now());
        let [one, two] = ["a", "b"].map(|name| ServiceKey::try_from(name).expect("valid"));
        assert_eq!(doubts.take(now), None);
        doubts.these(std::slice::from_ref(&one));
        assert_eq!(doubts.take(now), Some(Doubted::These([one.clone()].into())));
        assert_eq!(doubts.next_timeout(), None);

        doubts.these(std::slice::from_ref(&two));
        doubts.these(&[one.clone(), two.clone()]);
        assert_eq!(doubts.take(now), None);
        let later = now + ASKED_EVERY;
        assert_eq!(doubts.next_timeout(), Some(later));
        assert_eq!(doubts.take(later), Some(Doubted::These([one.clone(), two.clone()].into())));
        doubts.these(std::slice::from_ref(&two));
        doubts.forget(&two);
        assert_eq!(doubts.next_timeout(), None, "nobody subscribes to it any more");

        doubts.these(&[]);
        assert_eq!(doubts.take(later + 2 * ASKED_EVERY), None, "nothing to ask for");
        doubts.these(&[one]);
        doubts.all();
        assert_eq!(doubts.take(later + ASKED_EVERY), Some(Doubted::All));
    }
}
