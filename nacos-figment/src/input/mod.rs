//! The inputs of a configuration: local files, documents that are watched, the environment.
mod document;
pub(crate) mod env;
mod file;
mod import;
mod services;

use std::sync::Arc;

use futures_util::future::select_all;
use nacos_core::{ConfigKey, digest};
use tokio::time::Instant;

pub(crate) use self::{
    document::{ENCRYPTED, WatchedDocument},
    import::{Imported, expand},
};
pub use self::{file::LocalFile, import::Import};
use crate::{
    format::Format,
    pipeline::Text,
    report::{Freshness, Issue, Source, Stage, StageError, StaleDocument},
    tasks,
    time::sleep_until,
};

/// The files and documents of a configuration. Each overrides those before it.
pub(crate) struct Inputs {
    files: Vec<File>,
    documents: Vec<WatchedDocument>,
}

struct File {
    file: LocalFile,
    /// The text that was read last.
    content: Result<Option<Arc<str>>, Issue>,
}

/// All inputs at one moment.
pub(crate) struct Collected {
    pub(crate) texts: Arc<[Text]>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) freshness: Freshness,
}

impl Collected {
    pub(crate) fn sources(&self) -> Arc<[Source]> {
        self.texts.iter().map(|text| text.source.clone()).collect()
    }

    pub(crate) fn check(&self) -> Result<(), StageError> {
        if self.issues.is_empty() {
            return Ok(());
        }
        Err(StageError::new(Stage::Collect, self.issues.clone()))
    }

    /// Tells one configuration from another.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let text = |text: &Text| [text.source.md5.clone(), text.content_type.clone()];
        Fingerprint { texts: self.texts.iter().map(text).collect(), issues: self.issues.clone() }
    }
}

/// The digests and types of all texts, and the issues with those that are missing.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Fingerprint {
    texts: Vec<[Option<Arc<str>>; 2]>,
    issues: Vec<Issue>,
}

impl Inputs {
    pub(crate) fn new(files: Vec<LocalFile>, documents: Vec<WatchedDocument>) -> Self {
        let files = files.into_iter().map(|file| File { file, content: Ok(None) }).collect();
        Self { files, documents }
    }

    /// Reads the files again, and asks for the documents again.
    pub(crate) async fn refresh(&mut self) {
        self.documents.iter().for_each(WatchedDocument::refetch);
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

    /// Waits until every document is known, present or absent. Cancel safe.
    pub(crate) async fn all_known(&mut self) -> Result<(), LoadError> {
        loop {
            let now = Instant::now();
            for document in &mut self.documents {
                document.update(now);
                let needs_help = document.stale().filter(|stale| stale.needs_help);
                if let Some(stale) = needs_help.filter(|_| document.is_unknown()) {
                    return Err(LoadError::Unreachable(stale.clone()));
                }
            }
            if self.unknown().next().is_none() {
                return Ok(());
            }
            if !self.changed().await {
                return Err(LoadError::Closed);
            }
        }
    }

    /// The documents of which it is not known whether they exist.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &WatchedDocument> {
        self.documents.iter().filter(|document| document.is_unknown())
    }

    /// Waits until something may have changed; `false` once the client is shut down. Cancel safe.
    pub(crate) async fn changed(&mut self) -> bool {
        let expires_at = self.documents.iter().filter_map(WatchedDocument::expires_at).min();
        let states: Vec<_> =
            self.documents.iter_mut().map(|document| Box::pin(document.changed())).collect();
        if states.is_empty() {
            return std::future::pending().await;
        }
        let alive = tokio::select! {
            (alive, ..) = select_all(states) => alive,
            () = sleep_until(expires_at) => true,
        };
        // At once: otherwise an expired document stays due, and a caller in a loop never rests.
        self.update();
        alive
    }

    /// Takes over the newest states.
    fn update(&mut self) {
        let now = Instant::now();
        self.documents.iter_mut().for_each(|document| document.update(now));
    }

    pub(crate) fn collect(&mut self) -> Collected {
        self.update();
        let stale = self.documents.iter().filter_map(WatchedDocument::stale);
        let overridden = self.documents.iter().filter_map(WatchedDocument::overridden);
        let freshness = Freshness::of(stale.cloned().collect(), overridden.cloned().collect());
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

    /// The same with this content of `document`, as if it had been published; none if no import is
    /// of it.
    pub(crate) fn collect_with(
        &mut self,
        document: &ConfigKey,
        content: &Arc<str>,
    ) -> Option<Collected> {
        let mut collected = self.collect();
        let mut texts = collected.texts.to_vec();
        let mut is_imported = false;
        let of_documents = texts.iter_mut().skip(self.files.len());
        for (watched, text) in self.documents.iter().zip(of_documents) {
            if watched.is_of(document) {
                text.source.md5 = Some(digest(content).into());
                text.content = Some(Arc::clone(content));
                let missing = watched.issue();
                collected.issues.retain(|issue| Some(issue) != missing.as_ref());
                collected.issues.extend(watched.unreadable());
                is_imported = true;
            }
        }
        collected.texts = texts.into();
        is_imported.then_some(collected)
    }

    /// Whether several documents may change together.
    pub(crate) fn may_change_together(&self) -> bool {
        self.documents.len() > 1
    }
}

/// Why not every document is known.
pub(crate) enum LoadError {
    Closed,
    /// This document, for a reason that only an operator can change.
    Unreachable(StaleDocument),
}

fn file_text(file: &LocalFile, content: Option<Arc<str>>) -> Text {
    let name = file.name();
    Text {
        format: file.format.or_else(|| Format::of_name(&name)),
        source: Source { name, md5: content.as_deref().map(|content| digest(content).into()) },
        content,
        content_type: None,
        must_not_be_empty: false,
    }
}
