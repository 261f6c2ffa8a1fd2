//! The effect of each event, and the task that lets them happen in their time.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use crate::{
    Behaviour,
    answer::service_info,
    state::{ConfigKey, ConnectionKey, Event, Expected, Listen, ServiceKey, State, object},
};

/// Lets the events of the schedule happen. Never ends: the server aborts it.
pub(crate) async fn work_off(shared: Arc<Shared>) {
    loop {
        while let Some(event) = shared.schedule.take_due(Instant::now()) {
            shared.happen(event);
        }
        let earlier = shared.schedule.earlier();
        match shared.schedule.first() {
            Some(at) => tokio::select! {
                () = earlier => {}
                () = tokio::time::sleep_until(at) => {}
            },
            None => earlier.await,
        }
    }
}

impl Shared {
    /// Lets an event happen now.
    pub(crate) fn happen(&self, event: Event) {
        match event {
            Event::ConfigCounted { key, exists } => self.config_counted(&key, exists),
            Event::ConfigStored(key) => {
                let events = self.show_config(&key);
                self.set_off(events);
            }
            Event::Notice { key, to } => self.change(|state| {
                for connection in to {
                    self.notice(state, connection, &key, 1);
                }
                // r-nacos forgets who listens to a configuration along with it (seen: 0.8.8).
                if self.behaviour() == Behaviour::RNacos && state.configs.visible(&key).is_none() {
                    state.transports.forget_listens(&key);
                }
            }),
            Event::NoticeAgain { connection, key, tries } => {
                self.change(|state| self.notice(state, connection, &key, tries));
            }
            Event::Overdue { connection, request_id } => {
                let behaviour = self.behaviour();
                let settled = self.change(|state| state.overdue(connection, request_id, behaviour));
                self.settle(connection, settled);
            }
            Event::Scan => self.scan(),
            Event::ServiceChanged(service) => self.change(|state| {
                for connection in subscribers(state, &service) {
                    self.push_service(state, connection, &service);
                }
            }),
            Event::ServiceCounted { service, exists } => self.service_counted(&service, exists),
            Event::SubscriberDue { connection, service } => {
                self.change(|state| self.push_service(state, connection, &service));
            }
            Event::WatchListed { connection, watched, pattern } => {
                self.finish_watch(connection, watched, &pattern);
            }
            Event::WatchStarted { connection, watched, pattern, known, initial } => {
                self.start_watch(connection, watched, &pattern, &known, initial);
            }
        }
    }

    /// The events after a change of the store: it is visible at once, unless a dump has to come
    /// first.
    pub(crate) fn stored(&self, key: ConfigKey) -> Vec<Event> {
        if self.plan.timing.config_dump.is_zero() {
            self.show_config(&key)
        } else {
            vec![Event::ConfigStored(key)]
        }
    }

    /// Makes what is stored visible; returns the events that tell listeners.
    fn show_config(&self, key: &ConfigKey) -> Vec<Event> {
        let behaviour = self.behaviour();
        let (dumped, to) = self.change(|state| {
            let dumped = state.configs.dump(key);
            let concerned = |(connection, it): (ConnectionKey, &crate::state::Connection)| {
                let listen = it.listens.get(key)?;
                dumped.concerns(it.reader(Some(listen)), behaviour).then_some(connection)
            };
            let to: Vec<ConnectionKey> =
                state.transports.registered().filter_map(concerned).collect();
            (dumped, to)
        });
        let mut events = Vec::new();
        if !to.is_empty() {
            events.push(Event::Notice { key: key.clone(), to });
        }
        if dumped.appeared || dumped.vanished {
            events.push(Event::ConfigCounted { key: key.clone(), exists: dumped.appeared });
        }
        events
    }

    fn notice(&self, state: &mut State, to: ConnectionKey, key: &ConfigKey, tries: u32) {
        let Some(connection) = state.transports.connection(to) else { return };
        // It may have stopped listening while the notice was under way.
        let Some(listen) = connection.listens.get(key) else { return };
        let setup_tenant = connection.setup.tenant.clone();
        let tenant = if self.behaviour().is_java() {
            shown_tenant(key, listen)
        } else if key.namespace.is_empty() {
            Some(Value::from(setup_tenant.unwrap_or_default()))
        } else {
            Some(Value::from(key.namespace.as_str()))
        };
        let mut fields = object([
            ("dataId", json!(key.data_id)),
            ("group", json!(key.group)),
            ("module", json!("config")),
        ]);
        if let Some(tenant) = tenant {
            fields.insert("tenant".to_owned(), tenant);
        }
        let expected = Expected::Notice { key: key.clone(), tries };
        self.push(state, to, "ConfigChangeNotifyRequest", fields, expected);
    }

    fn push_service(&self, state: &mut State, to: ConnectionKey, service: &ServiceKey) {
        let Some(connection) = state.transports.connection(to) else { return };
        // Gone is gone: a push after the unsubscribe was answered would not be a server's.
        let Some(clusters) = connection.subscriptions.get(service).cloned() else { return };
        let java = self.behaviour().is_java();
        let shown = if java { clusters.as_str() } else { "" };
        let info = service_info(self, state, service, shown, false);
        let mut fields = object([("serviceInfo", info), ("module", json!("naming"))]);
        if !java {
            fields.extend(object([
                ("namespace", json!(service.namespace)),
                ("serviceName", json!(service.name)),
                ("groupName", json!(service.group)),
            ]));
        }
        let expected = Expected::Service(service.clone());
        self.push(state, to, "NotifySubscriberRequest", fields, expected);
    }

    /// Probes connections that have been silent, and closes those that stay so.
    fn scan(&self) {
        let silence = self.behaviour().silence();
        let java = self.behaviour().is_java();
        let now = Instant::now();
        let dead = self.change(|state| {
            let mut silent = Vec::new();
            let mut dead = Vec::new();
            for (key, connection) in state.transports.registered() {
                let idle = now.duration_since(connection.last_active);
                match connection.probed_at {
                    None if idle >= silence.probe_after => silent.push(key),
                    // Java waits for the acknowledgement instead: the probe will be overdue.
                    Some(_) if !java && idle >= silence.probe_after + silence.grace => {
                        dead.push(key);
                    }
                    None | Some(_) => {}
                }
            }
            for key in silent {
                self.probe(state, key);
            }
            dead
        });
        for key in dead {
            self.eject(key);
        }
        self.schedule.enter(now + silence.scan, Event::Scan);
    }

    /// Probes every registered connection.
    pub(crate) fn probe_connections(&self) {
        self.change(|state| {
            for key in state.transports.keys() {
                self.probe(state, key);
            }
        });
    }

    fn probe(&self, state: &mut State, key: ConnectionKey) {
        let Some(connection) = state.transports.connection(key) else { return };
        connection.probed_at = Some(Instant::now());
        let fields = object([("module", json!("internal"))]);
        self.push(state, key, "ClientDetectionRequest", fields, Expected::Probe);
    }
}

/// A namespace as a Java server repeats it: not at all for the default one, unless it was spelled.
fn shown_tenant(key: &ConfigKey, listen: &Listen) -> Option<Value> {
    if !key.namespace.is_empty() {
        return Some(Value::from(key.namespace.as_str()));
    }
    listen.tenant.as_deref().filter(|tenant| !tenant.is_empty()).map(Value::from)
}

fn subscribers(state: &State, service: &ServiceKey) -> Vec<ConnectionKey> {
    let subscribes =
        |connection: &crate::state::Connection| connection.subscriptions.contains_key(service);
    state.transports.registered().filter(|(_, it)| subscribes(it)).map(|(key, _)| key).collect()
}
