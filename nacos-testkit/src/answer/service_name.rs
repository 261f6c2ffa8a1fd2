//! The service that a request names.
use super::{Call, Refusal, legality};
use crate::{Behaviour, state::ServiceKey};

/// The service that a request names.
pub(super) fn service(call: &Call<'_>, checked: bool) -> Result<ServiceKey, Refusal> {
    let namespace = call.fields.text("namespace")?.unwrap_or_default();
    let group = call.fields.text("groupName")?.unwrap_or_default();
    let name = call.fields.text("serviceName")?.unwrap_or_default();
    if checked {
        legality::service(&name)?;
        legality::namespace(&namespace)?;
        legality::group("groupName", &group)?;
    }
    Ok(key(call.behaviour(), &namespace, &group, &name))
}

/// 2.3 and 3.x take the blank namespace for one of its own; to others it is `public`.
pub(super) fn key(behaviour: Behaviour, namespace: &str, group: &str, name: &str) -> ServiceKey {
    let mut key = ServiceKey::new(namespace, group, name);
    if behaviour.blank_is_apart_in_naming() && namespace.is_empty() {
        key.namespace.clear();
    }
    key
}
