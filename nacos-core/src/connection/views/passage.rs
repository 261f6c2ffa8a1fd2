//! Of a document that has to pass filters, a reader is shown what they made of it: a pure function
//! of what is shown without them, and of what has passed.
use std::{sync::Arc, time::Instant};

use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    filter::{Number, Passed},
    freshness::Freshness,
};

/// The results of the filters for one document, and what they were asked for.
#[derive(Debug, Default)]
pub(super) struct Passages {
    /// Each that a view shows, and one that passed late, until that is shown.
    contents: Vec<Content>,
    /// The contents that the filters are asked for.
    pub(super) wanted: Vec<(Document, Number)>,
    /// The number of the next content.
    next: u64,
}

#[derive(Debug)]
struct Content {
    stored: Document,
    number: Number,
    outcome: Option<Outcome>,
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
    /// Contents from this number on are newer than what is shown. None before the first.
    newer: Option<u64>,
}

impl Passages {
    /// Something has passed, or failed.
    pub(super) fn passed(&mut self, now: Instant, Passed { stored, number, outcome }: Passed) {
        let known = self.contents.iter_mut().find(|known| known.stored == stored);
        match (known, outcome) {
            (Some(known), Ok(document)) => known.outcome = Some(Outcome::Passed(document)),
            // It has been replaced meanwhile.
            (None, Ok(document)) => {
                let outcome = Some(Outcome::Passed(document));
                self.contents.push(Content { stored, number, outcome });
            }
            // Content that has passed is still good: it was asked for again before that was known.
            (Some(Content { outcome: Some(Outcome::Passed(_)), .. }) | None, Err(_)) => {}
            (Some(known), Err(error)) => {
                let since = match known.outcome {
                    Some(Outcome::Failed { since, .. }) => since,
                    _ => now,
                };
                let (why, cause) = (error.kind(), error.to_string().into());
                known.outcome = Some(Outcome::Failed { since, why, cause });
            }
        }
    }

    /// Keeps what is still to be shown, and says whether something else is wanted than was. Of each
    /// content: whether it is nothing but a snapshot.
    pub(super) fn keep(&mut self, stored: Vec<(Document, bool)>) -> bool {
        self.contents.retain(|known| stored.iter().any(|(stored, _)| *stored == known.stored));
        for (stored, is_snapshot) in stored {
            let number = Number { at: self.next, is_snapshot };
            match self.contents.iter_mut().find(|known| known.stored == stored) {
                // The server says the same as the disk.
                Some(known) if known.number.is_snapshot && !is_snapshot => known.number = number,
                Some(_) => continue,
                None => self.contents.push(Content { stored, number, outcome: None }),
            }
            self.next += 1;
        }
        let unpassed = |known: &&Content| !matches!(known.outcome, Some(Outcome::Passed(_)));
        let wanted = self.contents.iter().filter(unpassed);
        let wanted: Vec<_> = wanted.map(|known| (known.stored.clone(), known.number)).collect();
        let is_new = wanted != self.wanted;
        self.wanted = wanted;
        is_new
    }

    /// Whether the filters could not make anything of it.
    pub(super) fn has_failed(&self, stored: &Document) -> bool {
        matches!(self.of(stored), Some(Outcome::Failed { .. }))
    }

    fn of(&self, stored: &Document) -> Option<&Outcome> {
        self.contents.iter().find(|known| known.stored == *stored)?.outcome.as_ref()
    }

    /// The number that `stored` has, or will get.
    fn number(&self, stored: &Document) -> u64 {
        let known = self.contents.iter().find(|known| known.stored == *stored);
        known.map_or(self.next, |known| known.number.at)
    }

    /// The newest that has passed, from the number `from` on.
    fn newest(&self, from: u64, is_snapshot: bool) -> Option<(u64, &Document)> {
        let passed = self.contents.iter().filter_map(|known| match &known.outcome {
            Some(Outcome::Passed(document)) => Some((known.number, document)),
            _ => None,
        });
        passed
            .filter(|(number, _)| number.at >= from && number.is_snapshot == is_snapshot)
            .map(|(number, document)| (number.at, document))
            .max_by_key(|(number, _)| *number)
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
            // Content that was wanted before that is never shown again.
            *self = Self { good: None, newer: Some(passages.next) };
            return (state, freshness);
        };
        if matches!(freshness, Freshness::Overridden { .. }) {
            return (state, freshness);
        }
        let is_snapshot = matches!(freshness, Freshness::FromDisk { .. });
        let late = self.catch_up(passages, stored, is_snapshot);
        match (passages.of(stored), state) {
            (Some(Outcome::Passed(document)), state) => {
                *self = Self { good: Some(document.clone()), newer: Some(passages.next) };
                let document = document.clone();
                let state = match state {
                    DocumentState::Unreachable { why, cause, .. } => {
                        DocumentState::Unreachable { last: Some(document), why, cause }
                    }
                    _ => DocumentState::Present(document),
                };
                (state, freshness)
            }
            // The server's own reason is the more urgent one.
            (Some(Outcome::Failed { .. }), DocumentState::Unreachable { why, cause, .. }) => {
                (DocumentState::Unreachable { last: self.good.clone(), why, cause }, freshness)
            }
            (Some(Outcome::Failed { since, why, cause }), _) => {
                let (since, why, cause) = (*since, *why, Arc::clone(cause));
                let last = self.good.clone();
                let state = DocumentState::Unreachable { last, why, cause };
                (state, Freshness::Stale { since, why })
            }
            (None, _) => wait(late, freshness, before()),
        }
    }

    /// A content may have passed while it was replaced: however often that happens, it is newer
    /// than what is shown. Returns what is to be shown, if that is so.
    fn catch_up(
        &mut self,
        passages: &Passages,
        stored: &Document,
        is_snapshot: bool,
    ) -> Option<Document> {
        let from = *self.newer.get_or_insert_with(|| passages.number(stored));
        let (number, document) = passages.newest(from, is_snapshot)?;
        *self = Self { good: Some(document.clone()), newer: Some(number + 1) };
        Some(document.clone())
    }
}

