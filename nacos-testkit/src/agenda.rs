//! What the server has to do later: one ordered list, worked off by one task.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    shared::Shared,
    state::{Change, ConfigKey, ConnectionKey, ServiceKey, Watched},
};

/// Something that a server does on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Fuzzy watchers are told that a configuration has come or gone.
    ConfigCounted { key: ConfigKey, exists: bool },
    /// Stored configuration becomes visible; listeners are told.
    ConfigStored(ConfigKey),
    /// These connections are told that a configuration has changed.
    Notice { key: ConfigKey, to: Vec<ConnectionKey> },
    /// A notice that was not acknowledged is repeated.
    NoticeAgain { connection: ConnectionKey, key: ConfigKey, tries: u32 },
    /// An acknowledgement should be there by now.
    Overdue { connection: ConnectionKey, request_id: u64 },
    /// Silent connections are probed and closed.
    Scan,
    /// All subscribers of a service are sent its instances.
    ServiceChanged(ServiceKey),
    /// Fuzzy watchers are told that a service has come or gone.
    ServiceCounted { service: ServiceKey, exists: bool },
    /// One subscriber is sent the instances of a service.
    SubscriberDue { connection: ConnectionKey, service: ServiceKey },
    /// A fuzzy watcher has its whole initial list.
    WatchListed { connection: ConnectionKey, watched: Watched, pattern: String },
    /// A fuzzy watcher is sent what its pattern matches beyond what it knows.
    WatchStarted {
        connection: ConnectionKey,
        watched: Watched,
        pattern: String,
        known: Vec<String>,
        initial: bool,
    },
}

impl Event {
    /// What follows from a change of a service.
    pub(crate) fn of_service(service: ServiceKey, change: Change) -> Vec<Self> {
        let mut events = Vec::new();
        if change.appeared || change.emptied {
            let exists = change.appeared;
            events.push(Self::ServiceCounted { service: service.clone(), exists });
        }
        if change.changed {
            events.push(Self::ServiceChanged(service));
        }
        events
    }
}

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: Mutex<Entries>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    due: BTreeMap<(Instant, u64), Event>,
    entered: HashSet<Event>,
    last: u64,
}

impl Agenda {
    /// Enters an event, unless the same one is to come anyway: changes in between are merged.
    pub(crate) fn enter(&self, at: Instant, event: Event) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match &event {
            // A push to one subscriber is part of the push to all of them.
            Event::SubscriberDue { service, .. }
                if entries.entered.contains(&Event::ServiceChanged(service.clone())) =>
            {
                return;
            }
            Event::ServiceChanged(service) => {
                entries.take_over(service).map_or(at, |it| it.min(at))
            }
            _ => at,
        };
        if !entries.entered.insert(event.clone()) {
            return;
        }
        entries.last += 1;
        let key = (at, entries.last);
        entries.due.insert(key, event);
        drop(entries);
        self.earlier.notify_one();
    }

    /// Forgets everything but the scan, which belongs to the server and not to its clients.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |event: &Event| matches!(event, Event::Scan | Event::ConfigStored(_));
        entries.due.retain(|_, event| stays(event));
        entries.entered.retain(stays);
    }

    fn first(&self) -> Option<Instant> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.due.first_key_value().map(|((at, _), _)| *at)
    }

    fn take_due(&self, now: Instant) -> Option<Event> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let event = entry.remove();
        entries.entered.remove(&event);
        Some(event)
    }
}

impl Entries {
    /// Takes the pushes to single subscribers of a service out; returns when the first was due.
    fn take_over(&mut self, service: &ServiceKey) -> Option<Instant> {
        let is_one = |event: &Event| match event {
            Event::SubscriberDue { service: due, .. } => due == service,
            _ => false,
        };
        let before = self.entered.len();
        self.entered.retain(|event| !is_one(event));
        if self.entered.len() == before {
            return None;
        }
        let first = self.due.iter().find(|(_, event)| is_one(event)).map(|((at, _), _)| *at);
        self.due.retain(|_, event| !is_one(event));
        first
    }
}

/// Works the agenda off. Never ends: the server aborts it.
pub(crate) async fn work_off(shared: Arc<Shared>) {
    loop {
        while let Some(event) = shared.agenda.take_due(Instant::now()) {
            shared.happen(event);
        }
        let earlier = shared.agenda.earlier.notified();
        match shared.agenda.first() {
            Some(at) => tokio::select! {
                // Something may have been entered that is due before the first entry.
                () = earlier => {}
                () = tokio::time::sleep_until(at) => {}
            },
            None => earlier.await,
        }
    }
}
