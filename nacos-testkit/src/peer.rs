//! Changes that no connection makes: by the test itself, a client over HTTP, an operator.

use std::net::SocketAddr;

use serde_json::json;

use crate::{
    answer::instance_id,
    shared::Shared,
    state::{Amendment, Event, Expected, Held, Instance, Owner, ServiceKey, Transport, object},
};

impl Shared {
    /// Registers as a client that is not connected here, or changes what it registered.
    pub(crate) fn register_as_peer(&self, service: ServiceKey, instance: Instance) {
        let owner = if instance.ephemeral { Owner::Peer } else { Owner::Persistent };
        let id = instance_id(self.behaviour().is_java(), &instance, &service);
        let held = Held { owner, id, instance };
        let change = self
            .change(|state| state.services.put_beside(&service, held, self.behaviour().is_java()));
        self.set_off(Event::of_service(service, change));
    }

    /// Takes away what such a client registered.
    pub(crate) fn deregister_as_peer(&self, service: ServiceKey, instance: &Instance) {
        let may = |owner| matches!(owner, Owner::Peer | Owner::Persistent);
        let change = self.change(|state| state.services.take(&service, instance, may));
        self.set_off(Event::of_service(service, change));
    }

    /// Changes an instance as an operator: in Java over what its client says, now and later; in
    /// r-nacos once, and what is not named stays.
    pub(crate) fn edit_as_operator(
        &self,
        service: ServiceKey,
        instance: Instance,
        named: &Amendment,
    ) {
        if self.behaviour().is_java() {
            let change = self.change(|state| state.services.edit(&service, instance));
            self.set_off(Event::of_service(service, change));
        } else if self.change(|state| state.services.amend(&service, named)) {
            self.set_off(vec![Event::ServiceChanged(service)]);
        } else {
            self.register_as_peer(service, instance);
        }
    }

    /// Stores the protection threshold of a service.
    pub(crate) fn protect(&self, service: ServiceKey, threshold: f64) {
        self.change(|state| state.services.protect(&service, threshold));
        self.set_off(vec![Event::ServiceChanged(service)]);
    }

    /// Asks the connections of these transports to go, and where to.
    pub(crate) fn reset_connections(
        &self,
        target: Option<SocketAddr>,
        of: impl Fn(&Transport) -> bool,
    ) {
        self.change(|state| {
            for key in state.transports.keys() {
                let Some(transport) = state.transports.transport(key) else { continue };
                if !of(transport) {
                    continue;
                }
                let id = transport.id.clone();
                let mut fields = object([("module", json!("internal"))]);
                if let Some(target) = target {
                    // The port is a text, and that of the main port.
                    fields.extend(object([
                        ("serverIp", json!(target.ip().to_string())),
                        ("serverPort", json!(target.port().to_string())),
                        ("connectionId", json!(id)),
                    ]));
                }
                self.push(state, key, "ConnectResetRequest", fields, Expected::Nothing);
            }
        });
    }
}
