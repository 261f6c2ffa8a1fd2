//! What the outside says: documents that are followed, and files.
use std::{sync::Arc, time::Duration};

use futures_util::future::select_all;
use nacos_core::{Document, DocumentState, ErrorKind, Live, Watch, digest};
use tokio::time::{Instant, sleep_until};

use crate::{
    file::LocalFile,
    import::Imported,
    pipeline::Text,
    report::{Issue, Refusal, Source, Stage},
    status::Freshness,
    tasks,
};

/// All texts of a configuration. Each file and document overrides those before it.
pub(crate) struct Inputs {
    files: Vec<File>,
    documents: Vec<Followed>,
}

struct File {
    file: LocalFile,
    /// What was read last.
    content: Result<Option<Arc<str>>, Issue>,
}

/// A document that is followed.
pub(crate) struct Followed {
    imported: Imported,
    name: Arc<str>,
    state: Live<DocumentState>,
    /// Keeps the watch; a test may do without a server.
    watch: Option<Watch>,
    known: Known,
    /// What is there now cannot be read, which has been said.
    is_encrypted: bool,
}

/// The last that is known for certain: what cannot be asked for right now changes nothing.
enum Known {
    Nothing,
    Absent,
    Present(Document),
    /// The server says that it is gone; believed after a while, for it may be about to come back.
    Going(Document, Instant),
}

/// Why a document is not known as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Unreachable {
    pub(crate) why: ErrorKind,
    /// The same in words.
    pub(crate) cause: Arc<str>,
}

/// What all texts are at one moment.
pub(crate) struct Collected {
    pub(crate) texts: Arc<[Text]>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) freshness: Freshness,
}

impl Collected {
    pub(crate) fn sources(&self) -> Arc<[Source]> {
        self.texts.iter().map(|text| text.source.clone()).collect()
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.issues.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(Stage::Collect, self.issues.clone()))
    }

    /// What tells one configuration from another.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let text = |text: &Text| [text.source.md5.clone(), text.content_type.clone()];
        Fingerprint { texts: self.texts.iter().map(text).collect(), issues: self.issues.clone() }
    }
}

/// The digests and types of all texts, and what is wrong with those that cannot be had.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Fingerprint {
    texts: Vec<[Option<Arc<str>>; 2]>,
    issues: Vec<Issue>,
}

impl Followed {
    pub(crate) fn new(
        imported: Imported,
        state: Live<DocumentState>,
        watch: Option<Watch>,
    ) -> Self {
        let name = format!("nacos://{}", imported.key).into();
        Self { imported, name, state, watch, known: Known::Nothing, is_encrypted: false }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes in what is known now; says why it is not what the server has, if so.
    fn look(&mut self, now: Instant) -> Option<Unreachable> {
        let state = self.state.get();
        let is_encrypted = state.document().is_some_and(Document::is_encrypted);
        if is_encrypted && !self.is_encrypted {
            tracing::warn!(document = %self.name, "not read as configuration: {ENCRYPTED}");
        }
        self.is_encrypted = is_encrypted;
        match &*state {
            // Cipher text is nothing that could be parsed: what was readable stays in force.
            DocumentState::Present(_) if is_encrypted => {
                self.settle(now);
                let why = ErrorKind::Protocol;
                return Some(Unreachable { why, cause: ENCRYPTED.into() });
            }
            DocumentState::Present(document) => self.known = Known::Present(document.clone()),
            DocumentState::Absent => self.lose(now),
            DocumentState::Unreachable { last, why, cause } => {
                // What may be read, but not followed, is no beginning.
                if let (Known::Nothing, Some(last)) = (&self.known, last)
                    && !is_encrypted
                    && *why != ErrorKind::Denied
                {
                    self.known = Known::Present(last.clone());
                }
                self.settle(now);
                return Some(Unreachable { why: *why, cause: Arc::clone(cause) });
            }
            _ => {}
        }
        None
    }

    /// What the server said to be gone is gone by now, whatever it is that it says since.
    fn settle(&mut self, now: Instant) {
        if matches!(self.known, Known::Going(_, until) if until <= now) {
            self.known = Known::Absent;
        }
    }

    fn lose(&mut self, now: Instant) {
        match &self.known {
            Known::Present(document) if !self.imported.required => {
                self.known = Known::Going(document.clone(), now + GRACE);
                if let Some(watch) = &self.watch {
                    watch.refetch();
                }
            }
            Known::Going(_, until) if now < *until => {}
            _ => self.known = Known::Absent,
        }
    }

    /// When to look again even if nothing changes.
    fn look_again_at(&self) -> Option<Instant> {
        match &self.known {
            Known::Going(_, until) => Some(*until),
            _ => None,
        }
    }

    fn text(&self) -> Text {
        let document = match &self.known {
            Known::Present(document) | Known::Going(document, _) => Some(document),
            Known::Nothing | Known::Absent => None,
        };
        let md5 = document.map(|document| Arc::clone(&document.md5));
        Text {
            source: Source { name: Arc::clone(&self.name), md5 },
            content: document.map(|document| Arc::clone(&document.content)),
            format: self.imported.format,
            content_type: document.map(|document| Arc::clone(&document.content_type)),
            must_speak: self.imported.required && !self.imported.allow_empty,
        }
    }

    fn issue(&self) -> Option<Issue> {
        let missing = self.imported.required && matches!(self.known, Known::Absent);
        missing.then(|| Issue::new("the document does not exist").in_source(&self.name))
    }
}

impl Inputs {
    pub(crate) fn new(files: Vec<LocalFile>, documents: Vec<Followed>) -> Self {
        let files = files.into_iter().map(|file| File { file, content: Ok(None) }).collect();
        Self { files, documents }
    }

