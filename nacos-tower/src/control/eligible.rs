//! Which instance of a service speaks for an address, and why none does. Pure.
use std::{borrow::Cow, sync::Arc};

use nacos_core::{Instance, Service};

use crate::error::SharedError;

/// The instance that speaks for the address of `instance`, if one may be called there: it is
/// healthy, enabled and of a weight above 0.
///
/// Instances of one address are one endpoint, though they stand in several clusters: the one of
/// the highest weight speaks for it, the first listed among equals. Weights are never added up.
pub(crate) fn speaker<'a>(service: &'a Service, instance: &Instance) -> Option<&'a Arc<Instance>> {
    let (ip, port) = (&*instance.ip, instance.port);
    let mut spellings = [Some(Cow::Borrowed(ip)), other_spelling(ip)];
    // In the order of the list.
    spellings.sort();
    spellings
        .iter()
        .flatten()
        .flat_map(|ip| of_address(service, ip, port))
        .filter(|instance| instance.healthy && instance.enabled && instance.weight > 0.0)
        .reduce(|first, next| if first.weight < next.weight { next } else { first })
}

/// The instances with this ip and port, which stand together in a list.
fn of_address<'a>(
    service: &'a Service,
    ip: &str,
    port: u16,
) -> impl Iterator<Item = &'a Arc<Instance>> {
    let address = move |instance: &Instance| (&*instance.ip, instance.port).cmp(&(ip, port));
    let begin = service.instances.partition_point(|instance| address(instance).is_lt());
    let behind = service.instances.get(begin..).unwrap_or_default();
    behind.iter().take_while(move |instance| address(instance).is_eq()).inspect(|_| looked(1))
}

/// An IPv6 address may stand in brackets: that is the same address.
fn other_spelling(ip: &str) -> Option<Cow<'_, str>> {
    let is_v6 = |ip: &str| ip.contains(':') && !ip.starts_with('[');
    match ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
        Some(bare) => is_v6(bare).then_some(Cow::Borrowed(bare)),
        None => is_v6(ip).then(|| Cow::Owned(format!("[{ip}]"))),
    }
}

/// Why no endpoint is eligible, for people.
pub(crate) fn why_none(service: &Service) -> SharedError {
    let listed = service.instances.len();
    let count = |held: fn(&Instance) -> bool| {
        looked(listed);
        service.instances.iter().filter(|instance| held(instance)).count()
    };
    let why = if listed == 0 {
        "no instance is registered".to_owned()
    } else {
        format!(
            "of {listed} instances {} are healthy, {} enabled and {} of a weight above 0",
            count(|instance| instance.healthy),
            count(|instance| instance.enabled),
            count(|instance| instance.weight > 0.0),
        )
    };
    why.into()
}

/// Counts looks at instances, in tests.
#[cfg(not(test))]
fn looked(_: usize) {}

#[cfg(test)]
use self::tests::looked;
#[cfg(test)]
pub(crate) use self::tests::looks;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use nacos_core::{ClusterName, ServiceKey};

    use super::*;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn looked(count: usize) {
        LOOKS.set(LOOKS.get() + count);
    }

    /// How many looks there were on this thread since the last time.
    pub(crate) fn looks() -> usize {
        LOOKS.take()
    }

    #[test]
    fn clusters_of_one_address_are_one_endpoint() {
        let other = ClusterName::parse("OTHER").expect("valid");
        let service = service(vec![
            Instance::new("a", 1).with_weight(2.0),
            Instance::new("a", 1).with_weight(3.0).with_cluster(other.clone()),
            Instance::new("b", 1).with_weight(9.0).with_healthy(false),
            Instance::new("b", 1).with_weight(1.0).with_cluster(other),
            Instance::new("c", 1).with_weight(0.0),
        ]);
        let weight = |ip, port| Some(speaker(&service, &Instance::new(ip, port))?.weight);
        assert_eq!((weight("a", 1), weight("b", 1)), (Some(3.0), Some(1.0)));
        assert_eq!((weight("c", 1), weight("d", 1), weight("a", 2)), (None, None, None));
    }

    #[test]
    fn first_listed_speaks_among_equals_and_brackets_make_no_other_address() {
        for (bare, bracketed, highest) in [(1.0, 1.0, "[fe80::1]"), (2.0, 1.0, "fe80::1")] {
            let service = service(vec![
                Instance::new("fe80::1", 1).with_weight(bare),
                Instance::new("[fe80::1]", 1).with_weight(bracketed),
            ]);
            for instance in service.instances.iter() {
                let speaker = speaker(&service, instance).expect("both may be called");
                assert_eq!(speaker.ip, highest);
            }
        }
        for ip in ["a", "[a]", "[[::1]]", "10.0.0.1"] {
            assert_eq!(other_spelling(ip), None, "{ip}");
        }
    }

    #[test]
    fn reason_says_what_is_wrong() {
        let sick = Instance::new("a", 1).with_healthy(false);
        let idle = Instance::new("b", 1).with_weight(0.0);
        let both = service(vec![sick, idle]);
        let why = format!("{:?}", why_none(&both));
        assert!(why.contains("of 2 instances 1 are healthy, 2 enabled and 1 of a weight"), "{why}");
        assert!(format!("{:?}", why_none(&service(vec![]))).contains("no instance is registered"));
    }

    fn service(instances: Vec<Instance>) -> Service {
        Service::new(ServiceKey::try_from("orders").expect("valid"), instances, false)
    }
}
