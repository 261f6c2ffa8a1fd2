//! The lists of services under subscription, as they come: from answers, and from pushes.
use std::{collections::HashMap, time::Instant};

use super::{
    Naming, NamingKey,
    freshness::{Age, Shown},
    stale_services::{Stale, StaleServices},
};
use crate::{
    key::{Namespace, ServiceKey},
    session::{CallId, Event, ledger::Standing, output::Exchange},
    wire::naming::ServiceInfo,
};

/// What is known of services under subscription.
#[derive(Debug)]
pub(super) struct Lists {
    /// What is shown of each service, as far as it came over the connection that serves.
    shown: HashMap<ServiceKey, Shown>,
    /// Subscribed services by group and name: pushes of Java servers name no namespace.
    namesakes: HashMap<ServiceKey, Vec<ServiceKey>>,
    /// Services of which a push could not be read, or seems to be an old one.
    stale: StaleServices,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self { shown: HashMap::new(), namesakes: HashMap::new(), stale: StaleServices::new() }
    }

    /// Lists of `service` are wanted from now on.
    pub(super) fn expect(&mut self, service: &ServiceKey) {
        let namesakes = self.namesakes.entry(service.unplaced()).or_default();
        if !namesakes.contains(service) {
            namesakes.push(service.clone());
        }
    }

    /// Nobody wants to know about `service` any more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.shown.remove(service);
        self.stale.forget(service);
        if let Some(namesakes) = self.namesakes.get_mut(&service.unplaced()) {
            namesakes.retain(|other| other != service);
            if namesakes.is_empty() {
                self.namesakes.remove(&service.unplaced());
            }
        }
    }

    /// Lists of different servers have no common order.
    pub(super) fn reconnected(&mut self) {
        self.shown.clear();
        self.stale.reconnected();
    }

    /// When services that are in doubt may be asked for.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.stale.next_timeout()
    }
}

/// The subscribed services of this group and name.
fn of_name<'a>(
    namesakes: &'a HashMap<ServiceKey, Vec<ServiceKey>>,
    unplaced: &ServiceKey,
) -> &'a [ServiceKey] {
    namesakes.get(unplaced).map_or(&[], Vec::as_slice)
}

impl Naming {
    /// The server that serves pushed a list.
    pub(in crate::session) fn handle_list(
        &mut self,
        cx: &mut Exchange<'_>,
        namespace: Option<Namespace>,
        info: ServiceInfo,
    ) {
        let (group, name) = info.name();
        let Ok(unplaced) = ServiceKey::try_from((name, group)) else { return };
        if let Some(namespace) = namespace {
            return self.seen(cx, unplaced.in_namespace(namespace), info, None);
        }
        match of_name(&self.lists.namesakes, &unplaced) {
            [] => {}
            [one] => self.seen(cx, one.clone(), info, None),
            // The same name in two namespaces: the push is a hint to ask for both.
            several => {
                let several = several.to_vec();
                for service in &several {
                    self.ask_again(cx.now, service);
                }
            }
        }
    }

    /// The server that serves pushed something that cannot be read, about this service, as far as
    /// that is known. It is not repeated, because it has been acknowledged: it is asked for.
    pub(in crate::session) fn handle_unreadable(
        &mut self,
        now: Instant,
        service: Option<&ServiceKey>,
    ) {
        match service {
            Some(service) => {
                let Lists { namesakes, stale, .. } = &mut self.lists;
                stale.these(now, of_name(namesakes, &service.unplaced()));
            }
            None => self.lists.stale.all(now),
        }
        self.ask_doubted(now);
    }

    /// A service in full, from the answer to `request` or from a push.
    pub(super) fn seen(
        &mut self,
        cx: &mut Exchange<'_>,
        key: ServiceKey,
        info: ServiceInfo,
        request: Option<CallId>,
    ) {
        if !self.claims.is_claimed(&NamingKey::Subscription(key.clone())) {
            return;
        }
        let stamp = info.last_ref_time;
        let Some(service) = info.into_service(key.clone()) else { return };
        let age = match self.lists.shown.get(&key) {
            Some(shown) => shown.age_of(stamp, request),
            None => Age::Newer,
        };
        let (by, is_applied) = match age {
            Age::Newer => (None, true),
            Age::Overtaken { by } => (Some(by), false),
            Age::Stepped { by } => (Some(by), true),
        };
        if is_applied {
            self.lists.shown.insert(key.clone(), Shown::new(stamp, cx.output.last_id()));
            cx.output.show(Event::Service(key.clone(), service));
        }
        if let Some(by) = by {
            // Whatever the clock has done, one more answer decides.
            self.lists.stale.these(cx.now, std::slice::from_ref(&key));
            cx.output.show(Event::Older { service: key, by, is_applied });
            self.ask_doubted(cx.now);
        }
    }

    /// Asks for the services that are in doubt.
    pub(super) fn ask_doubted(&mut self, now: Instant) {
        match self.lists.stale.take(now) {
            None => {}
            Some(Stale::These(services)) => {
                for service in services {
                    self.ask_again(now, &service);
                }
            }
            // What was pushed could not be read.
            Some(Stale::All) => {
                self.claims.reassert_all(|key| matches!(key, NamingKey::Subscription(_)));
            }
        }
    }

    /// Asks for a service that is subscribed to.
    pub(in crate::session) fn ask_again(&mut self, now: Instant, service: &ServiceKey) {
        let key = NamingKey::Subscription(service.clone());
        // The answer that is under way may be the older one: once more after it.
        let is_under_way = matches!(self.claims.standing(&key), Some(Standing::Sent(_)));
        if is_under_way && self.claims.is_claimed(&key) {
            self.lists.stale.these(now, std::slice::from_ref(service));
        }
        self.claims.reassert(&key);
    }
}
