//! The task that gives watched documents to the client's filters: nobody waits for them but it.
//!
//! It keeps what is wanted of each document, which is the newest, so that a document that changes
//! in a loop passes as often as its filters can take it, and no more. Each passes in its own turn,
//! so that one whose filter is slow holds up no other. One that fails is tried again ever more
//! rarely, for as long as it is wanted: a key service that is back needs no new publish.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info, warn};

use super::inbox::Outbox;
use crate::{
    document::Document,
    filter::{Filters, Number, Passed, Place},
    key::ConfigKey,
    room::Map,
    session::{Queue, Timers},
    telemetry,
    time::{doubled, give_or_take_a_fifth, sleep_until},
};

/// The filters of one client, and the watched documents that are to pass them.
#[derive(Clone, Debug)]
pub(crate) struct Filtering {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    filters: Filters,
    place: Place,
    backlog: Mutex<Backlog>,
    /// Something is wanted that was not.
    filled: Notify,
}

#[derive(Debug)]
struct Backlog {
    /// The documents of which something is to pass, in the order in which they came.
    order: Queue<ConfigKey>,
    /// Those of which something has failed, by the time at which it is tried again.
    retries: Timers<ConfigKey>,
    entries: Map<ConfigKey, Entry>,
}

/// Everything that is wanted of one document: mostly one thing.
#[derive(Debug, Default)]
struct Entry {
    wanted: Vec<Wanted>,
    is_passing: bool,
    /// The place of the last turn: taken while code that blocks has not come to its end.
    last: Weak<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Wanted {
    stored: Document,
    number: Number,
    failures: u32,
    /// Not before that.
    at: Option<Instant>,
}

/// The next thing to do.
enum Turn {
    Pass(ConfigKey, (Document, Number), Arc<OwnedSemaphorePermit>),
    /// Until then, or until something is wanted.
    Wait(Option<Instant>),
}

impl Filtering {
    pub(crate) fn new(filters: Filters, place: Place) -> Self {
        let backlog = Backlog { order: Queue::new(), retries: Timers::new(), entries: Map::new() };
        let (backlog, filled) = (Mutex::new(backlog), Notify::new());
        Self { shared: Arc::new(Shared { filters, place, backlog, filled }) }
    }

    /// These are to pass of `key`, and nothing else: [`begin`](Self::begin) says so to the task.
    pub(crate) fn want(&self, key: &ConfigKey, stored: &[(Document, Number)]) {
        self.backlog().want(key, stored);
    }

    /// There may be something to do.
    pub(crate) fn begin(&self) {
        self.shared.filled.notify_one();
    }

