//! Registering and deregistering instances, one, many, and for good.

use serde_json::{Map, Value, json};

use super::{Call, Outcome, Refusal, legality, service_name::service};
use crate::{
    state::{Change, Event, Held, Instance, Owner, ServiceKey, object},
    wire::Fields,
};

pub(super) fn single(call: &mut Call<'_>) -> Outcome {
    if !call.behaviour().is_java() {
        return single_of_r_nacos(call);
    }
    let service = java_service(call)?;
    let instance = call.fields.object("instance")?;
    let instance = instance.ok_or_else(|| Refusal::thrown(-400, "instance can not be null."))?;
    let held = java_held(call, &service, instance)?;
    let kind = call.fields.needed_text("type")?;
    let owner = Owner::Connection(call.connection);
    let change = match kind.as_str() {
        REGISTER => {
            naming_client(call, "can't register ephemeral instance")?;
            legal_heart_beat(&held.instance)?;
            of_kind(call, &service, true)?;
            call.state.services.replace(&service, owner, vec![held])
        }
        // The whole publication goes, whichever address the request names.
        DEREGISTER => call.state.services.withdraw(&service, owner),
        kind => return Err(unsupported(kind)),
    };
    changed(call, service, change);
    Ok(object([("type", json!(kind))]))
}

pub(super) fn batch(call: &mut Call<'_>) -> Outcome {
    if !call.behaviour().is_java() {
        return batch_of_r_nacos(call);
    }
    let service = java_service(call)?;
    let instances = call.fields.objects("instances")?;
    let instances = instances.ok_or_else(|| Refusal::general(500, "instances is null"))?;
    let held: Result<Vec<Held>, Refusal> =
        instances.into_iter().map(|instance| java_held(call, &service, instance)).collect();
    let held = held?;
    let kind = call.fields.needed_text("type")?;
    if kind != BATCH_REGISTER {
        return Err(unsupported(&kind));
    }
    naming_client(call, "can't register ephemeral instance")?;
    of_kind(call, &service, true)?;
    let owner = Owner::Connection(call.connection);
    let change = call.state.services.replace(&service, owner, held);
    changed(call, service, change);
    Ok(object([("type", json!(kind))]))
}

pub(super) fn persistent(call: &mut Call<'_>) -> Outcome {
    let service = java_service(call)?;
    let instance = call.fields.object("instance")?;
    let instance = instance.ok_or_else(|| Refusal::thrown(-400, "instance can not be null."))?;
    let mut held = java_held(call, &service, instance)?;
    held.owner = Owner::Persistent;
    held.instance.ephemeral = false;
    let kind = call.fields.needed_text("type")?;
    let change = match kind.as_str() {
        REGISTER => {
            of_kind(call, &service, false)?;
            call.state.services.put(&service, held)
        }
        DEREGISTER => {
            let is_persistent = |owner| owner == Owner::Persistent;
            call.state.services.take(&service, &held.instance, is_persistent)
        }
        kind => return Err(unsupported(kind)),
    };
    changed(call, service, change);
    Ok(object([("type", json!(kind))]))
}

/// r-nacos checks nothing, and takes every request that is no deregistration for a registration.
fn single_of_r_nacos(call: &mut Call<'_>) -> Outcome {
    let instance = call.fields.object("instance")?;
    let instance = instance.ok_or_else(|| Refusal::general(500, "instance is empty"))?;
    let (service, held) = r_nacos_held(call, instance, "public")?;
    let deregister = call.fields.text("type")?.as_deref() == Some(DEREGISTER);
    let change = change_one(call, &service, held, deregister);
    changed(call, service, change);
    Ok(object([("type", json!(if deregister { DEREGISTER } else { REGISTER }))]))
}

/// Adds to what the connection holds, and calls itself a single registration.
fn batch_of_r_nacos(call: &mut Call<'_>) -> Outcome {
    let instances = call.fields.objects("instances")?.unwrap_or_default();
    if instances.is_empty() {
        return Ok(object([("resultCode", json!(0)), ("type", Value::Null)]));
    }
    let deregister = call.fields.text("type")?.as_deref() == Some(DEREGISTER);
    for instance in instances {
        // Here a blank namespace becomes the default *group*, and stays so.
        let (service, held) = r_nacos_held(call, instance, "DEFAULT_GROUP")?;
        let change = change_one(call, &service, held, deregister);
        changed(call, service, change);
    }
    Ok(object([("type", json!(if deregister { DEREGISTER } else { REGISTER }))]))
}

