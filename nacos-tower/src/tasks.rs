//! The only place that spawns. Every task is owned: dropping its [`Task`] ends it.
use std::future::Future;

use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

/// A task that ends when this is dropped.
pub(crate) type Task = AbortOnDropHandle<()>;

/// Starts `future` on the ambient runtime, inside of `span` alone. A balancer outlives the task
/// that made it: within that task's span, the request that it handled would stay open for as long.
pub(crate) fn spawn(span: Span, future: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(future.instrument(span)))
}
