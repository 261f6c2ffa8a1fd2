//! The connection that users' requests go over at present, and the session's state.
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    credentials::Grant, resource::Resource, session::LinkId, state::SessionState,
    transport::Http2Link,
};

/// See the [module documentation](self).
#[derive(Clone)]
pub(super) struct Current {
    pub(super) serving: Option<CurrentLink>,
    /// The connection to a server that lets nobody in without the login that has failed, as far as
    /// is known: a request may be about what everybody may do.
    pub(super) unadmitted: Option<CurrentLink>,
    pub(super) state: SessionState,
    /// Something is due or under way that may let in who was refused.
    pub(super) renewing: bool,
    /// A refused login is tried again within seconds, and may be granted then.
    pub(super) tries_soon: bool,
    /// How often a token has been reported as refused.
    pub(super) refusals: u64,
}

/// The state that users' requests on one connection share. Each request under way holds it.
#[derive(Default)]
pub(super) struct Users {
    answered: AtomicBool,
    /// One of what was answered without a token since the driver last asked.
    let_in: Mutex<Option<Resource>>,
    is_let_in: AtomicBool,
}

impl Users {
    /// One of them was answered.
    pub(super) fn answered(&self) {
        // Mostly it is known already, and a load costs the other cores nothing.
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    /// One of them was answered though it carried no token; `to` says what it is about.
    pub(super) fn let_in(&self, to: impl FnOnce() -> Resource) {
        // The first one since the driver last asked is as good as the last, and costs one load.
        if self.is_let_in.load(Ordering::Relaxed) {
            return;
        }
        let to = Some(to());
        let former = {
            // A panic under the lock cannot leave it half-changed.
            let mut let_in = self.let_in.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *let_in, to)
        };
        self.is_let_in.store(true, Ordering::Release);
        drop(former);
    }

    /// The key of one of them that was answered without a token since this was last asked.
    pub(super) fn take_let_in(&self) -> Option<Resource> {
        if !self.is_let_in.load(Ordering::Relaxed) || !self.is_let_in.swap(false, Ordering::Acquire)
        {
            return None;
        }
        self.let_in.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether one was since this was last asked.
    pub(super) fn take_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed) && self.answered.swap(false, Ordering::Relaxed)
    }
}

/// The connection that serves.
#[derive(Clone)]
pub(super) struct CurrentLink {
    pub(super) id: LinkId,
    pub(super) link: Http2Link,
    /// Keeps the connection, for as long as it is held, when another serves.
    pub(super) users: Arc<Users>,
    /// The grant that requests carry; `None` if nobody logs in. A grant that has not changed is the
    /// same `Arc`.
    pub(super) grant: Option<Arc<Grant>>,
    /// As it was named in the options, or in the list.
    pub(super) server: Arc<str>,
    pub(super) abilities: Arc<BTreeMap<String, bool>>,
    /// [`Current::refusals`] when this was handed out.
    pub(super) refusals: u64,
}

impl Current {
    pub(super) fn new(state: SessionState) -> Self {
        Self {
            serving: None,
            unadmitted: None,
            state,
            renewing: false,
            tries_soon: false,
            refusals: 0,
        }
    }

    /// The connection that there is, whether it lets requests in or not.
    pub(super) fn link(&self) -> Option<&CurrentLink> {
        self.serving.as_ref().or(self.unadmitted.as_ref())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("state", &self.state).finish_non_exhaustive()
    }
}
