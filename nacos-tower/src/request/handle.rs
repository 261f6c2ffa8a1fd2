//! What the handles of one balancer and its requests under way share.
use std::sync::Arc;

use nacos_core::inspect::Inspect;

use super::deadline::ResponseTimeout;
use crate::{pick::Fleet, tasks::Task};

/// Ends the controller when the last handle, and the last request that waits for its response, are
/// gone.
pub(crate) struct Handle<C> {
    pub(crate) fleet: Arc<Fleet<C>>,
    pub(crate) response_timeout: ResponseTimeout,
    /// Held for the client, which lists it for as long as the balancer lives.
    pub(crate) report: Arc<dyn Inspect>,
    pub(crate) _controller: Task,
}
