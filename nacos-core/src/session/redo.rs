//! Over the connection that serves: claims, queries, their answers, and pushes.
use std::time::Instant;

use super::{
    ClaimKey, Event, Lifetime, LinkId, Session,
    backoff::{conflict_delay, retry_delay},
    claims::Claim,
    documents::Ticket,
    ledger::{Due, Revision},
    publication::Step,
};
use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    instance::Instance,
    key::{ConfigKey, Namespace, ServiceKey},
    state::ClaimState,
    transport::CallError,
    wire::{
        self, Answer, Failure, Payload, Refusal, Request,
        config::{
            ConfigBatchListenRequest, ConfigChangeBatchListenResponse, ConfigQueryRequest,
            ConfigQueryResponse,
        },
        naming::{
            BatchInstanceRequest, BatchInstanceResponse, InstanceRequest, InstanceResponse,
            ServiceInfo, SubscribeServiceRequest, SubscribeServiceResponse,
        },
        push::{self, Push},
    },
};

/// What a request of the session's own is about.
#[derive(Debug)]
pub(super) enum Pending {
    ServerCheck,
    SetupProbe,
    Probe,
    /// Towards what a service's guards want to have registered.
    Step {
        claim: Claimed,
        wanted: Vec<Instance>,
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

/// The connection and the token that a request went out with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) link: LinkId,
    /// Which token it was: a refusal of an older one says nothing about the newest.
    pub(super) token: u64,
}

/// The claim that a request is about.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    key: ClaimKey,
    revision: Revision,
}

/// Why a claim was not agreed to.
pub(super) enum Setback {
    /// Nothing more can be sent on this connection: it is lost, leaving, or not known.
    Gone(String),
    /// No answer in time: nobody knows whether it was done.
    Unanswered,
    /// An answer that cannot be read: it may have been done, and asking at once would not help.
    Unreadable(Refusal),
    /// The server said no.
    Refused(Refusal),
}

impl Session {
    /// Sends every claim that is due and asks for every document that is dirty.
    pub(super) fn send_due(&mut self, now: Instant) {
        let Some(link) = self.serving_link().filter(|_| self.can_send()) else { return };
        let room = MAX_CALLS.saturating_sub(self.calls.len());
        for Due { key, claim, revision } in self.claims.take_requests(now, room) {
            let claimed = Claimed { key: key.clone(), revision };
            match (key, claim) {
                (ClaimKey::Instances(service), Some(Claim::Instances(wanted))) => {
                    self.step(now, link, &service, claimed, wanted);
                }
                (ClaimKey::Instances(service), _) => {
                    self.step(now, link, &service, claimed, Vec::new());
                }
                (ClaimKey::Subscription(service), claim) => {
                    let subscribe = claim.is_some();
                    let request = SubscribeServiceRequest::new(&service, subscribe).outgoing();
                    self.call(link, request, Pending::Subscribe { claim: claimed, subscribe });
                }
                (ClaimKey::Listen(_), _) => {}
            }
        }
        // One request at a time: what becomes due meanwhile goes together with the next.
        if self.listens_under_way == 0 {
            self.send_listens(now, link);
        }
        if self.can_ask() {
            for (key, ticket) in self.documents.take_dirty(now, MAX_QUERIES) {
                let request = ConfigQueryRequest::new(&key).outgoing();
                self.call(link, request, Pending::Query(key, ticket));
            }
            self.check_presence(now, link);
        }
    }

