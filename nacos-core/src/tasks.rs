//! The only place that spawns. Every task is owned: dropping its [`Task`] ends it.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::task::JoinHandle;
use tracing::Instrument;

/// A task that ends when this is dropped. As a future, what the task returned; `None` if it was
/// ended or panicked.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

/// Starts `future` on the ambient runtime, inside the current span.
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(tokio::spawn(future.in_current_span()))
}

/// Runs `work` where it may block. Dropping the task leaves work that has begun to itself: nobody
/// can end it, so it has to be something that ends, such as reading a file.
pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    Task(tokio::task::spawn_blocking(work))
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropping_ends_the_task() {
        let (alive, ended) = tokio::sync::oneshot::channel::<()>();
        let task = spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(ended.await.is_err());
    }
}
