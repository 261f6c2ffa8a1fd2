//! Of a document that has to pass filters, a reader is shown what they made of it: a pure function
//! of what is shown without them, and of what has passed.
use std::{sync::Arc, time::Instant};

use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    filter::Passed,
    freshness::Freshness,
};

/// The results of the filters for one document, and what they were asked for.
#[derive(Debug, Default)]
pub(super) struct Passages {
    /// Of each content that a view shows.
    outcomes: Vec<(Document, Outcome)>,
    /// The contents that they are asked for.
    pub(super) wanted: Vec<Document>,
}

#[derive(Debug)]
enum Outcome {
    Passed(Document),
    Failed { since: Instant, why: ErrorKind, cause: Arc<str> },
}

/// The way of one view through the filters.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// The last that passed.
    good: Option<Document>,
    /// The first that was wanted since, and whether it is a snapshot.
    under_way: Option<(Document, bool)>,
}

impl Passages {
    /// Something has passed, or failed.
    pub(super) fn passed(&mut self, now: Instant, Passed { stored, outcome }: Passed) {
        let at = self.outcomes.iter().position(|(known, _)| *known == stored);
        let former = at.map(|at| self.outcomes.swap_remove(at).1);
        let outcome = match outcome {
            Ok(document) => Outcome::Passed(document),
            Err(error) => {
                let since = match former {
                    Some(Outcome::Failed { since, .. }) => since,
                    _ => now,
                };
                Outcome::Failed { since, why: error.kind(), cause: error.to_string().into() }
            }
        };
        self.outcomes.push((stored, outcome));
    }

    /// Keeps what is still to be shown, and says whether something else is wanted than was.
    pub(super) fn keep(&mut self, stored: Vec<Document>) -> bool {
        self.outcomes.retain(|(known, _)| stored.contains(known));
        let passed = |document: &Document| matches!(self.of(document), Some(Outcome::Passed(_)));
        let wanted: Vec<_> = stored.into_iter().filter(|document| !passed(document)).collect();
        let is_new = wanted != self.wanted;
        self.wanted = wanted;
        is_new
    }

    /// Whether the filters could not make anything of it.
    pub(super) fn has_failed(&self, stored: &Document) -> bool {
        matches!(self.of(stored), Some(Outcome::Failed { .. }))
    }

    fn of(&self, stored: &Document) -> Option<&Outcome> {
        self.outcomes.iter().find(|(known, _)| known == stored).map(|(_, outcome)| outcome)
    }
}

impl Passage {
    /// The state to show in place of `state`, which is shown without filters; `before` is shown
    /// now.
    pub(super) fn shown(
        &mut self,
        passages: &Passages,
        (state, freshness): (DocumentState, Freshness),
        before: impl FnOnce() -> (Arc<DocumentState>, Arc<Freshness>),
    ) -> (DocumentState, Freshness) {
        let Some(stored) = state.document() else {
            *self = Self::default();
            return (state, freshness);
        };
        if matches!(freshness, Freshness::Overridden { .. }) {
            self.under_way = None;
            return (state, freshness);
        }
        self.catch_up(passages);
        match (passages.of(stored), state) {
            (Some(Outcome::Passed(document)), DocumentState::Unreachable { why, cause, .. }) => {
                *self = Self { good: Some(document.clone()), under_way: None };
                (DocumentState::Unreachable { last: Some(document.clone()), why, cause }, freshness)
            }
            (Some(Outcome::Passed(document)), _) => {
                *self = Self { good: Some(document.clone()), under_way: None };
                (DocumentState::Present(document.clone()), freshness)
            }
            // The server's own reason is the more urgent one.
            (Some(Outcome::Failed { .. }), DocumentState::Unreachable { why, cause, .. }) => {
                self.under_way = None;
                (DocumentState::Unreachable { last: self.good.clone(), why, cause }, freshness)
            }
            (Some(Outcome::Failed { since, why, cause }), _) => {
                self.under_way = None;
                let (since, why, cause) = (*since, *why, Arc::clone(cause));
                let last = self.good.clone();
                let state = DocumentState::Unreachable { last, why, cause };
                (state, Freshness::Stale { since, why })
            }
            (None, state) => {
                let is_snapshot = matches!(freshness, Freshness::FromDisk { .. });
                if self.under_way.as_ref().is_none_or(|(_, other)| *other != is_snapshot) {
                    self.under_way = state.document().cloned().map(|it| (it, is_snapshot));
                }
                self.wait(freshness, before())
            }
        }
    }

    /// The state to show until the filters have an outcome: the one from before, or a newer one
    /// that has passed.
    fn wait(
        &self,
        freshness: Freshness,
        (state, before): (Arc<DocumentState>, Arc<Freshness>),
    ) -> (DocumentState, Freshness) {
        let freshness = match freshness {
            Freshness::Stale { .. } => freshness,
            _ => Freshness::clone(&before),
        };
        let is_shown = matches!(*before, Freshness::Overridden { .. })
            || state.document() == self.good.as_ref();
        match &self.good {
            Some(good) if !is_shown => (DocumentState::Present(good.clone()), freshness),
            _ => (DocumentState::clone(&state), freshness),
        }
    }

    /// The content under way may have passed while it was replaced: however often that happens, it
    /// is newer than what is shown.
    fn catch_up(&mut self, passages: &Passages) {
        let under_way = self.under_way.as_ref().and_then(|(stored, _)| passages.of(stored));
        match under_way {
            Some(Outcome::Passed(document)) => {
                *self = Self { good: Some(document.clone()), under_way: None };
            }
            Some(Outcome::Failed { .. }) => self.under_way = None,
            None => {}
        }
    }
}