    fn send_listens(&mut self, now: Instant, link: LinkId) {
        let due = self.claims.take_listens(now);
        let (listens, unlistens): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|due| due.claim.is_some());
        for (listen, due) in [(true, listens), (false, unlistens)] {
            let claims: Vec<_> = due
                .into_iter()
                .map(|due| Claimed { key: due.key, revision: due.revision })
                .collect();
            for batch in claims.chunks(LISTEN_BATCH) {
                let keys = batch.iter().filter_map(Claimed::document);
                let request = if listen {
                    let held: Vec<_> = keys.map(|key| (key, self.documents.md5(key))).collect();
                    let held = held.iter().map(|(key, md5)| (*key, md5.as_ref()));
                    ConfigBatchListenRequest::listen(held).outgoing()
                } else {
                    ConfigBatchListenRequest::unlisten(keys).outgoing()
                };
                self.listens_under_way += 1;
                self.call(link, request, Pending::Listen { claims: batch.to_vec(), listen });
            }
        }
    }

    /// Sends the next request towards `wanted`, or counts the claim as held.
    fn step(
        &mut self,
        now: Instant,
        link: LinkId,
        service: &ServiceKey,
        claim: Claimed,
        wanted: Vec<Instance>,
    ) {
        let Some(step) = self.claims.next_step(service, &wanted) else {
            if self.confirm(&claim) {
                let jitter = (self.jitter)();
                self.presence.held(now, service, claim.revision, jitter);
            }
            return;
        };
        let request = match &step {
            Step::Register(instance) => InstanceRequest::register(service, instance).outgoing(),
            Step::Deregister(instance) => InstanceRequest::deregister(service, instance).outgoing(),
            Step::Batch(instances) => BatchInstanceRequest::new(service, instances).outgoing(),
        };
        self.call(link, request, Pending::Step { claim, wanted, step });
    }

    /// A claim or a query was answered, or will not be.
    pub(super) fn redo_answered(
        &mut self,
        now: Instant,
        origin: Origin,
        pending: Pending,
        answer: Result<Payload, CallError>,
    ) {
        match pending {
            Pending::ServerCheck | Pending::SetupProbe | Pending::Probe => {}
            Pending::Step { claim, wanted, step } => {
                self.step_answered(now, origin, claim, wanted, &step, answer);
            }
            Pending::Subscribe { claim, subscribe } => {
                match read::<SubscribeServiceResponse>(answer) {
                    Ok(answer) => {
                        let _ = self.confirm(&claim);
                        if let ClaimKey::Subscription(service) = claim.key
                            && subscribe
                        {
                            self.service_seen(service, answer.service_info);
                        }
                    }
                    Err(setback) => self.setback(now, origin, &[claim], &setback),
                }
            }
            Pending::Listen { claims, listen } => {
                self.listens_under_way = self.listens_under_way.saturating_sub(1);
                match read::<ConfigChangeBatchListenResponse>(answer) {
                    Ok(answer) if listen => self.listening(&claims, &answer),
                    Ok(_) => {
                        for claim in &claims {
                            let _ = self.confirm(claim);
                        }
                    }
                    Err(setback) => self.setback(now, origin, &claims, &setback),
                }
            }
            Pending::Query(key, ticket) => self.queried(now, origin, &key, ticket, answer),
            Pending::Presence(service, revision) => {
                self.presence_answered(now, origin, service, revision, answer);
            }
        }
    }

    fn step_answered(
        &mut self,
        now: Instant,
        origin: Origin,
        claim: Claimed,
        wanted: Vec<Instance>,
        step: &Step,
        answer: Result<Payload, CallError>,
    ) {
        let additive = if matches!(step, Step::Batch(_)) {
            read::<BatchInstanceResponse>(answer).map(|answer| Some(answer.is_additive()))
        } else {
            read::<InstanceResponse>(answer).map(|_| None)
        };
        let ClaimKey::Instances(service) = &claim.key else { return };
        let service = service.clone();
        match additive {
            Ok(additive) => {
                self.claims.step_done(&service, step, additive);
                self.step(now, origin.link, &service, claim, wanted);
            }
            Err(setback) => {
                if matches!(setback, Setback::Unanswered | Setback::Unreadable(_)) {
                    self.claims.step_unanswered(&service, step);
                }
                self.setback(now, origin, &[claim], &setback);
            }
        }
    }

    /// Listens are known to the server: what differs is dirty, the rest is confirmed.
    fn listening(&mut self, claims: &[Claimed], answer: &ConfigChangeBatchListenResponse) {
        for differing in answer.changed_configs.iter().filter_map(wire::config::DocumentName::key) {
            // Servers repeat keys that we have given up meanwhile; those are nobody's.
            self.documents.hint(&differing);
        }
        for claim in claims {
            let _ = self.confirm(claim);
            if let Some(key) = claim.document()
                && let Some(state) = self.documents.unchanged(key)
            {
                self.events.push_back(Event::Document(key.clone(), state));
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
    ) {
        let jitter = (self.jitter)();
        let documents = &mut self.documents;
        let state = match read::<ConfigQueryResponse>(answer) {
            Ok(answer) => documents.answered(key, ticket, Some(answer.into_document())),
            Err(Setback::Refused(refusal)) if refusal.says_absent() => {
                documents.answered(key, ticket, None)
            }
            Err(Setback::Refused(refusal)) if refusal.says_being_modified() => {
                documents.again(key, ticket, |tries| now + conflict_delay(tries, jitter));
                None
            }
            Err(Setback::Gone(why)) => return self.drop_link(now, origin.link, &why),
            Err(Setback::Unanswered) => {
                let retry_at = |tries| Some(now + retry_delay(tries, jitter));
                documents.failed(key, ticket, ErrorKind::Timeout, retry_at)
            }
            Err(Setback::Refused(refusal))
                if self.is_being_renewed(now, origin.token, &refusal) =>
            {
                self.documents.again(key, ticket, |tries| now + retry_delay(tries, jitter));
                None
            }
            Err(Setback::Refused(refusal) | Setback::Unreadable(refusal)) => {
                let retry_at =
                    |tries| retry_after(&refusal, tries, jitter).map(|delay| now + delay);
                self.documents.failed(key, ticket, refusal.kind(), retry_at)
            }
        };
        if state == Some(DocumentState::Absent) {
            // r-nacos forgets who listens to a document when it is removed (seen): whoever does
            // not listen again misses that it comes back.
            self.claims.reassert(&ClaimKey::Listen(key.clone()));
        }
        self.events.extend(state.map(|state| Event::Document(key.clone(), state)));
    }

    /// The server has agreed to a claim. Says whether it now holds the newest.
    fn confirm(&mut self, claim: &Claimed) -> bool {
        let held = self.claims.confirm(&claim.key, claim.revision);
        if held {
            self.tell_guards(&claim.key, &ClaimState::Held);
        }
        if held || !self.claims.is_known(&claim.key) {
            self.events.push_back(Event::Settled(claim.key.clone()));
        }
        held
    }

    /// The server has not agreed to `claims`.
    fn setback(&mut self, now: Instant, origin: Origin, claims: &[Claimed], setback: &Setback) {
        let refusal = match setback {
            Setback::Gone(why) => return self.drop_link(now, origin.link, why),
            Setback::Unanswered => {
                for claim in claims {
                    self.claims.release(&claim.key, claim.revision);
                }
                return;
            }
            Setback::Refused(refusal) | Setback::Unreadable(refusal) => refusal,
        };
        let silently = self.is_being_renewed(now, origin.token, refusal);
        if silently && origin.token < self.login.grants() {
            // There is another token already.
            for claim in claims {
                self.claims.release(&claim.key, claim.revision);
            }
            return;
        }
        let jitter = (self.jitter)();
        let open = self.lifetime == Lifetime::Open;
        let retry_at = |tries| {
            // Whoever closes does not wait for what was refused.
            retry_after(refusal, tries, jitter).filter(|_| open).map(|delay| now + delay)
        };
        let state = ClaimState::Refused {
            code: refusal.code,
            message: refusal.message.as_str().into(),
            retrying: retry_at(0).is_some(),
        };
        for claim in claims {
            let refused = self.claims.refuse(&claim.key, claim.revision, refusal.code, retry_at);
            if refused && !silently {
                self.tell_guards(&claim.key, &state);
                let message = refusal.message.as_str().into();
                let (key, code) = (claim.key.clone(), refusal.code);
                self.events.push_back(Event::Refused { key, code, message });
                if let Some(key) = claim.document()
                    && let Some(state) = self.documents.refused(key, refusal.kind())
                {
                    self.events.push_back(Event::Document(key.clone(), state));
                }
            }
            if !self.claims.is_known(&claim.key) {
                self.events.push_back(Event::Settled(claim.key.clone()));
            }
        }
    }

    /// Whether this refusal is about a token that has been, or is being, replaced: then it is
    /// nobody's business yet.
    fn is_being_renewed(&mut self, now: Instant, token: u64, refusal: &Refusal) -> bool {
        if refusal.code != wire::DENIED {
            return false;
        }
        if token == self.login.grants() {
            self.login.token_refused(now);
        }
        token < self.login.grants() || self.login.is_renewing()
    }

    fn tell_guards(&mut self, key: &ClaimKey, state: &ClaimState) {
        let guards = self.claims.guards(key);
        self.events.extend(guards.map(|guard| Event::Claim(guard, state.clone())));
    }

    /// A message on the stream.
    pub(super) fn pushed(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        // What cannot be read changes nothing, and is not repeated: it has been acknowledged.
        let Ok(push) = push::read(payload) else { return };
        match push {
            Push::SetupAck(abilities) => self.serve(now, link, abilities),
            Push::ConnectReset(redirect) if self.serving_link() == Some(link) => {
                self.reset(now, redirect);
            }
            Push::ConfigChanged(name) => {
                if let Some(key) = name.key() {
                    self.documents.hint(&key);
                }
            }
            // Lists of different servers have no common order: only the serving one counts.
            Push::Service { namespace, info } if self.serving_link() == Some(link) => {
                self.service_pushed(namespace, info);
            }
            _ => {}
        }
    }

    fn service_pushed(&mut self, namespace: Option<Namespace>, info: ServiceInfo) {
        let (group, name) = info.name();
        let Ok(unplaced) = ServiceKey::try_from((name, group)) else { return };
        if let Some(namespace) = namespace {
            return self.service_seen(unplaced.in_namespace(namespace), info);
        }
        match self.namesakes.get(&unplaced).map_or(&[][..], Vec::as_slice) {
            [] => {}
            [one] => self.service_seen(one.clone(), info),
            // The same name in two namespaces: the push is a hint to ask for both.
            several => {
                for service in several {
                    self.claims.reassert(&ClaimKey::Subscription(service.clone()));
                }
            }
        }
    }

    /// A service in full, from an answer or a push of the connection that serves.
    fn service_seen(&mut self, key: ServiceKey, info: ServiceInfo) {
        let time = info.last_ref_time;
        let newest = self.seen.get(&key).copied().unwrap_or(i64::MIN);
        // Within one connection an older list is a push that an answer has overtaken.
        if time < newest || !self.claims.is_claimed(&ClaimKey::Subscription(key.clone())) {
            return;
        }
        let Some(service) = info.into_service(key.clone()) else { return };
        self.seen.insert(key.clone(), time);
        self.events.push_back(Event::Service(key, service));
    }
}

impl Claimed {
    fn document(&self) -> Option<&ConfigKey> {
        match &self.key {
            ClaimKey::Listen(key) => Some(key),
            ClaimKey::Instances(_) | ClaimKey::Subscription(_) => None,
        }
    }
}

pub(super) fn read<A: Answer>(answer: Result<Payload, CallError>) -> Result<A, Setback> {
    let unreadable = |why: String| {
        let refusal = Refusal { code: wire::SERVER_ERROR, message: why, typed: false };
        Err(Setback::Unreadable(refusal))
    };
    match answer {
        Ok(payload) => match wire::decode(&payload) {
            Ok(answer) => Ok(answer),
            Err(Failure::Answered(refusal))
                if matches!(refusal.code, wire::UNREGISTERED | wire::DISCONNECTED) =>
            {
                Err(Setback::Gone(refusal.to_string()))
            }
            Err(Failure::Answered(refusal)) => Err(Setback::Refused(refusal)),
            Err(Failure::Unreadable(why)) => unreadable(why),
        },
        Err(error @ (CallError::NotSent(_) | CallError::Lost(_))) => {
            Err(Setback::Gone(error.to_string()))
        }
        Err(CallError::Timeout) => Err(Setback::Unanswered),
        Err(error @ (CallError::Status { .. } | CallError::Unreadable(_))) => {
            unreadable(error.to_string())
        }
    }
}

/// When to send what was refused again; never, if only a change can help.
fn retry_after(refusal: &Refusal, tries: u32, jitter: f64) -> Option<std::time::Duration> {
    match refusal.kind() {
        ErrorKind::Refused | ErrorKind::Unsupported | ErrorKind::Conflict => None,
        // A new token retries at once; this is for rights that are granted meanwhile.
        ErrorKind::Denied => Some(retry_delay(u32::MAX, jitter)),
        _ => Some(retry_delay(tries, jitter)),
    }
}

impl ConfigQueryResponse {
    pub(crate) fn into_document(self) -> Document {
        let content: std::sync::Arc<str> = self.content.unwrap_or_default().into();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let modified = u64::try_from(self.last_modified).ok().filter(|&ms| ms > 0);
        Document {
            md5: given(self.md5).unwrap_or_else(|| crate::document::digest(&content)).into(),
            content,
            content_type: given(self.content_type).unwrap_or_else(|| "text".to_owned()).into(),
            last_modified: modified.and_then(|ms| {
                std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(ms))
            }),
            encrypted_data_key: given(self.encrypted_data_key).map(Into::into),
        }
    }
}

/// Queries under way at once: a change of thousands of documents does not starve everything else.
const MAX_QUERIES: usize = 64;
/// Requests of the session's own under way at once.
const MAX_CALLS: usize = 256;
/// Keys in one listen request: what Java clients send at most, some 450 KB.
const LISTEN_BATCH: usize = 3000;
