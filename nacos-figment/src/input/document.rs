//! One document that is watched, and the last that is known of it for certain.
use std::{error::Error, path::Path, sync::Arc, time::Duration};

use nacos_core::{ConfigKey, Document, DocumentState, ErrorKind, Freshness, Live, Watch};
use tokio::time::Instant;

use super::import::Imported;
use crate::{
    pipeline::Text,
    report::{Doubt, Issue, Source, StaleDocument},
};

/// A document that is watched.
pub(crate) struct WatchedDocument {
    imported: Imported,
    name: Arc<str>,
    state: Live<DocumentState>,
    /// How sure that is; a test may do without.
    sureness: Option<Live<Freshness>>,
    /// Keeps the watch; a test may do without a server.
    watch: Option<Watch>,
    last_known: LastKnown,
    /// Why that may not be the newest, since the last look.
    stale: Option<StaleDocument>,
    /// The file of an operator that stands in its place, since the last look.
    overridden: Option<Arc<Path>>,
}

/// The last that is known for certain. A document that cannot be asked for changes nothing.
enum LastKnown {
    Unknown,
    Absent,
    Present(Document),
    /// The server removed it. It stays in use until this moment, for it may come back.
    Removed(Document, Instant),
}

impl WatchedDocument {
    pub(crate) fn new(
        imported: Imported,
        state: Live<DocumentState>,
        watch: Option<Watch>,
    ) -> Self {
        let name = format!("nacos://{}", imported.key).into();
        let sureness = watch.as_ref().map(Watch::freshness);
        let last_known = LastKnown::Unknown;
        Self { imported, name, state, sureness, watch, last_known, stale: None, overridden: None }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_of(&self, key: &ConfigKey) -> bool {
        self.imported.key == *key
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.last_known, LastKnown::Unknown)
    }

    pub(super) fn refetch(&self) {
        if let Some(watch) = &self.watch {
            watch.refetch();
        }
    }

    /// Waits for a new state, or another sureness; `false` once the client is shut down. Cancel
    /// safe.
    pub(super) async fn changed(&mut self) -> bool {
        let Some(sureness) = &mut self.sureness else {
            return self.state.changed().await.is_some();
        };
        tokio::select! {
            state = self.state.changed() => state.is_some(),
            sureness = sureness.changed() => sureness.is_some(),
        }
    }

    /// Takes over the newest state.
    pub(super) fn update(&mut self, now: Instant) {
        // First: then it is no surer than the state that is found.
        let sureness = self.sureness.as_ref().map(Live::get);
        let state = self.state.get();
        let is_from_disk = matches!(sureness.as_deref(), Some(Freshness::FromDisk { .. }));
        let is_encrypted = state.document().is_some_and(Document::is_encrypted);
        match &*state {
            // Cipher text cannot be parsed: the last readable content stays in force.
            DocumentState::Present(_) if is_encrypted => self.expire_removed(now),
            DocumentState::Present(document) => {
                self.last_known = LastKnown::Present(document.clone());
            }
            // A server may have it by now: nothing to begin with where it must be there.
            DocumentState::Absent if is_from_disk && self.imported.required => {}
            DocumentState::Absent => self.mark_absent(now),
            DocumentState::Unreachable { last, why, .. } => {
                // A document that can be read but not watched is not enough to start with.
                if let (LastKnown::Unknown, Some(last)) = (&self.last_known, last)
                    && !is_encrypted
                    && *why != ErrorKind::Denied
                {
                    self.last_known = LastKnown::Present(last.clone());
                }
                self.expire_removed(now);
            }
            _ => {}
        }
        self.overridden = match sureness.as_deref() {
            Some(Freshness::Overridden { path }) => Some(Arc::clone(path)),
            _ => None,
        };
        self.note_why_stale(&state, sureness.as_deref(), is_encrypted);
    }

    /// Why the last known content may not be the newest, if that is so; since the last update.
    pub(crate) fn stale(&self) -> Option<&StaleDocument> {
        self.stale.as_ref()
    }

    /// The file of an operator that stands in its place, as of the last update.
    pub(super) fn overridden(&self) -> Option<&Arc<Path>> {
        self.overridden.as_ref()
    }

