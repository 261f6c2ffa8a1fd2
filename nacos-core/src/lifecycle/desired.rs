//! The instance that should be registered.
//!
//! It follows from inputs alone: what the program says of it, the ip that others reach it at,
//! whether the program is ready, whether it is healthy, and the share of its weight that a ramp has
//! reached. [`Registrar`](super::registrar::Registrar) registers the difference.
use crate::{instance::Instance, naming::AddressSource};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Desired {
    /// The program's words: all but its ip.
    pub(super) instance: Instance,
    /// Its ip, as far as it is known, and its source.
    pub(super) ip: Option<(String, AddressSource)>,
    /// Whether it is to be registered at all.
    pub(super) is_ready: bool,
    /// Whether it may be called. One that is not stays registered, and disabled: servers tell
    /// consumers of no disabled instance.
    pub(super) is_healthy: bool,
    /// The share of its weight that it gets, `0.0..=1.0`.
    pub(super) share: f64,
}

impl Desired {
    /// Not ready yet; once it is, healthy, with all of its weight.
    pub(super) fn new(instance: Instance, ip: Option<(String, AddressSource)>) -> Self {
        Self { instance, ip, is_ready: false, is_healthy: true, share: 1.0 }
    }

    /// The instance to register: none before it is ready and its ip is known.
    pub(super) fn instance(&self) -> Option<Instance> {
        let (ip, _) = self.ip.as_ref().filter(|_| self.is_ready)?;
        let mut instance = Instance { ip: ip.clone(), ..self.instance.clone() };
        instance.enabled &= self.is_healthy;
        instance.weight *= self.share;
        Some(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired() -> Desired {
        let instance = Instance::new("", 80).with_weight(4.0).with_metadata("zone", "b");
        Desired::new(instance, Some(("10.0.0.7".to_owned(), AddressSource::Route)))
    }

    #[test]
    fn nothing_is_desired_before_it_is_ready_and_its_ip_is_known() {
        let mut desired = desired();
        assert_eq!(desired.instance(), None);
        desired.is_ready = true;
        let expected = desired.instance.clone();
        assert_eq!(desired.instance(), Some(Instance { ip: "10.0.0.7".to_owned(), ..expected }));
        desired.ip = None;
        assert_eq!(desired.instance(), None);
    }

    #[test]
    fn each_input_changes_its_part_of_the_instance_alone() {
        let mut desired = desired();
        desired.is_ready = true;
        let all = desired.instance().expect("ready");
        desired.share = 0.25;
        assert_eq!(desired.instance(), Some(all.clone().with_weight(1.0)));
        desired.is_healthy = false;
        assert_eq!(desired.instance(), Some(all.clone().with_weight(1.0).with_enabled(false)));
        (desired.share, desired.is_healthy) = (1.0, true);
        assert_eq!(desired.instance(), Some(all));
    }

    #[test]
    fn instance_that_the_program_disabled_is_not_enabled_by_health() {
        let mut desired = desired();
        desired.is_ready = true;
        desired.instance.enabled = false;
        assert!(!desired.instance().expect("ready").enabled);
    }
}
