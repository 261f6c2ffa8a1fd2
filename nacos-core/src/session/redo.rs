//! Over the connection that serves: claims, queries, their answers, and pushes.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CallId, ClaimKey, Event, Lifetime, LinkId, Session,
    backoff::{conflict_delay, poll_delay, retry_delay},
    connecting::{
        Asked,
        admission::{DEMANDED, LOGIN_REFUSED},
    },
    documents::Ticket,
    ledger::{Due, Revision},
    publication::Step,
    setback::{Gone, Setback},
};
use crate::{
    call_error::CallError,
    document::DocumentState,
    error::ErrorKind,
    key::{ConfigKey, ServiceKey},
    state::ClaimState,
    wire::{
        self, Payload, Request,
        config::{ConfigChangeBatchListenResponse, ConfigQueryRequest, ConfigQueryResponse},
        naming::{
            BatchInstanceRequest, BatchInstanceResponse, InstanceRequest, InstanceResponse,
            SubscribeServiceRequest, SubscribeServiceResponse,
        },
    },
};

/// What a request of the session's own is about.
#[derive(Debug)]
pub(super) enum Pending {
    /// About the connection itself.
    Connecting(Asked),
    /// Towards what a service's guards want to have registered.
    Step {
        claim: Claimed,
        step: Step,
    },
    Subscribe {
        claim: Claimed,
        subscribe: bool,
    },
    Listen {
        claims: Vec<Claimed>,
        listen: bool,
    },
    Query(ConfigKey, Ticket),
    /// Whether what we hold of a service is still there.
    Presence(ServiceKey, Revision),
}

/// A request, and the connection and the token that it went out with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) link: LinkId,
    /// Which token it was: a refusal of an older one says nothing about the newest.
    pub(super) token: u64,
    pub(super) call: CallId,
}

/// The claim that a request is about.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    key: ClaimKey,
    revision: Revision,
}

impl Session {
    /// Sends every claim that is due and asks for every document that is dirty.
    pub(super) fn send_due(&mut self, now: Instant) {
        let Some(link) = self.serving_link().filter(|_| self.can_send()) else { return };
        self.claims.wake(now);
        let room = MAX_CALLS.saturating_sub(self.output.under_way());
        for Due { key, claimed, revision } in self.claims.take_requests(room) {
            let claim = Claimed { key: key.clone(), revision };
            match key {
                ClaimKey::Instances(service) => {
                    self.claims.aim(&service);
                    self.step(now, link, &service, claim);
                }
                ClaimKey::Subscription(service) => {
                    let request = SubscribeServiceRequest::new(&service, claimed).outgoing();
                    self.call(link, request, Pending::Subscribe { claim, subscribe: claimed });
                }
                ClaimKey::Listen(_) => {}
            }
        }
        // One request at a time: what becomes due meanwhile goes together with the next.
        if self.listens_under_way == 0 {
            self.send_listens(link);
        }
        if self.can_ask() {
            for (key, ticket) in self.documents.take_dirty(now, MAX_QUERIES) {
                let request = ConfigQueryRequest::new(&key).outgoing();
                self.call(link, request, Pending::Query(key, ticket));
            }
            self.check_presence(now, link);
        }
    }

    /// Sends the next request towards what is claimed, or counts the claim as held.
    fn step(&mut self, now: Instant, link: LinkId, service: &ServiceKey, claim: Claimed) {
        let Some(step) = self.claims.next_step(service) else {
            if self.confirm(&claim) {
                let jitter = self.output.jitter();
                self.presence.held(now, service, claim.revision, jitter);
            }
            return;
        };
        let request = match &step {
            Step::Register(instance) => InstanceRequest::register(service, instance).outgoing(),
            Step::Deregister(instance) => InstanceRequest::deregister(service, instance).outgoing(),
            Step::Batch(instances) => {
                let instances = instances.iter().map(Arc::as_ref);
                BatchInstanceRequest::new(service, instances).outgoing()
            }
        };
        self.call(link, request, Pending::Step { claim, step });
    }

    /// A claim or a query was answered, or will not be.
    pub(super) fn redo_answered(
        &mut self,
        now: Instant,
        origin: Origin,
        pending: Pending,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        match pending {
            Pending::Connecting(_) => {}
            Pending::Step { claim, step } => {
                self.step_answered(now, origin, claim, &step, answer)?;
            }
            Pending::Subscribe { claim, subscribe } => {
                match self.read::<SubscribeServiceResponse>(answer)? {
                    Ok(answer) => {
                        let _ = self.confirm(&claim);
                        if let ClaimKey::Subscription(service) = claim.key
                            && subscribe
                        {
                            let request = Some(origin.call);
                            self.service_seen(now, service, answer.service_info, request);
                        }
                    }
                    Err(setback) => self.setback(now, origin, &[claim], &setback),
                }
            }
            Pending::Listen { claims, listen } => {
                self.listens_under_way = self.listens_under_way.saturating_sub(1);
                match self.read::<ConfigChangeBatchListenResponse>(answer)? {
                    Ok(answer) if listen => self.listening(&claims, &answer),
                    Ok(_) => {
                        for claim in &claims {
                            let _ = self.confirm(claim);
                        }
                    }
                    Err(setback) => self.listen_setback(now, origin, &claims, listen, &setback),
                }
            }
            Pending::Query(key, ticket) => self.queried(now, origin, &key, ticket, answer)?,
            Pending::Presence(service, revision) => {
                self.presence_answered(now, service, revision, answer)?;
            }
        }
        Ok(())
    }

