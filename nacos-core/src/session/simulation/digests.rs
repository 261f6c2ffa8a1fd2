//! Digests of a history's result, to compare two commits by. The order within a connection does not
//! count.
//!
//! Two digests for each seed tell whether a change of the code has changed the requests or the end.
//! Values that differ by chance alone do not count either: times, tokens, and the numbers of
//! requests and connections.
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use serde_json::Value;

use super::{world::World, *};
use crate::document::digest;

/// The requests of a session, by connection, and the state at the end.
#[derive(Default)]
pub(super) struct Record {
    connections: BTreeMap<LinkId, Connection>,
    end: String,
}

struct Connection {
    host: String,
    /// How often each request was sent.
    requests: BTreeMap<String, usize>,
}

impl Record {
    pub(super) fn note(&mut self, effect: &Effect) {
        let (link, request) = match effect {
            Effect::Dial { link, server, .. } => {
                let host = server.host().to_owned();
                self.connections.insert(*link, Connection { host, requests: BTreeMap::new() });
                return;
            }
            Effect::Call { link, request, .. } => (link, request),
            Effect::OpenStream { link, setup, .. } => (link, setup),
            Effect::Close { .. } | Effect::Login { .. } | Effect::FetchServerList => return,
        };
        let connection = self.connections.get_mut(link).expect("dialled before");
        *connection.requests.entry(text(request)).or_default() += 1;
    }

    /// The seed, a digest of the requests, and one of the end.
    pub(super) fn line(&self, seed: u64) -> String {
        format!("{seed} {} {}", digest(&self.requests()), digest(&self.end))
    }

    fn requests(&self) -> String {
        let mut text = String::new();
        for (place, Connection { host, requests }) in self.connections.values().enumerate() {
            writeln!(text, "connection {place} to {host}").expect("a string takes all");
            for (request, count) in requests {
                writeln!(text, "  {count} x {request}").expect("a string takes all");
            }
        }
        text
    }
}

/// The text of which the two digests are made.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.requests(), self.end)
    }
}

impl World {
    /// Records the end: the views of readers, and the claims that servers hold.
    pub(super) fn record_end(&mut self) {
        self.perform();
        let mut lines: Vec<String> = Vec::new();
        lines.push(format!("state {}", self.states.last().map(shown).unwrap_or_default()));
        let documents = self.documents.iter();
        lines.extend(documents.map(|(key, state)| format!("document {key} {}", content(state))));
        for ((key, grace), view) in &self.readers {
            let view = view.get();
            let seen: Vec<_> = view.instances.iter().map(|it| it.address()).collect();
            let (known, held) = (view.known, view.held);
            lines.push(format!("service {key} {grace:?} {seen:?} known {known} held {held}"));
        }
        let claims = self.claims.iter();
        lines.extend(claims.map(|(guard, state)| format!("claim {guard:?} {state:?}")));
        let lost = self.lost.iter();
        lines.extend(lost.map(|(service, first)| format!("lost {service} first {first}")));
        let matched = self.matched.iter();
        lines.extend(matched.map(|(pattern, matched)| format!("matched {pattern} {matched:?}")));
        for held in self.server.connections.values() {
            lines.push(format!("held {:?}", held.instances));
            lines.push(format!("held {:?} {:?}", held.subscriptions, held.listens));
        }
        lines.sort();
        if let Some(record) = &mut self.record {
            record.end = lines.join("\n") + "\n";
        }
    }
}

/// The type and the content of a request; lists in it have no order.
fn text(request: &Payload) -> String {
    let mut body: Value = serde_json::from_slice(request.json()).expect("our own JSON");
    sort(&mut body);
    format!("{} {body}", request.kind())
}

fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(ToString::to_string);
        }
        Value::Object(fields) => fields.values_mut().for_each(sort),
        _ => {}
    }
}

/// Without times.
fn shown(state: &SessionState) -> String {
    match state {
        SessionState::Connecting { failed_searches, last_error } => {
            format!("connecting {failed_searches} {last_error:?}")
        }
        SessionState::Connected { server, abilities, access, .. } => {
            format!("connected {server} {abilities:?} {access:?}")
        }
        SessionState::Backoff { cause, .. } => format!("backoff {cause}"),
        SessionState::Denied { likely, cause } => format!("denied {likely:?} {cause}"),
        SessionState::Closed => "closed".to_owned(),
    }
}

fn content(state: &DocumentState) -> String {
    let held = state.document().map(|document| &document.md5);
    match state {
        DocumentState::Pending => "pending".to_owned(),
        DocumentState::Unreachable { why, cause, .. } => {
            format!("unreachable {held:?} {why:?} {cause}")
        }
        DocumentState::Present(_) | DocumentState::Absent => format!("{held:?}"),
    }
}
