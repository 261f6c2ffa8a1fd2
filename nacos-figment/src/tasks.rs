//! The only place that spawns. Every task is owned: dropping its [`Task`] ends it.
use std::future::Future;

use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

/// A task that ends when this is dropped.
pub(crate) type Task = AbortOnDropHandle<()>;

/// Starts `future` on the ambient runtime, inside of `span` alone. A configuration may outlive the
/// request that started it: within the span of that request, the request would stay open as long.
pub(crate) fn spawn(span: Span, future: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(future.instrument(span)))
}

/// Runs `work` on a thread that may block; `None` if it panicked.
///
/// Dropping the future does not stop the work: keep it bounded.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
