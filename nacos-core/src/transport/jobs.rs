//! Jobs for one task, in the order in which they came. A job whose caller has gone leaves at once.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// Where jobs are handed over.
///
/// There are no more jobs here than callers who hold a [`Turn`], and jobs without one. Nobody
/// waits for a place, so that a caller who is not polled takes none from others.
pub(super) struct JobQueue<T>(Arc<Shared<T>>);

/// Where the task takes the jobs. When this is dropped, so are they, and every later one.
pub(super) struct JobReceiver<T>(Arc<Shared<T>>);

/// A job that was handed over. Dropping this drops the job as well, if the task has not taken it.
pub(super) struct Turn<'a, T> {
    jobs: &'a JobQueue<T>,
    number: u64,
}

struct Shared<T> {
    waiting: Mutex<Queued<T>>,
    task: AtomicWaker,
}

struct Queued<T> {
    jobs: BTreeMap<u64, T>,
    next: u64,
    is_closed: bool,
}

/// Jobs, and where their task takes them.
pub(super) fn jobs<T>() -> (JobQueue<T>, JobReceiver<T>) {
    let waiting = Queued { jobs: BTreeMap::new(), next: 0, is_closed: false };
    let shared = Arc::new(Shared { waiting: Mutex::new(waiting), task: AtomicWaker::new() });
    (JobQueue(Arc::clone(&shared)), JobReceiver(shared))
}

impl<T> JobQueue<T> {
    /// Hands `job` over for as long as the turn is kept. Drops it if the task has ended.
    pub(super) fn queue(&self, job: T) -> Option<Turn<'_, T>> {
        let number = self.0.push(job)?;
        Some(Turn { jobs: self, number })
    }

    /// Hands `job` over; says whether the task still runs, and drops the job if it does not.
    pub(super) fn hand_over(&self, job: T) -> bool {
        self.0.push(job).is_some()
    }
}

impl<T> JobReceiver<T> {
    /// The next job.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<T> {
        let Self(shared) = self;
        if let Some(job) = shared.pop() {
            return Poll::Ready(job);
        }
        shared.task.register(cx.waker());
        // Again, because a job that came in between has woken nobody.
        shared.pop().map_or(Poll::Pending, Poll::Ready)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().jobs.len()
    }
}

// Jobs are dropped outside of the lock: dropping one wakes its caller, whose waker is not ours.
impl<T> Shared<T> {
    fn push(&self, job: T) -> Option<u64> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            drop(waiting);
            drop(job);
            return None;
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.jobs.insert(number, job);
        drop(waiting);
        self.task.wake();
        Some(number)
    }

    fn pop(&self) -> Option<T> {
        let next = self.lock().jobs.pop_first();
        next.map(|(_, job)| job)
    }

    fn lock(&self) -> MutexGuard<'_, Queued<T>> {
        // It is whole at every moment.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let job = self.jobs.0.lock().jobs.remove(&self.number);
        drop(job);
    }
}

impl<T> Drop for JobReceiver<T> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(jobs);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::{Wake, Waker},
        thread,
    };

    use nacos_testkit::TimeLimit;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn jobs_are_taken_in_their_order_without_those_whose_callers_have_gone() {
        let _limit = TimeLimit::start();
        let (jobs, inbox) = jobs();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        assert!(inbox.poll_next(&mut cx).is_pending());
        let mut turns: Vec<_> = (0..4).map(|job| jobs.queue(job).expect("open")).collect();
        assert!(jobs.hand_over(4));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        turns.remove(1);
        let taken = std::iter::from_fn(|| match inbox.poll_next(&mut cx) {
            Poll::Ready(job) => Some(job),
            Poll::Pending => None,
        });
        assert_eq!(taken.collect::<Vec<_>>(), [0, 2, 3, 4]);
    }

    #[test]
    fn jobs_end_with_their_task() {
        let _limit = TimeLimit::start();
        let (jobs, inbox) = jobs();
        let job = Arc::new(());
        let turn = jobs.queue(Arc::clone(&job));
        assert!(turn.is_some() && jobs.hand_over(Arc::clone(&job)));
        drop(inbox);
        assert!(jobs.queue(Arc::clone(&job)).is_none() && !jobs.hand_over(Arc::clone(&job)));
        assert_eq!(Arc::strong_count(&job), 1);
    }

    #[test]
    fn no_job_is_missed_by_a_task_that_sleeps() {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        const EACH: usize = 2_000;
        const GIVEN_UP: usize = usize::MAX;
        let _limit = TimeLimit::start();
        let (jobs, inbox) = jobs();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for job in 0..EACH {
                        drop(jobs.queue(GIVEN_UP));
                        assert!(jobs.hand_over(job));
                    }
                });
            }
            let mut taken = 0;
            while taken < 4 * EACH {
                match inbox.poll_next(&mut cx) {
                    Poll::Ready(job) => taken += usize::from(job != GIVEN_UP),
                    Poll::Pending => thread::park(),
                }
            }
        });
    }
}
