//! Services: which instances are held, their owners, and what of them is shown.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{ConnectionKey, Held, Instance, Owner, ServiceKey, View, Wanted, instance::Place};
use crate::Behaviour;

/// An operator's changes to an instance; `None` leaves it as it is.
#[derive(Clone, Debug)]
pub(crate) struct Amendment {
    pub(crate) ip: String,
    pub(crate) port: u32,
    pub(crate) weight: Option<f64>,
    pub(crate) enabled: Option<bool>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// The effect of an operation on a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Subscribers are told.
    pub(crate) changed: bool,
    /// It has its first instance.
    pub(crate) appeared: bool,
    /// It has lost its last instance.
    pub(crate) emptied: bool,
}

#[derive(Debug)]
struct Service {
    ephemeral: bool,
    held: Vec<Held>,
    emptied_at: Option<Instant>,
    threshold: Option<f64>,
    /// An operator's settings, which override the publishers'.
    edits: BTreeMap<Place, Instance>,
    /// r-nacos: the metadata that an address came with first, or that an operator gave it. It wins
    /// over whatever the address is registered with later.
    sticking: BTreeMap<(String, u32), BTreeMap<String, String>>,
}

/// All services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    services: BTreeMap<ServiceKey, Service>,
}

impl Services {
    /// Puts this publication of a connection in place of its former one (Java).
    pub(crate) fn replace(&mut self, key: &ServiceKey, owner: Owner, held: Vec<Held>) -> Change {
        self.change(key, true, |all| {
            all.retain(|old| old.owner != owner);
            all.extend(held);
            true
        })
    }

    /// Takes the whole publication of a connection away (Java).
    pub(crate) fn withdraw(&mut self, key: &ServiceKey, owner: Owner) -> Change {
        self.change(key, true, |all| {
            let before = all.len();
            all.retain(|old| old.owner != owner);
            all.len() != before
        })
    }

    /// Adds an instance, or takes the one at its address over from any owner.
    pub(crate) fn put(&mut self, key: &ServiceKey, held: Held) -> Change {
        let ephemeral = held.instance.ephemeral;
        self.change(key, ephemeral, |all| {
            match all.iter_mut().find(|old| old.instance.is_at(&held.instance)) {
                Some(old) => *old = held,
                None => all.push(held),
            }
            true
        })
    }

    /// As [`put`](Self::put), for a client that is not connected here. In Java it leaves alone what
    /// others hold at the same address; r-nacos has one instance an address.
    pub(crate) fn put_beside(&mut self, key: &ServiceKey, held: Held, java: bool) -> Change {
        if !java || held.owner == Owner::Persistent {
            return self.put(key, held);
        }
        let ephemeral = held.instance.ephemeral;
        self.change(key, ephemeral, |all| {
            all.retain(|old| {
                old.owner != held.owner || old.instance.place() != held.instance.place()
            });
            all.push(held);
            true
        })
    }

    /// As [`put`](Self::put), but what an update does not name stays as it was (r-nacos: a weight
    /// of 1 and an enabled instance are taken for "not named"), and the metadata of the address.
    pub(crate) fn update(&mut self, key: &ServiceKey, mut held: Held) -> Change {
        self.stick(key, &mut held.instance);
        if let Some(old) = self.at(key, &held.instance) {
            #[expect(clippy::float_cmp, reason = "exactly the default counts as not named")]
            if held.instance.weight == 1.0 {
                held.instance.weight = old.instance.weight;
            }
            held.instance.enabled &= old.instance.enabled;
            held.instance.ephemeral = old.instance.ephemeral;
        }
        self.put(key, held)
    }

    /// Remembers the metadata that an address comes with, if it has any then, and gives it back to
    /// an instance that is registered there later.
    fn stick(&mut self, key: &ServiceKey, instance: &mut Instance) {
        let is_new = self.at(key, instance).is_none();
        let service = self.service(key, instance.ephemeral);
        let address = (instance.ip.clone(), instance.port);
        if let Some(metadata) = service.sticking.get(&address) {
            instance.metadata.clone_from(metadata);
        } else if is_new && !instance.metadata.is_empty() {
            service.sticking.insert(address, instance.metadata.clone());
        }
    }

    /// Takes the instance at this address away, if `may` agrees.
    pub(crate) fn take(
        &mut self,
        key: &ServiceKey,
        at: &Instance,
        may: impl Fn(Owner) -> bool,
    ) -> Change {
        self.change(key, true, |all| {
            let before = all.len();
            all.retain(|old| !(old.instance.is_at(at) && may(old.owner)));
            all.len() != before
        })
    }

    /// Lets go of everything that a connection held.
    pub(crate) fn forget(&mut self, key: ConnectionKey) -> Vec<(ServiceKey, Change)> {
        let owner = Owner::Connection(key);
        let holds = |service: &Service| service.held.iter().any(|held| held.owner == owner);
        let keys: Vec<ServiceKey> = self
            .services
            .iter()
            .filter(|(_, service)| holds(service))
            .map(|(key, _)| key.clone())
            .collect();
        keys.into_iter().map(|key| (key.clone(), self.withdraw(&key, owner))).collect()
    }

    /// Lets go of what connections hold of a service, and says how many instances that were.
    pub(crate) fn lose(&mut self, key: &ServiceKey) -> (usize, Change) {
        let mut lost = 0;
        let change = self.change(key, true, |all| {
            let before = all.len();
            all.retain(|held| !matches!(held.owner, Owner::Connection(_)));
            lost = before - all.len();
            lost > 0
        });
        (lost, change)
    }