    fn step_answered(
        &mut self,
        now: Instant,
        origin: Origin,
        claim: Claimed,
        step: &Step,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        let additive = if matches!(step, Step::Batch(_)) {
            self.read::<BatchInstanceResponse>(answer)?.map(|answer| Some(answer.is_additive()))
        } else {
            self.read::<InstanceResponse>(answer)?.map(|_| None)
        };
        let ClaimKey::Instances(service) = &claim.key else { return Ok(()) };
        let service = service.clone();
        match additive {
            Ok(additive) => {
                self.claims.step_done(&service, step, additive);
                self.step(now, origin.link, &service, claim);
            }
            Err(setback) => {
                if matches!(setback, Setback::Unanswered | Setback::Unreadable { .. }) {
                    self.claims.step_unanswered(&service, step);
                }
                self.setback(now, origin, &[claim], &setback);
            }
        }
        Ok(())
    }

    /// Listens are known to the server: what differs is dirty, the rest is confirmed.
    fn listening(&mut self, claims: &[Claimed], answer: &ConfigChangeBatchListenResponse) {
        for differing in answer.changed_configs.iter().filter_map(wire::config::DocumentName::key) {
            // Servers repeat keys that we have given up meanwhile; those are nobody's.
            self.documents.hint(&differing);
        }
        for claim in claims {
            let _ = self.confirm(claim);
            if let Some(key) = claim.document() {
                self.documents.listen_granted(key);
                let state = self.documents.unchanged(key);
                self.output.show_all(state.map(|state| Event::Document(key.clone(), state)));
            }
        }
    }

    fn queried(
        &mut self,
        now: Instant,
        origin: Origin,
        key: &ConfigKey,
        ticket: Ticket,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        let (jitter, fresh) = (self.output.jitter(), self.is_fresh(now));
        let found = self.read::<ConfigQueryResponse>(answer)?;
        let documents = &mut self.documents;
        let poll_at = now + poll_delay(jitter);
        let state = match found.and_then(|answer| Ok(answer.into_document(key)?)) {
            Ok(document) => documents.answered(key, ticket, Some(document), poll_at),
            Err(Setback::Refused(refusal)) if refusal.says_absent() => {
                documents.answered(key, ticket, None, poll_at)
            }
            Err(Setback::Refused(refusal)) if refusal.says_being_modified() => {
                documents.again(key, ticket, |tries| now + conflict_delay(tries, jitter));
                None
            }
            Err(Setback::Refused(refusal))
                if self.is_being_renewed(now, origin.token, refusal.code) =>
            {
                self.documents.again(key, ticket, |tries| now + retry_delay(tries, jitter));
                None
            }
            Err(setback) => {
                let cause = setback.cause();
                // Nobody may read or listen: that is not asked of thousands of documents every
                // minute.
                let is_denied = cause.kind == ErrorKind::Denied && self.documents.is_denied(key);
                let retry_at = |tries: u32| {
                    let delay = setback.retry_after(tries, fresh, jitter)?;
                    Some(now + if is_denied { delay * (1 + tries.min(9)) } else { delay })
                };
                let state = self.documents.failed(key, ticket, &cause, retry_at);
                if state.is_some() && !cause.kind.is_retryable() {
                    let key = key.clone();
                    self.output.show(Event::Withheld { key, cause: cause.text });
                }
                state
            }
        };
        if state == Some(DocumentState::Absent) {
            // r-nacos forgets who listens to a document when it is removed (seen): whoever does
            // not listen again misses that it comes back.
            self.claims.reassert(&ClaimKey::Listen(key.clone()));
        }
        let shows = |state: &DocumentState| !matches!(state, DocumentState::Unreachable { .. });
        let (first, last) =
            if state.as_ref().is_some_and(shows) { (state, None) } else { (None, state) };
        let event = |state| Event::Document(key.clone(), state);
        // Who polls has all that was asked for, before a refusal is told; who does not learns the
        // reason first.
        self.output.show_all(first.map(event));
        self.tell_denied(key);
        self.output.show_all(last.map(event));
        Ok(())
    }