    /// Lets everything pass that is wanted, for ever, and tells the driver.
    pub(super) async fn run(self, outbox: Outbox) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut passing = FuturesUnordered::new();
        loop {
            let mut until = None;
            while let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                match self.backlog().turn(now(), place) {
                    Turn::Pass(key, stored, place) => passing.push(self.pass(key, stored, place)),
                    Turn::Wait(at) => {
                        until = at;
                        break;
                    }
                }
            }
            tokio::select! {
                Some((key, passed)) = passing.next(), if !passing.is_empty() => {
                    self.note(&key, &passed);
                    outbox.passed(key, passed);
                }
                () = self.shared.filled.notified() => {}
                () = sleep_until(until.map(Into::into)) => {}
                // Code that blocks may have kept it beyond its deadline.
                _ = places.acquire(), if places.available_permits() == 0 => {}
            }
        }
    }

    /// Gives `stored` to the filters. Until their code has come to its end, `place` is taken.
    async fn pass(
        &self,
        key: ConfigKey,
        (stored, number): (Document, Number),
        place: Arc<OwnedSemaphorePermit>,
    ) -> (ConfigKey, Passed) {
        let filters = &self.shared.filters;
        let outcome = filters.after_query(&key, &stored, self.shared.place, Some(place)).await;
        (key, Passed { stored, number, outcome })
    }

    /// Notes how it went, and says so where that is news.
    fn note(&self, key: &ConfigKey, passed: &Passed) {
        let failures = self.backlog().passed(now(), key, passed);
        match &passed.outcome {
            Ok(_) if failures > 0 => info!(%key, "the document passes the filters again"),
            Ok(_) => {}
            Err(error) => {
                telemetry::filter_failed(error.kind());
                if failures == 0 {
                    warn!(%key, %error, "the document does not pass the filters: what was shown stays");
                } else {
                    debug!(%key, %error, failures, "the document still does not pass the filters");
                }
            }
        }
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        // A panic under the lock cannot leave an entry half-changed: only maps are changed there.
        self.shared.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog {
    fn want(&mut self, key: &ConfigKey, stored: &[(Document, Number)]) {
        if stored.is_empty() && !self.entries.contains_key(key) {
            return;
        }
        let entry = self.entries.entry(key.clone()).or_default();
        entry.wanted.retain(|wanted| stored.iter().any(|(stored, _)| *stored == wanted.stored));
        for (stored, number) in stored {
            if let Some(wanted) = entry.wanted.iter_mut().find(|wanted| wanted.stored == *stored) {
                wanted.number = *number;
            } else {
                let (stored, number) = (stored.clone(), *number);
                entry.wanted.push(Wanted { stored, number, failures: 0, at: None });
            }
        }
        self.settle(key);
    }

    /// The document that has waited longest for `place`.
    fn turn(&mut self, now: Instant, place: OwnedSemaphorePermit) -> Turn {
        while let Some(key) = self.retries.pop(now) {
            self.order.push(key);
        }
        while let Some(key) = self.order.pop() {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if entry.last.strong_count() > 0 {
                // Code that blocks cannot be ended: nothing is put behind it.
                self.retries.push(now + PAUSE, key);
                continue;
            }
            let due = |wanted: &&Wanted| wanted.at.is_none_or(|at| at <= now);
            let Some(wanted) = entry.wanted.iter().find(due) else {
                self.settle(&key);
                continue;
            };
            let (stored, place) = ((wanted.stored.clone(), wanted.number), Arc::new(place));
            entry.is_passing = true;
            entry.last = Arc::downgrade(&place);
            return Turn::Pass(key, stored, place);
        }
        Turn::Wait(self.retries.next())
    }

    /// The turn of `key` is over. Says how often the same has failed before.
    fn passed(&mut self, now: Instant, key: &ConfigKey, passed: &Passed) -> u32 {
        let Some(entry) = self.entries.get_mut(key) else { return 0 };
        entry.is_passing = false;
        let at = entry.wanted.iter().position(|wanted| wanted.stored == passed.stored);
        let failures = at.map_or(0, |at| entry.wanted[at].failures);
        match (at, &passed.outcome) {
            (Some(at), Ok(_)) => drop(entry.wanted.swap_remove(at)),
            (Some(at), Err(_)) => {
                let pause = doubled(PAUSE, failures, LONGEST_PAUSE);
                let wanted = &mut entry.wanted[at];
                wanted.failures = failures.saturating_add(1);
                wanted.at = Some(now + give_or_take_a_fifth(pause, fastrand::f64()));
            }
            // It has been replaced meanwhile.
            (None, _) => {}
        }
        self.settle(key);
        failures
    }

    /// Puts `key` where its next turn is.
    fn settle(&mut self, key: &ConfigKey) {
        self.order.remove(key);
        self.retries.remove(key);
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.is_passing {
            return;
        }
        if entry.wanted.is_empty() && entry.last.strong_count() == 0 {
            self.entries.remove(key);
        } else if entry.wanted.iter().any(|wanted| wanted.at.is_none()) {
            self.order.push(key.clone());
        } else if let Some(at) = entry.wanted.iter().filter_map(|wanted| wanted.at).min() {
            self.retries.push(at, key.clone());
        } else {
            // To be forgotten, once what blocks is over.
            self.retries.push(now() + PAUSE, key.clone());
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Documents that pass at the same time, each within the deadlines of its filters.
const AT_ONCE: usize = 32;
/// After a failure; doubled after each further one of the same content.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterError;

    fn document(content: &str) -> Document {
        Document::new(content, "text")
    }

    fn wanted(content: &str) -> [(Document, Number); 1] {
        [(document(content), Number::default())]
    }

    fn failed(stored: Document) -> Passed {
        let outcome = Err(FilterError::unavailable("no keys"));
        Passed { stored, number: Number::default(), outcome }
    }

    fn key(data_id: &str) -> ConfigKey {
        ConfigKey::try_from(data_id).expect("valid")
    }

    fn backlog() -> Backlog {
        Backlog { order: Queue::new(), retries: Timers::new(), entries: Map::new() }
    }

    fn turn(backlog: &mut Backlog, now: Instant) -> Option<(Document, Arc<OwnedSemaphorePermit>)> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        match backlog.turn(now, place) {
            Turn::Pass(_, (stored, _), place) => Some((stored, place)),
            Turn::Wait(_) => None,
        }
    }

    #[test]
    fn one_content_of_a_document_passes_at_a_time_and_the_newest_is_next() {
        let (mut backlog, start, d) = (backlog(), now(), key("d"));
        backlog.want(&d, &wanted("1"));
        let (first, place) = turn(&mut backlog, start).expect("due");
        backlog.want(&d, &wanted("2"));
        backlog.want(&d, &wanted("3"));
        assert!(turn(&mut backlog, start).is_none(), "it is passing");
        drop(place);
        assert_eq!(
            backlog.passed(
                start,
                &d,
                &Passed { stored: first.clone(), number: Number::default(), outcome: Ok(first) }
            ),
            0
        );
        assert_eq!(turn(&mut backlog, start).expect("due").0, document("3"));
    }

    #[test]
    fn failure_waits_for_its_time_and_newer_content_for_none() {
        let (mut backlog, start, d) = (backlog(), now(), key("d"));
        backlog.want(&d, &wanted("1"));
        for failures in 0..10 {
            let at = start + Duration::from_secs(100) * failures;
            let (stored, place) = turn(&mut backlog, at).expect("due");
            drop(place);
            let passed = failed(stored);
            assert_eq!(backlog.passed(at, &d, &passed), failures);
            assert!(turn(&mut backlog, at).is_none());
        }
        backlog.want(&d, &wanted("2"));
        assert_eq!(turn(&mut backlog, start).expect("due").0, document("2"));
    }

    #[test]
    fn code_that_blocks_has_nothing_put_behind_it() {
        let (mut backlog, start, d) = (backlog(), now(), key("d"));
        backlog.want(&d, &wanted("1"));
        let (stored, place) = turn(&mut backlog, start).expect("due");
        let late = failed(stored);
        backlog.passed(start, &d, &late);
        backlog.want(&d, &wanted("2"));
        let later = start + Duration::from_secs(600);
        assert!(turn(&mut backlog, later).is_none());
        drop(place);
        assert_eq!(turn(&mut backlog, later + 2 * LONGEST_PAUSE).expect("due").0, document("2"));
    }

    #[test]
    fn documents_that_come_and_go_leave_nothing_behind() {
        let (mut backlog, start) = (backlog(), now());
        for n in 0..1000 {
            let key = key(&format!("d{n}"));
            backlog.want(&key, &wanted("1"));
            match n % 3 {
                0 => {}
                1 => {
                    let (stored, place) = turn(&mut backlog, start).expect("due");
                    drop(place);
                    let (outcome, number) = (Ok(stored.clone()), Number::default());
                    backlog.passed(start, &key, &Passed { stored, number, outcome });
                }
                _ => {
                    let (stored, _place) = turn(&mut backlog, start).expect("due");
                    backlog.passed(start, &key, &failed(stored));
                }
            }
            backlog.want(&key, &[]);
        }
        let later = start + Duration::from_secs(600);
        assert!(turn(&mut backlog, later).is_none());
        let Backlog { order, retries, entries } = &backlog;
        assert_eq!((order.len(), retries.len(), entries.len()), (0, 0, 0));
    }
}
