//! Helpers for tests of several modules.
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

/// A waker that does something then and there, as that of an executor that runs its tasks where
/// they are woken.
pub(crate) fn inline_waker(what: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Inline<F>(F);

    impl<F: Fn() + Send + Sync> Wake for Inline<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    Waker::from(Arc::new(Inline(what)))
}

/// A waker that does something when the last of it is dropped, as that of an executor whose task
/// goes with it.
pub(crate) fn waker_that_drops(what: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Dropped<F: Fn()>(F);

    impl<F: Fn()> Drop for Dropped<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    let dropped = Dropped(what);
    inline_waker(move || {
        // Nothing, but it goes with this waker.
        let _ = &dropped;
    })
}
