//! Of a document, a reader is shown the server's word, a snapshot on disk, or the file of an
//! operator: a pure function of what is known and of the start policy.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::passage::Passages;
use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    freshness::Freshness,
    snapshot::Override,
    start_policy::StartPolicy,
};

/// Everything that is known of one document, whoever reads it.
#[derive(Debug)]
pub(super) struct Known {
    /// The server's word.
    server: DocumentState,
    /// The server has said once whether the document exists: a snapshot from before is of no use.
    spoken: bool,
    sureness: Sureness,
    pub(super) disk: OnDisk,
    /// The content of an operator's file, and where that is.
    pub(super) overridden: Option<Box<Override>>,
}

/// How sure the server's word is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sureness {
    Confirmed { at: Instant },
    Stale { since: Instant, why: ErrorKind },
}

/// A snapshot on disk.
#[derive(Debug)]
pub(super) enum OnDisk {
    /// Nobody has wanted it, or it is being read.
    Unread,
    /// There is none that may be used.
    Nothing,
    Found(Box<Found>),
}

/// A snapshot of a document that was there, or was confirmed absent.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) document: Option<Document>,
    /// When it was read.
    pub(super) age: Duration,
}

impl Known {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            server: DocumentState::Pending,
            spoken: false,
            sureness: Sureness::Stale { since: now, why: ErrorKind::Disconnected },
            disk: OnDisk::Unread,
            overridden: None,
        }
    }

    /// The state for a reader with this policy, and how sure it is. `late` says that the server has
    /// had its time.
    /// `snapshots` says whether one may be shown at all.
    pub(super) fn shown(
        &self,
        policy: StartPolicy,
        late: bool,
        snapshots: bool,
    ) -> (DocumentState, Freshness) {
        if let Some((document, path)) = self.overridden.as_deref() {
            let path = Arc::clone(path);
            return (DocumentState::Present(document.clone()), Freshness::Overridden { path });
        }
        let found = match &self.disk {
            OnDisk::Found(found)
                if snapshots && policy.takes(found.age) && !(self.spoken && policy.asks()) =>
            {
                Some(found)
            }
            _ => None,
        };
        // Without waiting for the server any longer.
        let at_once = late || matches!(policy, StartPolicy::SnapshotFirst { .. });
        // That there was none is no content to begin with: only where no server can be asked.
        let is_due = |found: &Found| late || at_once && found.document.is_some();
        match (&self.server, found) {
            _ if !policy.asks() => match (found, &self.disk) {
                (Some(found), _) => from_disk(found),
                (None, OnDisk::Unread) => (DocumentState::Pending, self.freshness()),
                (None, _) => (nothing_on_disk(), self.freshness()),
            },
            (DocumentState::Pending, Some(found)) if is_due(found) => from_disk(found),
            (DocumentState::Unreachable { last: None, why, cause }, Some(found)) => {
                let is_denied = *why == ErrorKind::Denied;
                if !is_denied {
                    return from_disk(found);
                }
                // Nobody may read it now: a reader who has seen the snapshot keeps it, and nobody
                // is shown it newly.
                let last = found.document.clone().filter(|_| at_once);
                let cause = Arc::clone(cause);
                (DocumentState::Unreachable { last, why: *why, cause }, self.freshness())
            }
            (word, _) => (word.clone(), self.freshness()),
        }
    }

    /// The same, where a snapshot of which filters can make nothing is as good as none: a server is
    /// waited for as if there were no disk.
    pub(super) fn shown_after(
        &self,
        passages: &Passages,
        policy: StartPolicy,
        late: bool,
    ) -> (DocumentState, Freshness) {
        let shown = self.shown(policy, late, true);
        let is_snapshot = matches!(shown.1, Freshness::FromDisk { .. });
        let has_failed = shown.0.document().is_some_and(|stored| passages.has_failed(stored));
        if is_snapshot && has_failed && policy.asks() {
            return self.shown(policy, late, false);
        }
        shown
    }

    /// Since when nothing is known, or somebody has confirmed it.
    pub(super) fn since(&self) -> Instant {
        match self.sureness {
            Sureness::Confirmed { at } => at,
            Sureness::Stale { since, .. } => since,
        }
    }

    /// The document by the server's word.
    pub(super) fn document(&self) -> Option<&Document> {
        self.server.document()
    }

    /// Whether the server has said whether it exists.
    pub(super) fn is_spoken(&self) -> bool {
        self.spoken
    }

    fn freshness(&self) -> Freshness {
        match self.sureness {
            Sureness::Confirmed { at } => Freshness::Confirmed { at },
            Sureness::Stale { since, why } => Freshness::Stale { since, why },
        }
    }

    /// The server's word is this now.
    pub(super) fn said(&mut self, now: Instant, word: DocumentState) {
        match &word {
            DocumentState::Present(_) | DocumentState::Absent => {
                self.sureness = Sureness::Confirmed { at: now };
                self.spoken = true;
            }
            DocumentState::Unreachable { why, .. } => self.doubted(now, *why),
            DocumentState::Pending => {}
        }
        self.server = word;
    }

    /// The server confirms its word. Says whether that was one.
    pub(super) fn confirmed(&mut self, now: Instant) -> bool {
        let is_known = matches!(self.server, DocumentState::Present(_) | DocumentState::Absent);
        if is_known {
            self.sureness = Sureness::Confirmed { at: now };
        }
        is_known
    }

    /// Nobody confirms it any more.
    pub(super) fn doubted(&mut self, now: Instant, why: ErrorKind) {
        let since = match self.sureness {
            Sureness::Stale { since, .. } => since,
            Sureness::Confirmed { .. } => now,
        };
        self.sureness = Sureness::Stale { since, why };
    }
}

