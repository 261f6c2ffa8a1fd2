//! Over the connection that serves: claims, queries, their answers, and pushes.
use std::time::Instant;

use super::{
    ClaimKey, Event, LinkId, Session,
    backoff::{conflict_delay, retry_delay},
    claims::Claim,
    ledger::{Due, Revision},
    publication::Step,
};
use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    key::{ConfigKey, ServiceKey},
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
        wanted: Vec<crate::instance::Instance>,
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
    Query(ConfigKey),
}

/// The claim that a request is about.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    key: ClaimKey,
    revision: Revision,
}

/// Why a claim was not agreed to.
enum Setback {
    /// The connection is not known to the server.
    Unregistered(String),
    /// No answer: nobody knows whether it was done.
    Unanswered,
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
                    self.step(link, &service, claimed, wanted);
                }
                (ClaimKey::Instances(service), _) => self.step(link, &service, claimed, Vec::new()),
                (ClaimKey::Subscription(service), claim) => {
                    let subscribe = claim.is_some();
                    let request = SubscribeServiceRequest::new(&service, subscribe).payload();
                    self.call(link, request, Pending::Subscribe { claim: claimed, subscribe });
                }
                (ClaimKey::Listen(_), _) => {}
            }
        }
        // One request at a time: what becomes due meanwhile goes together with the next.
        if self.listens_under_way == 0 {
            self.send_listens(now, link);
        }
        for key in self.documents.take_dirty(now, MAX_QUERIES) {
            let request = ConfigQueryRequest::new(&key).payload();
            self.call(link, request, Pending::Query(key));
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
                    ConfigBatchListenRequest::listen(held).payload()
                } else {
                    ConfigBatchListenRequest::unlisten(keys).payload()
                };
                self.listens_under_way += 1;
                self.call(link, request, Pending::Listen { claims: batch.to_vec(), listen });
            }
        }
    }

    /// Sends the next request towards `wanted`, or counts the claim as held.
    fn step(
        &mut self,
        link: LinkId,
        service: &ServiceKey,
        claim: Claimed,
        wanted: Vec<crate::instance::Instance>,
    ) {
        let Some(step) = self.claims.next_step(service, &wanted) else {
            self.confirm(&claim);
            return;
        };
        let request = match &step {
            Step::Register(instance) => InstanceRequest::register(service, instance).payload(),
            Step::Deregister(instance) => InstanceRequest::deregister(service, instance).payload(),
            Step::Batch(instances) => BatchInstanceRequest::new(service, instances).payload(),
        };
        self.call(link, request, Pending::Step { claim, wanted, step });
    }

    /// A claim or a query was answered, or will not be.
    pub(super) fn redo_answered(
        &mut self,
        now: Instant,
        link: LinkId,
        pending: Pending,
        answer: Result<Payload, CallError>,
    ) {
        match pending {
            Pending::ServerCheck | Pending::SetupProbe | Pending::Probe => {}
            Pending::Step { claim, wanted, step } => {
                self.step_answered(now, link, claim, wanted, &step, answer);
            }
            Pending::Subscribe { claim, subscribe } => {
                match read::<SubscribeServiceResponse>(answer) {
                    Ok(answer) => {
                        self.confirm(&claim);
                        if let ClaimKey::Subscription(service) = claim.key
                            && subscribe
                        {
                            self.service_seen(service, answer.service_info);
                        }
                    }
                    Err(setback) => self.setback(now, link, &[claim], &setback),
                }
            }
            Pending::Listen { claims, listen } => {
                self.listens_under_way = self.listens_under_way.saturating_sub(1);
                match read::<ConfigChangeBatchListenResponse>(answer) {
                    Ok(answer) if listen => self.listening(&claims, &answer),
                    Ok(_) => claims.iter().for_each(|claim| self.confirm(claim)),
                    Err(setback) => self.setback(now, link, &claims, &setback),
                }
            }
            Pending::Query(key) => self.queried(now, link, &key, answer),
        }
    }

    fn step_answered(
        &mut self,
        now: Instant,
        link: LinkId,
        claim: Claimed,
        wanted: Vec<crate::instance::Instance>,
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
                self.step(link, &service, claim, wanted);
            }
            Err(setback) => {
                if matches!(setback, Setback::Unanswered) {
                    self.claims.step_unanswered(&service, step);
                }
                self.setback(now, link, &[claim], &setback);
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
            self.confirm(claim);
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
        link: LinkId,
        key: &ConfigKey,
        answer: Result<Payload, CallError>,
    ) {
        let jitter = (self.jitter)();
        let state = match read::<ConfigQueryResponse>(answer) {
            Ok(answer) => self.documents.answered(key, Some(answer.into_document())),
            Err(Setback::Refused(refusal)) if refusal.says_absent() => {
                self.documents.answered(key, None)
            }
            Err(Setback::Refused(refusal)) if refusal.says_being_modified() => {
                self.documents.again(key, |tries| now + conflict_delay(tries));
                None
            }
            Err(Setback::Unregistered(why)) => return self.drop_link(now, link, &why),
            Err(Setback::Unanswered) => {
                let retry_at = |tries| Some(now + retry_delay(tries, jitter));
                self.documents.failed(key, ErrorKind::Timeout, retry_at)
            }
            Err(Setback::Refused(refusal)) => {
                self.denied(now, refusal.code);
                let retry_at =
                    |tries| retry_after(&refusal, tries, jitter).map(|delay| now + delay);
                self.documents.failed(key, refusal.kind(), retry_at)
            }
        };
        if state == Some(DocumentState::Absent) {
            // r-nacos forgets who listens to a document when it is removed (seen): whoever does
            // not listen again misses that it comes back.
            self.claims.reassert(&ClaimKey::Listen(key.clone()));
        }
        self.events.extend(state.map(|state| Event::Document(key.clone(), state)));
    }

    /// The server has agreed to a claim.
    fn confirm(&mut self, claim: &Claimed) {
        let held = self.claims.confirm(&claim.key, claim.revision);
        if held {
            self.tell_guards(&claim.key, &ClaimState::Held);
        }
        if held || !self.claims.is_known(&claim.key) {
            self.events.push_back(Event::Settled(claim.key.clone()));
        }
    }

    /// The server has not agreed to `claims`.
    fn setback(&mut self, now: Instant, link: LinkId, claims: &[Claimed], setback: &Setback) {
        match setback {
            Setback::Unregistered(why) => self.drop_link(now, link, why),
            Setback::Unanswered => {
                for claim in claims {
                    self.claims.release(&claim.key, claim.revision);
                }
            }
            Setback::Refused(refusal) => {
                self.denied(now, refusal.code);
                let jitter = (self.jitter)();
                let retrying = retry_after(refusal, 0, jitter).is_some();
                let state = ClaimState::Refused {
                    code: refusal.code,
                    message: refusal.message.as_str().into(),
                    retrying,
                };
                for claim in claims {
                    let retry_at =
                        |tries| retry_after(refusal, tries, jitter).map(|delay| now + delay);
                    if self.claims.refuse(&claim.key, claim.revision, refusal.code, retry_at) {
                        self.tell_guards(&claim.key, &state);
                    }
                    if !self.claims.is_known(&claim.key) {
                        self.events.push_back(Event::Settled(claim.key.clone()));
                    }
                }
            }
        }
    }

    fn tell_guards(&mut self, key: &ClaimKey, state: &ClaimState) {
        let guards = self.claims.guards(key);
        self.events.extend(guards.map(|guard| Event::Claim(guard, state.clone())));
    }

    fn denied(&mut self, now: Instant, code: i32) {
        if code == wire::DENIED {
            self.login.token_refused(now);
        }
    }

    /// A message on the stream.
    pub(super) fn pushed(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        // What cannot be read changes nothing; the next answer or audit heals what it meant.
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
            Push::Service(info) if self.serving_link() == Some(link) => self.service_pushed(info),
            _ => {}
        }
    }

    fn service_pushed(&mut self, info: ServiceInfo) {
        let (group, name) = info.name();
        let Ok(unplaced) = ServiceKey::try_from((name, group)) else { return };
        match self.namesakes.get(&unplaced).map_or(&[][..], Vec::as_slice) {
            [] => {}
            [one] => self.service_seen(one.clone(), info),
            // The same name in two namespaces: the push is a hint to ask for both.
            several => {
                for service in several.iter().cloned() {
                    self.claims.reassert(&ClaimKey::Subscription(service));
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

fn read<A: Answer>(answer: Result<Payload, CallError>) -> Result<A, Setback> {
    let unreadable =
        |code, why: String| Setback::Refused(Refusal { code, message: why, typed: false });
    match answer {
        Ok(payload) => wire::decode(&payload).map_err(|failure| match failure {
            Failure::Answered(refusal)
                if matches!(refusal.code, wire::UNREGISTERED | wire::DISCONNECTED) =>
            {
                Setback::Unregistered(refusal.to_string())
            }
            Failure::Answered(refusal) => Setback::Refused(refusal),
            Failure::Unreadable(why) => unreadable(wire::SERVER_ERROR, why),
        }),
        Err(CallError::NotSent(_) | CallError::Lost(_) | CallError::Timeout) => {
            Err(Setback::Unanswered)
        }
        Err(error @ (CallError::Status { .. } | CallError::Unreadable(_))) => {
            Err(unreadable(wire::SERVER_ERROR, error.to_string()))
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
