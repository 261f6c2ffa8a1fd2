//! Transports and the connections registered on them.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use bytes::Bytes;
use tokio::{sync::Notify, sync::mpsc, time::Instant};

use super::{ConfigKey, Pattern, Pending, Reader, ServiceKey};
use crate::line::Line;

/// A transport, for as long as the server runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionKey(u64);

/// One accepted socket. It is the identity of a connection: unary requests belong to the connection
/// whose transport they arrive on.
#[derive(Debug)]
pub(crate) struct Transport {
    /// The `connectionId` on the wire.
    pub(crate) id: String,
    pub(crate) remote: SocketAddr,
    pub(crate) line: Arc<Line>,
    /// Asks the transport's task to end it politely.
    pub(crate) closing: Arc<Notify>,
    pub(crate) connection: Option<Connection>,
}

/// A registered connection and all that lives in it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) setup: Setup,
    pub(crate) stream: mpsc::Sender<StreamItem>,
    pub(crate) last_active: Instant,
    /// When the probe was sent that has not been answered yet.
    pub(crate) probed_at: Option<Instant>,
    pub(crate) listens: BTreeMap<ConfigKey, Listen>,
    /// The clusters each subscribed service is filtered by; blank for all.
    pub(crate) subscriptions: BTreeMap<ServiceKey, String>,
    pub(crate) config_watches: BTreeMap<String, Pattern>,
    pub(crate) service_watches: BTreeMap<String, Pattern>,
    pub(crate) pending: BTreeMap<u64, Pending>,
    /// A push that waits to be overtaken.
    pub(crate) held_back: Option<Bytes>,
}

impl Connection {
    pub(crate) fn new(setup: Setup, stream: mpsc::Sender<StreamItem>) -> Self {
        Self {
            setup,
            stream,
            last_active: Instant::now(),
            probed_at: None,
            listens: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            config_watches: BTreeMap::new(),
            service_watches: BTreeMap::new(),
            pending: BTreeMap::new(),
            held_back: None,
        }
    }

    /// This connection as a reader of configurations.
    pub(crate) fn reader<'a>(&'a self, listen: Option<&'a Listen>) -> Reader<'a> {
        let tag = listen.and_then(|listen| listen.tag.as_deref()).or_else(|| {
            let labels = &self.setup.labels;
            let label = labels.get("app_Vipserver-Tag").or_else(|| labels.get("Vipserver-Tag"));
            label.map(String::as_str)
        });
        Reader { ip: &self.setup.client_ip, tag }
    }
}

/// A client's words about itself when it opened its stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// The address it claims to have, or has.
    pub(crate) client_ip: String,
    pub(crate) labels: HashMap<String, String>,
    /// The namespace it named, as it spelled it.
    pub(crate) tenant: Option<String>,
}

/// A connection's listen to one configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listen {
    /// The namespace as the last listen spelled it: notices repeat it.
    pub(crate) tenant: Option<String>,
    pub(crate) tag: Option<String>,
}

/// An item that goes down a stream.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// The end, with a gRPC status.
    End {
        code: u8,
        message: &'static str,
    },
    Push(Bytes),
}

/// All open transports.
#[derive(Debug, Default)]
pub(crate) struct Transports {
    open: BTreeMap<ConnectionKey, Transport>,
    last: u64,
}

impl Transports {
    pub(crate) fn next_key(&mut self) -> ConnectionKey {
        self.last += 1;
        ConnectionKey(self.last)
    }

    pub(crate) fn opened(&mut self, key: ConnectionKey, transport: Transport) {
        self.open.insert(key, transport);
    }

    pub(crate) fn closed(&mut self, key: ConnectionKey) {
        self.open.remove(&key);
    }

    /// Ends the registration of a transport that may stay open.
    pub(crate) fn forget(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.open.get_mut(&key)?.connection.take()
    }

    pub(crate) fn keys(&self) -> Vec<ConnectionKey> {
        self.open.keys().copied().collect()
    }

    pub(crate) fn transport(&mut self, key: ConnectionKey) -> Option<&mut Transport> {
        self.open.get_mut(&key)
    }

    pub(crate) fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.open.get_mut(&key)?.connection.as_mut()
    }

    /// Ends every connection's listen to this configuration.
    pub(crate) fn forget_listens(&mut self, key: &ConfigKey) {
        for connection in self.open.values_mut().filter_map(|it| it.connection.as_mut()) {
            connection.listens.remove(key);
        }
    }

    /// The registered connections.
    pub(crate) fn registered(&self) -> impl Iterator<Item = (ConnectionKey, &Connection)> {
        self.open.iter().filter_map(|(key, transport)| Some((*key, transport.connection.as_ref()?)))
    }
}
