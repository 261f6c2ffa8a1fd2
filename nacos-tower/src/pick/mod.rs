//! Picking an endpoint for a request: from one immutable snapshot, by a policy that sees the
//! connected endpoints and the request.
mod alias;
mod args;
mod candidates;
mod policy;
mod set;
mod snapshot;
mod tried;
mod weighted_p2c;
mod weighted_random;

pub use self::{
    args::{PickArgs, Random},
    candidates::{Candidate, Candidates},
    policy::Policy,
    weighted_p2c::WeightedP2c,
    weighted_random::WeightedRandom,
};
pub(crate) use self::{
    set::EndpointSet,
    snapshot::{Availability, OtherEndpoint, ReadyEndpoint, Snapshot},
    tried::{LastTried, Tried},
};
