//! Watched documents: the machine that listens to them, and asks for those that have changed.
//!
//! It has the contract of the [session](super) that it is a part of: `handle_*` takes in what
//! happened, `poll_*` says when to look again, and what follows goes to the
//! [output](super::output). Of the connection it knows what a [`ServingContext`] says.
//!
//! [`documents`] says which may have changed, each in its [`entry`]; [`queries`] asks for those, as
//! far as the [`governor`] lets it; [`listens`] puts listens together, and knows what it means that
//! one is refused; [`patterns`] does the same for fuzzy watches, and keeps the [`matches`] of each;
//! [`audit`] confirms all of them now and then; [`metrics`] answers a server that
//! asks what is held.
pub(super) mod asked;
mod audit;
mod documents;
mod entry;
mod governor;
mod listens;
mod matches;
mod metrics;
mod patterns;
mod queries;
mod rights;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::governor::PullOptions;
use self::{
    audit::ListenAudit, documents::Documents, governor::Governor, listens::Listens,
    patterns::Patterns,
};
use super::{
    cause::Cause,
    claims::{Claims, Left},
    effects::Event,
    ids::GuardId,
    ledger::Ledger,
    output::Output,
    serving_context::{ConnectionFacts, ServingContext},
};
use crate::{
    document::Document,
    key::{ConfigKey, ConfigPattern},
    storm::StormReport,
    wire,
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct ConfigsMachine {
    /// The documents listened to: any number of them is one request.
    claims: Claims<ConfigKey>,
    listens: Listens,
    documents: Documents,
    governor: Governor,
    audit: ListenAudit,
    patterns: Patterns,
}

/// The timers of this machine.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Every listen is confirmed.
    Audit,
    /// A refused claim is sent again.
    Claims,
    /// A document is asked for again.
    Documents,
    /// A document that waits may be asked for.
    Turn,
    /// Every document is listened to again, or one is asked for, to learn whether the server
    /// answers.
    Probe,
    /// The client has not pulled for long.
    Alarm,
    /// A pattern is watched again, or its list looked at.
    Patterns,
}

impl Timer {
    const ALL: [Self; 7] = [
        Self::Audit,
        Self::Claims,
        Self::Documents,
        Self::Turn,
        Self::Probe,
        Self::Alarm,
        Self::Patterns,
    ];
}

impl ConfigsMachine {
    pub(super) fn new(now: Instant, options: &PullOptions) -> Self {
        Self {
            claims: Claims::new(Ledger::new()),
            listens: Listens::default(),
            documents: Documents::new(),
            governor: Governor::new(now, options),
            audit: ListenAudit::default(),
            patterns: Patterns::new(),
        }
    }

    // Commands.

    /// `guard` watches `document`.
    pub(super) fn watch(&mut self, output: &mut Output, document: ConfigKey, guard: GuardId) {
        self.documents.watch(document.clone());
        self.claims.assert(output, document, guard, false);
    }

    /// `document`, which has just begun to be watched, had this content when the client last ran:
    /// listens compare with that.
    pub(super) fn remember(&mut self, document: &ConfigKey, content: Document) {
        self.documents.remember(document, content);
    }

    /// `guard`, which watches `document`, wants it to be asked for regularly while the server lets
    /// nobody listen to it.
    pub(super) fn poll_when_refused(
        &mut self,
        output: &mut Output,
        document: &ConfigKey,
        guard: GuardId,
    ) {
        self.documents.poll(document, guard);
        // A refused listen is sent again, and the guards are told its result anew.
        self.watch(output, document.clone(), guard);
    }

    /// After a push about `document`, `guard` lets it wait for any part of `most`.
    pub(super) fn pull_jitter(&mut self, document: &ConfigKey, guard: GuardId, most: Duration) {
        self.documents.jitter(document, guard, most);
    }

    /// An operator stops all pulls, or lets them go on.
    pub(super) fn freeze(&mut self, now: Instant, is_frozen: bool) {
        if is_frozen {
            self.governor.freeze(now);
        } else {
            self.governor.thaw();
        }
    }

    /// `guard` watches `document` no more.
    pub(super) fn unwatch(&mut self, output: &mut Output, document: &ConfigKey, guard: GuardId) {
        self.documents.left(document, guard);
        if self.claims.withdraw(document, guard) == Some(Left::Nobody) {
            self.documents.unwatch(document);
            if self.documents.len() == 0 {
                self.governor.idles();
            }
            // The server of this connection may never have heard of it.
            self.claims.show_settled(output, document, None);
        }
    }

    /// Everything is withdrawn. Says how many keys were claimed.
    pub(super) fn withdraw_all(&mut self) -> usize {
        self.claims.withdraw_all() + self.patterns.withdraw_all()
    }

    // Inputs.

    /// Another connection serves.
    pub(super) fn handle_serves(&mut self, now: Instant, output: &mut Output) {
        self.governor.serves(now);
        self.audit.begin(now, output);
    }

    /// The connection to `server` has ended without another, and nobody has answered since then.
    pub(super) fn handle_lost(
        &mut self,
        now: Instant,
        lost: (Arc<str>, Instant),
        output: &mut Output,
    ) {
        let leaves_queries = self.documents.asks_again();
        self.governor.dropped(now, lost, leaves_queries, || output.jitter());
    }

