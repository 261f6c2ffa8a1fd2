//! Over the connection that serves: is what the server agreed to hold still there?
use std::time::Instant;

use super::{
    ClaimKey, Event, LinkId, Session,
    ledger::{Revision, Standing},
    presence::Absence,
    redo::Pending,
    setback::Gone,
};
use crate::{
    call_error::CallError,
    instance::Instance,
    key::ServiceKey,
    service::Service,
    wire::{
        Payload, Request,
        naming::{QueryServiceResponse, ServiceQueryRequest},
    },
};

impl Session {
    /// Asks for the services whose time has come.
    pub(super) fn check_presence(&mut self, now: Instant, link: LinkId) {
        for (service, revision) in self.presence.take_due(now) {
            if !self.holds(&service) {
                // It is looked for from when it is held again.
                self.presence.forget(&service);
            } else if self.claims.visible(&service).next().is_none() {
                let jitter = self.output.jitter();
                self.presence.unknown(now, &service, revision, jitter);
            } else {
                let request = ServiceQueryRequest::new(&service).outgoing();
                self.call(link, request, Pending::Presence(service, revision));
            }
        }
    }

    /// What we hold of `service` is there, or is not.
    pub(super) fn presence_answered(
        &mut self,
        now: Instant,
        service: ServiceKey,
        revision: Revision,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        let view = match self.read::<QueryServiceResponse>(answer)? {
            Ok(answer) => answer.service_info.into_service(service.clone()),
            // Whoever may register need not be allowed to ask: that is no reason to log in.
            Err(_) => None,
        };
        let jitter = self.output.jitter();
        if !self.holds(&service) {
            self.presence.forget(&service);
            return Ok(());
        }
        let Some(view) = view else {
            self.presence.unknown(now, &service, revision, jitter);
            return Ok(());
        };
        if self.claims.visible(&service).all(|claimed| shows(&view, claimed)) {
            self.presence.seen(now, &service, revision, jitter);
            return Ok(());
        }
        if let Some(Absence::Lost { first }) = self.presence.absent(now, &service, revision, jitter)
        {
            self.claims.heal(&service);
            self.output.show(Event::Lost { service, first });
        }
        Ok(())
    }

    /// Whether the server agreed to what we claim of `service`.
    fn holds(&self, service: &ServiceKey) -> bool {
        self.claims.standing(&ClaimKey::Instances(service.clone())) == Some(Standing::Held)
    }
}

/// Whether `claimed` is there, whatever operators have made of it.
fn shows(view: &Service, claimed: &Instance) -> bool {
    let (ip, port, cluster) = claimed.identity();
    let claimed = (ip.trim(), port, cluster);
    // A view is in this order.
    view.instances.binary_search_by(|seen| seen.identity().cmp(&claimed)).is_ok()
}
