//! The only place that spawns. Every task is owned: dropping its [`Task`] ends it.
use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use tokio::{runtime, sync::oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

/// A task that ends when this is dropped. As a future it gives the task's result, or `None` if the
/// task was ended or panicked.
#[derive(Debug)]
pub(crate) struct Task<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    Ambient(AbortOnDropHandle<T>),
    /// On another thread, where it ends with `_owner`.
    Elsewhere {
        outcome: oneshot::Receiver<T>,
        _owner: oneshot::Sender<()>,
    },
}

/// Starts `future` on the ambient runtime, inside the current span: for one that ends before its
/// caller does.
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    spawn_in(Span::current(), future)
}

/// Starts `future` on the ambient runtime, inside of `span` alone. A future that outlives its
/// caller must have a span without a parent: the span of the request that started it would stay
/// open for as long.
pub(crate) fn spawn_in<T: Send + 'static>(
    span: Span,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(Kind::Ambient(AbortOnDropHandle::new(tokio::spawn(future.instrument(span)))))
}

/// Starts `future` on a thread of its own, inside of `span` alone. The thread ends with the task,
/// and with it everything that the task has spawned.
///
/// # Errors
///
/// The system grants no thread, or no descriptors for its runtime.
pub(crate) fn spawn_on_thread<T: Send + 'static>(
    name: &str,
    span: Span,
    future: impl Future<Output = T> + Send + 'static,
) -> io::Result<Task<T>> {
    spawn_on(thread::Builder::new().name(name.to_owned()), future.instrument(span))
}

fn spawn_on<T: Send + 'static>(
    thread: thread::Builder,
    future: impl Future<Output = T> + Send + 'static,
) -> io::Result<Task<T>> {
    let mut runtime = Alone(Some(runtime::Builder::new_current_thread().enable_all().build()?));
    let (work, task) = owned(future);
    thread.spawn(move || {
        if let Some(runtime) = runtime.0.take() {
            runtime.block_on(work);
            // The tasks beside it have been told that it is over; without the runtime below them,
            // they would panic. A name being looked up may take too long.
            runtime.shutdown_timeout(LAST_WAIT);
        }
    })?;
    Ok(task)
}

/// The work that runs `future` until its task is dropped, and that task.
fn owned<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> (impl Future<Output = ()> + Send + 'static, Task<T>) {
    let (owner, mut abandoned) = oneshot::channel::<()>();
    let (done, outcome) = oneshot::channel();
    let work = async move {
        tokio::select! {
            biased;
            _ = &mut abandoned => {}
            // The task's owner may have stopped waiting.
            value = future => drop(done.send(value)),
        }
    };
    (work, Task(Kind::Elsewhere { outcome, _owner: owner }))
}

/// The runtime of one thread. Dropping it waits for nothing: where no thread was granted, that is
/// on another runtime's worker.
struct Alone(Option<runtime::Runtime>);

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl<T> Task<T> {
    /// Ends the task, and waits until everything that it held is gone.
    pub(crate) async fn end(mut self) {
        if let Kind::Ambient(handle) = &mut self.0 {
            handle.abort();
            // It was ended, or had ended before: either is what is wanted.
            let _ = handle.await;
        }
    }
}

/// Starts `future`, which may block its thread, where that delays no other task. When the task is
/// dropped it ends as soon as it waits for something: code that blocks cannot be ended.
pub(crate) fn spawn_beside<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let (work, task) = owned(future.in_current_span());
    let runtime = runtime::Handle::current();
    // Aborting it would do nothing once it has begun; it ends with its task.
    drop(tokio::task::spawn_blocking(move || runtime.block_on(work)));
    task
}

