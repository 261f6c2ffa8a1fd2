//! Messages about the connection itself.
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Request, answer};
use crate::resource::Resource;

/// Asks whether the server takes connections; the only request allowed before the setup.
#[derive(Debug, Serialize)]
pub(crate) struct ServerCheckRequest {
    module: &'static str,
}

impl ServerCheckRequest {
    pub(crate) fn new() -> Self {
        Self { module: MODULE }
    }
}

impl Request for ServerCheckRequest {
    const TYPE: &'static str = "ServerCheckRequest";
    type Answer = ServerCheckResponse;

    fn resource(&self) -> Resource {
        Resource::Connection
    }
}

answer! {
    /// The server takes connections.
    ServerCheckResponse {
        connection_id: String,
        // Absent before 2.3 and in r-nacos: then no `SetupAckRequest` will come.
        support_ability_negotiation: bool,
    }
}

/// Registers the connection: the first message on the stream, answered (if at all) by a push.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionSetupRequest<'a> {
    client_version: &'static str,
    tenant: &'a str,
    labels: BTreeMap<&'static str, &'a str>,
    // Never null: null means that the server sends no acknowledgement.
    ability_table: BTreeMap<&'static str, bool>,
    module: &'static str,
}

impl<'a> ConnectionSetupRequest<'a> {
    pub(crate) const TYPE: &'static str = "ConnectionSetupRequest";

    /// `tenant` is the namespace in which documents are read, `app` the application's name.
    pub(crate) fn new(tenant: &'a str, app: &'a str) -> Self {
        Self {
            client_version: CLIENT_VERSION,
            tenant,
            // Without `module=naming` a server keeps no client for the connection, and refuses
            // every naming request; configuration requests never look at the label.
            labels: BTreeMap::from([("AppName", app), ("module", "naming"), ("source", "sdk")]),
            ability_table: BTreeMap::new(),
            module: MODULE,
        }
    }

    pub(crate) fn payload(&self) -> super::Payload {
        super::Payload::new(Self::TYPE, serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Asks whether the server still knows this connection.
#[derive(Debug, Serialize)]
pub(crate) struct HealthCheckRequest {
    module: &'static str,
}

impl HealthCheckRequest {
    pub(crate) fn new() -> Self {
        Self { module: MODULE }
    }
}

impl Request for HealthCheckRequest {
    const TYPE: &'static str = "HealthCheckRequest";
    type Answer = HealthCheckResponse;

    fn resource(&self) -> Resource {
        Resource::Connection
    }
}

answer! {
    /// It does.
    HealthCheckResponse {}
}

/// How this client names itself.
pub(crate) const CLIENT_VERSION: &str = concat!("Nacos-Rust-Client:v", env!("CARGO_PKG_VERSION"));
const MODULE: &str = "internal";
