//! The server's state, behind one lock.

mod authentication;
mod configs;
mod connections;
mod counters;
mod event;
mod instance;
mod key;
mod pending;
mod pushing;
mod services;
mod tokens;
mod view;
mod watches;

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value};

pub(crate) use authentication::Authentication;
pub use configs::Document;
pub(crate) use configs::{Configs, Found, Publication, Reader};
pub(crate) use connections::{
    Connection, ConnectionKey, Listen, Setup, StreamItem, Transport, Transports,
};
pub(crate) use counters::Counters;
pub use counters::Received;
pub(crate) use event::Event;
pub use instance::Instance;
pub(crate) use instance::{Held, Owner};
pub(crate) use key::{ConfigKey, ServiceKey};
pub(crate) use pending::{Expected, Pending};
pub(crate) use pushing::Settled;
pub(crate) use services::{Amendment, Change, Services};
pub(crate) use tokens::Tokens;
pub(crate) use view::{View, Wanted};
pub(crate) use watches::{Pattern, WatchLimits, Watched};

use crate::fault::Faults;

/// The state of a server. Only `Shared` hands it out.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) authentication: Authentication,
    pub(crate) configs: Configs,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    pub(crate) watch_limits: WatchLimits,
    /// The namespaces that are listed, each with its display name; `None` lists none.
    pub(crate) namespaces: Option<Vec<(String, String)>>,
    /// The user's rights; `None` allows everything.
    pub(crate) rights: Option<Vec<String>>,
    /// The rights of everybody.
    pub(crate) open: Vec<String>,
    /// Answers at paths of the main port in place of the server's own, without `/nacos`.
    pub(crate) planned: BTreeMap<String, (StatusCode, String)>,
    pub(crate) services: Services,
    pub(crate) tokens: Tokens,
    pub(crate) transports: Transports,
    last_request_id: u64,
}

impl State {
    /// Takes a connection out, with everything that lives in it.
    pub(crate) fn forget(&mut self, key: ConnectionKey) -> Vec<Event> {
        if self.transports.forget(key).is_none() {
            return Vec::new();
        }
        self.services
            .forget(key)
            .into_iter()
            .flat_map(|(service, change)| Event::of_service(service, change))
            .collect()
    }
}

/// An object made of these fields.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
