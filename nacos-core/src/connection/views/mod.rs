//! The way from the session's events to the readers of documents and services.
//!
//! Every event passes [`Views::apply`]. Everything between a server's word and a reader stands
//! here: the [grace](self::grace) for services; for documents what is on disk, and an operator's
//! files, which their tasks bring. No user code runs in it, because it runs on the session's task.
//! So filters have a [task](super::filtering) of their own, which is told what is wanted of each
//! document, and brings back what they have made of it ([`passage`]).
mod documents;
mod grace;
mod matches;
mod passage;
mod services;
mod shown;

use std::{collections::BTreeSet, time::Instant};

pub(crate) use self::{
    documents::DocumentViews,
    grace::GRACE,
    matches::MatchViews,
    services::{Expired, GraceOutcome, ServiceViews},
};
use super::{filtering::Filtering, saver::Saver};
use crate::{key::ServiceKey, session::Event};

/// The views of everything that guards watch and subscribe to.
#[derive(Debug)]
pub(crate) struct Views {
    pub(crate) documents: DocumentViews,
    pub(crate) services: ServiceViews,
    pub(crate) matches: MatchViews,
}

impl Views {
    pub(crate) fn new(saver: Option<Saver>, filtering: Option<Filtering>) -> Self {
        let documents = DocumentViews::new(saver, filtering);
        Self { documents, services: ServiceViews::default(), matches: MatchViews::default() }
    }

    /// Shows readers what `event` is to them. Says what a grace has made of it.
    pub(crate) fn apply(&self, now: Instant, event: Event) -> Vec<(ServiceKey, GraceOutcome)> {
        match event {
            Event::Ended { .. } => self.services.lost(now),
            Event::State(state) => {
                self.documents.reach(state.is_out_of_reach());
                self.services.handle_session(now, state.is_connected());
            }
            Event::Serving(Some(_)) => self.services.succeeds(now),
            Event::Serving(None) => self.documents.lost(now),
            Event::Document(key, state) => self.documents.show(now, &key, state),
            Event::Matches(pattern, matched) => self.matches.show(&pattern, matched),
            Event::Held(key, why) => self.documents.waits(now, &key, why.kind()),
            Event::Confirmed(keys) => self.documents.confirmed(now, &keys),
            Event::Service(key, list) => {
                let turns = self.services.listed(now, &key, &list);
                return turns.into_iter().map(|turn| (key.clone(), turn)).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    /// Looks at the views whose time has come.
    pub(crate) fn handle_timeout(&self, now: Instant) -> Expired {
        self.documents.handle_timeout(now);
        self.services.handle_timeout(now)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let documents = self.documents.poll_timeout();
        self.services.poll_timeout().into_iter().chain(documents).min()
    }

    /// How many views are held.
    pub(crate) fn held(&self) -> usize {
        self.services.held()
    }

    /// The services of which a view is held.
    pub(crate) fn names_held(&self) -> BTreeSet<ServiceKey> {
        self.services.names_held()
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        self.documents.close();
        self.services.close();
        self.matches.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        disconnect::{Disconnect, Reason},
        instance::Instance,
        service::Service,
        session::LinkId,
        state::{Access, SessionState},
    };

    fn connected(since: Instant) -> Event {
        let (server, abilities) = ("a".into(), Arc::default());
        Event::State(SessionState::Connected {
            server,
            since,
            abilities,
            access: Access::Anonymous,
        })
    }

    fn ended(at: Instant) -> Event {
        let record = Disconnect {
            server: "a".into(),
            reason: "reset",
            cause: "moved".into(),
            at,
            served: Duration::ZERO,
            silent: Duration::ZERO,
            stream_silent: Duration::ZERO,
            round_trip: None,
            stall: Duration::ZERO,
        };
        Event::Ended { reason: Reason::Reset, record }
    }

    #[test]
    fn successor_that_serves_at_the_moment_of_a_loss_begins_the_grace() {
        let (views, start) = (Views::new(None, None), Instant::now());
        let orders: ServiceKey = "orders".try_into().expect("valid");
        let (_raw, view) = views.services.enter(&orders, GRACE);
        let list = |instances| Service::new(orders.clone(), instances, false);
        for event in [
            Event::Serving(Some(LinkId(1))),
            connected(start),
            Event::Service(orders.clone(), list(vec![Instance::new("10.0.0.1", 80)])),
            // The state is the same as before, and is not shown again.
            ended(start),
            Event::Serving(Some(LinkId(2))),
        ] {
            views.apply(start, event);
        }
        let later = start + Duration::from_secs(31);
        views.apply(later, Event::Service(orders.clone(), list(Vec::new())));
        assert!(view.get().instances.is_empty(), "half a minute later that is a deregistration");
    }
}