    /// The server of the next connection holds nothing of ours.
    pub(super) fn handle_reconnected(&mut self, output: &mut Output) {
        self.claims.reconnected(output);
        self.documents.reconnected();
        self.listens.reconnected();
        self.patterns.reconnected(output);
    }

    /// The server lets requests in now: claims that it denied are due again, and so are failed
    /// queries.
    pub(super) fn handle_admitted(&mut self) {
        self.claims.retry_refused(wire::DENIED);
        self.documents.retry_failed();
        self.patterns.admitted();
    }

    /// No server can be reached: readers that wait for a first answer are told so.
    pub(super) fn handle_unreachable(&mut self, output: &mut Output, why: &Cause) {
        let told = self.documents.unreachable(why).into_iter();
        output.show_all(told.map(|(key, state)| Event::Document(key, state)));
    }

    /// The server says that `document` has changed.
    pub(super) fn handle_push(&mut self, now: Instant, document: &ConfigKey, output: &mut Output) {
        let most = self.documents.pull_jitter(document, self.claims.guards(document));
        let is_watched = if most.is_zero() {
            self.documents.hint(document)
        } else {
            let at = now + self.governor.turn(most);
            self.documents.hint_for(document, at)
        };
        if is_watched {
            self.governor.pushed(now, || output.jitter());
        }
    }

    /// A user means that `document` may have changed.
    pub(super) fn handle_hint(&mut self, document: &ConfigKey) {
        self.documents.hint(document);
    }

    /// A push about a document cannot be read. It is not repeated, because it has been
    /// acknowledged; and the namespace may be in the part that is missing, so all are compared.
    pub(super) fn handle_unreadable(&mut self, now: Instant) {
        self.audit.hurry(now);
    }

    /// The same about documents that match a pattern.
    pub(super) fn handle_unreadable_matches(&mut self, now: Instant) {
        self.patterns.hurry(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Everything that is due is
    /// [sent](Self::send_due) at the end of every input.
    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        for timer in Timer::ALL {
            match timer {
                Timer::Audit => {
                    if self.audit.take_due(now, output) {
                        // Pushes may have been lost.
                        self.claims.reassert_all(|_| true);
                    }
                }
                // Each is looked after whenever something is sent, the alarm at the end of every
                // input.
                Timer::Claims | Timer::Documents | Timer::Turn | Timer::Alarm => {}
                Timer::Patterns => self.patterns.handle_timeout(now, output),
                Timer::Probe => {
                    if self.governor.take_probe(now, || output.jitter()) {
                        self.probe();
                    }
                }
            }
        }
    }

    /// Something goes out whose answer ends read-only.
    fn probe(&mut self) {
        self.claims.reassert_all(|_| true);
        // No listen stands that could be repeated: one query does it.
        if self.claims.unsettled() == 0 {
            let (_, waiting, asking) = self.documents.counts();
            let first = self.claims.standings().map(|(key, _)| key).min();
            if let Some(key) = first.filter(|_| waiting + asking == 0) {
                self.documents.differs(key);
            }
            self.governor.ask_one();
        }
    }

    // Outputs.

    /// Sends every listen that is due, and asks for every document that may have changed.
    pub(super) fn send_due(&mut self, cx: &mut ServingContext<'_>) {
        self.claims.wake(cx.now);
        self.send_listens(cx);
        self.send_patterns(cx);
        self.send_queries(cx);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self, connection: &ConnectionFacts<'_>) -> Option<Instant> {
        let at = |timer| match timer {
            Timer::Audit => self.audit.next_timeout(),
            // Retries need a connection: without one, their times are not waited for.
            Timer::Claims => self.claims.next_retry().filter(|_| connection.may_send()),
            Timer::Documents => self.documents.next_retry().filter(|_| connection.may_ask()),
            Timer::Turn => self.governor.next_turn().filter(|_| connection.may_ask()),
            Timer::Probe => self.governor.next_probe().filter(|_| connection.may_ask()),
            Timer::Alarm => self.governor.next_alarm(),
            Timer::Patterns => self.patterns.poll_timeout(connection),
        };
        Timer::ALL.into_iter().filter_map(at).min()
    }

    /// Shows whether the client pulls, if that is news.
    pub(super) fn show_mode(&mut self, now: Instant, output: &mut Output) {
        if let Some((mode, is_alarming)) = self.governor.take_mode(now) {
            output.show(Event::Pulls { mode, is_alarming });
        }
    }

    // Getters.

    /// How the pulls are governed.
    pub(super) fn storm(&self) -> StormReport {
        let (watched, waiting, under_way) = self.documents.counts();
        self.governor.report(watched, waiting, under_way)
    }

    /// Every document is listened to again.
    #[cfg(test)]
    pub(super) fn reassert_all(&mut self) {
        self.claims.reassert_all(|_| true);
    }

    /// Its claims of documents, to be counted.
    pub(super) fn claims(&self) -> &Claims<ConfigKey> {
        &self.claims
    }

    /// Its claims of patterns, to be counted.
    pub(super) fn patterns(&self) -> &Claims<ConfigPattern> {
        self.patterns.claims()
    }
}
