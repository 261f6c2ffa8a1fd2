//! The eligible endpoints of a service, from the instances that it lists. Pure.
use std::{collections::BTreeMap, sync::Arc};

use nacos_core::{Instance, Service};

use crate::{endpoint::Endpoint, error::SharedError};

/// The endpoints that may be called: healthy, enabled, of a weight above 0.
///
/// Instances of one ip and port are one endpoint, though they stand in several clusters: the one
/// of the highest weight speaks for it, the first listed among equals. Weights are never added up.
pub(crate) fn eligible(service: &Service) -> BTreeMap<Arc<str>, Endpoint> {
    let mut endpoints: BTreeMap<Arc<str>, Endpoint> = BTreeMap::new();
    for instance in service.callable() {
        let endpoint = Endpoint::new(Arc::clone(instance));
        let address = Arc::clone(endpoint.shared_address());
        let better =
            endpoints.get(&address).is_none_or(|held| held.instance().weight < instance.weight);
        if better {
            endpoints.insert(address, endpoint);
        }
    }
    endpoints
}

/// Why no endpoint is eligible, for people.
pub(crate) fn why_none(service: &Service) -> SharedError {
    let listed = service.instances.len();
    let count = |held: fn(&Instance) -> bool| service.instances.iter().filter(|i| held(i)).count();
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

#[cfg(test)]
mod tests {
    use nacos_core::{ClusterName, ServiceKey};

    use super::*;

    #[test]
    fn clusters_of_one_address_are_one_endpoint() {
        let other = ClusterName::parse("OTHER").expect("valid");
        let service = service(vec![
            Instance::new("a", 1).with_weight(2.0),
            Instance::new("a", 1).with_weight(3.0).with_cluster(other.clone()),
            Instance::new("b", 1).with_weight(9.0).with_healthy(false),
            Instance::new("b", 1).with_weight(1.0).with_cluster(other),
        ]);
        let weights: Vec<_> = eligible(&service)
            .values()
            .map(|endpoint| (endpoint.address().to_owned(), endpoint.instance().weight))
            .collect();
        assert_eq!(weights, [("a:1".to_owned(), 3.0), ("b:1".to_owned(), 1.0)]);
    }

    #[test]
    fn reason_says_what_is_wrong() {
        let sick = Instance::new("a", 1).with_healthy(false);
        let idle = Instance::new("b", 1).with_weight(0.0);
        let both = service(vec![sick, idle]);
        assert!(eligible(&both).is_empty());
        let why = format!("{:?}", why_none(&both));
        assert!(why.contains("of 2 instances 1 are healthy, 2 enabled and 1 of a weight"), "{why}");
        assert!(format!("{:?}", why_none(&service(vec![]))).contains("no instance is registered"));
    }

    fn service(instances: Vec<Instance>) -> Service {
        Service::new(ServiceKey::try_from("orders").expect("valid"), instances, false)
    }
}