fn change_one(call: &mut Call<'_>, service: &ServiceKey, held: Held, deregister: bool) -> Change {
    if deregister {
        let me = held.owner;
        let may = |owner| owner == me || owner == Owner::Persistent;
        call.state.services.take(service, &held.instance, may)
    } else {
        call.state.services.update(service, held)
    }
}

fn java_service(call: &Call<'_>) -> Result<ServiceKey, Refusal> {
    service(call, true)
}

fn java_held(call: &Call<'_>, service: &ServiceKey, fields: Fields<'_>) -> Result<Held, Refusal> {
    let cluster = fields.text("clusterName")?.filter(|cluster| !cluster.is_empty());
    let port = fields.integer("port", 0)?;
    let instance = Instance {
        ip: fields.text("ip")?.unwrap_or_default(),
        port: u32::try_from(port).unwrap_or(u32::MAX),
        weight: fields.number("weight", 1.0)?,
        healthy: fields.flag("healthy", true)?,
        enabled: fields.flag("enabled", true)?,
        cluster: cluster.clone().unwrap_or_else(|| "DEFAULT".to_owned()),
        metadata: fields.texts("metadata")?,
        ephemeral: true,
    };
    legality::clusters(&instance.cluster)?;
    legality::ip(&instance.ip)?;
    legality::port(port)?;
    legality::metadata(&instance.metadata)?;
    let given = fields.text("instanceId")?.filter(|id| !id.is_empty());
    // Made of the cluster as the request has it: one that was left out reads `null`.
    let cluster = cluster.as_deref().unwrap_or("null");
    let id = given.unwrap_or_else(|| java_id(&instance, cluster, service));
    Ok(Held { owner: Owner::Connection(call.connection), id, instance })
}

fn r_nacos_held(
    call: &Call<'_>,
    fields: Fields<'_>,
    default_namespace: &str,
) -> Result<(ServiceKey, Held), Refusal> {
    let blank = |text: Option<String>| text.filter(|text| !text.is_empty());
    let namespace = blank(call.fields.text("namespace")?);
    let group = call.fields.text("groupName")?.unwrap_or_default();
    // A service name inside the instance wins over that of the request.
    let name = match blank(fields.text("serviceName")?) {
        Some(name) => name,
        None => call.fields.text("serviceName")?.unwrap_or_default(),
    };
    let namespace = namespace.as_deref().unwrap_or(default_namespace);
    let service = ServiceKey::new(namespace, &group, &name);
    let port = fields.integer("port", 0)?;
    let instance = Instance {
        ip: fields.text("ip")?.unwrap_or_default(),
        port: u32::try_from(port).map_err(|_| Refusal::general(500, "invalid value in `port`"))?,
        weight: fields.number("weight", 1.0)?,
        healthy: fields.flag("healthy", true)?,
        enabled: fields.flag("enabled", true)?,
        ephemeral: fields.flag("ephemeral", true)?,
        cluster: blank(fields.text("clusterName")?).unwrap_or_else(|| "DEFAULT".to_owned()),
        metadata: fields.texts("metadata")?,
    };
    let owner =
        if instance.ephemeral { Owner::Connection(call.connection) } else { Owner::Persistent };
    let id = format!("{}#{}", instance.ip, instance.port);
    Ok((service, Held { owner, id, instance }))
}

/// A connection without the label `module=naming` has no part in naming (Java).
pub(super) fn naming_client(call: &mut Call<'_>, consequence: &str) -> Result<(), Refusal> {
    let Some(transport) = call.state.transports.transport(call.connection) else { return Ok(()) };
    let labels = transport.connection.as_ref().map(|connection| &connection.setup.labels);
    let module = labels.and_then(|labels| labels.get("module"));
    if !call.shared.behaviour().is_java() || module.is_some_and(|module| module == "naming") {
        return Ok(());
    }
    let id = &transport.id;
    let text = format!("Client [{id}] connection already disconnect, {consequence}.");
    Err(Refusal::thrown(-401, format!("errCode: -401, errMsg: {text}")))
}

