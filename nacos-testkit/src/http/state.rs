//! Health, metrics and the operator's reset: where each server has them.

use http::{Method, StatusCode};

use super::{
    Call, Reply, gone,
    reply::{result, text},
};
use crate::Behaviour;

/// The answer of that server at that path; `None` where it has nothing.
pub(super) fn answer(call: &Call<'_>, path: &str, behaviour: Behaviour) -> Option<Reply> {
    let lists = match behaviour {
        Behaviour::Nacos3_0 | Behaviour::Nacos3_3 => path == "/v3/admin/core/namespace/list",
        Behaviour::Nacos2_3 | Behaviour::Nacos2_5 | Behaviour::RNacos => {
            matches!(path, "/v1/console/namespaces" | "/v2/console/namespace/list")
        }
    };
    if lists && let Some(namespaces) = call.shared.read(|state| state.namespaces.clone()) {
        let default = if behaviour.is_3() { "public" } else { "" };
        let all = [(default.to_owned(), "public".to_owned())].into_iter().chain(namespaces);
        let item = |(id, name)| serde_json::json!({"namespace": id, "namespaceShowName": name});
        return Some(result(StatusCode::OK, 0, "success", &all.map(item).collect()));
    }
    let ok = || result(StatusCode::OK, 0, "success", &"ok".into());
    match (behaviour, path) {
        (
            Behaviour::Nacos3_0 | Behaviour::Nacos3_3,
            "/v3/admin/core/state/readiness" | "/v3/admin/core/state/liveness",
        )
        | (
            Behaviour::Nacos2_3 | Behaviour::Nacos2_5,
            "/v2/console/health/readiness" | "/v2/console/health/liveness",
        ) => Some(ok()),
        (
            Behaviour::Nacos2_3 | Behaviour::Nacos2_5,
            "/v1/console/health/readiness" | "/v1/console/health/liveness",
        ) => Some(text(StatusCode::OK, "OK")),
        (Behaviour::RNacos, "/health") => Some(text(StatusCode::OK, "success")),
        (Behaviour::RNacos, "/metrics") => Some(text(StatusCode::OK, &metrics(call))),
        (Behaviour::Nacos3_0 | Behaviour::Nacos3_3, "/v3/admin/core/loader/reloadClient")
            if call.method == Method::POST =>
        {
            reset(call);
            Some(result(StatusCode::OK, 0, "success", &serde_json::Value::Null))
        }
        (Behaviour::Nacos2_3 | Behaviour::Nacos2_5, "/v2/core/loader/reloadClient") => {
            reset(call);
            Some(text(StatusCode::OK, "success"))
        }
        // The rest of v2 is switched off in 3.0, and has left 3.2.
        (Behaviour::Nacos3_0, path) if path.starts_with("/v2/") => Some(gone(path)),
        _ => None,
    }
}

fn reset(call: &Call<'_>) {
    let id = call.form.text("connectionId").unwrap_or_default();
    let target = call.form.text("redirectAddress").and_then(|address| address.parse().ok());
    call.shared.reset_connections(target, |transport| transport.id == id);
}

fn metrics(call: &Call<'_>) -> String {
    let connections = call.shared.read(|state| state.transports.registered().count());
    format!("# TYPE grpc_conn_size gauge\ngrpc_conn_size {connections}\n")
}
