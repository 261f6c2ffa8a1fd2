//! Configuration over HTTP (v1).

use http::{HeaderValue, Method, StatusCode};

use super::{Call, Reply, reply::text};
use crate::{answer::publish_plainly, state::ConfigKey};

pub(super) fn configs(call: &Call<'_>) -> Reply {
    let key = ConfigKey {
        namespace: call.behaviour().config_namespace(&call.form.or("tenant", "")),
        group: call.form.or("group", "DEFAULT_GROUP"),
        data_id: call.form.or("dataId", ""),
    };
    act(call, key)
}

pub(super) fn act(call: &Call<'_>, key: ConfigKey) -> Reply {
    match call.method {
        Method::GET => query(call, &key),
        Method::POST => publish(call, key),
        Method::DELETE => {
            call.shared.change(|state| state.configs.remove(&key));
            stored(call, key)
        }
        _ => text(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

fn query(call: &Call<'_>, key: &ConfigKey) -> Reply {
    let Some(document) = call.shared.read(|state| state.configs.visible(key).cloned()) else {
        return text(StatusCode::NOT_FOUND, "config data not exist");
    };
    let mut reply = text(StatusCode::OK, &document.content);
    for (name, value) in [("Content-MD5", document.md5), ("Config-Type", document.content_type)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

fn publish(call: &Call<'_>, key: ConfigKey) -> Reply {
    let content = call.form.text("content").unwrap_or_default();
    if call.behaviour().is_java() && content.trim().is_empty() {
        return text(StatusCode::BAD_REQUEST, "content is blank : ");
    }
    let content_type = call.form.text("type").filter(|name| !name.is_empty());
    call.shared.change(|state| publish_plainly(call.shared, state, &key, content, content_type));
    stored(call, key)
}

fn stored(call: &Call<'_>, key: ConfigKey) -> Reply {
    let events = call.shared.stored(key);
    call.shared.set_off(events);
    text(StatusCode::OK, "true")
}
