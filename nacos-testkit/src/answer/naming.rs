//! Subscribing to, querying and listing services.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Call, Outcome,
    instance::{host, naming_client},
    legality,
    service_name::{key, service},
};
use crate::{
    shared::Shared,
    state::{Event, ServiceKey, State, Wanted, object},
};

pub(super) fn subscribe(call: &mut Call<'_>) -> Outcome {
    let java = call.behaviour().is_java();
    let service = service(call, java)?;
    let subscribe = call.fields.flag("subscribe", false)?;
    let clusters = call.fields.text("clusters")?.unwrap_or_default();
    if java {
        legality::clusters(&clusters)?;
    }
    naming_client(call, "can't subscribe service")?;
    let connection = call.connection;
    if let Some(it) = call.state.transports.connection(connection) {
        if subscribe {
            let first = it.subscriptions.insert(service.clone(), clusters.clone()).is_none();
            // Java pushes after the first subscribe only, r-nacos after each.
            if first || !java {
                let service = service.clone();
                call.events.push(Event::SubscriberDue { connection, service });
            }
        } else {
            it.subscriptions.remove(&service);
        }
    }
    let info = service_info(call.shared, call.state, &service, &clusters, false);
    let mut fields = object([("serviceInfo", info)]);
    if java {
        fields.insert("message".to_owned(), json!("success"));
    }
    Ok(fields)
}

pub(super) fn query(call: &mut Call<'_>) -> Outcome {
    let java = call.behaviour().is_java();
    let service = service(call, java)?;
    let clusters = call.fields.text("cluster")?.unwrap_or_default();
    if java {
        legality::clusters(&clusters)?;
    }
    let healthy_only = if java { call.fields.flag("healthyOnly", false)? } else { false };
    let info = service_info(call.shared, call.state, &service, &clusters, healthy_only);
    let mut fields = object([("serviceInfo", info)]);
    if !java {
        fields.insert("message".to_owned(), Value::Null);
    }
    Ok(fields)
}

pub(super) fn list(call: &mut Call<'_>) -> Outcome {
    let namespace = call.fields.text("namespace")?.unwrap_or_default();
    let group = call.fields.text("groupName")?.unwrap_or_default();
    let page = call.fields.integer("pageNo", 0)?;
    let size = call.fields.integer("pageSize", 0)?;
    if call.behaviour().is_java() {
        legality::namespace(&namespace)?;
        legality::group("groupName", &group)?;
    }
    let place = key(call.behaviour(), &namespace, &group, "");
    let names = call.state.services.names(&place.namespace, &place.group, Instant::now());
    let count = names.len();
    let size = usize::try_from(size).unwrap_or_default();
    let skipped = usize::try_from(page.saturating_sub(1)).unwrap_or_default().saturating_mul(size);
    let names: Vec<String> = names.into_iter().skip(skipped).take(size).collect();
    Ok(object([("count", json!(count)), ("serviceNames", json!(names))]))
}

/// The instances of a service, as they are answered and pushed.
pub(crate) fn service_info(
    shared: &Shared,
    state: &State,
    service: &ServiceKey,
    clusters: &str,
    healthy_only: bool,
) -> Value {
    let behaviour = shared.behaviour();
    let java = behaviour.is_java();
    let view = state.services.view(service, Wanted { clusters, healthy_only }, behaviour);
    let hosts: Vec<Value> = view.hosts.iter().map(|held| host(held, service, java)).collect();
    let mut info = object([
        ("name", json!(service.name)),
        ("groupName", json!(service.group)),
        ("clusters", json!(clusters)),
        ("cacheMillis", json!(10_000)),
        ("hosts", Value::Array(hosts)),
        ("lastRefTime", json!(shared.now_millis())),
        ("checksum", json!("")),
        (behaviour.all_ips_key(), json!(false)),
        ("reachProtectionThreshold", json!(view.protected)),
    ]);
    if java {
        info.insert("valid".to_owned(), json!(true));
    }
    Value::Object(info)
}
