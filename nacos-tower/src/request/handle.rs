//! The state that the handles of one balancer share with its requests under way.
use std::sync::Arc;

use nacos_core::inspect::Inspect;

use super::deadline::ResponseTimeout;
use crate::{pick::EndpointSet, tasks::Task};

/// Ends the controller when the last handle, and the last request that waits for its response, are
/// gone.
pub(crate) struct Handle<C> {
    pub(crate) set: Arc<EndpointSet<C>>,
    pub(crate) response_timeout: ResponseTimeout,
    /// Held for the client, which lists it for as long as the balancer lives.
    pub(crate) report: Arc<dyn Inspect>,
    pub(crate) _controller: Task,
}
