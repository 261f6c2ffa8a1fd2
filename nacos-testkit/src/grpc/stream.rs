//! The bidirectional stream: the setup first, then acknowledgements of pushes.

use std::{collections::HashMap, sync::Arc};

use http::Response;
use hyper::body::Incoming as RequestBody;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{body::AnswerBody, grpc};
use crate::{
    shared::Shared,
    state::{Connection, ConnectionKey, Setup, StreamItem},
    tasks::Spawner,
    wire::{Fields, Frames, Incoming, Message},
};

/// Opens the stream of a transport; its messages are read by a task of the transport.
pub(super) fn open(
    shared: &Arc<Shared>,
    connection: ConnectionKey,
    spawner: &Spawner,
    body: RequestBody,
) -> Response<AnswerBody> {
    let (pushes, items) = mpsc::channel(LONGEST_QUEUE);
    if !shared.behaviour().is_java() {
        // r-nacos does not wait for the setup.
        register(shared, connection, Setup::default(), pushes.clone());
    }
    let reader = Reader { shared: Arc::clone(shared), connection, pushes };
    spawner.spawn(reader.read(body));
    grpc(AnswerBody::stream(items))
}

/// Reads what a client sends on its stream. Ends with the client's side of the stream.
struct Reader {
    shared: Arc<Shared>,
    connection: ConnectionKey,
    pushes: mpsc::Sender<StreamItem>,
}

impl Reader {
    async fn read(self, body: RequestBody) {
        let mut frames = Frames::new(body, self.shared.behaviour().message_limit());
        loop {
            match frames.next().await {
                Ok(Some(message)) => match Incoming::decode(&message) {
                    Ok(incoming) => self.received(&incoming),
                    Err(error) => tracing::debug!(error = error.0, "no envelope on the stream"),
                },
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(?error, "stream ended");
                    break;
                }
            }
        }
        // A full queue is not read any more: the client would not see the end either.
        let _ = self.pushes.try_send(StreamItem::End { code: 0, message: "" });
        // Java unregisters when the transport ends, not when the stream does: the connection lives
        // on, and its pushes lead nowhere. r-nacos takes the end of the stream for the end.
        if !self.shared.behaviour().is_java() || self.shared.plan.forget_on_stream_end {
            let events = self.shared.change(|state| state.forget(self.connection));
            self.shared.set_off(events);
        }
    }

    fn received(&self, incoming: &Incoming) {
        let body: Option<Value> = serde_json::from_slice(&incoming.body).ok();
        let java = self.shared.behaviour().is_java();
        self.shared.change(|state| {
            state.counters.request(incoming, body.as_ref());
            if !java && let Some(connection) = state.transports.connection(self.connection) {
                connection.touch();
                connection.probed_at = None;
            }
        });
        let Some(body) = body else {
            tracing::debug!(incoming.message_type, "no JSON on the stream");
            return;
        };
        if incoming.message_type == "ConnectionSetupRequest" {
            self.set_up(incoming, &body);
        } else if incoming.message_type.ends_with("Response") {
            self.acknowledged(&incoming.message_type, &body);
        } else {
            // A business request on the stream is dropped by every server; the stream survives.
            tracing::debug!(incoming.message_type, "dropped from the stream");
        }
    }

    fn set_up(&self, incoming: &Incoming, body: &Value) {
        let behaviour = self.shared.behaviour();
        // Java fails on the null pointer: never registered, and only a 301 tells.
        if behaviour.is_java() && !body.get("labels").is_some_and(Value::is_object) {
            tracing::debug!("setup without labels");
            return;
        }
        let labels: HashMap<String, String> = Fields::of(body, behaviour.reading())
            .and_then(|fields| fields.texts("labels"))
            .unwrap_or_default()
            .into_iter()
            .collect();
        let tenant = body.get("tenant").and_then(Value::as_str).map(str::to_owned);
        let setup = Setup { client_ip: incoming.client_ip.clone(), labels, tenant };
        register(&self.shared, self.connection, setup, self.pushes.clone());

        let Some(abilities) = behaviour.abilities() else { return };
        let asked = body.get("abilityTable").is_some_and(Value::is_object);
        if asked && !self.shared.read(|state| state.faults.withhold_setup_ack) {
            let table: Map<String, Value> =
                abilities.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
            let ack = json!({ "headers": {}, "abilityTable": table, "module": "internal" });
            let frame = Message::new("SetupAckRequest", ack).to_frame();
            self.shared.read(|state| {
                if let Some(connection) = state.transports.connection(self.connection) {
                    connection.send(StreamItem::Push(frame));
                }
            });
        }
    }

    fn acknowledged(&self, message_type: &str, body: &Value) {
        let request_id = match body.get("requestId") {
            Some(Value::String(id)) => id.parse().ok(),
            Some(Value::Number(id)) => id.as_u64(),
            _ => None,
        };
        let success = body.get("resultCode").and_then(Value::as_i64) == Some(200);
        let behaviour = self.shared.behaviour();
        let settled = self.shared.change(|state| {
            state.counters.ack(message_type);
            if let Some(connection) = state.transports.connection(self.connection) {
                connection.touch();
            }
            let id = request_id?;
            Some(state.acknowledged(self.connection, id, success, behaviour))
        });
        if let Some(settled) = settled {
            self.shared.settle(self.connection, settled);
        }
    }
}

/// Registers a connection on its transport. A second setup changes what the first one said, not
/// where pushes go: they stay with the first stream, dead as it may be.
fn register(
    shared: &Shared,
    key: ConnectionKey,
    mut setup: Setup,
    pushes: mpsc::Sender<StreamItem>,
) {
    let java = shared.behaviour().is_java();
    shared.change(|state| {
        let Some(transport) = state.transports.transport(key) else { return };
        // Java takes the client's word for its address; r-nacos looks at the socket.
        if setup.client_ip.is_empty() || !java {
            setup.client_ip = transport.remote.ip().to_string();
        }
        match &mut transport.connection {
            Some(connection) => connection.setup = setup,
            None => transport.connection = Some(Connection::new(setup, pushes)),
        }
    });
}

/// Pushes that may wait for a client that does not read its stream.
const LONGEST_QUEUE: usize = 4096;
