//! The events that the server has to let happen later, in order.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use crate::state::{Event, ServiceKey};

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    entries: Mutex<Entries>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    due: BTreeMap<(Instant, u64), Event>,
    entered: HashSet<Event>,
    last: u64,
}

impl Schedule {
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

    /// Ends when something has been entered that may be due before the first entry.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// When the first entry is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out the first entry, if it is due.
    pub(crate) fn take_due(&self, now: Instant) -> Option<Event> {
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
