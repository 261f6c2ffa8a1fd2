//! Which watched documents may have changed, and when to ask for each again.
//!
//! Pushes are hints and answers to listens are differences; both mark a document *dirty*. A dirty
//! document is queried, one query at a time per document; a hint during the query causes exactly
//! one more. Nothing is queued: ten hints are one mark.
//!
//! ```text
//!                     differs                  take_dirty
//!   Unsure ─ listen ───────────────▶ Dirty ─────────────────▶ Asking
//!                └──▶ Clean ◀─────────────── answered ─────────┘ │
//!           unchanged   └── hint ──▶ Dirty ◀── hint, failed ─────┘
//! ```
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    asked::Ticket,
    entry::{Entry, PullTurn, RefusedListen, SyncState},
    governor::{Class, PullQueues},
    rights::missing_right,
};
use crate::{
    document::{Document, DocumentState},
    key::ConfigKey,
    room::Map,
    session::{cause::Cause, guard_set::GuardSet, ids::GuardId, timers::Timers},
};

/// The watched documents.
#[derive(Debug)]
pub(super) struct Documents {
    entries: Map<ConfigKey, Entry>,
    /// Documents in the order in which they became dirty; some are not any more.
    waiting: PullQueues,
    retries: Timers<ConfigKey>,
    asking: usize,
    tickets: u64,
    watched: u64,
}

impl Documents {
    pub(super) fn new() -> Self {
        Self {
            entries: Map::new(),
            waiting: PullQueues::new(),
            retries: Timers::new(),
            asking: 0,
            tickets: 0,
            watched: 0,
        }
    }

    /// Begins to watch `key`.
    pub(super) fn watch(&mut self, key: ConfigKey) {
        self.watched += 1;
        self.entries.entry(key).or_insert(Entry {
            place: self.watched,
            state: DocumentState::Pending,
            remembered: None,
            standing: SyncState::Unsure,
            failures: 0,
            class: Class::Start,
            refused_listen: None,
            pollers: GuardSet::default(),
            pull_jitters: BTreeMap::new(),
        });
    }

