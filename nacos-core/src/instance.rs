//! One instance of a service, as registered and as seen by others.
use std::collections::BTreeMap;

use crate::{
    error::{Error, ErrorKind},
    key::ClusterName,
};

/// One instance of a service.
///
/// What a server reports is sanitised first: a weight that is not a number counts as 1, one
/// outside `0..=10 000` is clamped, and an entry without address or with an impossible port is
/// left out. Two instances are the same one when [`Instance::identity`] agrees.
///
/// ```
/// use nacos_core::Instance;
///
/// let instance = Instance::new("10.0.0.7", 8080).with_weight(2.0).with_metadata("zone", "b");
/// assert_eq!(instance.address(), "10.0.0.7:8080");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Instance {
    /// Where it listens: an IP address, though servers accept any text.
    pub ip: String,
    /// The port that it listens on.
    pub port: u16,
    /// Its share of the traffic relative to its siblings, `0..=10 000`; 0 asks for none.
    pub weight: f64,
    /// Whether it may be called. Registered instances are healthy until their connection ends.
    pub healthy: bool,
    /// Whether operators let it take traffic. Servers never report disabled instances.
    pub enabled: bool,
    /// Whether it vanishes with the connection that registered it.
    pub ephemeral: bool,
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Free text by key; servers since 2.3 take at most 1 024 characters in all.
    pub metadata: BTreeMap<String, String>,
}

impl Instance {
    /// A healthy, enabled, ephemeral instance of weight 1 in cluster `DEFAULT`.
    #[must_use]
    pub fn new(ip: impl Into<String>, port: u16) -> Self {
        Self {
            ip: ip.into(),
            port,
            weight: 1.0,
            healthy: true,
            enabled: true,
            ephemeral: true,
            cluster: ClusterName::default(),
            metadata: BTreeMap::new(),
        }
    }

    /// Sets the weight.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the cluster.
    #[must_use]
    pub fn with_cluster(mut self, cluster: ClusterName) -> Self {
        self.cluster = cluster;
        self
    }

    /// Sets whether it takes traffic.
    #[must_use]
    pub fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Sets whether it is healthy.
    #[must_use]
    pub fn with_healthy(mut self, healthy: bool) -> Self {
        self.healthy = healthy;
        self
    }

    /// Adds one metadata entry, in place of an earlier one of that key.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// `ip:port`, with an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        if self.ip.contains(':') && !self.ip.starts_with('[') {
            format!("[{}]:{}", self.ip, self.port)
        } else {
            format!("{}:{}", self.ip, self.port)
        }
    }

    /// What makes it the same instance across changes: ip, port, cluster.
    #[must_use]
    pub fn identity(&self) -> (&str, u16, &ClusterName) {
        (&self.ip, self.port, &self.cluster)
    }

    /// Checks what servers do not check and consumers would suffer from.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |why: &'static str| {
            let doing = format_args!("check instance {}", self.address()).to_string();
            Err(Error::new(ErrorKind::InvalidOption, doing).because(why))
        };
        if self.ip.trim().is_empty() {
            refuse("the ip is empty, and nobody could call it")
        } else if self.port == 0 {
            refuse("the port is 0, and nobody could call it")
        } else if !(0.0..=MAX_WEIGHT).contains(&self.weight) {
            refuse("the weight is not within 0 and 10 000")
        } else {
            Ok(())
        }
    }
}

/// The largest weight that a server accepts over HTTP.
pub(crate) const MAX_WEIGHT: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_brackets_ipv6() {
        assert_eq!(Instance::new("::1", 80).address(), "[::1]:80");
        assert_eq!(Instance::new("10.0.0.1", 80).address(), "10.0.0.1:80");
    }

    #[test]
    fn instance_that_nobody_could_call_is_refused() {
        assert!(Instance::new("  ", 80).check().is_err());
        assert!(Instance::new("h", 80).with_weight(f64::NAN).check().is_err());
        assert!(Instance::new("h", 80).with_weight(-1.0).check().is_err());
        assert!(Instance::new("h", 80).with_weight(0.0).check().is_ok());
    }
}
