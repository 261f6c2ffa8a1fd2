//! Documents under watch, as their readers are shown them.
//!
//! The session's word, the snapshots on disk and an operator's files meet here, in one [`Known`]
//! a document. Each start policy that a guard has chosen is a view of that: guards with the same
//! policy share it.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{
    super::{filtering::Filtering, inbox::Part, saver::Saver},
    passage::{Passage, Passages},
    shown::{Found, Known, OnDisk},
};
use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    filter::Passed,
    freshness::Freshness,
    key::ConfigKey,
    live::{Live, LiveWriter, live},
    room::Map,
    session::Timers,
    snapshot::{Override, Snapshot, Word},
    start_policy::StartPolicy,
};

/// For each document that a guard watches: what is shown of it.
///
/// Guards come and go on callers' tasks, everything else comes from the session's task; the lock is
/// held for an operation on the map only. No reader is woken under it, nor is anything compared: a
/// waker is a user's code, and may drop a guard then and there.
///
/// A guard [enters](Self::enter) before it claims and [leaves](Self::leave) after it has withdrawn.
#[derive(Debug)]
pub(crate) struct DocumentViews {
    watched: Mutex<Watched>,
    /// Writes what the server says to the disk, if it is to be kept there.
    saver: Option<Saver>,
    /// Through which documents pass on their way to readers, if there are filters.
    filtering: Option<Filtering>,
}

#[derive(Debug)]
struct Watched {
    entries: Map<ConfigKey, Entry>,
    /// When a snapshot takes the place of a server that does not answer.
    late: Timers<ConfigKey>,
    /// How many of them an operator overrides.
    overridden: usize,
    /// No server was found by the last search: none is waited for.
    is_out_of_reach: bool,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// A view for each policy that a guard has: mostly one.
    views: Vec<View>,
    /// When it was given to the saver.
    saved: Option<Instant>,
    /// The directory of an operator's files was looked at since it is watched: that is newer than
    /// what a guard has found there at its beginning.
    is_looked_after: bool,
    /// None without filters.
    passages: Option<Box<Passages>>,
}

#[derive(Debug)]
struct View {
    policy: StartPolicy,
    guards: usize,
    /// When the server has had its time, once there is a snapshot to take its place.
    until: Option<Instant>,
    /// It has had it.
    is_late: bool,
    readers: Arc<Readers>,
    /// None without filters.
    passage: Option<Box<Passage>>,
}

/// Where the guards of one view read.
#[derive(Debug)]
struct Readers {
    state: LiveWriter<DocumentState>,
    freshness: LiveWriter<Freshness>,
}

/// A state for some readers, to be shown once the lock is released.
type Showing = (Arc<Readers>, DocumentState, Freshness);

impl DocumentViews {
    pub(crate) fn new(saver: Option<Saver>, filtering: Option<Filtering>) -> Self {
        let watched = Watched {
            entries: Map::new(),
            late: Timers::new(),
            overridden: 0,
            is_out_of_reach: false,
            closed: false,
        };
        Self { watched: Mutex::new(watched), saver, filtering }
    }

    /// A guard comes, and reads the document by this policy.
    ///
    /// After [`close`](Self::close) the readers have ended already.
    pub(crate) fn enter(
        &self,
        now: Instant,
        key: &ConfigKey,
        policy: StartPolicy,
    ) -> (Live<DocumentState>, Live<Freshness>) {
        let mut watched = self.watched();
        if watched.closed {
            let (state, freshness) = Known::new(now).shown(policy, false, true);
            return (live(state).1, live(freshness).1);
        }
        let is_late = watched.is_out_of_reach;
        let entry = watched.entries.entry(key.clone()).or_insert_with(|| Entry {
            known: Known::new(now),
            views: Vec::with_capacity(1),
            saved: None,
            is_looked_after: false,
            passages: self.filtering.as_ref().map(|_| Box::default()),
        });
        let known_view = entry.views.iter().position(|view| view.policy == policy);
        let at = known_view.unwrap_or_else(|| entry.add_view(policy, is_late));
        let view = &mut entry.views[at];
        view.guards += 1;
        let readers = (view.readers.state.reader(), view.readers.freshness.reader());
        if known_view.is_none() {
            self.ask_filters(key, entry);
        }
        readers
    }