    /// Changes an instance in place; `false` when there is none at that address.
    pub(crate) fn adjust(
        &mut self,
        key: &ServiceKey,
        at: (&str, u32),
        adjust: impl Fn(&mut Instance),
    ) -> bool {
        let service = self.services.get_mut(key);
        let mut found = false;
        for held in service.into_iter().flat_map(|service| &mut service.held) {
            if (held.instance.ip.as_str(), held.instance.port) == at {
                adjust(&mut held.instance);
                found = true;
            }
        }
        found
    }

    /// Remembers what an operator has set for the instance at a place, now and later.
    pub(crate) fn edit(&mut self, key: &ServiceKey, edited: Instance) -> Change {
        let ephemeral = edited.ephemeral;
        let service = self.service(key, ephemeral);
        service.edits.insert(edited.place(), edited);
        Change { changed: true, ..Change::default() }
    }

    /// Changes an instance as an operator of r-nacos does: what is named, and once. False when
    /// there is none at its address.
    pub(crate) fn amend(&mut self, key: &ServiceKey, named: &Amendment) -> bool {
        let Some(service) = self.services.get_mut(key) else { return false };
        let address = (named.ip.as_str(), named.port);
        let is_there =
            |held: &&mut Held| (held.instance.ip.as_str(), held.instance.port) == address;
        let Some(held) = service.held.iter_mut().find(is_there) else { return false };
        let instance = &mut held.instance;
        // A weight of 1 counts as not named here, too.
        #[expect(clippy::float_cmp, reason = "exactly the default counts as not named")]
        if let Some(weight) = named.weight.filter(|weight| *weight != 1.0) {
            instance.weight = weight;
        }
        instance.enabled = named.enabled.unwrap_or(instance.enabled);
        if let Some(metadata) = named.metadata.clone().filter(|metadata| !metadata.is_empty()) {
            service.sticking.insert((named.ip.clone(), named.port), metadata.clone());
            instance.metadata = metadata;
        }
        true
    }

    /// Whether anything is known of a service.
    pub(crate) fn knows(&self, key: &ServiceKey) -> bool {
        self.services.contains_key(key)
    }

    /// Stores the protection threshold of a service, which thereby has metadata.
    pub(crate) fn protect(&mut self, key: &ServiceKey, threshold: f64) {
        self.service(key, true).threshold = Some(threshold);
    }

    /// Whether the service is of this kind, or not there yet.
    pub(crate) fn accepts(&mut self, key: &ServiceKey, ephemeral: bool, now: Instant) -> bool {
        self.clean(now);
        self.services.get(key).is_none_or(|service| service.ephemeral == ephemeral)
    }

    /// Everything held of a service, in order of ip, port and cluster.
    pub(crate) fn held(&self, key: &ServiceKey) -> Vec<Instance> {
        let held = self.services.get(key).into_iter().flat_map(|service| &service.held);
        let mut instances: Vec<Instance> = held.map(|held| held.instance.clone()).collect();
        instances.sort_by_cached_key(Instance::place);
        instances
    }

    /// The view that a consumer is shown.
    pub(crate) fn view(&self, key: &ServiceKey, want: Wanted<'_>, behaviour: Behaviour) -> View {
        let Some(service) = self.services.get(key) else { return View::default() };
        let held = service.held.iter().map(|held| service.edited(held));
        View::of(held, service.threshold, want, behaviour)
    }

    /// The names of the services of a group, those included that became empty a moment ago.
    pub(crate) fn names(&mut self, namespace: &str, group: &str, now: Instant) -> Vec<String> {
        self.clean(now);
        self.services
            .keys()
            .filter(|key| key.namespace == namespace && key.group == group)
            .map(|key| key.name.clone())
            .collect()
    }

    /// Every service.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    fn at(&self, key: &ServiceKey, at: &Instance) -> Option<&Held> {
        self.services.get(key)?.held.iter().find(|held| held.instance.is_at(at))
    }

    fn service(&mut self, key: &ServiceKey, ephemeral: bool) -> &mut Service {
        self.services.entry(key.clone()).or_insert_with(|| Service {
            ephemeral,
            held: Vec::new(),
            emptied_at: None,
            threshold: None,
            edits: BTreeMap::new(),
            sticking: BTreeMap::new(),
        })
    }

    fn change(
        &mut self,
        key: &ServiceKey,
        ephemeral: bool,
        change: impl FnOnce(&mut Vec<Held>) -> bool,
    ) -> Change {
        let known = self.services.contains_key(key);
        let service = self.service(key, ephemeral);
        let was_empty = service.held.is_empty();
        let changed = change(&mut service.held);
        let is_empty = service.held.is_empty();
        if is_empty {
            service.emptied_at.get_or_insert_with(Instant::now);
        } else {
            service.emptied_at = None;
        }
        if !changed && !known {
            // Nothing was taken from a service that never was.
            self.services.remove(key);
        }
        Change {
            changed,
            appeared: changed && was_empty && !is_empty,
            emptied: changed && !was_empty && is_empty,
        }
    }

    /// Removes services that have been empty for a minute, as the servers do.
    fn clean(&mut self, now: Instant) {
        self.services.retain(|_, service| {
            service.threshold.is_some()
                || service.emptied_at.is_none_or(|at| now.duration_since(at) < EMPTY_FOR)
        });
    }
}

impl Service {
    fn edited(&self, held: &Held) -> Held {
        let mut held = held.clone();
        if let Some(edit) = self.edits.get(&held.instance.place()) {
            held.instance.weight = edit.weight;
            held.instance.enabled = edit.enabled;
            held.instance.metadata.clone_from(&edit.metadata);
        }
        held
    }
}

const EMPTY_FOR: Duration = Duration::from_secs(60);
