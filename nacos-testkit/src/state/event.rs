//! Events: a server's own acts, now or later.

use super::{Change, ConfigKey, ConnectionKey, ServiceKey, Watched};

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
    /// The events that follow from a change of a service.
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
