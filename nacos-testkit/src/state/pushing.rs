//! Sending pushes and taking their acknowledgements.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{ConnectionKey, Event, Expected, Pending, State, StreamItem};
use crate::{Behaviour, fault::PushFault, wire::Message};

/// The work left after an acknowledgement, or after its absence.
#[derive(Debug, PartialEq)]
pub(crate) enum Settled {
    Done,
    /// This happens after a while.
    Later(Duration, Event),
    /// This happens next, when the server is used to do it.
    Next(Event),
    /// The connection has to be closed.
    Eject,
}

impl State {
    /// Sends a push that wants an acknowledgement; says when to look for it.
    ///
    /// A connection that is gone gets nothing, and a full queue loses the push: a client that does
    /// not read its stream sees what it would see of a real server.
    pub(crate) fn push(
        &mut self,
        to: ConnectionKey,
        message_type: &str,
        fields: Map<String, Value>,
        expected: Expected,
    ) -> Option<(Duration, Event)> {
        let connection = self.transports.connection(to)?;
        let about_the_connection = FAULTLESS.contains(&message_type);
        let fault = if about_the_connection { None } else { self.faults.pushes.pop_front() };
        self.last_request_id += 1;
        let request_id = self.last_request_id;

        let mut body = Map::new();
        body.insert("headers".to_owned(), Value::Object(Map::new()));
        body.insert("requestId".to_owned(), Value::String(request_id.to_string()));
        body.extend(fields);
        let frame = Message::new(message_type.to_owned(), Value::Object(body)).to_frame();

        let copies: &[_] = match fault {
            Some(PushFault::Drop) => return None,
            Some(PushFault::Duplicate) => &[frame.clone(), frame],
            Some(PushFault::Reorder) if connection.held_back.is_none() => {
                connection.held_back = Some(frame);
                &[]
            }
            Some(PushFault::Reorder | PushFault::None) | None => &[frame],
        };
        for frame in copies {
            connection.send(StreamItem::Push(frame.clone()));
        }
        if !copies.is_empty()
            && let Some(frame) = connection.held_back.take()
        {
            connection.send(StreamItem::Push(frame));
        }

        let patience = expected.patience();
        connection.pending.insert(request_id, Pending { expected });
        if connection.pending.len() > MOST_PENDING {
            connection.pending.pop_first();
        }
        Some((patience, Event::Overdue { connection: to, request_id }))
    }

    /// Takes the acknowledgement of a push; one that no push waits for is ignored.
    pub(crate) fn acknowledged(
        &mut self,
        from: ConnectionKey,
        request_id: u64,
        success: bool,
        behaviour: Behaviour,
    ) -> Settled {
        let Some(connection) = self.transports.connection(from) else { return Settled::Done };
        let Some(pending) = connection.pending.remove(&request_id) else { return Settled::Done };
        if !success {
            return pending.expected.failed(from, behaviour);
        }
        match pending.expected {
            Expected::Probe => {
                connection.probed_at = None;
                Settled::Done
            }
            Expected::Watch { watched, pattern } => {
                let same = Expected::Watch { watched, pattern: pattern.clone() };
                if connection.pending.values().any(|other| other.expected == same) {
                    return Settled::Done;
                }
                let event = Event::WatchListed { connection: from, watched, pattern };
                Settled::Next(event)
            }
            Expected::Nothing | Expected::Notice { .. } | Expected::Service(_) => Settled::Done,
        }
    }

    /// Gives up waiting for an acknowledgement.
    pub(crate) fn overdue(
        &mut self,
        from: ConnectionKey,
        request_id: u64,
        behaviour: Behaviour,
    ) -> Settled {
        let Some(connection) = self.transports.connection(from) else { return Settled::Done };
        if !behaviour.is_java() {
            // r-nacos never repeats a push; it stays pending for the test to see.
            return Settled::Done;
        }
        let pending = connection.pending.remove(&request_id);
        pending.map_or(Settled::Done, |pending| pending.expected.failed(from, behaviour))
    }
}

impl Expected {
    fn failed(self, connection: ConnectionKey, behaviour: Behaviour) -> Settled {
        if !behaviour.is_java() {
            return Settled::Done;
        }
        match self {
            Self::Notice { tries, .. } if tries >= MOST_NOTICES => Settled::Eject,
            Self::Notice { key, tries } => Settled::Later(
                Duration::from_secs(2) * tries,
                Event::NoticeAgain { connection, key, tries: tries + 1 },
            ),
            Self::Probe => Settled::Eject,
            Self::Service(service) => {
                let event = Event::SubscriberDue { connection, service };
                Settled::Later(Duration::from_secs(1), event)
            }
            Self::Nothing | Self::Watch { .. } => Settled::Done,
        }
    }
}

impl super::Connection {
    /// Puts something into the stream's queue.
    pub(crate) fn send(&self, item: StreamItem) {
        if let Err(error) = self.stream.try_send(item) {
            tracing::debug!(%error, "stream takes no more");
        }
    }

    pub(crate) fn touch(&mut self) {
        self.last_active = Instant::now();
    }
}

/// Pushes that keep a connection alive or end it: no faults of single pushes for them.
const FAULTLESS: [&str; 2] = ["ClientDetectionRequest", "ConnectResetRequest"];
/// Tries after which a Java server gives a connection up.
const MOST_NOTICES: u32 = 50;
/// Unacknowledged pushes that are remembered of one connection.
const MOST_PENDING: usize = 4096;
