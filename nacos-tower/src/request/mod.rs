//! One request on its way: its deadline, its attempts, its response.
mod body;
mod classify;
mod deadline;
mod future;
mod handle;

pub use self::{body::Body, deadline::Deadline, future::ResponseFuture};
pub(crate) use self::{classify::is_unavailable, deadline::ResponseTimeout, handle::Handle};
