//! The instances that the guards of each service register together, and those that the server has.
//!
//! A guard's instance is read when a request is made of it, and shared until then.
use std::sync::Arc;

use super::{
    publication::{Additive, Publication, PublicationStep},
    union::Union,
};
use crate::{
    instance::Instance,
    key::ServiceKey,
    session::{entries::Entries, ids::GuardId},
};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Registrations {
    unions: Entries<ServiceKey, Union>,
    publications: Entries<ServiceKey, Publication>,
    /// Whether the server of this connection adds on a batch.
    additive: Additive,
}

impl Registrations {
    /// `guard` registers `instance`, in place of what it did.
    pub(super) fn insert(&mut self, service: &ServiceKey, guard: GuardId, instance: Arc<Instance>) {
        let union = match self.unions.get_mut(service) {
            Some(union) => union,
            None => self.unions.entry(service.clone()).or_insert_with(Union::new),
        };
        union.insert(guard, instance);
    }

    /// `guard` registers nothing any more.
    pub(super) fn remove(&mut self, service: &ServiceKey, guard: GuardId) {
        if let Some(union) = self.unions.get_mut(service) {
            union.remove(guard);
        }
    }

    /// Nobody registers anything of `service` any more.
    pub(super) fn remove_service(&mut self, service: &ServiceKey) {
        self.unions.remove(service);
    }

    /// Nobody registers anything any more.
    pub(super) fn remove_all(&mut self) {
        self.unions.clear();
    }

    /// The instances that the server held of `service` matter no more.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.publications.remove(service);
    }

    /// A new connection: its server holds nothing, and has not shown of which kind it is.
    pub(super) fn reconnected(&mut self) {
        self.publications.clear();
        for union in self.unions.values_mut() {
            union.renew();
        }
        self.additive = None;
    }

    /// Whether `guard` registers another address than `instance` is.
    pub(super) fn moves(&self, service: &ServiceKey, guard: GuardId, instance: &Instance) -> bool {
        let former = self.unions.get(service).and_then(|union| union.of(guard));
        former.is_some_and(|former| former.identity() != instance.identity())
    }

    /// From now on the requests about `service` lead to what its guards want at present; what they
    /// want later waits until those have been answered.
    pub(super) fn aim(&mut self, service: &ServiceKey) {
        let publication = self.publications.entry(service.clone()).or_default();
        match self.unions.get_mut(service) {
            Some(union) => publication.aim(union.take_news()),
            None => publication.aim_at_nothing(),
        }
    }

    /// The next request towards what `service` was last [aimed](Self::aim) at, if any is left.
    pub(super) fn next_step(&self, service: &ServiceKey) -> Option<PublicationStep> {
        self.publications.get(service)?.next_step(self.additive)
    }

    /// The server did `step`; a batch's answer shows whether it is additive.
    pub(super) fn done(
        &mut self,
        service: &ServiceKey,
        step: &PublicationStep,
        additive: Additive,
    ) {
        self.additive = additive.or(self.additive);
        if let Some(publication) = self.publications.get_mut(service) {
            publication.done(step, self.additive);
        }
    }

    /// Nobody knows whether the server did `step`.
    pub(super) fn unanswered(&mut self, service: &ServiceKey, step: &PublicationStep) {
        if let Some(publication) = self.publications.get_mut(service) {
            publication.unanswered(step);
        }
    }

    /// The server seems to have lost what it held of `service`: all of it is to be sent again.
    pub(super) fn doubt(&mut self, service: &ServiceKey) {
        if let Some(publication) = self.publications.get_mut(service) {
            publication.doubt();
        }
    }

    /// The claimed instances of `service` that a server shows to any client, as long as nobody but
    /// us changes them.
    pub(super) fn visible(&self, service: &ServiceKey) -> impl Iterator<Item = &Instance> {
        let claimed = self.unions.get(service).into_iter().flat_map(Union::instances);
        // r-nacos hides unhealthy ones, every server disabled ones.
        claimed.filter(|instance| instance.enabled && instance.healthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_told_the_union_of_all_guards() {
        let mut registrations = Registrations::default();
        registrations.insert(&orders(), GuardId(1), instance("a", 1.0));
        registrations.insert(&orders(), GuardId(2), instance("b", 1.0));
        assert_eq!(sent(&mut registrations), ["a:1", "b:1"]);
    }

    #[test]
    fn guard_takes_only_its_own_instance_away() {
        let mut registrations = Registrations::default();
        registrations.insert(&orders(), GuardId(1), instance("a", 1.0));
        registrations.insert(&orders(), GuardId(2), instance("a", 2.0));
        registrations.remove(&orders(), GuardId(1));
        assert_eq!(sent(&mut registrations), ["a:1"]);
    }

    /// A change while a request is under way is neither mixed into the instances that the request
    /// leads to, nor lost.
    #[test]
    fn requests_lead_to_what_was_wanted_when_they_began() {
        let mut registrations = Registrations::default();
        registrations.insert(&orders(), GuardId(1), instance("a", 1.0));
        registrations.aim(&orders());
        let step = registrations.next_step(&orders()).expect("a request");
        assert_eq!(step, PublicationStep::Register(instance("a", 1.0)));
        registrations.insert(&orders(), GuardId(2), instance("b", 1.0));
        registrations.remove(&orders(), GuardId(1));
        registrations.remove(&orders(), GuardId(2));
        registrations.remove_service(&orders());
        registrations.insert(&orders(), GuardId(3), instance("c", 1.0));
        registrations.done(&orders(), &step, None);
        assert_eq!(registrations.next_step(&orders()), None);
        assert_eq!(sent(&mut registrations), ["c:1"]);
    }

    #[test]
    fn all_of_it_is_sent_again_over_another_connection() {
        let mut registrations = Registrations::default();
        for (guard, ip) in (1..).map(GuardId).zip(["a", "b", "c"]) {
            registrations.insert(&orders(), guard, instance(ip, 1.0));
        }
        assert_eq!(sent(&mut registrations), ["a:1", "b:1", "c:1"]);
        registrations.remove(&orders(), GuardId(2));
        registrations.reconnected();
        assert_eq!(sent(&mut registrations), ["a:1", "c:1"]);
    }

    fn orders() -> ServiceKey {
        ServiceKey::try_from("orders").expect("valid")
    }

    fn instance(ip: &str, weight: f64) -> Arc<Instance> {
        Arc::new(Instance::new(ip, 1).with_weight(weight))
    }

    /// Where the instances are that are to be registered now.
    fn sent(registrations: &mut Registrations) -> Vec<String> {
        registrations.aim(&orders());
        match registrations.next_step(&orders()).expect("a request") {
            PublicationStep::Register(instance) => vec![instance.address()],
            PublicationStep::Batch(instances) => instances.iter().map(|it| it.address()).collect(),
            PublicationStep::Deregister(instance) => {
                panic!("{} is deregistered", instance.address())
            }
        }
    }
}
