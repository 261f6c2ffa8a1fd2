//! One instance of a service, as registered and as seen by others.
use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    address,
    error::{Error, ErrorKind},
    key::ClusterName,
};

/// One instance of a service.
///
/// A server's report is sanitised first: a weight that is not a number counts as 1, one outside
/// `0..=10 000` is clamped, and an entry without address or with an impossible port is left out.
/// Two instances are the same one when [`Instance::identity`] agrees.
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
    /// Where it listens: an IP address, or the name of a host. An address that cannot be called is
    /// refused: an unspecified, multicast or broadcast address, and one with a scheme, a port or a
    /// blank.
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
    /// Free text by key; at most [`max_metadata`](crate::ClientBuilder::max_metadata) characters in
    /// all, 1 024 by default, as servers since 2.3 take them.
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

    /// Its identity, the same across changes: ip, port, cluster.
    #[must_use]
    pub fn identity(&self) -> (&str, u16, &ClusterName) {
        (&self.ip, self.port, &self.cluster)
    }

    /// Checks what servers do not check, or refuse only later, and what consumers would suffer
    /// from.
    pub(crate) fn check(&self, max_metadata: usize) -> Result<(), Error> {
        let refuse = |why: String| {
            let doing = format_args!("check instance {}", self.address()).to_string();
            Err(Error::new(ErrorKind::InvalidOption, doing).because(why))
        };
        if let Err(why) = check_ip(&self.ip) {
            return refuse(why);
        }
        if self.port == 0 {
            return refuse("the port is 0, and nobody could call it".to_owned());
        }
        if !(0.0..=MAX_WEIGHT).contains(&self.weight) {
            return refuse("the weight is not within 0 and 10 000".to_owned());
        }
        // As Java counts.
        let length = |text: &str| text.encode_utf16().count();
        let metadata: usize =
            self.metadata.iter().map(|(key, value)| length(key) + length(value)).sum();
        if metadata > max_metadata {
            return refuse(format!(
                "its metadata has {metadata} characters in all keys and values, and servers take \
                 {max_metadata}: if yours take more, say so with the option `max_metadata`"
            ));
        }
        Ok(())
    }
}

/// Checks that `ip`, an address or the name of a host, is something that others could call.
pub(crate) fn check_ip(ip: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(why.to_owned());
    if ip.trim().is_empty() {
        return refuse("the ip is empty, and nobody could call it");
    }
    if ip.trim() != ip {
        return refuse("the ip has a blank at one of its ends");
    }
    if ip.contains("://") {
        return refuse(
            "the ip has a scheme in front of it: only the address or the host's name counts",
        );
    }
    if ip.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#,;".contains(c)) {
        return refuse("this is neither an ip nor the name of a host");
    }
    if let Some(why) = address::odd(ip) {
        return Err(why);
    }
    // Some write one in brackets, for consumers that put a port behind it.
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    let without_zone = |ip: &str| ip.split('%').next().unwrap_or_default().to_owned();
    let v6 = |ip: &str| without_zone(ip).parse().ok().map(IpAddr::V6);
    let address = match bare {
        Some(bare) => match v6(bare) {
            Some(address) => Some(address),
            None => return refuse("the text in the brackets is no IPv6 address"),
        },
        None => v6(ip).or_else(|| ip.parse().ok()),
    };
    match address.map(|address: IpAddr| address.to_canonical()) {
        None if ip.contains([':', '[', ']']) => {
            refuse("the ip has a port in it, which is a value of its own, or is no IPv6 address")
        }
        None => address::check_host(ip),
        Some(address) if address.is_unspecified() => {
            refuse("this is the address of no host, and nobody could call it")
        }
        Some(address) if address.is_multicast() => {
            refuse("this is a multicast address, and nobody could call it")
        }
        Some(IpAddr::V4(address)) if address.is_broadcast() => {
            refuse("this is the broadcast address, and nobody could call it")
        }
        Some(_) => Ok(()),
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
    fn ip_that_nobody_could_call_is_refused_with_the_rule() {
        for ip in [
            "10.0.0.1",
            "::1",
            "[::1]",
            "fe80::1%eth0",
            "127.0.0.1",
            "169.254.0.1",
            "orders",
            "orders.default.svc.cluster.local",
            "my_host",
            "host-1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(check_ip(ip), Ok(()), "{ip}");
        }
        for (ip, rule) in [
            ("", "empty"),
            ("  ", "empty"),
            ("0.0.0.0", "of no host"),
            ("::", "of no host"),
            ("[::]", "of no host"),
            ("::ffff:0.0.0.0", "of no host"),
            ("0:0:0:0:0:0:0:0", "of no host"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("ff02::1", "multicast"),
            ("[ff02::1]", "multicast"),
            ("ff02::1%eth0", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("10.0.0.1:80", "a port"),
            ("orders:80", "a port"),
            ("[::1]:80", "a port"),
            ("[orders]", "no IPv6 address"),
            ("http://10.0.0.1", "a scheme"),
            ("tcp://10.0.0.1:80", "a scheme"),
            (" 10.0.0.1", "a blank"),
            ("10.0.0.1\n", "a blank"),
            ("10.0.0.1 10.0.0.2", "neither"),
            ("10.0.0.1,10.0.0.2", "neither"),
            ("10.0.0.1/24", "neither"),
            ("nacos@orders", "neither"),
            ("$(POD_IP)", "placeholder"),
            ("${POD_IP}", "placeholder"),
            ("<ip>", "placeholder"),
            ("\"10.0.0.7\"", "the quote"),
            ("10\u{3002}0.0.1", "full-width"),
            ("*", "no host name"),
            ("10.0.0.256", "no IPv4 address"),
            ("010.0.0.1", "no IPv4 address"),
            ("10.0.0.1%x", "no host name"),
            ("a..b", "between two dots"),
            ("0", "only a number"),
        ] {
            let why = check_ip(ip).expect_err(ip);
            assert!(why.contains(rule), "{ip:?}: {why}");
            let error = Instance::new(ip, 80).check(1024).expect_err(ip);
            assert_eq!(error.kind(), ErrorKind::InvalidOption);
        }
    }

    #[test]
    fn metadata_is_counted_in_characters_of_keys_and_values() {
        let with = |key: usize, value: usize| {
            Instance::new("h", 80).with_metadata("k".repeat(key), "\u{e9}".repeat(value))
        };
        assert!(with(24, 1000).check(1024).is_ok());
        let error = with(24, 1001).check(1024).expect_err("too much");
        let why = std::error::Error::source(&error).expect("a rule").to_string();
        for part in ["1025", "1024", "`max_metadata`"] {
            assert!(why.contains(part), "{why}");
        }
        assert!(with(24, 1001).check(2048).is_ok());
        assert!(Instance::new("h", 80).check(0).is_ok());
    }

    #[test]
    fn instance_that_nobody_could_call_is_refused() {
        let check = |instance: Instance| instance.check(1024);
        assert!(check(Instance::new("h", 0)).is_err());
        assert!(check(Instance::new("h", 80).with_weight(f64::NAN)).is_err());
        assert!(check(Instance::new("h", 80).with_weight(-1.0)).is_err());
        assert!(check(Instance::new("h", 80).with_weight(0.0)).is_ok());
    }
}
