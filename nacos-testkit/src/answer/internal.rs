//! Checks of the server and of the connection.

#![expect(clippy::unnecessary_wraps, reason = "handlers of requests that may fail look the same")]

use serde_json::json;

use super::{Call, Outcome};
use crate::state::object;

pub(super) fn server_check(call: &mut Call<'_>) -> Outcome {
    let transport = call.state.transports.transport(call.connection);
    let id = transport.map(|transport| transport.id.clone()).unwrap_or_default();
    let mut fields = object([("connectionId", json!(id))]);
    if call.behaviour().is_java() {
        fields.insert("supportAbilityNegotiation".to_owned(), json!(true));
    }
    Ok(fields)
}

pub(super) fn health_check(_: &mut Call<'_>) -> Outcome {
    Ok(object([]))
}

/// A server's question that 2.3 answers to clients, too.
pub(super) fn loader(call: &mut Call<'_>) -> Outcome {
    let count = call.state.transports.registered().count().to_string();
    let metrics = json!({ "load": "0.0", "sdkConCount": count, "cpu": "0.0", "conCount": count });
    Ok(object([("loaderMetrics", metrics)]))
}
