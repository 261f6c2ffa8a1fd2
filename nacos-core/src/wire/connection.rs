//! Messages about the connection itself.
use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use super::{Request, answer};
use crate::{
    labels::{Labels, TAG},
    resource::Resource,
};

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
    labels: BTreeMap<Cow<'static, str>, &'a str>,
    // Never null: null means that the server sends no acknowledgement.
    ability_table: BTreeMap<&'static str, bool>,
    module: &'static str,
}

impl<'a> ConnectionSetupRequest<'a> {
    pub(crate) const TYPE: &'static str = "ConnectionSetupRequest";

    /// `tenant` is the namespace in which documents are read, `app` the application's name.
    pub(crate) fn new(tenant: &'a str, app: &'a str, labels: &'a Labels) -> Self {
        // Servers take those with this prefix for labels of the application. Before 2.5 they look
        // for the tag under its own name, to choose whom they tell of a new version.
        let tag = labels.tag().map(|tag| (TAG.into(), tag));
        let labels = labels.iter().map(|(name, value)| (format!("app_{name}").into(), value));
        let labels = labels.chain(tag);
        let own = [("AppName", app), ("module", "naming"), ("source", "sdk")];
        let own = own.map(|(name, value)| (name.into(), value));
        Self {
            client_version: CLIENT_VERSION,
            tenant,
            // Without `module=naming` a server keeps no client for the connection, and refuses
            // every naming request; configuration requests never look at the label.
            labels: labels.chain(own).collect(),
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
