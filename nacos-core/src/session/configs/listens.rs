//! Listens: which go together, and what it means that one is refused.
//!
//! Servers authorise a listen request as a whole, for the namespace of its first entry, and a
//! request that is refused is refused for all of its documents. So each request names one
//! namespace, and one bad document of many is found by halving.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{ConfigsMachine, asked::Asked};
use crate::{
    error::ErrorKind,
    key::ConfigKey,
    session::{
        backoff::retry_delay,
        effects::Event,
        ledger::SentClaim,
        output::{Output, RequestOrigin},
        request_failure::RequestFailure,
        serving_context::ServingContext,
    },
    wire::{
        self, Request,
        config::{ConfigBatchListenRequest, ConfigChangeBatchListenResponse, DocumentName},
    },
};

/// The requests to listen that are under way.
#[derive(Debug, Default)]
pub(super) struct Listens {
    under_way: usize,
    /// How often refused ones may still be halved.
    splits: usize,
    /// Some were not answered while the client was read-only, and are not sent again before that
    /// is over, or a probe is due.
    are_kept: bool,
}

impl Listens {
    /// None is under way any more.
    pub(super) fn reconnected(&mut self) {
        self.under_way = 0;
    }
}

impl ConfigsMachine {
    /// Sends every listen that is due, and every end of one.
    pub(super) fn send_listens(&mut self, cx: &mut ServingContext<'_>) {
        // One batch at a time: what becomes due meanwhile goes together with the next.
        if self.listens.under_way > 0 {
            return;
        }
        if self.listens.are_kept && !self.governor.is_read_only() {
            self.listens.are_kept = false;
            self.claims.resume();
        }
        self.listens.splits = SPLITS;
        // By namespace, in the order in which each became due.
        let mut batches: BTreeMap<(bool, String), Vec<SentClaim<ConfigKey>>> = BTreeMap::new();
        for due in self.claims.take_due(usize::MAX) {
            // New listens first.
            let batch = (!due.claimed, due.key.tenant().to_owned());
            let claim = SentClaim { key: due.key, revision: due.revision };
            batches.entry(batch).or_default().push(claim);
        }
        for ((unlisten, _), claims) in batches {
            for claims in claims.chunks(LISTEN_BATCH) {
                self.send_listen(cx, claims.to_vec(), !unlisten);
            }
        }
    }

    /// Sends one request about `claims`, which are of one namespace, and are some.
    fn send_listen(
        &mut self,
        cx: &mut ServingContext<'_>,
        claims: Vec<SentClaim<ConfigKey>>,
        listen: bool,
    ) {
        let keys = claims.iter().map(|claim| &claim.key);
        let request = if listen {
            let held: Vec<_> = keys.map(|key| (key, self.documents.md5(key))).collect();
            let held = held.iter().map(|(key, md5)| (*key, md5.as_ref()));
            ConfigBatchListenRequest::listen(held).outgoing()
        } else {
            ConfigBatchListenRequest::unlisten(keys).outgoing()
        };
        self.listens.under_way += 1;
        cx.call(request, Asked::Listen { claims, listen });
    }

    /// A request to `listen`, or to stop, was answered.
    pub(in crate::session) fn handle_listen(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claims: &[SentClaim<ConfigKey>],
        listen: bool,
        answer: Result<ConfigChangeBatchListenResponse, RequestFailure>,
    ) {
        self.listens.under_way = self.listens.under_way.saturating_sub(1);
        let is_silence = |failure: &RequestFailure| {
            matches!(failure, RequestFailure::Unanswered | RequestFailure::Unsent(_))
        };
        if listen && !answer.as_ref().is_err_and(is_silence) {
            // A refusal is an answer, too.
            self.governor.listen_answered();
        }
        match answer {
            Ok(answer) if listen => self.listening(cx, claims, &answer),
            Ok(_) => {
                for claim in claims {
                    self.claims.agreed(cx.output, claim);
                }
            }
            Err(failure) => self.listen_refused(cx, origin, claims, listen, &failure),
        }
    }

    /// The server knows these listens: documents that differ are dirty, the others are confirmed.
    fn listening(
        &mut self,
        cx: &mut ServingContext<'_>,
        claims: &[SentClaim<ConfigKey>],
        answer: &ConfigChangeBatchListenResponse,
    ) {
        for differing in answer.changed_configs.iter().filter_map(DocumentName::key) {
            // Servers repeat keys that we have given up meanwhile; those have no entry.
            self.documents.differs(&differing);
        }
        let mut confirmed = Vec::new();
        for claim in claims {
            self.claims.agreed(cx.output, claim);
            self.documents.listen_granted(&claim.key);
            if cx.connection.may_omit {
                self.documents.doubt(&claim.key);
            }
            match self.documents.unchanged(&claim.key) {
                Some(state) => cx.output.show(Event::Document(claim.key.clone(), state)),
                None if self.documents.is_confirmed(&claim.key) => {
                    confirmed.push(claim.key.clone());
                }
                None => {}
            }
        }
        if !confirmed.is_empty() {
            cx.output.show(Event::Confirmed(confirmed));
        }
    }