    /// The server has agreed to a claim. Says whether it now holds the newest.
    fn confirm(&mut self, claim: &Claimed) -> bool {
        let held = self.claims.confirm(&claim.key, claim.revision);
        if held {
            self.tell_guards(&claim.key, &ClaimState::Held);
        }
        if held || !self.claims.is_known(&claim.key) {
            self.output.show(Event::Settled(claim.key.clone()));
        }
        held
    }

    /// The server has not agreed to `claims`.
    pub(super) fn setback(
        &mut self,
        now: Instant,
        origin: Origin,
        claims: &[Claimed],
        setback: &Setback,
    ) {
        let (jitter, fresh) = (self.output.jitter(), self.is_fresh(now));
        let delay = |tries| setback.retry_after(tries, fresh, jitter);
        self.setback_after(now, origin, claims, setback, delay);
    }

    /// The same, with a delay before the next try of one's own; none if there is to be none.
    pub(super) fn setback_after(
        &mut self,
        now: Instant,
        origin: Origin,
        claims: &[Claimed],
        setback: &Setback,
        delay: impl Fn(u32) -> Option<Duration>,
    ) {
        let (code, message): (i32, Arc<str>) = match setback {
            Setback::Unanswered => {
                for claim in claims {
                    self.claims.release(&claim.key, claim.revision);
                }
                return;
            }
            Setback::Refused(refusal)
                if refusal.demands_login() && self.connecting.is_anonymous() =>
            {
                (refusal.code, format!("{}; {DEMANDED}", refusal.message).into())
            }
            Setback::Refused(refusal)
                if refusal.demands_login()
                    && let Some(cause) = self.connecting.refused_login() =>
            {
                (refusal.code, format!("{}; {LOGIN_REFUSED}: {cause}", refusal.message).into())
            }
            Setback::Refused(refusal) => (refusal.code, refusal.message.as_str().into()),
            Setback::Unreadable { cause, .. } => (wire::SERVER_ERROR, Arc::clone(&cause.text)),
        };
        let silently = self.is_being_renewed(now, origin.token, code);
        if silently && origin.token < self.connecting.token() {
            // There is another token already.
            for claim in claims {
                self.claims.release(&claim.key, claim.revision);
            }
            return;
        }
        let open = self.lifetime == Lifetime::Open;
        let retry_at = |tries| {
            // Whoever closes does not wait for what was refused.
            delay(tries).filter(|_| open).map(|delay| now + delay)
        };
        let retrying = retry_at(0).is_some();
        let state = ClaimState::Refused { code, message: Arc::clone(&message), retrying };
        let cause = setback.cause();
        for claim in claims {
            let refused = self.claims.refuse(&claim.key, claim.revision, code, retry_at);
            if refused
                && !silently
                && code == wire::DENIED
                && let Some(document) = claim.document()
            {
                self.listen_denied(document, &cause, Arc::clone(&message));
            } else if refused && !silently {
                self.tell_guards(&claim.key, &state);
                let (key, message) = (claim.key.clone(), Arc::clone(&message));
                self.output.show(Event::Refused { key, code, message });
                if let Some(key) = claim.document()
                    && let Some(state) = self.documents.refused(key, &cause)
                {
                    self.output.show(Event::Document(key.clone(), state));
                }
            }
            if !self.claims.is_known(&claim.key) {
                self.output.show(Event::Settled(claim.key.clone()));
            }
        }
    }

    /// Whether this refusal is about a token that has been, or is being, replaced, or will be once
    /// a server has read its users: then it is nobody's business yet.
    fn is_being_renewed(&mut self, now: Instant, token: u64, code: i32) -> bool {
        if code != wire::DENIED {
            return false;
        }
        if token == self.connecting.token() {
            self.token_refused(now);
        }
        token < self.connecting.token() || self.is_renewing() || self.connecting.is_not_ready()
    }

    /// Whether the server has served for so short a time that it may not know its users' rights
    /// yet.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let since = self.connecting.serves_since();
        since.is_some_and(|since| now.saturating_duration_since(since) < FRESH)
    }

    pub(super) fn tell_guards(&mut self, key: &ClaimKey, state: &ClaimState) {
        let guards = self.claims.tell(key, state).into_iter();
        self.output.show_all(guards.map(|guard| Event::Claim(guard, state.clone())));
    }
}

impl Claimed {
    pub(super) fn new(key: ClaimKey, revision: Revision) -> Self {
        Self { key, revision }
    }

    /// Which document, if it is a listen.
    pub(super) fn document(&self) -> Option<&ConfigKey> {
        match &self.key {
            ClaimKey::Listen(key) => Some(key),
            ClaimKey::Instances(_) | ClaimKey::Subscription(_) => None,
        }
    }
}

/// Java reads users and their rights within 15 s of its start.
const FRESH: Duration = Duration::from_secs(60);
/// Queries under way at once: a change of thousands of documents does not starve everything else.
const MAX_QUERIES: usize = 64;
/// Requests of the session's own under way at once.
const MAX_CALLS: usize = 256;
