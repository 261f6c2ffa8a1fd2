//! Messages on the stream: what they say, and which machine they are for.
use std::time::Instant;

use super::{Event, Lifetime, LinkId, Session};
use crate::{
    error::clip,
    wire::{
        Payload,
        fuzzy::Watched,
        push::{self, Push, Subject},
    },
};

impl Session {
    /// A message on the stream.
    pub(super) fn pushed(&mut self, now: Instant, link: LinkId, payload: &Payload) {
        let push = match push::read(payload) {
            Ok(push) => push,
            Err(failure) => return self.unreadable(now, link, payload, &failure.to_string()),
        };
        match push {
            Push::SetupAck(abilities) => self.with_connecting(now, |connecting, cx| {
                connecting.handle_registered(cx, link, abilities);
            }),
            Push::ConnectReset(redirect) if self.serving_link() == Some(link) => {
                self.with_connecting(now, |connecting, cx| connecting.handle_reset(cx, redirect));
            }
            Push::ConfigChanged(name) => {
                if let Some(document) = name.key() {
                    self.configs.handle_push(now, &document, &mut self.output);
                }
            }
            // Which documents there are is news of the server that serves alone: another may be
            // ahead of it, or behind.
            Push::FuzzySync(Watched::Documents, batch) if self.serving_link() == Some(link) => {
                self.configs.handle_fuzzy_sync(now, &batch, &mut self.output);
            }
            Push::FuzzyChange(Watched::Documents, change) if self.serving_link() == Some(link) => {
                self.configs.handle_fuzzy_change(now, &change, &mut self.output);
            }
            // Lists of different servers have no common order: only the serving one counts.
            Push::Service { namespace, info } => {
                let outcome = if self.serving_link() == Some(link) {
                    self.with_naming(now, |naming, cx| naming.handle_list(cx, namespace, info))
                } else {
                    info.check()
                };
                if let Err(failure) = outcome {
                    self.unreadable(now, link, payload, &failure.to_string());
                }
            }
            _ => {}
        }
    }

    /// A push that cannot be read, of which `head` is as much as there is. It changes nothing, and
    /// is not repeated, because it has been acknowledged: what it is about is asked for.
    pub(super) fn unreadable(&mut self, now: Instant, link: LinkId, head: &Payload, why: &str) {
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
        self.output.show(Event::Unreadable { kind, about, why: why.to_owned() });
        if self.serving_link() != Some(link) {
            return;
        }
        match subject {
            Subject::Service(service) => self.naming.handle_unreadable(now, service.as_ref()),
            Subject::Document(_) => self.configs.handle_unreadable(now),
            Subject::Matches => self.configs.handle_unreadable_matches(now),
            Subject::Anything => {
                self.naming.handle_unreadable(now, None);
                self.configs.handle_unreadable(now);
                self.configs.handle_unreadable_matches(now);
            }
            Subject::Nothing => {}
        }
    }
}

/// How much of a type's name is shown.
const MAX_KIND: usize = 60;