/// The state to show until the filters have an outcome: the one from before, or a newer one that
/// has passed late.
fn wait(
    late: Option<Document>,
    freshness: Freshness,
    (state, before): (Arc<DocumentState>, Arc<Freshness>),
) -> (DocumentState, Freshness) {
    let is_late = late.is_some();
    let state = late.map_or_else(|| DocumentState::clone(&state), DocumentState::Present);
    let freshness = match (freshness, &*before) {
        (freshness @ Freshness::Stale { .. }, _) => freshness,
        (freshness @ Freshness::FromDisk { .. }, _) if is_late => freshness,
        // It is the server's, and not the one that the server confirms.
        (
            Freshness::Confirmed { at },
            Freshness::FromDisk { .. } | Freshness::Overridden { .. },
        ) if is_late => Freshness::Stale { since: at, why: ErrorKind::FilterUnavailable },
        (_, before) => before.clone(),
    };
    (state, freshness)
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
        passing: Option<(Document, Number)>,
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
                passing: None,
            }
        }

        fn show(&mut self) {
            let before = self.reader.clone();
            let (state, freshness) =
                self.passage.shown(&self.passages, self.newest.clone(), || before);
            self.reader = (Arc::new(state), Arc::new(freshness));
            let stored = self.newest.0.document().cloned();
            self.passages.keep(stored.map(|stored| (stored, false)).into_iter().collect());
        }

        fn server(&mut self, state: DocumentState) {
            self.newest = (state, Freshness::Confirmed { at: self.now });
            self.show();
        }

        /// The filter begins with what is wanted, or ends with what it has.
        /// Returns the version that passed.
        fn filter(&mut self, fails: bool) -> Option<u32> {
            let Some((stored, number)) = self.passing.take() else {
                self.passing = self.passages.wanted.first().cloned();
                return None;
            };
            let outcome = outcome(&stored, fails);
            let passed = outcome.as_ref().ok().map(version);
            self.passages.passed(self.now, Passed { stored, number, outcome });
            self.show();
            passed
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
            let (mut newest, mut last, mut gone) = (0, 0, 0);
            for step in steps {
                match step {
                    Step::Publish => {
                        newest += 1;
                        world.server(DocumentState::Present(stored(newest)));
                    }
                    Step::Remove => {
                        world.server(DocumentState::Absent);
                        assert_eq!(*world.reader.0, DocumentState::Absent, "it waits for nobody");
                        gone = newest;
                    }
                    Step::Lose => {
                        let why = ErrorKind::Disconnected;
                        world.newest.1 = Freshness::Stale { since: world.now, why };
                        world.show();
                        assert!(!world.reader.1.is_confirmed(), "it is told at once");
                    }
                    Step::Filter { fails } => {
                        let shown = world.shown().unwrap_or(gone);
                        let newer = world.filter(fails).filter(|passed| *passed > shown);
                        if let Some(newer) = newer.filter(|_| world.newest.0.document().is_some()) {
                            assert_eq!(world.shown(), Some(newer), "however often it changes");
                        }
                    }
                }
                if let Some(shown) = world.shown() {
                    assert!(shown >= last && shown > gone, "{shown} after {last}");
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
            assert!(world.passages.wanted.is_empty() && world.passages.contents.len() <= 1);
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

    #[test]
    fn content_that_has_passed_stays_good_whatever_fails_later() {
        let mut world = World::new();
        world.server(DocumentState::Present(stored(1)));
        let again = world.passages.wanted[0].clone();
        world.filter(false);
        world.filter(false);
        let (stored, number) = again;
        let outcome = outcome(&stored, true);
        world.passages.passed(world.now, Passed { stored, number, outcome });
        world.show();
        assert!(matches!(*world.reader.0, DocumentState::Present(_)));
        assert_eq!((world.shown(), &*world.reader.1), (Some(1), &world.newest.1));
    }
}
