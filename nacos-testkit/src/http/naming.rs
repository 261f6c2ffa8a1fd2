//! Instances over HTTP (v1): another client, whose heart beats are taken for granted.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Call, Reply,
    reply::{as_json, text},
};
use crate::{
    answer::service_info,
    state::{Amendment, Instance, ServiceKey},
};

pub(super) fn instance(call: &Call<'_>) -> Reply {
    let service = service(call);
    let Some(instance) = described(call) else {
        return text(StatusCode::BAD_REQUEST, "caused: illegal parameter");
    };
    match call.method {
        Method::POST => call.shared.register_as_peer(service, instance),
        Method::PUT => {
            let named = named(call, &instance);
            call.shared.edit_as_operator(service, instance, &named);
        }
        Method::DELETE => call.shared.deregister_as_peer(service, &instance),
        _ => return text(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
    text(StatusCode::OK, "ok")
}

/// Which fields of an instance an operator names.
fn named(call: &Call<'_>, instance: &Instance) -> Amendment {
    let given = |name: &str| call.form.text(name).is_some_and(|text| !text.is_empty());
    Amendment {
        ip: instance.ip.clone(),
        port: instance.port,
        weight: given("weight").then_some(instance.weight),
        enabled: given("enabled").then_some(instance.enabled),
        metadata: given("metadata").then(|| instance.metadata.clone()),
    }
}

/// A protection threshold, from an operator.
pub(super) fn settings(call: &Call<'_>) -> Reply {
    if call.method != Method::PUT {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let service = service(call);
    let Ok(threshold) = call.form.or("protectThreshold", "0").parse() else {
        return text(StatusCode::BAD_REQUEST, "caused: illegal parameter");
    };
    if call.behaviour().is_java() && !call.shared.read(|state| state.services.knows(&service)) {
        let refusal = format!("caused: service {} not found!;", service.grouped_name());
        return text(StatusCode::BAD_REQUEST, &refusal);
    }
    call.shared.protect(service, threshold);
    text(StatusCode::OK, "ok")
}

pub(super) fn list(call: &Call<'_>) -> Reply {
    if call.method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let service = service(call);
    let clusters = call.form.or("clusters", "");
    let healthy_only = call.form.or("healthyOnly", "false") == "true";
    let mut info = call
        .shared
        .read(|state| service_info(call.shared, state, &service, &clusters, healthy_only));
    if let Value::Object(info) = &mut info {
        // Unlike over gRPC, with the group before it.
        info.insert("name".to_owned(), json!(service.grouped_name()));
    }
    as_json(StatusCode::OK, &info)
}

pub(super) fn service(call: &Call<'_>) -> ServiceKey {
    let name = call.form.or("serviceName", "");
    let group = call.form.or("groupName", "");
    let namespace = call.form.or("namespaceId", "");
    match name.split_once("@@") {
        Some((group, name)) => ServiceKey::new(&namespace, group, name),
        None => ServiceKey::new(&namespace, &group, &name),
    }
}

fn described(call: &Call<'_>) -> Option<Instance> {
    let flag = |name: &str| call.form.or(name, "true") == "true";
    Some(Instance {
        port: call.form.text("port")?.parse().ok()?,
        weight: call.form.or("weight", "1").parse().ok()?,
        healthy: flag("healthy"),
        enabled: flag("enabled") && flag("enable"),
        cluster: call.form.or("clusterName", "DEFAULT"),
        metadata: metadata(&call.form.or("metadata", "")),
        ephemeral: flag("ephemeral"),
        ..Instance::new(call.form.text("ip")?, 0)
    })
}

/// Metadata as JSON, or as `k=v,k2=v2`.
fn metadata(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_else(|_| {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    })
}
