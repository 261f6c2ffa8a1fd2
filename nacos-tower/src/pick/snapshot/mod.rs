//! One consistent view of a service's endpoints, never changed once it is made.
use std::sync::Arc;

use nacos_core::Instance;

use super::{
    args::PickArgs,
    candidates::{Candidates, Member, ReadyEndpoints},
    policy::Policy,
};
use crate::{
    endpoint::{ConnectionId, Endpoint, Moment, SetStats, Slot, Stats, Status},
    error::SharedError,
};

/// The endpoints that are connected, ready to be picked, and those that are not, for reports.
#[derive(Debug)]
pub(crate) struct Snapshot<C> {
    ready: ReadyEndpoints,
    /// Of the ready endpoints, at the same positions.
    slots: Box<[Arc<Slot<C>>]>,
    others: Box<[OtherEndpoint]>,
    availability: Availability,
}

/// An endpoint that is connected, on its way into a snapshot.
#[derive(Debug)]
pub(crate) struct ReadyEndpoint<C> {
    pub(crate) slot: Arc<Slot<C>>,
    pub(crate) endpoint: Endpoint,
}

/// An endpoint that is not connected.
#[derive(Debug)]
pub(crate) struct OtherEndpoint {
    pub(crate) stats: Arc<Stats>,
    pub(crate) weight: f64,
    pub(crate) status: Status,
}

/// Whether a service can be called. A request that finds no endpoint waits or fails by it.
#[derive(Clone, Debug)]
pub(crate) enum Availability {
    /// At least one endpoint is connected.
    Ready,
    /// None is, but the next attempt to connect to one has good prospects: it is the first, or the
    /// first after a connection that ended.
    Connecting,
    /// The last attempt failed for all of them; one of the errors.
    Failing(SharedError),
    /// No endpoint may be called, and why.
    Empty(SharedError),
    /// No server has answered yet.
    Undiscovered,
}

impl Availability {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Connecting => "connecting",
            Self::Failing(_) => "failing",
            Self::Empty(_) => "empty",
            Self::Undiscovered => "undiscovered",
        }
    }
}

impl<C> Snapshot<C> {
    pub(crate) fn new(
        ready: Vec<ReadyEndpoint<C>>,
        others: Vec<OtherEndpoint>,
        availability: Availability,
    ) -> Self {
        let (mut members, mut endpoints) =
            (Vec::with_capacity(ready.len()), Vec::with_capacity(ready.len()));
        let slots = ready.into_iter().map(|ReadyEndpoint { slot, endpoint }| {
            let weight = endpoint.weight();
            members.push(Member { stats: Arc::clone(slot.stats()), weight });
            endpoints.push(endpoint);
            slot
        });
        let slots = slots.collect();
        let ready = ReadyEndpoints::new(members, endpoints);
        Self { ready, slots, others: others.into(), availability }
    }

    pub(crate) fn availability(&self) -> &Availability {
        &self.availability
    }

    /// An endpoint's slot, and the connection that it had when it was picked. `None` if there is no
    /// endpoint besides those whose connections are in `avoid`, or if the policy wants none.
    #[inline]
    pub(crate) fn pick(
        &self,
        policy: &dyn Policy,
        moment: Moment,
        avoid: &[ConnectionId],
        args: &mut PickArgs<'_>,
    ) -> Option<(&Slot<C>, ConnectionId)> {
        let picked = policy.pick(&Candidates::new(&self.ready, avoid, moment), args)?;
        Some((self.slots.get(picked.position())?, picked.connection()))
    }

    /// Every endpoint with its weight and status, for reports.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&Stats, f64, Status)> {
        let ready = self.ready.members().iter();
        ready
            .map(|member| (&*member.stats, member.weight, Status::Ready))
            .chain(self.others.iter().map(|other| (&*other.stats, other.weight, other.status)))
    }

    #[cfg(test)]
    pub(crate) fn slots(&self) -> &[Arc<Slot<C>>] {
        &self.slots
    }
}

impl Snapshot<()> {
    /// Connected endpoints with these weights, whose connections are numbered from 1: for tests and
    /// benchmarks of picking alone.
    pub(crate) fn connected(weights: &[f64], stats: &Arc<SetStats>) -> Self {
        let ready = weights.iter().zip(1..).map(|(&weight, id)| {
            let endpoint = Endpoint::new(Instance::new(id.to_string(), 1).with_weight(weight));
            let stats = Stats::new(Arc::clone(endpoint.shared_address()), Arc::clone(stats));
            let slot = Slot::new(Arc::new(stats));
            slot.open(Arc::new(()), id);
            ReadyEndpoint { slot: Arc::new(slot), endpoint }
        });
        Self::new(ready.collect(), Vec::new(), Availability::Ready)
    }
}

#[cfg(test)]
mod tests;
