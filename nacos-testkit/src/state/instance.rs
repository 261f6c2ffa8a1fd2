//! Instances, and their owners.
use std::collections::BTreeMap;

use super::ConnectionKey;

/// An instance of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its address; servers check nothing about it, a host name and even a blank one pass.
    pub ip: String,
    /// Its port; r-nacos accepts more than 65 535.
    pub port: u32,
    /// Its share of the traffic, 1 by default.
    pub weight: f64,
    /// Whether it is well.
    pub healthy: bool,
    /// Whether it takes traffic; a disabled one is held, but never shown.
    pub enabled: bool,
    /// Its cluster, `DEFAULT` by default.
    pub cluster: String,
    /// Its metadata, as its publisher gave it.
    pub metadata: BTreeMap<String, String>,
    /// Whether it lives and dies with its publisher; a persistent one stays until deregistered.
    pub ephemeral: bool,
}

impl Instance {
    /// A healthy, enabled, ephemeral instance of weight 1 in the cluster `DEFAULT`.
    #[must_use]
    pub fn new(ip: impl Into<String>, port: u16) -> Self {
        Self {
            ip: ip.into(),
            port: port.into(),
            weight: 1.0,
            healthy: true,
            enabled: true,
            cluster: "DEFAULT".to_owned(),
            metadata: BTreeMap::new(),
            ephemeral: true,
        }
    }

    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.ip == other.ip && self.port == other.port
    }

    pub(super) fn place(&self) -> Place {
        (self.ip.clone(), self.port, self.cluster.clone())
    }
}

pub(super) type Place = (String, u32, String);

/// The holder of an instance, with which it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Connection(ConnectionKey),
    /// A client without a connection: the test itself, or one over HTTP.
    Peer,
    /// None: it stays until it is deregistered.
    Persistent,
}

/// An instance and its owner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) owner: Owner,
    /// The `instanceId` that consumers see.
    pub(crate) id: String,
    pub(crate) instance: Instance,
}