    fn note_why_stale(
        &mut self,
        state: &DocumentState,
        sureness: Option<&Freshness>,
        is_encrypted: bool,
    ) {
        let doubt = match (state, sureness) {
            (DocumentState::Pending, _) => None,
            (DocumentState::Unreachable { why, cause, .. }, _) => {
                Some((Doubt::Withheld, *why, &**cause))
            }
            (DocumentState::Present(_), _) if is_encrypted => {
                Some((Doubt::Withheld, ErrorKind::Protocol, ENCRYPTED))
            }
            (_, Some(Freshness::FromDisk { .. })) => {
                Some((Doubt::FromDisk, ErrorKind::Disconnected, FROM_DISK))
            }
            (_, Some(Freshness::Stale { why, .. })) => {
                Some((Doubt::Unconfirmed, *why, UNCONFIRMED))
            }
            _ => None,
        };
        let Some((doubt, why, cause)) = doubt else {
            self.stale = None;
            return;
        };
        let needs_help = is_encrypted
            || matches!(why, ErrorKind::Denied | ErrorKind::Filter | ErrorKind::Refused);
        let is_known = |known: &StaleDocument| {
            (known.doubt, known.why, &*known.cause, known.needs_help)
                == (doubt, why, cause, needs_help)
        };
        if self.stale.as_ref().is_some_and(is_known) {
            return;
        }
        let source: Arc<dyn Error + Send + Sync> = match state.error() {
            Some(error) => Arc::new(error),
            None => Box::<dyn Error + Send + Sync>::from(cause).into(),
        };
        let (name, cause) = (Arc::clone(&self.name), cause.into());
        self.stale = Some(StaleDocument { name, why, cause, doubt, needs_help, source });
    }

    /// A removed document is absent once its time is over, whatever the server says since.
    fn expire_removed(&mut self, now: Instant) {
        if matches!(self.last_known, LastKnown::Removed(_, until) if until <= now) {
            self.last_known = LastKnown::Absent;
        }
    }

    fn mark_absent(&mut self, now: Instant) {
        match &self.last_known {
            LastKnown::Present(document) if !self.imported.required => {
                self.last_known = LastKnown::Removed(document.clone(), now + GRACE);
                self.refetch();
            }
            LastKnown::Removed(_, until) if now < *until => {}
            _ => self.last_known = LastKnown::Absent,
        }
    }

    /// When it changes without a new state.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        match &self.last_known {
            LastKnown::Removed(_, until) => Some(*until),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Text {
        let document = match &self.last_known {
            LastKnown::Present(document) | LastKnown::Removed(document, _) => Some(document),
            LastKnown::Unknown | LastKnown::Absent => None,
        };
        let md5 = document.map(|document| Arc::clone(&document.md5));
        Text {
            source: Source { name: Arc::clone(&self.name), md5 },
            content: document.map(|document| Arc::clone(&document.content)),
            format: self.imported.format,
            content_type: document.map(|document| Arc::clone(&document.content_type)),
            must_not_be_empty: self.imported.required && !self.imported.allow_empty,
        }
    }

    /// Why no content of it can be read, be it published now or later.
    pub(super) fn unreadable(&self) -> Option<Issue> {
        let is_encrypted = self.state.get().document().is_some_and(Document::is_encrypted);
        is_encrypted.then(|| Issue::new(ENCRYPTED).in_source(&self.name))
    }

    pub(super) fn issue(&self) -> Option<Issue> {
        let missing = self.imported.required && matches!(self.last_known, LastKnown::Absent);
        missing.then(|| Issue::new("the document does not exist").in_source(&self.name))
    }
}

/// The cause where a document is as it was before the start.
const FROM_DISK: &str = "it is a snapshot on disk, which no server has confirmed yet";

/// The cause where it was confirmed, and nobody would tell of a change now.
const UNCONFIRMED: &str = "no server confirms it at present";

/// The cause in errors and warnings about encrypted documents.
pub(crate) const ENCRYPTED: &str = "the document is encrypted (its data id begins with `cipher-`, \
    or an encrypted data key came with it), and no filter of this client has decrypted it";
/// How long a document stays in use after the server removed it.
const GRACE: Duration = Duration::from_secs(3);
