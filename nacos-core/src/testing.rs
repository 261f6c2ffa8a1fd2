//! What tests of several modules begin with.
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
