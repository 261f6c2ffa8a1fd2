//! Picking an endpoint for a request: the newest snapshot, and the policy that chooses from it.
mod alias;
mod fleet;
mod policy;
mod snapshot;
mod tried;

pub use self::policy::Policy;
pub(crate) use self::{
    fleet::Fleet,
    snapshot::{Member, Moment, Other, Snapshot, Standing},
    tried::{LastTried, Tried},
};
