//! What the session has to show, shown to users.
use std::sync::Arc;

use tracing::{debug, info, warn};

use super::{Current, Driver, Open, Serving};
use crate::{session::Event, state::SessionState};

impl Driver {
    pub(super) fn show(&mut self, event: Event) {
        match event {
            Event::Serving(link) => {
                self.vitals.connects += u64::from(link.is_some());
                self.vitals.losses += u64::from(link.is_none() && self.closing.is_none());
                self.serving = link;
                if link.is_none() {
                    self.leaving.clear();
                }
                self.show_current();
            }
            Event::State(state) => {
                log(&state);
                self.views.state.publish(state);
                self.show_current();
            }
            Event::Document(key, state) => self.views.documents.update(&key, |_| Some(state)),
            Event::Service(key, service) => self.views.services.update(&key, |before| {
                let service = service.sharing(before);
                (service != *before).then_some(service)
            }),
            Event::Claim(guard, state) => {
                if let Some(writer) = self.guards.get(&guard) {
                    writer.publish_if_changed(state);
                }
            }
            Event::Settled(key) => drop(self.leaving.remove(&key)),
        }
    }

    /// Users' requests go over the connection that serves, once there is a token too.
    pub(super) fn show_current(&mut self) {
        let state = (*self.views.state.get()).clone();
        let serving = match (&state, self.serving) {
            (SessionState::Connected { abilities, .. }, Some(id)) => match self.links.get(&id) {
                Some(Open::Up { link, .. }) => Some(Serving {
                    id,
                    link: link.clone(),
                    grant: self.grant.clone(),
                    abilities: Arc::clone(abilities),
                    refusals: self.refusals,
                }),
                _ => None,
            },
            _ => None,
        };
        let renewing = self.session.is_renewing();
        self.views.current.send_replace(Current {
            serving,
            state,
            renewing,
            refusals: self.refusals,
        });
    }
}

fn log(state: &SessionState) {
    match state {
        SessionState::Connected { server, .. } => info!(%server, "connected"),
        SessionState::Denied { cause } => warn!(%cause, "access denied"),
        SessionState::Connecting { last_error: Some(cause), .. } => {
            debug!(%cause, "connecting again");
        }
        SessionState::Backoff { cause, .. } => debug!(%cause, "not connected"),
        SessionState::Connecting { .. } | SessionState::Closed => {}
    }
}
