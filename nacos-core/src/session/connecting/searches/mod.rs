//! The searches for a connection: the one that is on, when the next begins, and how long nobody has
//! served.
mod search;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::search::Search;
use crate::{server::Server, session::backoff::reconnect_delay, within::Within};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Searches {
    /// The search that is on.
    current: Option<Search>,
    /// When the next one begins.
    next: Option<Instant>,
    /// When the outage began: nobody serves since then, or another is looked for.
    since: Instant,
    /// Searches that failed in it.
    failed: u32,
    last_error: Option<Arc<str>>,
    /// The last search failed because it gave too little time, and the next one gives more.
    is_hasty: bool,
}

impl Searches {
    /// The first one begins at `next`.
    pub(super) fn new(now: Instant, next: Option<Instant>) -> Self {
        Self { current: None, next, since: now, failed: 0, last_error: None, is_hasty: false }
    }

    // When they begin and end.

    /// The next search begins then, unless one is on.
    pub(super) fn begin_at(&mut self, at: Instant) {
        self.next = Some(at);
    }

    /// The next search begins after a delay that grows with each one that failed. It is not hurried
    /// where another attempt will not fare better.
    pub(super) fn begin_later(
        &mut self,
        now: Instant,
        is_hurried: bool,
        cap: Duration,
        jitter: f64,
    ) {
        let lasts = now.saturating_duration_since(self.since);
        let outage = if is_hurried { lasts } else { Duration::MAX };
        self.next = Some(now + reconnect_delay(self.failed, outage, cap, jitter));
    }

    /// Whether a search is to begin now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.current.is_none() && self.next.is_some_and(|at| at <= now)
    }

    /// A search for one of `servers` begins.
    pub(super) fn begin(&mut self, now: Instant, servers: Vec<Server>) {
        self.next = None;
        self.current = Some(Search::new(now, servers, self.failed));
    }

    /// None is on, and none begins: a connection serves, or nobody wants one.
    pub(super) fn stop(&mut self) {
        self.current = None;
        self.next = None;
    }

    // The one that is on.

    /// The next server to dial, if it is time to, and how long that may take.
    pub(super) fn next_server(&mut self, now: Instant) -> Option<(Server, Within)> {
        self.current.as_mut()?.next(now)
    }

    /// The cluster has changed. Says whether a search is on that follows.
    pub(super) fn relist(&mut self, list: &[Server]) -> bool {
        if let Some(search) = &mut self.current {
            search.relist(list);
        }
        self.current.is_some()
    }

    /// An attempt failed, perhaps because it was too `late`. Says whether a search is on.
    pub(super) fn attempt_failed(
        &mut self,
        now: Instant,
        server: &Server,
        why: &str,
        late: bool,
    ) -> bool {
        if let Some(search) = &mut self.current {
            search.failed(now, server, why, late);
        }
        self.current.is_some()
    }

    /// Whether the search that is on has tried every server; `under_way` attempts may still
    /// succeed.
    pub(super) fn is_over(&self, now: Instant, under_way: usize) -> bool {
        self.current.as_ref().is_some_and(|search| search.is_over(now, under_way))
    }

    /// Every server was tried, and none took us; `missing` says which step each attempt under way
    /// has not done.
    pub(super) fn fail(&mut self, missing: &[String]) {
        let Some(search) = self.current.take() else { return };
        self.last_error = Some(search.causes(missing.iter().cloned()).into());
        self.is_hasty = search.is_hasty(missing.len());
        self.failed = self.failed.saturating_add(1);
    }

    // How long nobody has served.

    /// Another is looked for while one serves: after a `good` one from scratch.
    pub(super) fn leave(&mut self, now: Instant, good: bool) {
        self.since = now;
        if good {
            self.failed = 0;
        }
    }

    /// The connection that served has ended, and this is `why`. A server that takes us and drops us
    /// at once must not be asked in a hot loop.
    pub(super) fn lose(&mut self, now: Instant, why: &str, good: bool) {
        self.last_error = Some(why.into());
        self.is_hasty = false;
        if good {
            self.failed = 0;
            self.since = now;
        } else {
            self.failed = self.failed.saturating_add(1);
        }
    }

    /// The first list of servers has come.
    pub(super) fn listed(&mut self, now: Instant) {
        self.since = now;
        self.failed = 0;
    }

    /// There is no list of servers yet, and this is `why`.
    pub(super) fn unlisted(&mut self, why: &str) {
        self.failed = self.failed.saturating_add(1);
        self.last_error = Some(why.into());
    }

    // Getters.

    /// When to look after the searches.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let current = self.current.as_ref().map(|search| search.next_timeout(now));
        self.next.into_iter().chain(current).min()
    }

    /// Whether a search is on.
    pub(super) fn is_on(&self) -> bool {
        self.current.is_some()
    }

    /// When the next one begins, if that is known.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Why the search that is on has found nobody yet.
    pub(super) fn causes(&self, missing: impl Iterator<Item = String>) -> Option<String> {
        self.current.as_ref().map(|search| search.causes(missing))
    }

    /// How many searches have failed.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Why there was no connection the last time.
    pub(super) fn last_error(&self) -> Option<&Arc<str>> {
        self.last_error.as_ref()
    }

    /// Whether the last search only gave too little time.
    pub(super) fn is_hasty(&self) -> bool {
        self.is_hasty
    }
}
