//! The paths of 3.x: what clients may do without a console, and what operators do.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Call, Reply, allowed, config, guarded_by, naming,
    reply::{result, text},
    search,
};
use crate::{
    answer::{known, service_info},
    state::ConfigKey,
};

/// The answer at that path; `None` where there is nothing.
pub(super) fn answer(call: &Call<'_>, path: &str) -> Option<Reply> {
    if let Some(path) = path.strip_prefix("/v3/client") {
        let handle = match path {
            "/cs/config" => read,
            "/ns/instance" => publish_instance,
            "/ns/instance/list" => list,
            _ => return None,
        };
        return Some(guarded_by(call, handle, allowed));
    }
    let handle = match path.strip_prefix("/v3/admin")? {
        "/cs/config" => edit,
        "/cs/config/list" => search::v3,
        "/ns/instance" => edit_instance,
        "/ns/instance/list" => list,
        "/ns/service" => |call: &Call<'_>| wrapped(naming::settings(call)),
        _ => return None,
    };
    // Operators have to log in wherever there is a user, whether clients have to or not.
    Some(guarded_by(call, handle, known))
}

/// One document; nothing here publishes.
fn read(call: &Call<'_>) -> Reply {
    if call.method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let Some(document) = call.shared.read(|state| state.configs.visible(&key(call)).cloned())
    else {
        return result(StatusCode::NOT_FOUND, 20_004, "resource not found", &Value::Null);
    };
    let data = json!({
        "content": document.content, "contentType": document.content_type, "md5": document.md5,
        "encryptedDataKey": document.encrypted_data_key, "lastModified": document.last_modified,
        "beta": false,
    });
    result(StatusCode::OK, 0, "success", &data)
}

fn edit(call: &Call<'_>) -> Reply {
    if call.method == Method::GET {
        return details(call);
    }
    let reply = config::act(call, key(call));
    if reply.status() == StatusCode::OK { succeeded(&true.into()) } else { reply }
}

/// One document, with everything that consoles show of it.
fn details(call: &Call<'_>) -> Reply {
    let key = key(call);
    let Some(document) = call.shared.read(|state| state.configs.stored(&key).cloned()) else {
        return result(StatusCode::NOT_FOUND, 20_004, "resource not found", &Value::Null);
    };
    let data = json!({
        "dataId": key.data_id, "groupName": key.group, "content": document.content,
        "type": document.content_type, "md5": document.md5, "appName": document.app,
        "encryptedDataKey": document.encrypted_data_key, "modifyTime": document.last_modified,
        "desc": document.description, "configTags": document.tags.join(","),
    });
    succeeded(&data)
}

/// A client changes nothing that is there: it puts and takes away.
fn publish_instance(call: &Call<'_>) -> Reply {
    if call.method == Method::PUT {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    edit_instance(call)
}

fn edit_instance(call: &Call<'_>) -> Reply {
    wrapped(naming::instance(call))
}

fn list(call: &Call<'_>) -> Reply {
    if call.method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let service = naming::service(call);
    let clusters = call.form.or("clusterName", "");
    let info =
        call.shared.read(|state| service_info(call.shared, state, &service, &clusters, false));
    succeeded(info.get("hosts").unwrap_or(&Value::Null))
}

fn key(call: &Call<'_>) -> ConfigKey {
    ConfigKey {
        namespace: call.behaviour().config_namespace(&call.form.or("namespaceId", "")),
        group: call.form.or("groupName", "DEFAULT_GROUP"),
        data_id: call.form.or("dataId", ""),
    }
}

/// A success of v1, as 3.x says it.
fn wrapped(reply: Reply) -> Reply {
    if reply.status() == StatusCode::OK { succeeded(&"ok".into()) } else { reply }
}

fn succeeded(data: &Value) -> Reply {
    result(StatusCode::OK, 0, "success", data)
}
