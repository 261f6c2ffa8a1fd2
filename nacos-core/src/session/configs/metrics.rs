//! Answers a server that asks which documents the session holds.
use super::ConfigsMachine;
use crate::wire::{
    Payload,
    metrics::{self, Metrics},
};

impl ConfigsMachine {
    /// The answer to `payload`, if it asks what this client holds: for each document its size in
    /// bytes and its digest, nothing for one that is not held, and never any content.
    pub(in crate::session) fn answer(&self, client: &str, payload: &Payload) -> Option<Payload> {
        let query = metrics::query(payload)?;
        let values = query.keys().map(|key| {
            let held = key.document().and_then(|document| self.documents.held(&document));
            let value = held.map(|held| format!("{}:{}", held.content.len(), held.md5));
            (key.spelled(), value.unwrap_or_default())
        });
        let metrics = Metrics {
            client: client.to_owned(),
            watched: self.documents.len(),
            values: values.collect(),
        };
        metrics::answer(payload, &metrics)
    }
}