    /// Reads the files again, and asks for the documents again.
    pub(crate) async fn refresh(&mut self) {
        for watch in self.documents.iter().filter_map(|document| document.watch.as_ref()) {
            watch.refetch();
        }
        self.read_files().await;
    }

    pub(crate) async fn read_files(&mut self) {
        for File { file, content } in &mut self.files {
            let reader = file.clone();
            let read = tasks::blocking(move || reader.read()).await;
            *content = read.unwrap_or_else(|| {
                Err(Issue::new("the file cannot be read").in_source(&file.name()))
            });
        }
    }

    /// Waits until the server has told everything once. Cancel safe.
    pub(crate) async fn known(&mut self) -> Result<(), Unknown> {
        loop {
            let now = Instant::now();
            for document in &mut self.documents {
                let why = document.look(now);
                if matches!(document.known, Known::Nothing)
                    && let Some(why) = why
                    && (document.is_encrypted
                        || matches!(why.why, ErrorKind::Denied | ErrorKind::Refused))
                {
                    return Err(Unknown::Unreachable(Arc::clone(&document.name), why));
                }
            }
            if self.unknown().next().is_none() {
                return Ok(());
            }
            if !self.changed().await {
                return Err(Unknown::Closed);
            }
        }
    }

    /// The documents that nothing is known of.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &str> {
        let unknown = |document: &&Followed| matches!(document.known, Known::Nothing);
        self.documents.iter().filter(unknown).map(Followed::name)
    }

    /// What the client says of a document that nothing is known of, if it says anything.
    pub(crate) fn error(&self) -> Option<nacos_core::Error> {
        let mut unknown = self.documents.iter().filter(|item| matches!(item.known, Known::Nothing));
        unknown.find_map(|document| document.state.get().error())
    }

    /// Waits until something may have changed; `false` once the client is shut down. Cancel safe.
    pub(crate) async fn changed(&mut self) -> bool {
        let again = self.documents.iter().filter_map(Followed::look_again_at).min();
        let states = self.documents.iter_mut().map(|document| Box::pin(document.state.changed()));
        let states: Vec<_> = states.collect();
        if states.is_empty() {
            return std::future::pending().await;
        }
        let alive = tokio::select! {
            (state, ..) = select_all(states) => state.is_some(),
            // A document that is said to be gone is gone now.
            () = at(again) => true,
        };
        // Taken in at once: what was due is not due again, or who waits would never rest.
        self.look();
        alive
    }

    /// Takes in what is known now; says why a document could not be asked for, if so.
    fn look(&mut self) -> Option<Unreachable> {
        let now = Instant::now();
        self.documents.iter_mut().filter_map(|document| document.look(now)).last()
    }

    pub(crate) fn collect(&mut self) -> Collected {
        let unreachable = self.look();
        let freshness = unreachable
            .map_or(Freshness::Verified, |unreachable| Freshness::Stale { why: unreachable.why });
        let mut texts = Vec::new();
        let mut issues = Vec::new();
        for File { file, content } in &self.files {
            let content = match content {
                Ok(content) => content.clone(),
                Err(issue) => {
                    issues.push(issue.clone());
                    None
                }
            };
            texts.push(file_text(file, content));
        }
        for document in &self.documents {
            texts.push(document.text());
            issues.extend(document.issue());
        }
        Collected { texts: texts.into(), issues, freshness }
    }

    /// Whether several documents may change together.
    pub(crate) fn may_change_together(&self) -> bool {
        self.documents.len() > 1
    }
}

/// Why not everything is known.
pub(crate) enum Unknown {
    Closed,
    /// This document, and what only somebody's help can change.
    Unreachable(Arc<str>, Unreachable),
}

fn file_text(file: &LocalFile, content: Option<Arc<str>>) -> Text {
    let name = file.name();
    Text {
        format: file.format.or_else(|| crate::format::Format::of_name(&name)),
        source: Source { name, md5: content.as_deref().map(|content| digest(content).into()) },
        content,
        content_type: None,
        must_speak: false,
    }
}

/// Waits until `deadline`, if there is one.
pub(crate) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Why an encrypted document is not read.
pub(crate) const ENCRYPTED: &str = "the document is encrypted (its data id begins with `cipher-`, or \
    an encrypted data key came with it), and this client decrypts nothing";
/// How long a document that was there is used on after the server said that it is gone.
const GRACE: Duration = Duration::from_secs(3);
