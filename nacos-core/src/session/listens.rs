//! Listens: which go together, and what it means that one is refused.
//!
//! Servers authorise a listen request as a whole, for the namespace of its first entry, and a
//! request that is refused is refused for all of its documents. So each request names one
//! namespace, and one bad document of many is found by halving.
use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    ClaimKey, Event, LinkId, Session,
    backoff::retry_delay,
    documents::Cause,
    redo::{Claimed, Origin, Pending},
    setback::Setback,
};
use crate::{
    error::ErrorKind,
    key::ConfigKey,
    state::ClaimState,
    wire::{self, Request, config::ConfigBatchListenRequest},
};

impl Session {
    /// Sends every listen that is due, and every end of one.
    pub(super) fn send_listens(&mut self, link: LinkId) {
        self.listen_splits = SPLITS;
        // By namespace, in the order in which each became due.
        let mut batches: BTreeMap<(bool, String), Vec<Claimed>> = BTreeMap::new();
        for due in self.claims.take_listens() {
            let ClaimKey::Listen(document) = &due.key else { continue };
            // New listens first.
            let batch = (!due.claimed, document.tenant().to_owned());
            batches.entry(batch).or_default().push(Claimed::new(due.key, due.revision));
        }
        for ((unlisten, _), claims) in batches {
            for claims in claims.chunks(LISTEN_BATCH) {
                self.send_listen(link, claims.to_vec(), !unlisten);
            }
        }
    }

    /// Sends one request about `claims`, which are of one namespace, and are some.
    fn send_listen(&mut self, link: LinkId, claims: Vec<Claimed>, listen: bool) {
        let keys = claims.iter().filter_map(Claimed::document);
        let request = if listen {
            let held: Vec<_> = keys.map(|key| (key, self.documents.md5(key))).collect();
            let held = held.iter().map(|(key, md5)| (*key, md5.as_ref()));
            ConfigBatchListenRequest::listen(held).outgoing()
        } else {
            ConfigBatchListenRequest::unlisten(keys).outgoing()
        };
        self.listens_under_way += 1;
        self.call(link, request, Pending::Listen { claims, listen });
    }

    /// The server has not agreed to let us listen to `claims`, or to stop.
    pub(super) fn listen_setback(
        &mut self,
        now: Instant,
        origin: Origin,
        claims: &[Claimed],
        listen: bool,
        setback: &Setback,
    ) {
        let middle = claims.len().div_ceil(2);
        let halves = || claims.chunks(middle.max(1));
        match setback {
            _ if claims.len() < 2 => self.setback(now, origin, claims, setback),
            // The right to listen is one for all of them.
            Setback::Unanswered => {
                self.setback(now, origin, claims, setback);
            }
            Setback::Refused(refusal) if refusal.code == wire::DENIED => {
                self.setback(now, origin, claims, setback);
            }
            Setback::Refused(refusal) if refusal.kind() == ErrorKind::Refused => {
                if self.listen_splits > 0 && self.can_send() {
                    self.listen_splits -= 1;
                    for half in halves() {
                        self.send_listen(origin.link, half.to_vec(), listen);
                    }
                } else {
                    // Not refused by itself: whoever is left gets another chance.
                    let jitter = self.output.jitter();
                    let delay = |tries| Some(retry_delay(tries, jitter));
                    self.setback_after(now, origin, claims, setback, delay);
                }
            }
            // It may be one of them that the server fails at: the halves are not asked for
            // together.
            Setback::Refused(_) | Setback::Unreadable { .. } => {
                let (jitter, fresh) = (self.output.jitter(), self.is_fresh(now));
                for (later, half) in (0..).zip(halves()) {
                    let delay = |tries: u32| {
                        setback.retry_after(tries.saturating_add(later), fresh, jitter)
                    };
                    self.setback_after(now, origin, half, setback, delay);
                }
            }
        }
    }

    /// The server refused a listen for want of a right. What that means is decided by whether the
    /// document can be read, which is asked first.
    pub(super) fn listen_denied(&mut self, document: &ConfigKey, cause: &Cause, message: Arc<str>) {
        self.documents.listen_denied(document, cause, message);
        self.tell_denied(document);
    }

    /// Tells the guards of `document` why nobody may listen to it, once that is known.
    pub(super) fn tell_denied(&mut self, document: &ConfigKey) {
        let Some(message) = self.documents.denial(document) else { return };
        let (key, code) = (ClaimKey::Listen(document.clone()), wire::DENIED);
        let state = ClaimState::Refused { code, message: Arc::clone(&message), retrying: true };
        self.tell_guards(&key, &state);
        self.output.show(Event::Refused { key, code, message });
    }
}

/// What a user lacks who may read a document, but not listen to it.
pub(super) fn missing_right(key: &ConfigKey, cause: &str, polled: bool) -> Arc<str> {
    let namespace = match key.tenant() {
        "" => "public",
        namespace => namespace,
    };
    let meanwhile = if polled {
        "until it is granted, the document is asked for every 30 s"
    } else {
        "grant it, or let the watch poll with `poll_when_refused`"
    };
    format!(
        "{cause}; the document can be read, but whoever listens needs the right to read \
         `{namespace}:*:config/*`: {meanwhile}"
    )
    .into()
}

/// Keys in one listen request: what Java clients send at most, some 450 KB.
const LISTEN_BATCH: usize = 3000;
/// How often refused requests are halved before the rest has to wait: enough to find five bad
/// documents of thousands, and no flood where all of them are bad.
const SPLITS: usize = 64;
