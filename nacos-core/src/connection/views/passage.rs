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

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop};

    use super::*;
    use crate::filter::FilterError;

    fn stored(version: u32) -> Document {
        Document::new(format!("cipher {version}"), "text")
    }

    fn version(document: &Document) -> u32 {
        let text = document.content.strip_prefix("clear ").expect("no cipher text is shown");
        text.parse().expect("a version")
    }

    /// The document as the filters show it, or their error.
    fn outcome(stored: &Document, fails: bool) -> Result<Document, FilterError> {
        if fails {
            return Err(FilterError::rejected("no"));
        }
        let text = stored.content.strip_prefix("cipher ").expect("a version");
        Ok(Document { content: format!("clear {text}").into(), ..stored.clone() })
    }

    /// One view, its reader, and a filter that has one content at a time.
    struct World {
        now: Instant,
        passages: Passages,
        passage: Passage,
        /// Shown without filters.
        newest: (DocumentState, Freshness),
        reader: (Arc<DocumentState>, Arc<Freshness>),
        under_way: Option<Document>,
    }

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            let nothing = Freshness::Stale { since: now, why: ErrorKind::Disconnected };
            Self {
                now,
                passages: Passages::default(),
                passage: Passage::default(),
                newest: (DocumentState::Pending, nothing.clone()),
                reader: (Arc::new(DocumentState::Pending), Arc::new(nothing)),
                under_way: None,
            }
        }

        fn show(&mut self) {
            let before = self.reader.clone();
            let (state, freshness) =
                self.passage.shown(&self.passages, self.newest.clone(), || before);
            self.reader = (Arc::new(state), Arc::new(freshness));
            self.passages.keep(self.newest.0.document().cloned().into_iter().collect());
        }

        fn server(&mut self, state: DocumentState) {
            self.newest = (state, Freshness::Confirmed { at: self.now });
            self.show();
        }

        /// The filter begins with what is wanted, or ends with what it has.
        fn filter(&mut self, fails: bool) {
            match self.under_way.take() {
                None => self.under_way = self.passages.wanted.first().cloned(),
                Some(stored) => {
                    let outcome = outcome(&stored, fails);
                    self.passages.passed(self.now, Passed { stored, outcome });
                    self.show();
                }
            }
        }

        fn shown(&self) -> Option<u32> {
            self.reader.0.document().map(version)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Publish,
        Remove,
        Lose,
        Filter { fails: bool },
    }

    proptest::proptest! {
        #[test]
        fn any_history_shows_clear_text_alone_in_order_and_ends_with_the_newest(
            steps in prop::collection::vec(
                (0..10_u8, any::<bool>()).prop_map(|(kind, fails)| match kind {
                    0..=3 => Step::Publish,
                    4 => Step::Remove,
                    5 => Step::Lose,
                    _ => Step::Filter { fails },
                }),
                1..60,
            ),
        ) {
            let mut world = World::new();
            let (mut newest, mut last) = (0, 0);
            for step in steps {
                match step {
                    Step::Publish => {
                        newest += 1;
                        world.server(DocumentState::Present(stored(newest)));
                    }
                    Step::Remove => {
                        world.server(DocumentState::Absent);
                        assert_eq!(*world.reader.0, DocumentState::Absent, "it waits for nobody");
                    }
                    Step::Lose => {
                        let why = ErrorKind::Disconnected;
                        world.newest.1 = Freshness::Stale { since: world.now, why };
                        world.show();
                        assert!(!world.reader.1.is_confirmed(), "it is told at once");
                    }
                    Step::Filter { fails } => world.filter(fails),
                }
                if let Some(shown) = world.shown() {
                    assert!(shown >= last, "{shown} after {last}");
                    last = shown;
                }
                let is_newest = world.shown() == Some(newest);
                let is_failing = matches!(*world.reader.0, DocumentState::Unreachable { .. });
                assert!(!is_failing || !is_newest && !world.reader.1.is_confirmed());
            }
            // The filter works from now on, and has all the time that it needs.
            for _ in 0..4 {
                world.filter(false);
            }
            if let DocumentState::Present(_) = world.newest.0 {
                assert_eq!(world.shown(), Some(newest));
                assert!(matches!(*world.reader.0, DocumentState::Present(_)));
                assert_eq!(*world.reader.1, world.newest.1);
            }
            assert!(world.passages.wanted.is_empty() && world.passages.outcomes.len() <= 1);
        }
    }

    #[test]
    fn first_failure_is_that_since_which_it_is_stale() {
        let mut world = World::new();
        let start = world.now;
        world.server(DocumentState::Present(stored(1)));
        for _ in 0..3 {
            world.filter(true);
            world.filter(true);
            world.now += std::time::Duration::from_secs(1);
        }
        let Freshness::Stale { since, why } = *world.reader.1 else { panic!("it failed") };
        assert_eq!((since, why), (start, ErrorKind::Filter));
    }
}
