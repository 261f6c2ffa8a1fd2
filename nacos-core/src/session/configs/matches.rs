//! The keys that match one pattern, as far as the server has named them.
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    key::{ConfigKey, ConfigPattern},
    matched_keys::{Completeness, MatchedKeys},
    wire::fuzzy::FuzzySync,
};

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Matches {
    known: MatchedKeys,
    /// A whole list has come, on whichever connection.
    was_listed: bool,
    /// One has come on this connection: from now on the server sends differences without an end.
    is_synced: bool,
    /// The server has more than it names, or more than is kept here.
    is_limited: bool,
    /// The list that was asked for and has not ended.
    listing: Option<Listing>,
}

/// A list on its way.
#[derive(Debug, Default)]
struct Listing {
    /// The batches that have come, and how many there are to be.
    batches: BTreeSet<u32>,
    total: u32,
    /// How often it was asked for again.
    tries: u32,
    /// When it is looked at again.
    until: Option<Instant>,
}

/// The outcome of a batch.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Applied {
    /// Readers are to be told.
    pub(super) is_news: bool,
    /// Entries that no server has to send for this pattern.
    pub(super) foreign: usize,
}

impl Matches {
    pub(super) fn keys(&self) -> &MatchedKeys {
        &self.known
    }

    /// A request goes out with what is known. Says whether it asks for a list with an end.
    pub(super) fn ask(&mut self) -> bool {
        if self.is_synced {
            return false;
        }
        let tries = self.listing.take().map_or(0, |listing| listing.tries);
        self.listing = Some(Listing { tries, ..Listing::default() });
        true
    }

    /// It was answered; the server has more than it names if it `is_limited`. Says whether that is
    /// news to readers.
    pub(super) fn answered(&mut self, now: Instant, is_limited: bool) -> bool {
        self.is_limited = is_limited || self.known.keys.len() >= MOST_KEYS;
        if let Some(listing) = &mut self.listing {
            listing.until = Some(now + ENDS_WITHIN);
        }
        self.show()
    }

    /// Whether the server has more than it names.
    pub(super) fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// A batch of keys, or the end of a list.
    pub(super) fn batch(
        &mut self,
        now: Instant,
        pattern: &ConfigPattern,
        batch: &FuzzySync,
    ) -> Applied {
        if batch.is_finish() {
            return Applied { is_news: self.ended(now), foreign: 0 };
        }
        if batch.is_initial()
            && let Some(listing) = &mut self.listing
            && batch.total_batch <= MOST_BATCHES
        {
            listing.total = batch.total_batch;
            if (1..=batch.total_batch).contains(&batch.current_batch) {
                listing.batches.insert(batch.current_batch);
            }
            listing.until = listing.until.map(|_| now + ENDS_WITHIN);
        }
        let mut applied = Applied::default();
        for context in &batch.contexts {
            match context.document() {
                Some((key, exists)) if pattern.matches(&key) => {
                    applied.is_news |= self.change(&key, exists);
                }
                _ => applied.foreign += 1,
            }
        }
        applied.is_news |= self.show();
        applied
    }

    /// `key`, which matches, exists or does not. Says whether that was unknown.
    pub(super) fn change(&mut self, key: &ConfigKey, exists: bool) -> bool {
        if self.known.keys.contains(key) == exists {
            return false;
        }
        if !exists {
            return Arc::make_mut(&mut self.known.keys).remove(key);
        }
        if self.known.keys.len() >= MOST_KEYS {
            let is_news = !std::mem::replace(&mut self.is_limited, true);
            return self.show() || is_news;
        }
        Arc::make_mut(&mut self.known.keys).insert(key.clone())
    }

    /// The list that was asked for has ended. Says whether that is news to readers.
    fn ended(&mut self, now: Instant) -> bool {
        let Some(listing) = &mut self.listing else { return false };
        if listing.lacks_batches() && listing.tries < MOST_TRIES {
            // A batch is lost, or late: it is asked for again in a moment, with what has come.
            let delay = RELIST_AFTER * (1 << listing.tries);
            listing.until = Some(now + delay);
            return false;
        }
        self.listed()
    }

    /// The time to look has come. Says whether to ask again; else the list counts as ended, which
    /// it says of readers' news.
    pub(super) fn late(&mut self) -> Late {
        match &mut self.listing {
            Some(listing) if listing.lacks_batches() && listing.tries < MOST_TRIES => {
                listing.tries += 1;
                listing.until = None;
                Late::AskAgain
            }
            // No server has to send an end where it leaves out removals at its limit.
            Some(_) => Late::Ended { is_news: self.listed() },
            None => Late::Ended { is_news: false },
        }
    }

    /// When to look at the list that is on its way.
    pub(super) fn until(&self) -> Option<Instant> {
        self.listing.as_ref().and_then(|listing| listing.until)
    }

    /// The next server knows nothing of it.
    pub(super) fn reconnected(&mut self) {
        self.is_synced = false;
        self.listing = None;
    }

    fn listed(&mut self) -> bool {
        self.listing = None;
        self.is_synced = true;
        self.was_listed = true;
        self.show()
    }

    /// Says whether readers are to be told that it is as complete as it is.
    fn show(&mut self) -> bool {
        let completeness = match (self.was_listed, self.is_limited) {
            (false, _) => Completeness::Pending,
            (true, true) => Completeness::Partial,
            (true, false) => Completeness::Complete,
        };
        std::mem::replace(&mut self.known.completeness, completeness) != completeness
    }
}