    /// A guard goes. With the last one of its policy the view goes too, and its readers end.
    pub(crate) fn leave(&self, key: &ConfigKey, policy: StartPolicy) {
        let mut watched = self.watched();
        let Some(entry) = watched.entries.get_mut(key) else { return };
        let Some(at) = entry.views.iter().position(|view| view.policy == policy) else { return };
        entry.views[at].guards -= 1;
        let gone = (entry.views[at].guards == 0).then(|| entry.views.swap_remove(at));
        if entry.views.is_empty() {
            let was_overridden = entry.known.overridden.is_some();
            watched.overridden -= usize::from(was_overridden);
            watched.entries.remove(key);
            watched.late.remove(key);
            if let Some(filtering) = &self.filtering {
                filtering.want(key, &[]);
            }
        }
        drop(watched);
        // Its readers learn of it here.
        drop(gone);
    }

    /// The document is as the server says.
    pub(crate) fn show(&self, now: Instant, key: &ConfigKey, word: DocumentState) {
        match &word {
            DocumentState::Present(document) => self.save(key, Some(document.clone())),
            DocumentState::Absent => self.save(key, None),
            // Not the server's word about the document.
            DocumentState::Pending | DocumentState::Unreachable { .. } => {}
        }
        self.change(key, |entry| {
            if !matches!(word, DocumentState::Unreachable { .. }) {
                entry.saved = Some(now);
            }
            entry.known.said(now, word);
            if entry.is_beyond_disk() {
                // It has done its duty.
                entry.known.disk = OnDisk::Nothing;
            }
        });
    }

    /// The server confirms what it has said of these.
    pub(crate) fn confirmed(&self, now: Instant, keys: &[ConfigKey]) {
        for key in keys {
            let mut again = None;
            self.change(key, |entry| {
                let is_old = |at: Instant| now.saturating_duration_since(at) >= SAVE_AGAIN;
                if entry.known.confirmed(now) && entry.saved.is_none_or(is_old) {
                    entry.saved = Some(now);
                    again = Some(entry.known.document().cloned());
                }
            });
            // For the age of its snapshot.
            if let Some(document) = again {
                self.save(key, document);
            }
        }
    }

    /// A newer state may exist that the client does not ask for yet.
    pub(crate) fn waits(&self, now: Instant, key: &ConfigKey, why: ErrorKind) {
        self.change(key, |entry| entry.known.doubted(now, why));
    }

    /// No server tells of changes any more.
    pub(crate) fn lost(&self, now: Instant) {
        self.change_all(|entry| entry.known.doubted(now, ErrorKind::Disconnected));
    }

    /// Whether the last search has found no server. Watches that begin between two searches need
    /// not wait for the end of the next one.
    pub(crate) fn reach(&self, is_out_of_reach: bool) {
        let was = std::mem::replace(&mut self.watched().is_out_of_reach, is_out_of_reach);
        if is_out_of_reach && !was {
            self.change_all(|entry| {
                for view in &mut entry.views {
                    view.is_late = true;
                }
            });
        }
    }

    fn change_all(&self, change: impl Fn(&mut Entry)) {
        let keys: Vec<_> = self.watched().entries.keys().cloned().collect();
        for key in keys {
            self.change(&key, &change);
        }
    }

    /// The disk was read for a guard of `key`: this is what it has. Returns the document to listen
    /// with.
    pub(crate) fn read(
        &self,
        now: Instant,
        key: &ConfigKey,
        snapshot: Part<Snapshot>,
        overridden: Part<Override>,
    ) -> Option<Document> {
        let (on_disk, document) = match snapshot {
            Part::Unread => (OnDisk::Unread, None),
            // Content that not everybody gets does not stand for the one that everybody does.
            Part::Found(snapshot) if !snapshot.is_gray() => {
                let age = snapshot.age(SystemTime::now());
                let document = snapshot.document;
                (OnDisk::Found(Box::new(Found { document: document.clone(), age })), document)
            }
            Part::Found(_) | Part::Nothing => (OnDisk::Nothing, None),
        };
        self.change(key, |entry| {
            match overridden {
                Part::Unread => {}
                _ if entry.is_looked_after => {}
                Part::Nothing => entry.known.overridden = None,
                Part::Found(by) => entry.known.overridden = Some(Box::new(by)),
            }
            if entry.is_beyond_disk() || matches!(on_disk, OnDisk::Unread) || entry.keeps_disk() {
                return;
            }
            entry.known.disk = on_disk;
            for view in &mut entry.views {
                view.until = view.until.or(view.policy.waits().map(|waits| now + waits));
            }
        });
        document
    }

