//! Messages on the stream: what they say, and what becomes of those that cannot be read.
use std::time::Instant;

use super::{
    CallId, ClaimKey, Event, Lifetime, LinkId, Session,
    doubts::{ASKED_EVERY, Doubted},
    freshness::{Age, Shown},
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
            Push::SetupAck(abilities) => self.connect(now, |connecting, cx| {
                connecting.handle_registered(cx, link, abilities);
            }),
            Push::ConnectReset(redirect) if self.serving_link() == Some(link) => {
                self.connect(now, |connecting, cx| connecting.handle_reset(cx, redirect));
            }
            Push::ConfigChanged(name) => {
                if let Some(key) = name.key() {
                    self.documents.hint(&key);
                }
            }
            // Lists of different servers have no common order: only the serving one counts.
            Push::Service { namespace, info } if self.serving_link() == Some(link) => {
                self.service_pushed(now, namespace, info);
            }
            _ => {}
        }
    }

    fn service_pushed(&mut self, now: Instant, namespace: Option<Namespace>, info: ServiceInfo) {
        let (group, name) = info.name();
        let Ok(unplaced) = ServiceKey::try_from((name, group)) else { return };
        if let Some(namespace) = namespace {
            return self.service_seen(now, unplaced.in_namespace(namespace), info, None);
        }
        match self.namesakes.get(&unplaced).map_or(&[][..], Vec::as_slice) {
            [] => {}
            [one] => self.service_seen(now, one.clone(), info, None),
            // The same name in two namespaces: the push is a hint to ask for both.
            several => {
                let several = several.to_vec();
                for service in &several {
                    self.ask_again(now, service);
                }
            }
        }
    }

    /// A service in full, from the answer to `request` or from a push, over the connection that
    /// serves.
    pub(super) fn service_seen(
        &mut self,
        now: Instant,
        key: ServiceKey,
        info: ServiceInfo,
        request: Option<CallId>,
    ) {
        if !self.claims.is_claimed(&ClaimKey::Subscription(key.clone())) {
            return;
        }
        let stamp = info.last_ref_time;
        let Some(service) = info.into_service(key.clone()) else { return };
        let age = match self.lists.get(&key) {
            Some(shown) => shown.age_of(stamp, request),
            None => Age::Newer,
        };
        let (by, is_applied) = match age {
            Age::Newer => (None, true),
            Age::Overtaken { by } => (Some(by), false),
            Age::Stepped { by } => (Some(by), true),
        };
        if is_applied {
            self.lists.insert(key.clone(), Shown::new(stamp, self.output.last_id()));
            self.output.show(Event::Service(key.clone(), service));
        }
        if let Some(by) = by {
            // Whatever the clock has done, one more answer decides.
            self.doubts.these(now, std::slice::from_ref(&key));
            self.output.show(Event::Older { service: key, by, is_applied });
            self.resolve_doubts(now);
        }
    }

    /// A push that cannot be read, of which `head` is as much as there is. It changes nothing, and
    /// is not repeated, because it has been acknowledged: what it is about is asked for.
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
        self.output.show(Event::Unread { kind, about, why: why.to_owned() });
        if self.serving_link() != Some(link) {
            return;
        }
        match subject {
            Subject::Service(Some(service)) => {
                let namesakes = self.namesakes.get(&service.unplaced());
                self.doubts.these(now, namesakes.map_or(&[][..], Vec::as_slice));
            }
            Subject::Service(None) => self.doubts.all(now),
            // Its namespace may be in the part that is missing: all are compared.
            Subject::Document(_) => self.hurry_audit(now),
            Subject::Anything => {
                self.doubts.all(now);
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
                    self.ask_again(now, &service);
                }
            }
            Some(Doubted::All) => self.claims.audit_subscriptions(),
        }
    }

    /// Asks for a service that is subscribed to.
    pub(crate) fn ask_again(&mut self, now: Instant, service: &ServiceKey) {
        let key = ClaimKey::Subscription(service.clone());
        // The answer that is under way may be the older one: once more after it.
        let is_under_way = matches!(self.claims.standing(&key), Some(Standing::Sent(_)));
        if is_under_way && self.claims.is_claimed(&key) {
            self.doubts.these(now, std::slice::from_ref(service));
        }
        self.claims.reassert(&key);
    }

    /// Asks which documents have changed, unless that was asked a moment ago.
    fn hurry_audit(&mut self, now: Instant) {
        let soonest = self.audited.map_or(now, |audited| now.max(audited + ASKED_EVERY));
        self.next_audit = self.next_audit.map(|at| at.min(soonest));
    }
}

/// How much of a type's name is shown.
const MAX_KIND: usize = 60;
