//! Patterns under fuzzy watch, as their readers are shown them.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    key::ConfigPattern,
    live::{Live, LiveWriter, live},
    matched_keys::MatchedKeys,
    room::Map,
};

/// For each pattern that a guard watches: what matches it.
///
/// As in the [views of documents](super::DocumentViews), a guard [enters](Self::enter) before it
/// claims and [leaves](Self::leave) after it has withdrawn, and nobody is woken under the lock.
#[derive(Debug, Default)]
pub(crate) struct MatchViews {
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    entries: Map<ConfigPattern, Entry>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    writer: Arc<LiveWriter<MatchedKeys>>,
    guards: usize,
}

impl MatchViews {
    /// A guard comes. After [`close`](Self::close) its reader has ended already.
    pub(crate) fn enter(&self, pattern: &ConfigPattern) -> Live<MatchedKeys> {
        let mut watched = self.watched();
        if watched.closed {
            return live(MatchedKeys::default()).1;
        }
        let first = || Entry { writer: Arc::new(live(MatchedKeys::default()).0), guards: 0 };
        let entry = watched.entries.entry(pattern.clone()).or_insert_with(first);
        entry.guards += 1;
        entry.writer.reader()
    }

    /// A guard goes. With the last one the view goes too, and its readers end.
    pub(crate) fn leave(&self, pattern: &ConfigPattern) {
        let mut watched = self.watched();
        let Some(entry) = watched.entries.get_mut(pattern) else { return };
        entry.guards -= 1;
        let gone = if entry.guards == 0 { watched.entries.remove(pattern) } else { None };
        drop(watched);
        // Its readers learn of it here.
        drop(gone);
    }

    /// These match `pattern` now.
    pub(super) fn show(&self, pattern: &ConfigPattern, matched: MatchedKeys) {
        let writer = self.watched().entries.get(pattern).map(|entry| Arc::clone(&entry.writer));
        if let Some(writer) = writer {
            writer.publish_if_changed(matched);
        }
    }

    /// Ends every reader, and every reader to come.
    pub(super) fn close(&self) {
        let ended =
            std::mem::replace(&mut *self.watched(), Watched { closed: true, ..Watched::default() });
        drop(ended);
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        // A panic under the lock leaves no view worse than out of date.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
