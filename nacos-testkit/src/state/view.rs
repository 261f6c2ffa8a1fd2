//! The part of a service that a consumer is shown.

use std::collections::BTreeSet;

use super::Held;
use crate::Behaviour;

/// A service as a consumer is shown it.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) hosts: Vec<Held>,
    pub(crate) protected: bool,
}

/// Which instances a consumer asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) clusters: &'a str,
    pub(crate) healthy_only: bool,
}

impl View {
    pub(super) fn of(
        held: impl Iterator<Item = Held>,
        threshold: Option<f64>,
        want: Wanted<'_>,
        behaviour: Behaviour,
    ) -> Self {
        let mut hosts: Vec<Held> = held.filter(|held| held.instance.enabled).collect();
        // Java builds a set: equal publications of two connections are one host. In no order that
        // means anything, so that equals may stand side by side.
        hosts.sort_by(|one, other| one.id.cmp(&other.id));
        hosts.dedup_by(|one, other| one.id == other.id && one.instance == other.instance);
        if behaviour.is_java() { java(hosts, threshold, want) } else { r_nacos(hosts, threshold) }
    }
}

fn java(mut hosts: Vec<Held>, threshold: Option<f64>, want: Wanted<'_>) -> View {
    let clusters: BTreeSet<&str> = want.clusters.split(',').filter(|c| !c.is_empty()).collect();
    hosts.retain(|host| clusters.is_empty() || clusters.contains(host.instance.cluster.as_str()));
    let healthy = hosts.iter().filter(|host| host.instance.healthy).count();
    // Only a service with stored metadata is protected; there a threshold of 0 already applies.
    let protected = threshold
        .is_some_and(|threshold| !hosts.is_empty() && share(healthy, hosts.len()) <= threshold);
    if protected {
        show_as_healthy(&mut hosts);
    } else if want.healthy_only {
        hosts.retain(|host| host.instance.healthy);
    }
    View { hosts, protected }
}

/// Every service is protected, with a threshold of 0 at least; the unhealthy are never shown as
/// such.
fn r_nacos(mut hosts: Vec<Held>, threshold: Option<f64>) -> View {
    let healthy = hosts.iter().filter(|host| host.instance.healthy).count();
    let protected =
        !hosts.is_empty() && share(healthy, hosts.len()) <= threshold.unwrap_or_default().max(0.0);
    if protected {
        show_as_healthy(&mut hosts);
    } else {
        hosts.retain(|host| host.instance.healthy);
    }
    View { hosts, protected }
}

fn show_as_healthy(hosts: &mut [Held]) {
    for host in hosts {
        host.instance.healthy = true;
    }
}

fn share(healthy: usize, all: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(healthy) / number(all)
}
