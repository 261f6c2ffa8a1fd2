//! Fuzzy watches: the server is told which patterns are watched, and names the keys that match.
//!
//! A pattern is one more claim: it is watched again on each connection, with the keys that are
//! known, and the server sends the difference. The first request on a connection asks for a list
//! with an end, by which it is known that nothing is missing. Pushes have no order among each other
//! and may be lost, so every pattern is watched again now and then, and soon where a push says what
//! was known already: it may have been overtaken.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    ConfigsMachine,
    asked::Asked,
    audit::ListenAudit,
    matches::{Late, Matches},
};
use crate::{
    key::ConfigPattern,
    session::{
        claims::{Claims, Left},
        effects::Event,
        ids::GuardId,
        ledger::{Due, Ledger, SentClaim},
        output::{Output, RequestOrigin},
        request_failure::{ClaimRefusal, RequestFailure},
        serving_context::{ConnectionFacts, ServingContext},
        timers::Timers,
    },
    wire::{
        self, Ability, Request,
        fuzzy::{ConfigFuzzyWatchRequest, ConfigFuzzyWatchResponse, FuzzyChange, FuzzySync},
    },
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Patterns {
    claims: Claims<ConfigPattern>,
    entries: BTreeMap<ConfigPattern, Matches>,
    /// When to look whether a list has ended.
    listings: Timers<ConfigPattern>,
    audit: ListenAudit,
    under_way: usize,
}

impl Patterns {
    pub(super) fn new() -> Self {
        Self {
            claims: Claims::new(Ledger::new()),
            entries: BTreeMap::new(),
            listings: Timers::new(),
            audit: ListenAudit::default(),
            under_way: 0,
        }
    }

    pub(super) fn claims(&self) -> &Claims<ConfigPattern> {
        &self.claims
    }

    /// Everything is withdrawn. Says how many patterns were claimed.
    pub(super) fn withdraw_all(&mut self) -> usize {
        self.claims.withdraw_all()
    }

    /// The server of the next connection holds nothing of ours.
    pub(super) fn reconnected(&mut self, output: &mut Output) {
        self.claims.reconnected(output);
        self.entries.values_mut().for_each(Matches::reconnected);
        self.listings.clear();
        // It begins with the first request.
        self.audit = ListenAudit::default();
        self.under_way = 0;
    }

    /// The server lets requests in now.
    pub(super) fn admitted(&mut self) {
        self.claims.retry_refused(wire::DENIED);
    }

    /// A push cannot be read: what it said comes with the next sync.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.audit.hurry(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        if !self.entries.is_empty() && self.audit.take_due(now, output) {
            self.claims.reassert_all(|_| true);
        }
        while let Some(pattern) = self.listings.pop(now) {
            let Some(matches) = self.entries.get_mut(&pattern) else { continue };
            // It may have been put off since.
            if let Some(until) = matches.until().filter(|until| *until > now) {
                self.listings.push(until, pattern);
                continue;
            }
            match matches.late() {
                Late::AskAgain => self.claims.repeat(&pattern),
                Late::Ended { is_news: true } => show(output, &pattern, matches),
                Late::Ended { is_news: false } => {}
            }
        }
    }

    pub(super) fn poll_timeout(&self, connection: &ConnectionFacts<'_>) -> Option<Instant> {
        let retry = self.claims.next_retry().filter(|_| connection.may_send());
        let audit = self.audit.next_timeout().filter(|_| !self.entries.is_empty());
        let asked = audit.into_iter().chain(self.listings.next());
        asked.filter(|_| connection.may_ask()).chain(retry).min()
    }

    /// The time of the list of `pattern` that is on its way.
    fn watch_listing(&mut self, pattern: &ConfigPattern) {
        match self.entries.get(pattern).and_then(Matches::until) {
            Some(until) => self.listings.push(until, pattern.clone()),
            None => self.listings.remove(pattern),
        }
    }
}

impl ConfigsMachine {
    /// `guard` watches which documents match `pattern`.
    pub(in crate::session) fn fuzzy_watch(
        &mut self,
        output: &mut Output,
        pattern: ConfigPattern,
        guard: GuardId,
    ) {
        self.patterns.entries.entry(pattern.clone()).or_default();
        self.patterns.claims.assert(output, pattern, guard, false);
    }

    /// `guard` watches `pattern` no more.
    pub(in crate::session) fn fuzzy_unwatch(
        &mut self,
        output: &mut Output,
        pattern: &ConfigPattern,
        guard: GuardId,
    ) {
        let patterns = &mut self.patterns;
        if patterns.claims.withdraw(pattern, guard) == Some(Left::Nobody) {
            patterns.entries.remove(pattern);
            patterns.listings.remove(pattern);
            patterns.claims.show_settled(output, pattern, None);
        }
    }

    /// A batch of the keys that match a pattern.
    pub(in crate::session) fn handle_fuzzy_sync(
        &mut self,
        now: Instant,
        batch: &FuzzySync,
        output: &mut Output,
    ) {
        let patterns = &mut self.patterns;
        let named =
            |(pattern, _): &(&ConfigPattern, _)| pattern.as_sent() == batch.group_key_pattern;
        // Those that nobody watches any more are still told of for a moment.
        let Some((pattern, matches)) = patterns.entries.iter_mut().find(named) else { return };
        let applied = matches.batch(now, pattern, batch);
        if applied.is_news {
            show(output, pattern, matches);
        }
        if applied.foreign > 0 {
            let why = format!("{} of its keys do not match the pattern", applied.foreign);
            let kind = "ConfigFuzzyWatchSyncRequest".to_owned();
            output.show(Event::Unreadable { kind, about: pattern.to_string(), why });
        }
        let pattern = pattern.clone();
        patterns.watch_listing(&pattern);
    }