fn from_disk(found: &Found) -> (DocumentState, Freshness) {
    let document = found.document.clone();
    let state = document.map_or(DocumentState::Absent, DocumentState::Present);
    (state, Freshness::FromDisk { age: found.age })
}

fn nothing_on_disk() -> DocumentState {
    let cause = "no server is asked (`offline`), and there is no snapshot".into();
    DocumentState::Unreachable { last: None, why: ErrorKind::Disconnected, cause }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn document(content: &str) -> Document {
        Document::new(content, "text")
    }

    fn unreachable(why: ErrorKind) -> DocumentState {
        DocumentState::Unreachable { last: None, why, cause: "a reason".into() }
    }

    fn known(server: DocumentState, disk: OnDisk) -> Known {
        let now = Instant::now();
        let mut known = Known::new(now);
        known.disk = disk;
        known.said(now, server);
        known
    }

    fn found(age: Duration) -> OnDisk {
        OnDisk::Found(Box::new(Found { document: Some(document("disk")), age }))
    }

    /// The content, or what else is shown, and how sure it is.
    fn words(known: &Known, policy: StartPolicy, late: bool) -> (String, &'static str) {
        let (state, freshness) = known.shown(policy, late, true);
        let state = match state {
            DocumentState::Pending => "pending".to_owned(),
            DocumentState::Absent => "absent".to_owned(),
            DocumentState::Present(document) => document.content.to_string(),
            DocumentState::Unreachable { last, .. } => {
                let last = last.map(|document| document.content.to_string());
                format!("unreachable {}", last.unwrap_or_default())
            }
        };
        let freshness = match freshness {
            Freshness::Confirmed { .. } => "confirmed",
            Freshness::Stale { .. } => "stale",
            Freshness::FromDisk { .. } => "from disk",
            Freshness::Overridden { .. } => "overridden",
        };
        (state, freshness)
    }

    #[test]
    fn start_matrix_of_policies_words_of_the_server_and_snapshots() {
        let policies = [
            StartPolicy::remote(),
            StartPolicy::remote_then_snapshot(),
            StartPolicy::snapshot_first(),
            StartPolicy::offline(),
        ];
        let server = |content| DocumentState::Present(document(content));
        let down = || unreachable(ErrorKind::Disconnected);
        let (disk, none) = (("disk", "from disk"), ("unreachable ", "stale"));
        let present = ("server", "confirmed");
        let absent = ("absent", "confirmed");
        let pending = ("pending", "stale");
        // A snapshot, none (or a damaged one), and one of eight days.
        let disks: [fn() -> OnDisk; 3] = [|| found(DAY), || OnDisk::Nothing, || found(DAY * 8)];
        let rows = [
            (server("server"), [[present; 3], [present; 3], [present; 3], [none; 3]]),
            (DocumentState::Absent, [[absent; 3], [absent; 3], [absent; 3], [none; 3]]),
            (down(), [[none; 3], [disk, none, none], [disk, none, none], [disk, none, disk]]),
            (
                DocumentState::Pending,
                [[pending; 3], [pending; 3], [disk, pending, pending], [disk, none, disk]],
            ),
        ];
        for (word, by_policy) in rows {
            for (policy, expected) in policies.into_iter().zip(by_policy) {
                for (at, (disk, (state, freshness))) in disks.iter().zip(expected).enumerate() {
                    // An offline watch makes no server say anything.
                    if !policy.asks() && !matches!(word, DocumentState::Pending) {
                        continue;
                    }
                    let known = known(word.clone(), disk());
                    let shown = words(&known, policy, false);
                    let expected = (state.to_owned(), freshness);
                    assert_eq!(shown, expected, "{policy:?}, {word:?}, snapshot {at}");
                }
            }
        }
    }

    #[test]
    fn snapshot_is_shown_once_the_server_has_had_its_time() {
        let known = known(DocumentState::Pending, found(DAY));
        let policy = StartPolicy::remote_then_snapshot();
        assert_eq!(words(&known, policy, false).0, "pending");
        assert_eq!(words(&known, policy, true), ("disk".to_owned(), "from disk"));
        assert_eq!(words(&known, StartPolicy::remote(), true).0, "pending");
    }

    #[test]
    fn document_that_was_absent_is_so_where_no_server_can_be_asked() {
        let removed = || OnDisk::Found(Box::new(Found { document: None, age: DAY }));
        let absent = ("absent".to_owned(), "from disk");
        let first = StartPolicy::snapshot_first();
        let pending = known(DocumentState::Pending, removed());
        assert_eq!(words(&pending, first, false).0, "pending", "the server may have one by now");
        for policy in [StartPolicy::default(), first] {
            assert_eq!(words(&pending, policy, true), absent);
            let down = known(unreachable(ErrorKind::Disconnected), removed());
            assert_eq!(words(&down, policy, false), absent);
            let denied = known(unreachable(ErrorKind::Denied), removed());
            assert_eq!(words(&denied, policy, true).0, "unreachable ");
        }
        assert_eq!(words(&pending, StartPolicy::offline(), false), absent);
        assert_eq!(words(&pending, StartPolicy::remote(), true).0, "pending");
    }

    #[test]
    fn missing_right_shows_no_snapshot_and_takes_none_away() {
        let known = known(unreachable(ErrorKind::Denied), found(DAY));
        let then = StartPolicy::remote_then_snapshot();
        assert_eq!(words(&known, then, false).0, "unreachable ");
        assert_eq!(words(&known, then, true).0, "unreachable disk");
        assert_eq!(words(&known, StartPolicy::snapshot_first(), false).0, "unreachable disk");
    }

    #[test]
    fn snapshot_that_was_shown_is_never_back_after_the_servers_word() {
        let now = Instant::now();
        let mut known = known(DocumentState::Pending, found(DAY));
        known.said(now, DocumentState::Absent);
        known.said(now, unreachable(ErrorKind::Disconnected));
        assert_eq!(words(&known, StartPolicy::snapshot_first(), true).0, "unreachable ");
    }

    #[test]
    fn file_of_an_operator_wins_over_everything_and_leaves_it_as_it_was() {
        let path: Arc<Path> = Path::new("/override/d").into();
        for policy in [StartPolicy::remote(), StartPolicy::offline()] {
            let mut known = known(DocumentState::Present(document("server")), OnDisk::Nothing);
            known.overridden = Some(Box::new((document("operator"), Arc::clone(&path))));
            assert_eq!(words(&known, policy, false), ("operator".to_owned(), "overridden"));
        }
    }

    #[test]
    fn doubt_lasts_from_the_first_until_a_confirmation() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut known = known(DocumentState::Absent, OnDisk::Nothing);
        assert!(known.confirmed(at(1)));
        known.doubted(at(2), ErrorKind::Disconnected);
        known.doubted(at(3), ErrorKind::Timeout);
        let expected = Sureness::Stale { since: at(2), why: ErrorKind::Timeout };
        assert_eq!(known.sureness, expected);
        assert!(known.confirmed(at(4)));
        assert_eq!(known.sureness, Sureness::Confirmed { at: at(4) });
    }
}