impl Listing {
    fn lacks_batches(&self) -> bool {
        self.batches.len() < usize::try_from(self.total).unwrap_or(usize::MAX)
    }
}

/// The outcome of a list that is late.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Late {
    AskAgain,
    Ended { is_news: bool },
}

/// Servers name 500 keys for a pattern, and more where an operator has raised that.
const MOST_KEYS: usize = 10_000;
/// A batch has 20 keys.
const MOST_BATCHES: u32 = 1000;
/// The end of a list was seen 6 ms after the answer.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const RELIST_AFTER: Duration = Duration::from_millis(500);
const MOST_TRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: fn() -> Instant = Instant::now;

    fn pattern() -> ConfigPattern {
        let pattern = ConfigPattern::try_from("app-*").expect("valid");
        pattern.resolve(&"".parse().expect("valid"))
    }

    fn batch(kind: &str, total: u32, current: u32, keys: &[&str]) -> FuzzySync {
        let context = |key: &&str| json!({"groupKey": key, "changedType": "ADD_CONFIG"});
        let contexts: Vec<Value> = keys.iter().map(context).collect();
        let body = json!({"syncType": kind, "contexts": contexts, "totalBatch": total, "currentBatch": current});
        serde_json::from_value(body).expect("a batch")
    }

    fn names(matches: &Matches) -> Vec<String> {
        matches.keys().keys.iter().map(|key| key.data_id().to_string()).collect()
    }

    const INIT: &str = "FUZZY_WATCH_INIT_NOTIFY";
    const FINISH: &str = "FINISH_FUZZY_WATCH_INIT_NOTIFY";

    #[test]
    fn list_is_known_once_all_of_its_batches_and_its_end_have_come() {
        let (mut matches, now) = (Matches::default(), NOW());
        assert!(matches.ask());
        matches.answered(now, false);
        let one = batch(INIT, 2, 1, &["app-1+DEFAULT_GROUP+public"]);
        let two = batch(INIT, 2, 2, &["app-2+DEFAULT_GROUP+public"]);
        let end = batch(FINISH, 0, 0, &[]);
        // Unordered, doubled, and the end before the last.
        assert!(matches.batch(now, &pattern(), &two).is_news);
        assert!(!matches.batch(now, &pattern(), &two).is_news);
        assert!(!matches.batch(now, &pattern(), &end).is_news && !matches.keys().is_known());
        assert_eq!(matches.late(), Late::AskAgain);
        assert!(matches.ask());
        matches.answered(now, false);
        assert!(matches.batch(now, &pattern(), &one).is_news);
        assert_eq!(matches.late(), Late::AskAgain, "the batches of a new list count alone");
        assert!(matches.ask());
        assert!(matches.batch(now, &pattern(), &end).is_news, "nothing was missing");
        assert_eq!(matches.keys().completeness, Completeness::Complete);
        assert_eq!(names(&matches), ["app-1", "app-2"]);
        assert!(!matches.ask(), "differences alone from now on");
        matches.reconnected();
        assert!(matches.keys().is_known() && matches.ask());
    }

    #[test]
    fn server_that_lies_about_its_batches_is_not_asked_for_ever() {
        let _limit = nacos_testkit::TimeLimit::start();
        let (mut matches, now) = (Matches::default(), NOW());
        let mut asked = 0;
        while !matches.keys().is_known() {
            asked += 1;
            assert!(matches.ask());
            matches.answered(now, false);
            matches.batch(now, &pattern(), &batch(INIT, 9, 1, &[]));
            matches.batch(now, &pattern(), &batch(FINISH, 0, 0, &[]));
            matches.late();
        }
        assert_eq!(asked, 1 + MOST_TRIES);
    }

    #[test]
    fn keys_that_do_not_match_are_refused_and_counted() {
        let (mut matches, now) = (Matches::default(), NOW());
        let strange = [
            "other+DEFAULT_GROUP+public",
            "app-1+ELSE+public",
            "app-1+DEFAULT_GROUP+elsewhere",
            "app-1",
            "app-1+a b+public",
        ];
        let applied = matches.batch(now, &pattern(), &batch(INIT, 1, 1, &strange));
        assert_eq!(applied, Applied { is_news: false, foreign: 5 });
        assert!(names(&matches).is_empty());
    }

    #[test]
    fn hostile_server_fills_no_memory() {
        let mut matches = Matches { was_listed: true, ..Matches::default() };
        for n in 0..MOST_KEYS + 100 {
            let key = ConfigKey::try_from(format!("app-{n}").as_str()).expect("valid");
            matches.change(&key.in_namespace("".parse().expect("valid")), true);
        }
        assert_eq!(matches.keys().keys.len(), MOST_KEYS);
        assert_eq!(matches.keys().completeness, Completeness::Partial);
        let mut listing = Matches::default();
        listing.ask();
        for n in 0..u32::from(u16::MAX) {
            listing.batch(NOW(), &pattern(), &batch(INIT, u32::MAX, n, &[]));
        }
        assert!(listing.listing.expect("under way").batches.is_empty());
    }

    #[test]
    fn end_that_never_comes_is_one_after_a_while() {
        let (mut matches, now) = (Matches::default(), NOW());
        matches.ask();
        assert!(!matches.answered(now, true));
        assert_eq!(matches.until(), Some(now + ENDS_WITHIN));
        assert_eq!(matches.late(), Late::Ended { is_news: true });
        assert_eq!(matches.keys().completeness, Completeness::Partial);
        assert!(matches.answered(now, false));
        assert_eq!(matches.until(), None);
        assert_eq!(matches.keys().completeness, Completeness::Complete);
    }
}
