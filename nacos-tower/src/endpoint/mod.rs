//! One endpoint: its address, its statistics, and the connection that requests share.
mod estimate;
mod slot;
mod stats;
mod status;
mod tick;

use std::sync::Arc;

use nacos_core::Instance;

pub(crate) use self::{
    slot::{Lease, Slot},
    stats::{ConnectionId, Moment, SetStats, Stats},
    status::Status,
};

/// An instance that can be dialled. Entries of one ip and port are one endpoint, whatever their
/// clusters.
///
/// ```
/// use nacos_core::Instance;
/// use nacos_tower::Endpoint;
///
/// let endpoint = Endpoint::new(Instance::new("10.0.0.7", 8080).with_metadata("secure", "true"));
/// assert_eq!(endpoint.address(), "10.0.0.7:8080");
/// assert_eq!(endpoint.instance().metadata["secure"], "true");
/// ```
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: Arc<str>,
    instance: Arc<Instance>,
}

impl Endpoint {
    /// The endpoint of an instance.
    #[must_use]
    pub fn new(instance: impl Into<Arc<Instance>>) -> Self {
        let instance = instance.into();
        Self::at(instance.address().into(), instance)
    }

    /// The endpoint of an instance whose address is known already.
    pub(crate) fn at(address: Arc<str>, instance: Arc<Instance>) -> Self {
        Self { address, instance }
    }

    /// `ip:port`, with an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The instance, as it was known when the connection was wanted.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Above 0, because the endpoint is eligible, and at most what servers accept: sets may come
    /// from elsewhere, too.
    pub(crate) fn weight(&self) -> f64 {
        self.instance.weight.min(10_000.0)
    }

    pub(crate) fn shared_address(&self) -> &Arc<str> {
        &self.address
    }
}
