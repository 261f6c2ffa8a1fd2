//! Ownership of tasks: whatever is spawned ends with its owner.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use hyper::rt::Executor;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// A task that is aborted when this is dropped.
pub(crate) type Task = AbortOnDropHandle<()>;

pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(future))
}

/// Spawns a task whose owner is the ambient runtime: it ends with that. For time limits, which no
/// test has to hold.
pub(crate) fn spawn_until_runtime_ends(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

/// Starts a thread beside the runtime, which may not run at all. It ends by itself.
pub(crate) fn spawn_thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

/// The tasks of one port: what it has accepted. Dropping this ends them all.
#[derive(Debug, Default)]
pub(crate) struct Accepted(JoinSet<()>);

impl Accepted {
    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        while self.0.try_join_next().is_some() {} // what has ended needs no owner
        self.0.spawn(future);
    }

    /// Waits until all of them have ended.
    pub(crate) async fn ended(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// The tasks of one transport: hyper's streams and our readers of them.
///
/// Clones share the tasks; [`TransportTasks::end`] aborts them all.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransportTasks(Arc<Mutex<JoinSet<()>>>);

impl TransportTasks {
    /// A handle for the tasks themselves, which must not keep their own owner.
    pub(crate) fn downgrade(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.0))
    }

    pub(crate) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// Spawns tasks next to others, as long as their owner lives.
#[derive(Clone, Debug)]
pub(crate) struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl Spawner {
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.0.upgrade() {
            spawn_in(&tasks, future);
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for TransportTasks {
    fn execute(&self, future: F) {
        spawn_in(&self.0, future);
    }
}

fn spawn_in(tasks: &Mutex<JoinSet<()>>, future: impl Future<Output = ()> + Send + 'static) {
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    while tasks.try_join_next().is_some() {} // what has ended needs no owner
    tasks.spawn(future);
}