    /// The server has not agreed to let us listen to `claims`, or to stop.
    fn listen_refused(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claims: &[SentClaim<ConfigKey>],
        listen: bool,
        failure: &RequestFailure,
    ) {
        let middle = claims.len().div_ceil(2);
        let halves = || claims.chunks(middle.max(1));
        match failure {
            _ if claims.len() < 2 => self.set_back(cx, origin, claims, failure),
            // The right to listen is one for all of them.
            RequestFailure::Unanswered | RequestFailure::Unsent(_) => {
                self.set_back(cx, origin, claims, failure);
            }
            RequestFailure::Refused(refusal) if refusal.code == wire::DENIED => {
                self.set_back(cx, origin, claims, failure);
            }
            RequestFailure::Refused(refusal) if refusal.kind() == ErrorKind::Refused => {
                if self.listens.splits > 0 && cx.connection.may_send() {
                    self.listens.splits -= 1;
                    for half in halves() {
                        self.send_listen(cx, half.to_vec(), listen);
                    }
                } else {
                    // Not refused alone: the claims that are left get another chance.
                    let jitter = cx.output.jitter();
                    let delay = |tries| Some(retry_delay(tries, jitter));
                    self.set_back_after(cx, origin, claims, failure, delay);
                }
            }
            // It may be one of them that the server fails at: the halves are not asked for
            // together.
            RequestFailure::Refused(_) | RequestFailure::Unreadable { .. } => {
                let (jitter, is_fresh) = (cx.output.jitter(), cx.connection.is_fresh);
                for (later, half) in (0..).zip(halves()) {
                    let delay = |tries: u32| {
                        failure.retry_after(tries.saturating_add(later), is_fresh, jitter)
                    };
                    self.set_back_after(cx, origin, half, failure, delay);
                }
            }
        }
    }

    /// The server has not agreed to `claims`.
    fn set_back(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claims: &[SentClaim<ConfigKey>],
        failure: &RequestFailure,
    ) {
        let (jitter, is_fresh) = (cx.output.jitter(), cx.connection.is_fresh);
        let delay = |tries| failure.retry_after(tries, is_fresh, jitter);
        self.set_back_after(cx, origin, claims, failure, delay);
    }

    /// The same, with a delay before the next try of one's own; none if there is to be none.
    fn set_back_after(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        claims: &[SentClaim<ConfigKey>],
        failure: &RequestFailure,
        delay: impl Fn(u32) -> Option<Duration>,
    ) {
        let Some(rejection) = failure.rejection(&cx.connection, origin.token) else {
            // A server that answers nothing is not sent all listens again and again.
            if matches!(failure, RequestFailure::Unanswered) && self.governor.is_read_only() {
                self.listens.are_kept |= self.claims.keep(claims);
                return;
            }
            return self.claims.release(claims);
        };
        let (now, connection) = (cx.now, cx.connection);
        let retry_at = |tries| connection.later(now, delay(tries));
        let retrying = retry_at(0).is_some();
        let cause = failure.cause();
        for claim in claims {
            let key = &claim.key;
            if !self.claims.refused(cx.output, claim, &rejection, retry_at) {
                continue;
            }
            if rejection.code == wire::DENIED {
                // The guards are told once it is known whether the document can be read.
                self.documents.listen_denied(key, &cause, Arc::clone(&rejection.message));
                self.tell_denied(cx.output, key);
                continue;
            }
            self.claims.tell_refused(cx.output, key, rejection.told(), retrying);
            let state = self.documents.refused(key, &cause);
            cx.output.show_all(state.map(|state| Event::Document(key.clone(), state)));
        }
    }

    /// Tells the guards of `document` why nobody may listen to it, once that is known.
    pub(super) fn tell_denied(&mut self, output: &mut Output, document: &ConfigKey) {
        let Some(message) = self.documents.denial(document) else { return };
        self.claims.tell_refused(output, document, (wire::DENIED, &message), true);
    }
}

/// Keys in one listen request: as many as Java clients send at most, some 450 KB.
const LISTEN_BATCH: usize = 3000;
/// How often refused requests are halved before the rest has to wait: enough to find five bad
/// documents of thousands, and no flood where all of them are bad.
const SPLITS: usize = 64;