fn of_kind(call: &mut Call<'_>, service: &ServiceKey, ephemeral: bool) -> Result<(), Refusal> {
    let now = tokio::time::Instant::now();
    if call.state.services.accepts(service, ephemeral, now) {
        return Ok(());
    }
    let (is, cannot) =
        if ephemeral { ("persistent", "ephemeral") } else { ("ephemeral", "persistent") };
    let name = service.grouped_name();
    // The blank at the end is the server's.
    let text =
        format!("Current service {name} is {is} service, can't register {cannot} instance. ");
    Err(Refusal::thrown(400, format!("errCode: 400, errMsg: {text}")))
}

fn legal_heart_beat(instance: &Instance) -> Result<(), Refusal> {
    let beat = HeartBeat::of(instance);
    if beat.interval <= beat.timeout && beat.interval <= beat.delete {
        return Ok(());
    }
    let text = "Instance 'heart beat interval' must less than 'heart beat timeout' and 'ip delete \
                timeout'.";
    Err(Refusal::thrown(400, text))
}

fn unsupported(kind: &str) -> Refusal {
    Refusal::thrown(400, format!("Unsupported request type {kind}"))
}

fn changed(call: &mut Call<'_>, service: ServiceKey, change: Change) {
    call.events.extend(Event::of_service(service, change));
}

/// The `instanceId` that consumers see of an instance that another client registered.
pub(crate) fn instance_id(java: bool, instance: &Instance, service: &ServiceKey) -> String {
    if java {
        java_id(instance, &instance.cluster, service)
    } else {
        format!("{}#{}", instance.ip, instance.port)
    }
}

fn java_id(instance: &Instance, cluster: &str, service: &ServiceKey) -> String {
    format!("{}#{}#{cluster}#{}", instance.ip, instance.port, service.grouped_name())
}

/// An instance as consumers are shown it.
pub(super) fn host(held: &Held, service: &ServiceKey, java: bool) -> Value {
    let instance = &held.instance;
    let mut host: Map<String, Value> = object([
        ("instanceId", json!(held.id)),
        ("ip", json!(instance.ip)),
        ("port", json!(instance.port)),
        ("weight", json!(instance.weight)),
        ("healthy", json!(instance.healthy)),
        ("enabled", json!(instance.enabled)),
        ("ephemeral", json!(instance.ephemeral)),
        ("clusterName", json!(instance.cluster)),
        ("serviceName", json!(service.grouped_name())),
        ("metadata", json!(instance.metadata)),
    ]);
    if java {
        let beat = HeartBeat::of(instance);
        host.extend(object([
            ("instanceHeartBeatInterval", json!(beat.interval)),
            ("instanceHeartBeatTimeOut", json!(beat.timeout)),
            ("ipDeleteTimeout", json!(beat.delete)),
        ]));
        let generator = instance.metadata.get("preserved.instance.id.generator");
        // Absent as soon as there is other metadata.
        let generator = match generator {
            None if instance.metadata.is_empty() => Some("simple"),
            generator => generator.map(String::as_str),
        };
        if let Some(generator) = generator {
            host.insert("instanceIdGenerator".to_owned(), json!(generator));
        }
    }
    Value::Object(host)
}

/// The times that Java derives from the metadata of an instance.
struct HeartBeat {
    interval: i64,
    timeout: i64,
    delete: i64,
}

impl HeartBeat {
    fn of(instance: &Instance) -> Self {
        let read = |key: &str, default| {
            instance.metadata.get(key).and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            interval: read("preserved.heart.beat.interval", 5000),
            timeout: read("preserved.heart.beat.timeout", 15_000),
            delete: read("preserved.ip.delete.timeout", 30_000),
        }
    }
}

const REGISTER: &str = "registerInstance";
const DEREGISTER: &str = "deregisterInstance";
const BATCH_REGISTER: &str = "batchRegisterInstance";
