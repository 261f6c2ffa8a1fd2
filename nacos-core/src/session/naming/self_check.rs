//! Over the connection that serves: is what the server agreed to hold still there?
use super::{Asked, Naming, NamingKey, presence::Absence};
use crate::{
    instance::Instance,
    key::ServiceKey,
    service::Service,
    session::{
        Event,
        ledger::{Revision, Standing},
        output::Exchange,
    },
    wire::{
        Request,
        naming::{ServiceInfo, ServiceQueryRequest},
    },
};

impl Naming {
    /// Asks for the services whose time has come.
    pub(in crate::session) fn send_checks(&mut self, cx: &mut Exchange<'_>) {
        if !cx.connection.may_ask() {
            return;
        }
        for (service, revision) in self.presence.take_due(cx.now) {
            if !self.holds(&service) {
                // It is looked for from when it is held again.
                self.presence.forget(&service);
            } else if self.registrations.visible(&service).next().is_none() {
                let jitter = cx.output.jitter();
                self.presence.unknown(cx.now, &service, revision, jitter);
            } else {
                let request = ServiceQueryRequest::new(&service).outgoing();
                cx.call(request, Asked::Presence(service, revision));
            }
        }
    }

    /// What we hold of `service` is in this list, or is not. Without one, nobody knows: whoever may
    /// register need not be allowed to ask.
    pub(in crate::session) fn handle_presence(
        &mut self,
        cx: &mut Exchange<'_>,
        service: ServiceKey,
        revision: Revision,
        list: Option<ServiceInfo>,
    ) {
        let view = list.and_then(|list| list.into_service(service.clone()));
        let (now, jitter) = (cx.now, cx.output.jitter());
        if !self.holds(&service) {
            return self.presence.forget(&service);
        }
        let Some(view) = view else {
            return self.presence.unknown(now, &service, revision, jitter);
        };
        if self.registrations.visible(&service).all(|claimed| shows(&view, claimed)) {
            return self.presence.seen(now, &service, revision, jitter);
        }
        if let Some(Absence::Lost { first }) = self.presence.absent(now, &service, revision, jitter)
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