/// Runs `work`, which waits for a disk, on a thread of its own; `None` if it panicked, or no thread
/// was granted. It goes on when the future is dropped: callers see to it that few run at a time.
///
/// The end of a runtime waits for each thread of its own, and a disk that hangs may never answer:
/// a thread of the runtime waits for `work` only as long as the future is there. That it waits at
/// all keeps the clock of a test from running ahead.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, outcome) = mpsc::channel();
    let _waits = Waits(done.clone());
    let working = thread::Builder::new().name("nacos-disk".to_owned()).spawn(move || {
        let value = catch_unwind(AssertUnwindSafe(work)).ok();
        // The caller may have stopped waiting.
        let _ = done.send(value);
    });
    drop(working.ok()?);
    tokio::task::spawn_blocking(move || outcome.recv().ok().flatten()).await.ok().flatten()
}

/// Dropping it ends the wait for an outcome.
struct Waits<T>(mpsc::Sender<Option<T>>);

impl<T> Drop for Waits<T> {
    fn drop(&mut self) {
        // Nobody waits where there is an outcome.
        let _ = self.0.send(None);
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut self.0 {
            Kind::Ambient(handle) => Pin::new(handle).poll(cx).map(Result::ok),
            Kind::Elsewhere { outcome, .. } => Pin::new(outcome).poll(cx).map(Result::ok),
        }
    }
}

/// For what runs beside a thread of its own, at its end.
const LAST_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use nacos_testkit::TimeLimit;

    use super::*;

    #[tokio::test]
    async fn dropping_ends_the_task() {
        TimeLimit::for_test();
        let (alive, ended) = oneshot::channel::<()>();
        let task = spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(ended.await.is_err());
    }

    #[tokio::test]
    async fn dropping_ends_what_runs_beside_once_it_waits() {
        TimeLimit::for_test();
        let (alive, ended) = oneshot::channel::<()>();
        let (running, started) = oneshot::channel();
        let task = spawn_beside(async move {
            let _alive = alive;
            running.send(()).expect("awaited");
            std::future::pending::<()>().await;
        });
        started.await.expect("it runs");
        drop(task);
        assert!(ended.await.is_err());
    }

    #[tokio::test]
    async fn what_runs_beside_returns_its_value_or_nothing_if_it_panics() {
        TimeLimit::for_test();
        assert_eq!(spawn_beside(async { 7 }).await, Some(7));
        let panics = spawn_beside(async { assert!(thread::panicking(), "on purpose") });
        assert_eq!(panics.await, None);
    }

    #[test]
    fn end_of_a_runtime_waits_for_no_disk_that_hangs() {
        let _limit = TimeLimit::start();
        for is_current in [true, false] {
            let builder = if is_current {
                runtime::Builder::new_current_thread()
            } else {
                runtime::Builder::new_multi_thread()
            };
            let runtime = { builder }.build().expect("a runtime");
            let (end, hanging) = mpsc::channel::<()>();
            let (running, started) = mpsc::channel();
            runtime.spawn(blocking(move || {
                running.send(()).expect("awaited");
                // Until the disk is there again.
                let _ = hanging.recv();
            }));
            if is_current {
                runtime.block_on(tokio::task::yield_now());
            }
            started.recv().expect("it runs");
            drop(runtime);
            drop(end);
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_over() {
        TimeLimit::for_test();
        assert_eq!(blocking(|| 7).await, Some(7));
        assert_eq!(blocking(|| assert!(thread::panicking(), "on purpose")).await, None);
    }

    #[test]
    fn thread_ends_with_its_owner_and_needs_no_runtime() {
        let _limit = TimeLimit::start();
        let (running, started) = mpsc::channel();
        let (alive, ended) = mpsc::channel::<()>();
        let task = spawn_on_thread("nacos-test", Span::none(), async move {
            let _alive = alive;
            running.send(thread::current().name().map(str::to_owned)).expect("awaited");
            std::future::pending::<()>().await;
        });
        let task = task.expect("a thread");
        assert_eq!(started.recv().expect("it runs").as_deref(), Some("nacos-test"));
        drop(task);
        assert!(ended.recv().is_err(), "the future was dropped");
    }

    #[tokio::test]
    async fn thread_that_is_not_granted_is_an_error() {
        let thread = thread::Builder::new().stack_size(1 << 60);
        assert!(spawn_on(thread, async {}).is_err());
    }
}
