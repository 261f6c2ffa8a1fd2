//! The task of a connection, in which everything runs that hyper would spawn.
use std::{future::Future, pin::pin};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, FusedFuture},
    stream::FuturesUnordered,
};
use tokio::sync::{mpsc, watch};
use tracing::debug;

/// Takes what hyper wants to run beside a connection, and hands it to its driver.
#[derive(Clone, Debug)]
pub(super) struct Executor {
    // Unbounded: what is handed over are the streams of the connection, which the peer limits.
    jobs: mpsc::UnboundedSender<Job>,
}

impl Executor {
    /// The way to the driver, without keeping it.
    pub(super) fn downgrade(&self) -> mpsc::WeakUnboundedSender<Job> {
        self.jobs.downgrade()
    }
}

/// A job that a driver runs beside its connection.
pub(super) enum Job {
    Stream(BoxFuture<'static, ()>),
    /// A request that nobody waits for.
    GivenUp(BoxFuture<'static, ()>),
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, job: F) {
        // Without a driver there is no socket either: the job has nothing left to do.
        let _over = self.jobs.send(Job::Stream(job.boxed()));
    }
}

/// The jobs that an [`Executor`] was given.
pub(super) type Jobs = mpsc::UnboundedReceiver<Job>;

pub(super) fn executor() -> (Executor, Jobs) {
    let (sender, jobs) = mpsc::unbounded_channel();
    (Executor { jobs: sender }, jobs)
}

/// Drives a connection until it takes no more requests and those it has taken are answered.
///
/// `over` turns true when the first is so, or when too many streams wait to be reset. Dropping the
/// future closes the socket.
pub(super) async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    mut jobs: Jobs,
    over: watch::Sender<bool>,
) {
    let mut connection = pin!(connection.fuse());
    let mut streams = FuturesUnordered::new();
    let mut given_up = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            // First: a job that is not polled holds a request up.
            Some(job) = jobs.recv() => match job {
                Job::Stream(job) => streams.push(job),
                Job::GivenUp(job) => {
                    given_up.push(job);
                    if given_up.len() > GIVEN_UP {
                        over.send_replace(true);
                    }
                }
            },
            // Before new requests: what reads from the socket is among them, and a request that is
            // not handed over to a dead connection can still go elsewhere.
            Some(()) = streams.next() => {}
            Some(()) = given_up.next() => {}
            // No new requests from then on; what runs are streams that still have answers to come.
            ended = &mut connection, if !connection.is_terminated() => {
                if let Err(error) = ended {
                    debug!(%error, "connection failed");
                }
                over.send_replace(true);
            }
            // The executor is gone with the connection, and no stream is left.
            else => return,
        }
    }
}

/// Streams that wait to be reset before a connection is left for another one. Servers take at least
/// a hundred at once, as HTTP/2 recommends: the rest is for those that are waited for.
const GIVEN_UP: usize = 64;