    /// A document that may match some patterns came or went.
    pub(in crate::session) fn handle_fuzzy_change(
        &mut self,
        now: Instant,
        change: &FuzzyChange,
        output: &mut Output,
    ) {
        let Some((key, exists)) = change.document() else { return };
        let (mut is_known, mut is_news) = (false, false);
        // Servers send one notice for all patterns.
        for (pattern, matches) in &mut self.patterns.entries {
            if pattern.matches(&key) {
                is_known = true;
                if matches.change(&key, exists) {
                    is_news = true;
                    show(output, pattern, matches);
                }
            }
        }
        if is_known && !is_news {
            self.patterns.audit.hurry_apart(now + OVERTAKEN, SYNCS_APART);
        }
    }

    /// Sends every pattern that is due, and every end of one.
    pub(super) fn send_patterns(&mut self, cx: &mut ServingContext<'_>) {
        let patterns = &mut self.patterns;
        patterns.claims.wake(cx.now);
        let lacking = cx.connection.lacks(Ability::FuzzyWatch);
        let room = AT_ONCE.saturating_sub(patterns.under_way);
        let room = if lacking.is_some() { usize::MAX } else { room };
        for Due { key, claimed, revision } in patterns.claims.take_due(room) {
            let claim = SentClaim { key, revision };
            if let Some(why) = &lacking {
                let message = why.as_str().into();
                let rejection = ClaimRefusal { code: wire::NO_HANDLER, message, is_passing: false };
                if patterns.claims.refused(cx.output, &claim, &rejection, |_| None) {
                    let told = rejection.told();
                    patterns.claims.tell_refused(cx.output, &claim.key, told, false);
                }
                continue;
            }
            let request = match patterns.entries.get_mut(&claim.key).filter(|_| claimed) {
                Some(matches) => {
                    let is_initial = matches.ask();
                    let known = matches.keys().keys.iter();
                    ConfigFuzzyWatchRequest::watch(&claim.key, known, is_initial)
                }
                None => ConfigFuzzyWatchRequest::cancel(&claim.key),
            };
            patterns.listings.remove(&claim.key);
            if patterns.audit.next_timeout().is_none() {
                patterns.audit.begin(cx.now, cx.output);
            }
            patterns.under_way += 1;
            cx.call(request.outgoing(), Asked::FuzzyWatch(claim));
        }
    }

    /// A request about a pattern was answered.
    pub(in crate::session) fn handle_fuzzy_watch(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claim: &SentClaim<ConfigPattern>,
        answer: Result<ConfigFuzzyWatchResponse, RequestFailure>,
    ) {
        let patterns = &mut self.patterns;
        patterns.under_way = patterns.under_way.saturating_sub(1);
        match answer {
            Ok(_) => patterns.agreed(cx, claim, false),
            // It is watched all the same, as far as it goes.
            Err(RequestFailure::Refused(refusal)) if refusal.code == wire::TOO_MANY_MATCHES => {
                let was_limited = patterns.is_limited(&claim.key);
                patterns.agreed(cx, claim, true);
                if !was_limited && patterns.entries.contains_key(&claim.key) {
                    let (key, code) = (claim.key.clone().into(), refusal.code);
                    cx.output.show(Event::Refused { key, code, message: refusal.message.into() });
                }
            }
            Err(failure) => patterns.set_back(cx, origin, claim, &failure),
        }
    }
}

impl Patterns {
    fn is_limited(&self, pattern: &ConfigPattern) -> bool {
        self.entries.get(pattern).is_some_and(Matches::is_limited)
    }

    fn agreed(
        &mut self,
        cx: &mut ServingContext<'_>,
        claim: &SentClaim<ConfigPattern>,
        is_limited: bool,
    ) {
        self.claims.agreed(cx.output, claim);
        let Some(matches) = self.entries.get_mut(&claim.key) else { return };
        if matches.answered(cx.now, is_limited) {
            show(cx.output, &claim.key, matches);
        }
        self.watch_listing(&claim.key);
    }

    /// The server has not agreed to `claim`.
    fn set_back(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claim: &SentClaim<ConfigPattern>,
        failure: &RequestFailure,
    ) {
        let jitter = cx.output.jitter();
        let Some(mut rejection) = failure.rejection(&cx.connection, origin.token) else {
            return self.claims.release(std::slice::from_ref(claim));
        };
        if matches!(failure, RequestFailure::Refused(refusal) if refusal.says_forbidden()) {
            rejection.message = format!("{}; {RIGHT}", rejection.message).into();
        }
        let (now, connection) = (cx.now, cx.connection);
        let retry_at =
            |tries| connection.later(now, failure.retry_after(tries, connection.is_fresh, jitter));
        if self.claims.refused(cx.output, claim, &rejection, retry_at) {
            let retrying = retry_at(0).is_some();
            self.claims.tell_refused(cx.output, &claim.key, rejection.told(), retrying);
        }
    }
}

fn show(output: &mut Output, pattern: &ConfigPattern, matches: &Matches) {
    output.show(Event::Matches(pattern.clone(), matches.keys().clone()));
}

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// A push that was overtaken comes within that, unless the server has to repeat it.
const OVERTAKEN: Duration = Duration::from_secs(1);
/// A server that repeats what is known does not make the client ask more often.
const SYNCS_APART: Duration = Duration::from_secs(10);
/// The right that is looked at, by the source of 3.0 and 3.1.
const RIGHT: &str = "a fuzzy watch of documents needs the right to read `public:*:config/*`, \
     whatever its namespace is";