    /// `key`, which was the last to become watched, had this content before. Otherwise it is of no
    /// use: a listen without it may be under way.
    pub(super) fn remember(&mut self, key: &ConfigKey, content: Document) {
        let newest = self.watched;
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.place == newest) {
            entry.remembered = Some(Box::new(content));
        }
    }

    /// `guard` wants `key` to be asked for regularly while nobody may listen to it.
    pub(super) fn poll(&mut self, key: &ConfigKey, guard: GuardId) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.pollers.insert(guard);
        }
    }

    /// After a push, `guard` lets `key` wait for any part of `most`.
    pub(super) fn jitter(&mut self, key: &ConfigKey, guard: GuardId, most: Duration) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.pull_jitters.insert(guard, most);
        }
    }

    /// How long all of the `guards` that watch `key` let it wait after a push.
    pub(super) fn pull_jitter(&self, key: &ConfigKey, guards: usize) -> Duration {
        self.entries.get(key).map_or(Duration::ZERO, |entry| entry.jitter_of(guards))
    }

    /// `guard` wants nothing any more.
    pub(super) fn left(&mut self, key: &ConfigKey, guard: GuardId) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.pollers.remove(guard);
            entry.pull_jitters.remove(&guard);
        }
    }

    /// The server does not let us listen to `key`. Whether it can be read is asked first; see
    /// [`denial`](Self::denial).
    pub(super) fn listen_denied(&mut self, key: &ConfigKey, why: &Cause, message: Arc<str>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let polls = !entry.pollers.is_empty();
        let shown = matches!(entry.state, DocumentState::Present(_) | DocumentState::Absent);
        let known = entry.refused_listen.as_ref().and_then(|refused| refused.readable);
        // A guard that has just begun to poll is told nothing before there is a document.
        let readable = known.filter(|readable| !(polls && *readable && !shown));
        let refused = RefusedListen { why: why.clone(), message, readable };
        entry.refused_listen = Some(Box::new(refused));
        let idle = matches!(entry.standing, SyncState::Unsure | SyncState::Clean);
        entry.class = if idle { Class::Audit } else { entry.class };
        if idle && (readable != Some(true) || polls) {
            self.rest(key, SyncState::Dirty { not_before: None });
        }
    }

    /// The server lets us listen to `key`: it is not polled any more.
    pub(super) fn listen_granted(&mut self, key: &ConfigKey) {
        if let Some(entry) = self.entries.get_mut(key)
            && entry.refused_listen.take().is_some()
            && matches!(entry.standing, SyncState::Dirty { not_before: Some(_) })
        {
            // The listen's answer says whether it has to be asked for.
            entry.standing = SyncState::Unsure;
        }
    }

    /// Why nobody may listen to `key`, once it is known whether it can be read.
    pub(super) fn denial(&self, key: &ConfigKey) -> Option<Arc<str>> {
        let entry = self.entries.get(key)?;
        let RefusedListen { message, readable, .. } = entry.refused_listen.as_deref()?;
        let polled = !entry.pollers.is_empty();
        Some(if (*readable)? { missing_right(key, message, polled) } else { Arc::clone(message) })
    }

    /// Whether the server does not let us listen to `key`.
    pub(super) fn is_denied(&self, key: &ConfigKey) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.refused_listen.is_some())
    }

    /// Whether the server has let us listen to `key`, and not read it.
    pub(super) fn is_withheld(&self, key: &ConfigKey) -> bool {
        self.entries.get(key).is_some_and(Entry::is_withheld)
    }

    /// Ends it.
    pub(super) fn unwatch(&mut self, key: &ConfigKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.asking -= usize::from(matches!(entry.standing, SyncState::Asking { .. }));
            self.waiting.remove(key);
            self.retries.remove(key);
        }
    }

    /// How many documents are watched.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the server has said of `key` whether it exists, and tells of changes.
    pub(super) fn is_confirmed(&self, key: &ConfigKey) -> bool {
        let is_known = |entry: &Entry| entry.standing == SyncState::Clean && entry.is_known();
        self.entries.get(key).is_some_and(is_known)
    }

    /// The document that was last received under `key`, now or before the client started, if it is
    /// watched and exists.
    pub(super) fn held(&self, key: &ConfigKey) -> Option<&Document> {
        let entry = self.entries.get(key)?;
        entry.state.document().or(entry.remembered.as_deref())
    }

    /// The digest to listen with: `""` for "I have nothing".
    pub(super) fn md5(&self, key: &ConfigKey) -> Arc<str> {
        self.held(key).map_or_else(|| "".into(), |document| Arc::clone(&document.md5))
    }

    /// The server says, or may mean, that `key` has changed. Says whether anybody watches it.
    pub(super) fn hint(&mut self, key: &ConfigKey) -> bool {
        self.mark(key, Class::Push, PullTurn::Now)
    }

    /// The same, and it need not be asked for before `at`.
    pub(super) fn hint_for(&mut self, key: &ConfigKey, at: Instant) -> bool {
        self.mark(key, Class::Push, PullTurn::At(at))
    }

    /// A listen has found that `key` differs.
    pub(super) fn differs(&mut self, key: &ConfigKey) -> bool {
        self.mark(key, Class::Audit, PullTurn::Now)
    }

    fn mark(&mut self, key: &ConfigKey, class: Class, due: PullTurn) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let dirty = match entry.standing {
            SyncState::Asking { ticket, hinted } => {
                // A push that came first is not put back by a listen.
                entry.class = if hinted.is_some() { entry.class.min(class) } else { class };
                let hinted = Some(hinted.map_or(due, |hinted| hinted.min(due)));
                entry.standing = SyncState::Asking { ticket, hinted };
                entry.failures = 0;
                return true;
            }
            // The document of a push does not wait with those that a listen has found.
            SyncState::Dirty { not_before: None } if entry.class <= class => return true,
            SyncState::Dirty { not_before: None } => due,
            // News is worth a try even if the last one failed a moment ago.
            SyncState::Dirty { not_before: Some(at) } | SyncState::Pushed { turn: at } => {
                entry.failures = 0;
                entry.class = entry.class.min(class);
                due.min(PullTurn::At(at))
            }
            SyncState::Unsure | SyncState::Clean => {
                entry.failures = 0;
                entry.class = class;
                due
            }
        };
        entry.class = entry.class.min(class);
        self.waiting.remove(key);
        self.retries.remove(key);
        self.rest(key, dirty.into());
        true
    }

    /// A listen was answered, and that `key` was not among the differences may mean nothing: it is
    /// asked for if nothing is known of it.
    pub(super) fn doubt(&mut self, key: &ConfigKey) {
        let in_doubt = |entry: &Entry| entry.standing == SyncState::Unsure && entry.is_unseen();
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| in_doubt(entry)) {
            entry.class = Class::Audit;
            self.rest(key, SyncState::Dirty { not_before: None });
        }
    }

    /// A listen was answered, and `key` was not among the differences: the state that we hold is
    /// right.
    ///
    /// Returns the state if it became known by that.
    pub(super) fn unchanged(&mut self, key: &ConfigKey) -> Option<DocumentState> {
        let entry = self.entries.get_mut(key)?;
        if entry.standing == SyncState::Unsure {
            entry.standing = SyncState::Clean;
        }
        // A hint during the listen has made it dirty already, and stays.
        let confirmed = match &entry.state {
            DocumentState::Pending | DocumentState::Unreachable { last: None, .. } => entry
                .remembered
                .as_deref()
                .cloned()
                .map_or(DocumentState::Absent, DocumentState::Present),
            DocumentState::Unreachable { last: Some(last), .. } => {
                DocumentState::Present(last.clone())
            }
            DocumentState::Present(_) | DocumentState::Absent => return None,
        };
        if entry.standing != SyncState::Clean {
            return None;
        }
        entry.state = confirmed;
        entry.remembered = None;
        Some(entry.state.clone())
    }

    /// Documents whose time has come wait for a query from now on.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(key) = self.retries.pop(now) {
            if let Some(entry) = self.entries.get_mut(&key)
                && entry.standing.is_dirty(now)
            {
                entry.standing = SyncState::Dirty { not_before: None };
                self.waiting.push(entry.class, key);
            }
        }
    }

    /// Whether a document of `class` waits for a query, and may be asked for beside those that are,
    /// of which there are at most `limit`.
    pub(super) fn is_waiting(&mut self, now: Instant, class: Class, limit: usize) -> bool {
        while self.asking < limit
            && let Some(key) = self.waiting.first(class)
        {
            let entry = self.entries.get(key);
            if entry.is_some_and(|entry| entry.class == class && entry.standing.is_dirty(now)) {
                return true;
            }
            self.waiting.pop(class);
        }
        false
    }

    /// The document of `class` that has waited longest, to be asked for now.
    #[must_use = "it counts as asked for"]
    pub(super) fn take(&mut self, class: Class) -> Option<(ConfigKey, Ticket)> {
        let key = self.waiting.pop(class)?;
        let entry = self.entries.get_mut(&key)?;
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        entry.standing = SyncState::Asking { ticket, hinted: None };
        self.asking += 1;
        Some((key, ticket))
    }

    /// Those that wait, and whether more may be asked for beside those that are, of which there
    /// are at most `limit`.
    pub(super) fn waiting(&mut self, limit: usize) -> (&mut PullQueues, bool) {
        (&mut self.waiting, self.asking < limit)
    }

    /// How many are watched, how many wait for a query, and how many queries are under way.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.waiting.len(), self.asking)
    }

    /// The number of the newest query.
    pub(super) fn newest(&self) -> u64 {
        self.tickets
    }

    /// Whether the query `ticket` for `key` is under way, and whether something is known of it.
    pub(super) fn is_asked(&self, key: &ConfigKey, ticket: Ticket) -> Option<bool> {
        let entry = self.entries.get(key)?;
        entry.standing.is_query(ticket).then(|| !entry.is_unseen())
    }

    /// Whether the query `ticket` for `key` is under way, and no hint has come since.
    pub(super) fn is_settled(&self, key: &ConfigKey, ticket: Ticket) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.standing.is_settled_query(ticket))
    }

    /// Whether a query is under way for a document of which something is known.
    pub(super) fn asks_again(&self) -> bool {
        let asks = |entry: &Entry| entry.standing.is_asking() && !entry.is_unseen();
        self.asking > 0 && self.entries.values().any(asks)
    }

    /// A query found `found`, or that there is nothing. Returns the state if it is a new one.
    ///
    /// If nobody may listen to it, it is asked for again at `poll_at`, as far as somebody wants
    /// that.
    pub(super) fn answered(
        &mut self,
        key: &ConfigKey,
        ticket: Ticket,
        found: Option<Document>,
        poll_at: Instant,
    ) -> Option<DocumentState> {
        let entry = self.asked(key, ticket)?;
        entry.failures = 0;
        let polled = !entry.pollers.is_empty();
        if let Some(refused) = &mut entry.refused_listen {
            refused.readable = Some(true);
        }
        let (rest, state) = match entry.refused_listen.as_deref() {
            // Nobody would tell that it has changed: it is known, but not watched.
            Some(RefusedListen { why, .. }) if !polled => {
                let cause = missing_right(key, &why.text, false);
                (SyncState::Clean, DocumentState::Unreachable { last: found, why: why.kind, cause })
            }
            refused => {
                let again = SyncState::Dirty { not_before: Some(poll_at) };
                let rest = if refused.is_some() { again } else { SyncState::Clean };
                if entry.standing.is_settled() {
                    entry.class = Class::Audit;
                }
                (rest, found.map_or(DocumentState::Absent, DocumentState::Present))
            }
        };
        let rest = entry.standing.answered(rest);
        let news = !entry.state.same_content(&state);
        // Also without news: the digest and the time may be other ones.
        entry.state = state.clone();
        entry.remembered = None;
        self.rest(key, rest);
        news.then_some(state)
    }

    /// A query failed; `retry_at` is given how many times in a row. Returns the new state.
    pub(super) fn failed(
        &mut self,
        key: &ConfigKey,
        ticket: Ticket,
        why: &Cause,
        retry_at: impl FnOnce(u32) -> Option<Instant>,
    ) -> Option<DocumentState> {
        let entry = self.asked(key, ticket)?;
        let not_before = retry_at(entry.failures);
        entry.failures = entry.failures.saturating_add(1);
        // Without a time to retry, the next hint, listen or token makes it dirty again.
        let rest =
            not_before.map_or(SyncState::Unsure, |at| SyncState::Dirty { not_before: Some(at) });
        let rest = entry.standing.answered(rest);
        if let Some(refused) = &mut entry.refused_listen {
            refused.readable = Some(false);
        }
        let state = entry.unreachable(why);
        self.rest(key, rest);
        state
    }

    /// A query was never answered, or may be asked again at once: dirty, without a new state.
    pub(super) fn again(
        &mut self,
        key: &ConfigKey,
        ticket: Ticket,
        retry_at: impl FnOnce(u32) -> Instant,
    ) {
        if let Some(entry) = self.asked(key, ticket) {
            let not_before = Some(retry_at(entry.failures));
            entry.failures = entry.failures.saturating_add(1);
            let rest = entry.standing.answered(SyncState::Dirty { not_before });
            self.rest(key, rest);
        }
    }

    /// A new connection: no query is under way, and every listen will be answered anew.
    pub(super) fn reconnected(&mut self) {
        self.asking = 0;
        self.waiting.clear();
        self.retries.clear();
        self.entries.values_mut().for_each(Entry::reconnected);
    }

    /// No server could be reached: readers that wait for a first answer are told so.
    pub(super) fn unreachable(&mut self, why: &Cause) -> Vec<(ConfigKey, DocumentState)> {
        let waiting = self.in_order(|entry| entry.state == DocumentState::Pending);
        let told = waiting.into_iter().filter_map(|key| {
            let state = self.entries.get_mut(&key)?.unreachable(why)?;
            Some((key, state))
        });
        told.collect()
    }

    /// A new token: failed queries may succeed now.
    pub(super) fn retry_failed(&mut self) {
        for key in self.in_order(Entry::has_failed) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.class = Class::Audit;
            }
            self.rest(&key, SyncState::Dirty { not_before: None });
        }
    }

    /// The server refused to let us listen to `key`. Returns the state if it is a new one.
    pub(super) fn refused(&mut self, key: &ConfigKey, why: &Cause) -> Option<DocumentState> {
        self.entries.get_mut(key)?.unreachable(why)
    }

    /// When to look for failed queries that are to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.next()
    }

    /// The chosen documents, as they came to be watched.
    fn in_order(&self, which: impl Fn(&Entry) -> bool) -> Vec<ConfigKey> {
        let chosen = self.entries.iter().filter(|(_, entry)| which(entry));
        let mut chosen: Vec<_> = chosen.map(|(key, entry)| (entry.place, key)).collect();
        chosen.sort_unstable_by_key(|(place, _)| *place);
        chosen.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// Sets the standing of `key`, and queues it if that needs a query.
    fn rest(&mut self, key: &ConfigKey, standing: SyncState) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.standing = standing;
        entry.class = match entry.class {
            _ if entry.is_unseen() => Class::Start,
            Class::Start => Class::Push,
            class => class,
        };
        match standing {
            SyncState::Dirty { not_before: None } => self.waiting.push(entry.class, key.clone()),
            SyncState::Dirty { not_before: Some(at) } | SyncState::Pushed { turn: at } => {
                self.retries.push(at, key.clone());
            }
            SyncState::Unsure | SyncState::Clean | SyncState::Asking { .. } => {}
        }
    }

    /// The entry under `key`, if this very query of it is under way.
    fn asked(&mut self, key: &ConfigKey, ticket: Ticket) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(key)?;
        if !entry.standing.is_query(ticket) {
            return None;
        }
        self.asking -= 1;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn hint_during_a_query_causes_exactly_one_more() {
        let (mut documents, key, now) = watched();
        documents.hint(&key);
        let first = ticket(&mut documents, now);
        documents.hint(&key);
        documents.hint(&key);
        assert!(documents.take_dirty(now, 9).is_empty());
        documents.answered(&key, first, Some(Document::new("1", "text")), now);
        let second = ticket(&mut documents, now);
        documents.answered(&key, second, Some(Document::new("2", "text")), now);
        assert!(documents.take_dirty(now, 9).is_empty());
    }

    #[test]
    fn push_that_waits_its_turn_is_neither_lost_to_a_listen_nor_a_failure() {
        let (mut documents, key, now) = watched();
        documents.listen_denied(&key, &cause(ErrorKind::Denied), "no".into());
        let asked = ticket(&mut documents, now);
        documents.answered(&key, asked, Some(Document::new("1", "text")), now);
        let turn = now + Duration::from_secs(1);
        assert!(documents.hint_for(&key, turn));
        // The listen compared with what it was given when it was sent, which the push follows.
        documents.listen_granted(&key);
        assert_eq!(documents.unchanged(&key), None);
        documents.retry_failed();
        assert!(documents.take_dirty(now, 9).is_empty(), "it has not failed");
        assert_eq!(documents.take_dirty(turn, 9).len(), 1);
    }

    #[test]
    fn unchanged_with_nothing_held_means_absent() {
        let (mut documents, key, _) = watched();
        assert_eq!(documents.unchanged(&key), Some(DocumentState::Absent));
        assert_eq!(documents.unchanged(&key), None);
    }

    #[test]
    fn content_from_before_is_what_an_unchanged_server_confirms_and_nothing_else_shows_it() {
        let (mut documents, key, _) = watched();
        let before = Document::new("1", "text");
        documents.remember(&key, before.clone());
        assert_eq!(documents.md5(&key), before.md5);
        let down = documents.unreachable(&cause(ErrorKind::Disconnected)).remove(0).1;
        assert_eq!(down.document(), None);
        documents.reconnected();
        assert_eq!(documents.unchanged(&key), Some(DocumentState::Present(before)));
        assert!(documents.is_confirmed(&key));
    }

    #[test]
    fn content_from_before_is_of_no_use_once_a_listen_may_be_under_way() {
        let (mut documents, key, _) = watched();
        documents.watch(ConfigKey::try_from("another").expect("valid"));
        documents.remember(&key, Document::new("1", "text"));
        assert_eq!(documents.unchanged(&key), Some(DocumentState::Absent));
    }

    #[test]
    fn hint_before_the_listens_answer_is_not_lost() {
        let (mut documents, key, now) = watched();
        documents.hint(&key);
        assert_eq!(documents.unchanged(&key), None);
        assert_eq!(documents.take_dirty(now, 9).remove(0).0, key);
    }

    #[test]
    fn failure_keeps_the_last_content_and_never_becomes_absent() {
        let (mut documents, key, now) = watched();
        let document = Document::new("1", "text");
        documents.hint(&key);
        let first = ticket(&mut documents, now);
        documents.answered(&key, first, Some(document.clone()), now);
        documents.hint(&key);
        let second = ticket(&mut documents, now);
        let state =
            documents.failed(&key, second, &cause(ErrorKind::Denied), |_| None).expect("new");
        assert_eq!(state.document(), Some(&document));
        assert_eq!(documents.md5(&key), document.md5);
    }

    #[test]
    fn same_content_again_is_no_change() {
        let (mut documents, key, now) = watched();
        for expected in [true, false] {
            documents.hint(&key);
            let asked = ticket(&mut documents, now);
            let state = documents.answered(&key, asked, Some(Document::new("1", "text")), now);
            assert_eq!(state.is_some(), expected);
        }
    }

    #[test]
    fn documents_that_come_and_go_leave_nothing_behind() {
        let mut documents = Documents::new();
        for n in 0..1000 {
            let key = ConfigKey::try_from(format!("d{n}").as_str()).expect("valid");
            documents.watch(key.clone());
            documents.hint(&key);
            documents.unwatch(&key);
        }
        assert_eq!((documents.len(), documents.waiting.len(), documents.retries.len()), (0, 0, 0));
    }

    #[test]
    fn queries_under_way_are_bounded() {
        let mut documents = Documents::new();
        let keys: Vec<ConfigKey> =
            (0..5).map(|n| ConfigKey::try_from(format!("d{n}").as_str()).expect("valid")).collect();
        for key in &keys {
            documents.watch(key.clone());
            documents.hint(key);
        }
        let now = Instant::now();
        let first = documents.take_dirty(now, 2);
        assert_eq!(first.len(), 2);
        assert!(documents.take_dirty(now, 2).is_empty());
        documents.unwatch(&first[0].0);
        assert_eq!(documents.take_dirty(now, 2).len(), 1);
    }

    #[test]
    fn whoever_waits_is_told_when_no_server_can_be_reached() {
        let (mut documents, key, _) = watched();
        let told = documents.unreachable(&cause(ErrorKind::Disconnected));
        let (why, cause) = (ErrorKind::Disconnected, "a reason".into());
        let state = DocumentState::Unreachable { last: None, why, cause };
        assert_eq!(told, [(key.clone(), state)]);
        documents.reconnected();
        assert_eq!(documents.unchanged(&key), Some(DocumentState::Absent));
    }

    #[test]
    fn what_was_watched_first_is_told_and_asked_for_first() {
        let key = |n: &u32| ConfigKey::try_from(format!("d{n}").as_str()).expect("valid");
        let keys: Vec<_> = (0..100).collect::<Vec<_>>().iter().map(key).collect();
        let mut documents = Documents::new();
        for key in &keys {
            documents.watch(key.clone());
        }
        let told = documents.unreachable(&cause(ErrorKind::Denied));
        assert_eq!(told.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys);
        documents.retry_failed();
        let asked = documents.take_dirty(Instant::now(), 100);
        assert_eq!(asked.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys);
    }

    #[test]
    fn answer_to_a_query_of_a_former_watch_counts_for_nothing() {
        let (mut documents, key, now) = watched();
        documents.hint(&key);
        let former = ticket(&mut documents, now);
        documents.unwatch(&key);
        documents.watch(key.clone());
        documents.hint(&key);
        let newest = ticket(&mut documents, now);
        assert_eq!(documents.answered(&key, former, Some(Document::new("old", "text")), now), None);
        let state = documents.answered(&key, newest, Some(Document::new("new", "text")), now);
        assert!(state.is_some());
    }

    impl Documents {
        /// At most `limit` documents to query now, counting those that are being queried.
        fn take_dirty(&mut self, now: Instant, limit: usize) -> Vec<(ConfigKey, Ticket)> {
            self.wake(now);
            let mut taken = Vec::new();
            for class in Class::ALL {
                while self.is_waiting(now, class, limit) {
                    taken.extend(self.take(class));
                }
            }
            taken
        }
    }

    fn cause(kind: ErrorKind) -> Cause {
        Cause { kind, text: "a reason".into() }
    }

    fn ticket(documents: &mut Documents, now: Instant) -> Ticket {
        documents.take_dirty(now, 9).remove(0).1
    }

    fn watched() -> (Documents, ConfigKey, Instant) {
        let key = ConfigKey::try_from("orders.yaml").expect("valid");
        let mut documents = Documents::new();
        documents.watch(key.clone());
        (documents, key, Instant::now())
    }
}
