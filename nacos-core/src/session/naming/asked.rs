//! The subjects of requests about services.
use super::{key::NamingKey, publication::PublicationStep};
use crate::{
    key::ServiceKey,
    session::ledger::{Revision, SentClaim},
};

/// The subject of a request about services.
#[derive(Debug)]
pub(in crate::session) enum Asked {
    /// Towards what a service's guards want to have registered.
    Step { claim: SentClaim<NamingKey>, step: PublicationStep },
    /// The end of a subscription, unless it is to `subscribe`.
    Subscription { claim: SentClaim<NamingKey>, subscribe: bool },
    /// Whether what we hold of a service is still there.
    SelfCheck(ServiceKey, Revision),
}