    /// An operator overrides `key` by this, or no longer does.
    pub(crate) fn overridden(&self, key: &ConfigKey, by: Option<Override>) {
        self.change(key, |entry| {
            entry.is_looked_after = true;
            entry.known.overridden = by.map(Box::new);
        });
    }

    /// Filters have made this of `key`.
    pub(crate) fn passed(&self, now: Instant, key: &ConfigKey, passed: Passed) {
        self.change(key, |entry| {
            if let Some(passages) = &mut entry.passages {
                passages.passed(now, passed);
            }
        });
    }

    /// How many of the watched documents an operator overrides.
    pub(crate) fn count_overridden(&self) -> usize {
        self.watched().overridden
    }

    /// The watched documents, and whether an operator overrides each.
    pub(crate) fn keys(&self) -> Vec<(ConfigKey, bool)> {
        let watched = self.watched();
        let entries = watched.entries.iter();
        entries.map(|(key, entry)| (key.clone(), entry.known.overridden.is_some())).collect()
    }

    /// Looks at the documents whose server has had its time.
    pub(crate) fn handle_timeout(&self, now: Instant) {
        loop {
            let mut watched = self.watched();
            let Some(key) = watched.late.pop(now) else { return };
            drop(watched);
            self.change(&key, |entry| {
                for view in &mut entry.views {
                    view.is_late |= view.until.is_some_and(|until| until <= now);
                }
            });
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.watched().late.next()
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        let mut watched = self.watched();
        watched.closed = true;
        watched.late.clear();
        watched.overridden = 0;
        let entries = std::mem::take(&mut watched.entries);
        drop(watched);
        drop(entries);
    }

    fn save(&self, key: &ConfigKey, document: Option<Document>) {
        if let Some(saver) = &self.saver {
            saver.save(key, Word::new(document));
        }
    }

    /// Changes what is known of `key`, if it is watched, and shows what follows. Called by the
    /// session's task only: two at a time would each show something older than the other.
    fn change(&self, key: &ConfigKey, change: impl FnOnce(&mut Entry)) {
        let mut watched = self.watched();
        let Watched { entries, late, overridden, .. } = &mut *watched;
        // A guard that leaves and enters in between has another view, and claims anew.
        let Some(entry) = entries.get_mut(key) else { return };
        let was_overridden = entry.known.overridden.is_some();
        change(entry);
        *overridden += usize::from(entry.known.overridden.is_some());
        *overridden -= usize::from(was_overridden);
        let shown = entry.shown();
        self.ask_filters(key, entry);
        match entry.late() {
            Some(at) => late.push(at, key.clone()),
            None => late.remove(key),
        }
        drop(watched);
        show_readers(shown);
    }

    /// Tells the filters what is wanted of `key`, if that is news. Called under the lock: what was
    /// told last holds.
    fn ask_filters(&self, key: &ConfigKey, entry: &mut Entry) {
        let Some(filtering) = &self.filtering else { return };
        let stored = entry.stored();
        if let Some(passages) = &mut entry.passages
            && passages.keep(stored)
        {
            filtering.want(key, &passages.wanted);
            filtering.begin();
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        // A panic under the lock cannot leave the map half-changed: every change is one call.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether no view can show a snapshot any more.
    fn is_beyond_disk(&self) -> bool {
        self.known.is_spoken() && self.views.iter().all(|view| view.policy.asks())
    }

    /// Whether somebody who wants to hear of no change has been shown what was on the disk.
    fn keeps_disk(&self) -> bool {
        let is_offline = |view: &View| !view.policy.asks();
        matches!(self.known.disk, OnDisk::Found(_)) && self.views.iter().any(is_offline)
    }

    /// When the next of its views is to be looked at.
    fn late(&self) -> Option<Instant> {
        if self.known.is_spoken() {
            return None;
        }
        self.views.iter().filter(|view| !view.is_late).filter_map(|view| view.until).min()
    }

    /// A view for this policy, and its place.
    fn add_view(&mut self, policy: StartPolicy, is_late: bool) -> usize {
        let mut passage = self.passages.as_ref().map(|_| Box::<Passage>::default());
        let (state, freshness) = match (&self.passages, &mut passage) {
            (Some(passages), Some(passage)) => {
                let unknown = Known::new(self.known.since()).shown(policy, false, true);
                let shown = self.known.shown_after(passages, policy, is_late);
                let nothing = || (Arc::new(unknown.0), Arc::new(unknown.1));
                passage.shown(passages, shown, nothing)
            }
            _ => self.known.shown(policy, is_late, true),
        };
        let readers = Readers { state: live(state).0, freshness: live(freshness).0 };
        let readers = Arc::new(readers);
        let (guards, until) = (0, None);
        self.views.push(View { policy, guards, until, is_late, readers, passage });
        self.views.len() - 1
    }

    fn shown(&mut self) -> Vec<Showing> {
        let (known, passages) = (&self.known, self.passages.as_deref());
        let of_view = |view: &mut View| {
            let readers = Arc::clone(&view.readers);
            let (state, freshness) = match (passages, &mut view.passage) {
                (Some(passages), Some(passage)) => {
                    let shown = known.shown_after(passages, view.policy, view.is_late);
                    let before = || (readers.state.get(), readers.freshness.get());
                    passage.shown(passages, shown, before)
                }
                _ => known.shown(view.policy, view.is_late, true),
            };
            (readers, state, freshness)
        };
        self.views.iter_mut().map(of_view).collect()
    }

    /// The contents that are shown, as they were before the filters, and whether each is nothing
    /// but a snapshot.
    fn stored(&self) -> Vec<(Document, bool)> {
        let mut stored = Vec::<(Document, bool)>::with_capacity(1);
        for view in &self.views {
            let (state, freshness) = self.known.shown(view.policy, view.is_late, true);
            let document = match freshness {
                // For the time after the file of the operator.
                Freshness::Overridden { .. } => self.known.document(),
                _ => state.document(),
            };
            let Some(document) = document else { continue };
            let is_snapshot = matches!(freshness, Freshness::FromDisk { .. });
            match stored.iter_mut().find(|(known, _)| known == document) {
                Some((_, both)) => *both &= is_snapshot,
                None => stored.push((document.clone(), is_snapshot)),
            }
        }
        stored
    }
}

/// Shows it to the readers to whom it is news. Each that is woken, by the state or by how sure that
/// is, finds both. A reader that looks by itself meanwhile finds nothing surer than it is if it
/// looks how sure it is first.
fn show_readers(shown: impl IntoIterator<Item = Showing>) {
    for (readers, state, freshness) in shown {
        let is_sure =
            matches!(freshness, Freshness::Confirmed { .. } | Freshness::Overridden { .. });
        let current = readers.state.get();
        let state = Some(state).filter(|state| *current != *state && !is_same(&current, state));
        let freshness = Some(freshness).filter(|freshness| *readers.freshness.get() != *freshness);
        let is_news = (state.is_some(), freshness.is_some());
        let put_state = || state.into_iter().for_each(|state| readers.state.put(state));
        let put_freshness = || freshness.into_iter().for_each(|it| readers.freshness.put(it));
        if is_sure {
            put_state();
            put_freshness();
        } else {
            put_freshness();
            put_state();
        }
        if is_news.0 {
            readers.state.announce();
        }
        if is_news.1 {
            readers.freshness.announce();
        }
    }
}

/// Whether neither the content nor its digest is another one: what filters have made of two texts
/// may be the same, and only the newer digest is that of what a server stores.
fn is_same(one: &DocumentState, other: &DocumentState) -> bool {
    let digest = |state: &DocumentState| state.document().map(|it| Arc::clone(&it.md5));
    one.same_content(other) && digest(one) == digest(other)
}

/// A snapshot that is confirmed is written again, for its time, a little more rarely than the disk
/// finds that it is due.
const SAVE_AGAIN: Duration = Duration::from_secs(65 * 60);

#[cfg(test)]
mod tests;
