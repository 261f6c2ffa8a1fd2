//! The log of a session for operators: its events, as lines.
//!
//! An event that may happen to each of thousands at once is logged once a minute, kind by kind; the
//! others of its kind are logged at debug level.
mod pulls;
mod server_list;
mod stalls;
mod states;
mod throttle;

use std::time::{Duration, Instant};

use tracing::debug;

use self::{
    pulls::PullLog,
    server_list::ServerListLog,
    stalls::StallLog,
    states::StateLog,
    throttle::{Throttle, line},
};
use crate::{
    connection::views::GraceOutcome, key::ServiceKey, server::Server, server_list::Listing,
    session::Event, session_stats::SessionStats,
};

/// Observes the session's events for the log.
#[derive(Debug, Default)]
pub(super) struct SessionLog {
    states: StateLog,
    pulls: PullLog,
    server_list: ServerListLog,
    stalls: StallLog,
    /// Registrations that were lost.
    losses: Throttle,
    /// Claims that were refused.
    refused: Throttle,
    /// Documents that are not to be had.
    withheld: Throttle,
    /// Messages that could not be read.
    skipped: Throttle,
    /// Lists that were overtaken.
    overtaken: Throttle,
    /// Clocks that stepped back.
    stepped: Throttle,
    /// Views that are held.
    held: Throttle,
    /// Views that are held no more.
    gone: Throttle,
    /// Proxies that are in the way.
    proxies: Throttle,
}

impl SessionLog {
    /// Logs what is worth a line of `event`, which `counts` has already.
    pub(super) fn observe(&mut self, now: Instant, event: &Event, counts: &SessionStats) {
        match event {
            Event::State(state) => self.states.observe(now, state),
            Event::Ended { reason, record } => self.states.ended(now, *reason, record),
            Event::Lost { service, first } => {
                let reasserted = counts.reasserted;
                line!(*first && self.losses.allows(now), warn, %service, reasserted,
                    "registered again what the server had lost");
            }
            Event::Unresponsive { server, leaves: true, first } => line!(*first, warn, %server,
                "the server answers health checks and nothing else: others are tried"),
            Event::Unresponsive { server, leaves: false, first } => line!(*first, warn, %server,
                "the only server answers health checks and nothing else"),
            Event::Proxied { server, finding } => line!(self.proxies.allows(now), warn,
                %server, what = %finding, "a proxy is in the way"),
            Event::Unreadable { kind, about, why } => line!(
                self.skipped.allows(now),
                warn,
                kind,
                about,
                why,
                "skipped a message that cannot be read"
            ),
            Event::Older { service, by, is_applied: true } => line!(self.stepped.allows(now), warn,
                %service, ?by, "the clock of the server has stepped back"),
            Event::Older { service, by, is_applied: false } => {
                line!(self.overtaken.allows(now), info, %service, ?by,
                    "dropped a list that a newer one has overtaken");
            }
            Event::Withheld { key, cause } => line!(self.withheld.allows(now), warn,
                %key, %cause, "a watched document is not to be had"),
            Event::Refused { key, code, message } => line!(self.refused.allows(now), warn,
                %key, code, %message, "the server refused"),
            Event::Pulls { mode, is_alarming } => self.pulls.observe(now, *mode, *is_alarming),
            Event::Held(key, why) => debug!(%key, ?why, "a document that may have changed waits"),
            Event::Serving(_)
            | Event::Document(..)
            | Event::Matches(..)
            | Event::Confirmed(_)
            | Event::Service(..)
            | Event::Claim(..)
            | Event::Settled(..) => {}
        }
    }

    /// Logs that the list of servers was read, or could not be.
    pub(super) fn server_list(&mut self, now: Instant, outcome: &Result<Listing, String>) {
        self.server_list.read(now, outcome);
    }

    /// Logs that the list of servers is another one.
    pub(super) fn servers_changed(&mut self, now: Instant, servers: &[Server]) {
        self.server_list.changed(now, servers);
    }

    /// Logs that the session was looked after that much too late, if that is worth a line.
    pub(super) fn late(&mut self, lag: Duration, dedicated_thread: bool) {
        self.stalls.late(lag, dedicated_thread);
    }

    /// Logs what a grace has made of a view.
    pub(super) fn turned(&mut self, now: Instant, service: &ServiceKey, turn: GraceOutcome) {
        match turn {
            GraceOutcome::Held { instances } => {
                line!(self.held.allows(now), warn, %service, instances,
                    "the server lists none that may be called: the last instances stay for now");
            }
            GraceOutcome::Back => {
                debug!(%service, "the server lists instances again that may be called");
            }
            GraceOutcome::Gone => line!(self.gone.allows(now), warn, %service,
                "the last instances are gone: nobody came back in time"),
        }
    }
}
