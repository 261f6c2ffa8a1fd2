//! The only place that spawns. Every task is owned: dropping its [`Task`] ends it.
use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument;

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

/// Starts `future` on the ambient runtime, inside the current span: that of the balancer, which dials.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(future.in_current_span()))
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
