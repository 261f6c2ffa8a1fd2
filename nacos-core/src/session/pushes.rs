//! Messages on the stream: what they say, and what becomes of those that cannot be read.
use std::time::Instant;

use super::{
    ClaimKey, Event, Lifetime, LinkId, Session,
    doubts::{ASKED_EVERY, Doubted},
    ledger::Standing,
};
use crate::{
    error::clip,
    key::{Namespace, ServiceKey},
    wire::{
        Payload,
        naming::ServiceInfo,
        push::{self, Push, Subject},
    },
};

impl Session {
    /// A message on the stream.
    pub(super) fn pushed(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        let push = match push::read(payload) {
            Ok(push) => push,
            Err(failure) => return self.unread(now, link, payload, &failure.to_string()),
        };
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
    pub(super) fn service_seen(&mut self, key: ServiceKey, info: ServiceInfo) {
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

    /// A push that cannot be read, of which `head` is as much as there is. It changes nothing, and is
    /// not repeated, because it has been acknowledged: what it is about is asked for.
    pub(super) fn unread(&mut self, now: Instant, link: LinkId, head: &Payload, why: &str) {
        if self.lifetime == Lifetime::Closed {
            return;
        }
        let subject = push::subject(head);
        let about = match &subject {
            Subject::Service(Some(service)) => format!("{service}"),
            Subject::Document(Some(document)) => format!("{document}"),
            _ => String::new(),
        };
        let kind = clip(head.kind(), MAX_KIND).to_owned();
        self.events.push_back(Event::Unread { kind, about, why: why.to_owned() });
        if self.serving_link() != Some(link) {
            return;
        }
        match subject {
            Subject::Service(Some(service)) => {
                let namesakes = self.namesakes.get(&service.unplaced());
                self.doubts.these(namesakes.map_or(&[][..], Vec::as_slice));
            }
            Subject::Service(None) => self.doubts.all(),
            // Its namespace may be in the part that is missing: all are compared.
            Subject::Document(_) => self.hurry_audit(now),
            Subject::Anything => {
                self.doubts.all();
                self.hurry_audit(now);
            }
            Subject::Nothing => {}
        }
        self.resolve_doubts(now);
    }

    /// Asks for the services that are in doubt.
    pub(super) fn resolve_doubts(&mut self, now: Instant) {
        match self.doubts.take(now) {
            None => {}
            Some(Doubted::These(services)) => {
                for service in services {
                    let key = ClaimKey::Subscription(service.clone());
                    // The answer that is under way may be the older one: once more after it.
                    if matches!(self.claims.standing(&key), Some(Standing::Sent(_))) {
                        self.doubts.these(&[service]);
                    }
                    self.claims.reassert(&key);
                }
            }
            Some(Doubted::All) => self.claims.audit_subscriptions(),
        }
    }

    /// Asks which documents have changed, unless that was asked a moment ago.
    fn hurry_audit(&mut self, now: Instant) {
        let soonest = self.audited.map_or(now, |audited| now.max(audited + ASKED_EVERY));
        self.next_audit = self.next_audit.map(|at| at.min(soonest));
    }
}

/// How much of a type's name is shown.
const MAX_KIND: usize = 60;
