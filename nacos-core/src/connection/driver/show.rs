//! What the session has to show, shown to users.
use std::sync::Arc;

use tracing::{debug, info, warn};

use super::{
    super::services::{Expired, Turn},
    Current, Driver, Open, Serving, now,
};
use crate::{
    key::ServiceKey,
    session::Event,
    state::SessionState,
    telemetry::{self, Reason},
    vitals::Disconnect,
};

impl Driver {
    pub(super) fn show(&mut self, event: Event) {
        match event {
            Event::Serving(link) => {
                self.vitals.connects += u64::from(link.is_some());
                self.vitals.losses += u64::from(link.is_none() && self.closing.is_none());
                if link.is_some() {
                    telemetry::connected();
                }
                self.serving = link;
                if link.is_none() {
                    self.leaving.clear();
                }
            }
            Event::Ended { reason, record } => {
                self.views.services.lost();
                self.ended(reason, record);
            }
            Event::State(state) => {
                self.chronicle.log(now(), &state);
                self.meters.share.state(&state);
                if state.is_connected() {
                    self.views.services.serves(now());
                }
                self.views.state.publish(state);
            }
            Event::Document(key, state) => self.views.documents.update(&key, |_| Some(state)),
            Event::Service(key, service) => {
                for turn in self.views.services.listed(now(), &key, service) {
                    self.turned(&key, turn);
                }
            }
            Event::Claim(guard, state) => {
                if let Some(writer) = self.guards.get(&guard) {
                    writer.publish_if_changed(state);
                }
            }
            Event::Settled(key) => drop(self.leaving.remove(&key)),
            Event::Lost { service, first } => {
                self.vitals.reasserted += 1;
                let reasserted = self.vitals.reasserted;
                if first && self.losses.allows(now()) {
                    warn!(%service, reasserted, "registered again what the server had lost");
                } else {
                    debug!(%service, reasserted, first, "registered again what is not shown");
                }
            }
            Event::Unresponsive { server, leaves, first } => {
                let what = if leaves {
                    "the server answers health checks and nothing else: others are tried"
                } else {
                    "the only server answers health checks and nothing else"
                };
                if first {
                    warn!(%server, what);
                } else {
                    debug!(%server, what);
                }
            }
            Event::Proxied { server, finding } => self.proxied(&server, finding.to_string()),
            Event::Unread { kind, about, why } => {
                self.unread();
                if self.skipped.allows(now()) {
                    warn!(kind, about, why, "skipped a message that cannot be read");
                } else {
                    debug!(kind, about, why, "skipped a message that cannot be read");
                }
            }
            Event::Older { service, by, is_applied } => {
                telemetry::older_list(is_applied);
                if is_applied {
                    self.vitals.clock_steps += 1;
                    if self.stepped.allows(now()) {
                        warn!(%service, ?by, "the clock of the server has stepped back");
                    } else {
                        debug!(%service, ?by, "the clock of the server has stepped back");
                    }
                } else {
                    self.vitals.overtaken += 1;
                    if self.overtaken.allows(now()) {
                        info!(%service, ?by, "dropped a list that a newer one has overtaken");
                    } else {
                        debug!(%service, ?by, "dropped a list that a newer one has overtaken");
                    }
                }
            }
            Event::Withheld { key, cause } => {
                if self.withheld.allows(now()) {
                    warn!(%key, %cause, "a watched document is not to be had");
                } else {
                    debug!(%key, %cause, "a watched document is not to be had");
                }
            }
            Event::Refused { key, code, message } => {
                if self.refused.allows(now()) {
                    warn!(%key, code, %message, "the server refused");
                } else {
                    debug!(%key, code, %message, "the server refused");
                }
            }
        }
    }

    fn ended(&mut self, reason: Reason, mut record: Disconnect) {
        telemetry::disconnected(reason);
        record.stall = self.meters.stall(now());
        let replaced =
            matches!(reason, Reason::Suspect | Reason::Reset | Reason::Left | Reason::Unresponsive);
        let (server, reason) = (&record.server, record.reason);
        if replaced && self.moves.allows(now()) {
            info!(%server, reason, %record, "a server was left for another");
        } else {
            debug!(%server, reason, %record, "a connection has ended");
        }
        let former = self.vitals.disconnects.iter();
        let kept = former.skip((self.vitals.disconnects.len() + 1).saturating_sub(RECORDS));
        self.vitals.disconnects = kept.cloned().chain([record.clone()]).collect();
        self.chronicle.ended(record);
    }

    /// A proxy before the server does what connections do not bear.
    fn proxied(&mut self, server: &str, what: String) {
        if self.proxies.allows(now()) {
            warn!(server, what, "a proxy is in the way");
        } else {
            debug!(server, what, "a proxy is in the way");
        }
        self.vitals.proxy = Some(what.into());
    }

    /// Looks at the views whose grace is over.
    pub(super) fn end_graces(&mut self) {
        let Expired { ask, gone } = self.views.services.expire(now());
        for service in ask {
            self.session.ask_again(&service);
        }
        for service in gone {
            self.turned(&service, Turn::Gone);
        }
    }

    fn turned(&mut self, service: &ServiceKey, turn: Turn) {
        match turn {
            Turn::Held { instances } if self.holds.allows(now()) => {
                warn!(%service, instances, "the server lists none: the last instances stay for now");
            }
            Turn::Held { instances } => {
                debug!(%service, instances, "the server lists none: the last instances stay for now");
            }
            Turn::Back => debug!(%service, "the server lists instances again"),
            Turn::Gone if self.gone.allows(now()) => {
                warn!(%service, "the last instances are gone: nobody came back in time");
            }
            Turn::Gone => debug!(%service, "the last instances are gone: nobody came back in time"),
        }
    }

    /// Users' requests go over the connection that serves, once there is a token too.
    pub(super) fn show_current(&mut self) {
        let state = (*self.views.state.get()).clone();
        let serving = match (&state, self.serving) {
            (SessionState::Connected { server, abilities, .. }, Some(id)) => {
                match self.links.get(&id) {
                    Some(Open::Up { link, users, .. }) => Some(Serving {
                        id,
                        link: link.clone(),
                        users: Arc::clone(users),
                        grant: self.grant.clone(),
                        server: Arc::clone(server),
                        abilities: Arc::clone(abilities),
                        refusals: self.refusals,
                    }),
                    _ => None,
                }
            }
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

/// How many ends of connections are remembered.
const RECORDS: usize = 8;
