//! The variables that Kubernetes and Docker set for services whose names begin with a prefix:
//! `ORDERS__DB_PORT=tcp://10.0.0.1:5432`, where there is a service `orders--db`, and up to a dozen
//! more. They are no configuration, and a program that denies unknown fields would not start.
//!
//! Each is known by another one: a field may well be called `service_host`.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// All variables with one prefix, which they are named without.
pub(super) struct Services(HashMap<String, String>);

impl Services {
    pub(super) fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        Self(variables.collect())
    }

    /// Whether a platform says so of a service.
    pub(super) fn say(&self, name: &str, value: &str) -> bool {
        // Under any other name such an address may well be meant.
        (is_of_link(name) && link(value).is_some())
            || self.says_of_service(name, value)
            || self.says_of_link(name, value)
    }

    /// `X_SERVICE_HOST` and `X_SERVICE_PORT`, the latter also with the name of a port behind it,
    /// where `X_PORT` is at that host.
    fn says_of_service(&self, name: &str, value: &str) -> bool {
        let is_there = |service: &str| {
            let host = self.0.get(&format!("{service}_SERVICE_HOST"));
            let host = host.and_then(|host| host.parse::<IpAddr>().ok());
            let link = self.link(&format!("{service}_PORT"));
            host.zip(link).is_some_and(|(host, (_, at))| host == at.ip())
        };
        if let Some(service) = name.strip_suffix("_SERVICE_HOST") {
            return is_there(service);
        }
        let (service, port) = name.split_once("_SERVICE_PORT").unwrap_or((name, "none"));
        (port.is_empty() || port.starts_with('_')) && is_port(value) && is_there(service)
    }

    /// `X_PORT_80_TCP_ADDR`, `…_PORT` and `…_PROTO`, where they are parts of `X_PORT_80_TCP`.
    fn says_of_link(&self, name: &str, value: &str) -> bool {
        let Some((whole, part)) = name.rsplit_once('_') else { return false };
        let Some((protocol, at)) = self.link(whole) else { return false };
        match part {
            "ADDR" => value.parse() == Ok(at.ip()),
            "PORT" => value.parse() == Ok(at.port()),
            "PROTO" => value == protocol,
            _ => false,
        }
    }

    fn link(&self, name: &str) -> Option<(&str, SocketAddr)> {
        link(self.0.get(name).filter(|_| is_of_link(name))?)
    }
}

/// Whether it may be the name of an address: `X_PORT` or `X_PORT_80_TCP`, where `X` may be what is
/// left of a service's name, which has no hyphen at its end.
fn is_of_link(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_service = |words: &[&str]| words.last().is_some_and(|last| !last.is_empty());
    match words.as_slice() {
        [service @ .., "PORT", port, "TCP" | "UDP" | "SCTP"] if is_port(port) => {
            is_service(service)
        }
        [service @ .., "PORT"] => is_service(service),
        _ => false,
    }
}

fn link(value: &str) -> Option<(&str, SocketAddr)> {
    let (protocol, at) = value.split_once("://")?;
    ["tcp", "udp", "sctp"].contains(&protocol).then_some((protocol, at.parse().ok()?))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}
