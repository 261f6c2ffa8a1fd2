//! The lists of services under subscription, as they come: from answers, and from pushes.
use std::{collections::hash_map::Entry, time::Instant};

use super::{
    NamingMachine,
    freshness::{Age, ShownList},
    key::NamingKey,
    stale_services::{Stale, StaleServices},
};
use crate::{
    key::{Namespace, ServiceKey},
    room::Map,
    session::{effects::Event, ids::CallId, serving_context::ServingContext},
    wire::{
        Failure,
        list::{List, Texts},
        naming::ServiceInfo,
    },
};

/// The services under subscription, as far as they are known.
#[derive(Debug)]
pub(super) struct Lists {
    /// The shown view of each service, as far as it came over the connection that serves.
    shown: Map<ServiceKey, ShownList>,
    /// The last list of each service, whichever connection it came over: the next one is read
    /// against it.
    last: Map<ServiceKey, List>,
    /// Subscribed services by group and name: pushes of Java servers name no namespace.
    namesakes: Map<ServiceKey, Vec<ServiceKey>>,
    /// Services of which a push could not be read, or seems to be an old one.
    stale: StaleServices,
}

/// A list that was read, and when its server made it, in milliseconds.
#[derive(Debug)]
pub(in crate::session) struct StampedList {
    stamp: i64,
    list: List,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self {
            shown: Map::new(),
            last: Map::new(),
            namesakes: Map::new(),
            stale: StaleServices::new(),
        }
    }

    /// Lists of `service` are wanted from now on.
    pub(super) fn expect(&mut self, service: &ServiceKey) {
        // Mostly it is the only one.
        let alone = || Vec::with_capacity(1);
        let namesakes = self.namesakes.entry(service.unplaced()).or_insert_with(alone);
        if !namesakes.contains(service) {
            namesakes.push(service.clone());
        }
    }

    /// Nobody wants to know about `service` any more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.shown.remove(service);
        self.last.remove(service);
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
    namesakes: &'a Map<ServiceKey, Vec<ServiceKey>>,
    unplaced: &ServiceKey,
) -> &'a [ServiceKey] {
    namesakes.get(unplaced).map_or(&[], Vec::as_slice)
}

impl NamingMachine {
    /// The server that serves pushed a list. Nothing comes of one that cannot be read.
    pub(in crate::session) fn handle_list(
        &mut self,
        cx: &mut ServingContext<'_>,
        namespace: Option<Namespace>,
        info: ServiceInfo<Texts>,
    ) -> Result<(), Failure> {
        let (group, name) = info.name();
        let Ok(unplaced) = ServiceKey::try_from((name, group)) else { return info.check() };
        let namesakes = match &namespace {
            Some(_) => &[],
            None => of_name(&self.lists.namesakes, &unplaced),
        };
        let service = match (namespace, namesakes) {
            (Some(namespace), _) => unplaced.in_namespace(namespace),
            (None, []) => return info.check(),
            (None, [one]) => one.clone(),
            // The same name in two namespaces: the push is a hint to ask for both.
            (None, several) => {
                info.check()?;
                let several = several.to_vec();
                for service in &several {
                    self.ask_again(service);
                }
                return Ok(());
            }
        };
        if let Some(list) = self.read_list(&service, info)? {
            self.seen(cx, service, list, None);
        }
        Ok(())
    }

    /// Reads a list of `service` against the last one. There is none if it is missing.
    pub(in crate::session) fn read_list(
        &self,
        service: &ServiceKey,
        info: ServiceInfo<Texts>,
    ) -> Result<Option<StampedList>, Failure> {
        let stamp = info.last_ref_time;
        let list = info.read(service.clone(), self.lists.last.get(service))?;
        Ok(list.map(|list| StampedList { stamp, list }))
    }

    /// Of how many services the last list is kept.
    #[cfg(test)]
    pub(in crate::session) fn last_lists(&self) -> usize {
        self.lists.last.len()
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
        self.ask_stale(now);
    }

    /// A service in full, from the answer to `request` or from a push.
    pub(super) fn seen(
        &mut self,
        cx: &mut ServingContext<'_>,
        key: ServiceKey,
        listed: StampedList,
        request: Option<CallId>,
    ) {
        if !self.claims.is_claimed(&NamingKey::Subscription(key.clone())) {
            return;
        }
        let StampedList { stamp, list } = listed;
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
            self.lists.shown.insert(key.clone(), ShownList::new(stamp, cx.output.last_id()));
            cx.output.show(Event::Service(key.clone(), list.service.clone()));
            match self.lists.last.entry(key.clone()) {
                Entry::Occupied(last) => last.into_mut().replace(list),
                Entry::Vacant(last) => drop(last.insert(list)),
            }
        }
        if let Some(by) = by {
            // One more answer decides, however far the clock was stepped.
            if is_applied {
                self.lists.stale.stepped(cx.now, &key);
            } else {
                self.lists.stale.these(cx.now, std::slice::from_ref(&key));
            }
            cx.output.show(Event::Older { service: key, by, is_applied });
            self.ask_stale(cx.now);
        }
    }

    /// Asks for the services that are in doubt.
    pub(super) fn ask_stale(&mut self, now: Instant) {
        match self.lists.stale.take(now) {
            None => {}
            Some(Stale::These(services)) => {
                for service in services {
                    self.ask_again(&service);
                }
            }
            // The push could not be read.
            Some(Stale::All) => {
                self.claims.repeat_all(|key| matches!(key, NamingKey::Subscription(_)));
            }
        }
    }

    /// Asks for a service that is subscribed to; if it is being asked for, once more after the
    /// answer.
    pub(in crate::session) fn ask_again(&mut self, service: &ServiceKey) {
        self.claims.repeat(&NamingKey::Subscription(service.clone()));
    }
}
