//! The keys of claims to services.
use crate::{key::ServiceKey, session::ids::ClaimKey};

/// The key of a claim to a service.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::session) enum NamingKey {
    Instances(ServiceKey),
    Subscription(ServiceKey),
}

impl NamingKey {
    pub(in crate::session) fn service(&self) -> &ServiceKey {
        match self {
            Self::Instances(service) | Self::Subscription(service) => service,
        }
    }
}

impl From<NamingKey> for ClaimKey {
    fn from(key: NamingKey) -> Self {
        match key {
            NamingKey::Instances(service) => Self::Instances(service),
            NamingKey::Subscription(service) => Self::Subscription(service),
        }
    }
}
