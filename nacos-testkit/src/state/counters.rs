//! The requests seen so far, counted for assertions.

use std::collections::HashMap;

use serde_json::Value;

use crate::wire::Incoming;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// The headers of its envelope; over HTTP, its headers in lower case.
    pub headers: HashMap<String, String>,
    /// Its JSON; a JSON string with the raw text when it was no JSON. Over HTTP, its parameters as
    /// an object.
    pub body: Value,
}

/// Counts since the start; a restart of the server does not reset them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connects: u64,
    pub(crate) resets: u64,
    pub(crate) logins: u64,
    pub(crate) refused_logins: u64,
    requests: HashMap<String, u64>,
    acks: HashMap<String, u64>,
    last: HashMap<String, Received>,
}

impl Counters {
    pub(crate) fn request(&mut self, incoming: &Incoming, body: Option<&Value>) {
        *self.requests.entry(incoming.message_type.clone()).or_default() += 1;
        let body = body
            .cloned()
            .unwrap_or_else(|| Value::String(String::from_utf8_lossy(&incoming.body).into_owned()));
        let received = Received { headers: incoming.headers.clone(), body };
        self.last.insert(incoming.message_type.clone(), received);
    }

    /// A request over HTTP, by its method and path.
    pub(crate) fn http(&mut self, name: String, received: Received) {
        *self.requests.entry(name.clone()).or_default() += 1;
        self.last.insert(name, received);
    }

    pub(crate) fn ack(&mut self, message_type: &str) {
        *self.acks.entry(message_type.to_owned()).or_default() += 1;
    }

    pub(crate) fn requests(&self, message_type: &str) -> u64 {
        self.requests.get(message_type).copied().unwrap_or_default()
    }

    pub(crate) fn acks(&self, message_type: &str) -> u64 {
        self.acks.get(message_type).copied().unwrap_or_default()
    }

    pub(crate) fn last(&self, message_type: &str) -> Option<Received> {
        self.last.get(message_type).cloned()
    }
}
