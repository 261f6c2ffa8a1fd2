//! Configuration: query, publish, remove, listen.

use serde_json::{Map, Value, json};

use super::{Call, Outcome, Refusal, legality, rights::may_use};
use crate::{
    Behaviour,
    shared::Shared,
    state::{ConfigKey, Document, Found, Listen, Publication, Reader, State, object},
    wire::Fields,
};

pub(super) fn query(call: &mut Call<'_>) -> Outcome {
    if call.behaviour().is_java() {
        // A key is made of both before anything is checked; the text is the JVM's.
        for name in ["dataId", "group"] {
            if call.fields.text(name)?.is_none() {
                let text = format!("\"{name}\" is null");
                let caught = call.behaviour().is_3();
                return Err(if caught {
                    Refusal::typed(500, text)
                } else {
                    Refusal::general(500, text)
                });
            }
        }
    }
    let key = key(call.behaviour(), call.fields)?;
    let asked = call.fields.text("tag")?.filter(|tag| !tag.is_empty());
    if !call.behaviour().is_java() {
        // r-nacos knows no tags, but repeats the one asked for.
        let document = call.state.configs.stored(&key);
        let document = document.ok_or_else(|| Refusal::missing_config(None))?;
        let mut fields = shown(document);
        fields.extend(object([
            ("message", Value::Null),
            ("encryptedDataKey", Value::Null),
            ("tag", json!(asked)),
        ]));
        return Ok(fields);
    }
    let State { configs, transports, .. } = &mut *call.state;
    let connection = transports.connection(call.connection);
    let mut reader = connection.map_or(Reader { ip: "", tag: None }, |it| it.reader(None));
    if !call.shared.behaviour().has_gray_rules() {
        // It looks at the headers of the request, and at no label.
        reader.tag = call.headers.get("Vipserver-Tag").map(String::as_str);
    }
    let found = configs.query(&key, reader, asked.as_deref());
    let Some(document) = found.document() else {
        let tag = matches!(found, Found::MissingTag).then(|| asked.unwrap_or_default());
        return Err(Refusal::missing_config(tag.as_deref()));
    };
    let mut fields = shown(document);
    match found {
        Found::Beta(_) => {
            fields.insert("beta".to_owned(), json!(true));
            if call.shared.behaviour().has_gray_rules() {
                fields.remove("encryptedDataKey");
            }
        }
        Found::Tagged(_, tag) => {
            fields.insert("tag".to_owned(), json!(tag));
        }
        Found::Formal(_) | Found::Missing | Found::MissingTag => {}
    }
    Ok(fields)
}

fn shown(document: &Document) -> Map<String, Value> {
    object([
        ("content", json!(document.content)),
        ("encryptedDataKey", json!(document.encrypted_data_key)),
        ("contentType", json!(document.content_type)),
        ("md5", json!(document.md5)),
        ("lastModified", json!(document.last_modified)),
        ("beta", json!(false)),
    ])
}

pub(super) fn publish(call: &mut Call<'_>) -> Outcome {
    let behaviour = call.behaviour();
    let key = key(behaviour, call.fields)?;
    let content = call.fields.needed_text("content")?;
    let cas = call.fields.text("casMd5")?.filter(|md5| !md5.is_empty());
    let mut additions = call.fields.texts("additionMap")?;
    let mut addition = |name: &str| additions.remove(name).filter(|text| !text.is_empty());
    let mut publication = Publication {
        content,
        content_type: addition("type"),
        at: call.shared.now_millis(),
        ..Publication::default()
    };
    if !behaviour.is_java() {
        // Beta, tag, CAS and the data key are ignored: every publish sets the formal content.
        call.state.configs.publish(&key, publication, behaviour);
        call.stored.push(key);
        return Ok(object([]));
    }
    publication.encrypted_data_key = addition("encryptedDataKey").unwrap_or_default();
    publication.app = addition("appName");
    publication.description = addition("desc");
    publication.tags = addition("config_tags").map(|tags| split(&tags));
    if key.data_id.is_empty() {
        return Err(Refusal::typed(400, "invalid dataId : "));
    }
    if publication.content.trim().is_empty() {
        return Err(Refusal::typed(400, "content is blank : "));
    }
    let (beta, tag) = (addition("betaIps"), addition("tag"));
    let configs = &call.state.configs;
    let is_gray = beta.is_some() || tag.is_some();
    let stored = match (&beta, &tag) {
        (Some(_), _) => configs.stored_beta(&key),
        (None, Some(tag)) => configs.stored_tag(&key, tag),
        (None, None) => configs.stored(&key),
    };
    // With a digest but nothing stored, the publish inserts.
    if let (Some(cas), Some(stored)) = (cas, stored)
        && cas != stored.md5
    {
        // With its embedded database, 2.3 changes no row, and takes that for a success.
        if behaviour == Behaviour::Nacos2_3 && is_gray {
            return Ok(object([]));
        }
        return Err(cas_failed(behaviour, is_gray));
    }
    let configs = &mut call.state.configs;
    match (beta, tag) {
        (Some(ips), _) => configs.publish_beta(&key, split(&ips), publication, behaviour),
        (None, Some(tag)) => configs.publish_tag(&key, &tag, publication, behaviour),
        (None, None) => configs.publish(&key, publication, behaviour),
    }
    call.stored.push(key);
    Ok(object([]))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(|entry| entry.trim().to_owned()).collect()
}

/// The refusal of a conditional publish. Where there are gray rules, beta and tag are one kind.
fn cas_failed(behaviour: Behaviour, is_gray: bool) -> Refusal {
    let version = if is_gray { "gray config " } else { "" };
    let pause = if behaviour == Behaviour::Nacos2_3 { "" } else { " " };
    Refusal::typed(500, format!("Cas publish {version}fail,{pause}server md5 may have changed."))
}

pub(super) fn remove(call: &mut Call<'_>) -> Outcome {
    let behaviour = call.behaviour();
    let key = key(behaviour, call.fields)?;
    let tag = call.fields.text("tag")?.filter(|tag| !tag.is_empty() && behaviour.is_java());
    match tag.as_deref() {
        None => call.state.configs.remove(&key),
        // Where there are gray rules, the tag is the name of a gray version.
        Some("beta") if behaviour.has_gray_rules() => call.state.configs.remove_beta(&key),
        Some(name) if behaviour.has_gray_rules() => {
            let tag = name.strip_prefix("tag_").unwrap_or(name);
            call.state.configs.remove_tag(&key, tag);
        }
        Some(tag) => call.state.configs.remove_tag(&key, tag),
    }
    call.stored.push(key);
    Ok(object([]))
}

pub(super) fn listen(call: &mut Call<'_>) -> Outcome {
    let behaviour = call.behaviour();
    let listen = call.fields.flag("listen", true)?;
    let contexts = call.fields.objects("configListenContexts")?.unwrap_or_default();
    let tag = call.headers.get("Vipserver-Tag").filter(|tag| !tag.is_empty());
    let mut changed = Vec::new();
    for context in contexts {
        let mut key = key(behaviour, context)?;
        let tenant = context.text("tenant")?;
        key.namespace = behaviour.listened_namespace(tenant.as_deref().unwrap_or_default());
        if behaviour == Behaviour::RNacos && !may_use(call.state, &key.namespace) {
            continue;
        }
        let md5 = context.text("md5")?;
        let Some(connection) = call.state.transports.connection(call.connection) else { break };
        if !listen {
            connection.listens.remove(&key);
            continue;
        }
        let entry = Listen { tenant: tenant.clone(), tag: tag.cloned() };
        let found = call.state.configs.query(&key, connection.reader(Some(&entry)), None);
        let current = found.document().map_or("", |document| &document.md5);
        let same = match md5.as_deref() {
            Some(md5) => md5 == current,
            // To Java nothing is not the same as blank: changed for ever.
            None => !behaviour.is_java() && current.is_empty(),
        };
        connection.listens.insert(key.clone(), entry);
        if !same {
            let mut item = object([("dataId", json!(key.data_id)), ("group", json!(key.group))]);
            // The namespace is repeated as it was spelled.
            if let Some(tenant) = tenant {
                item.insert("tenant".to_owned(), json!(tenant));
            }
            changed.push(Value::Object(item));
        }
    }
    Ok(object([("changedConfigs", Value::Array(changed))]))
}

/// Publishes as another client does that names nothing but a type.
pub(crate) fn publish_plainly(
    shared: &Shared,
    state: &mut State,
    key: &ConfigKey,
    content: String,
    content_type: Option<String>,
) {
    let at = shared.now_millis();
    let publication = Publication { content, content_type, at, ..Publication::default() };
    state.configs.publish(key, publication, shared.behaviour());
}

fn key(behaviour: Behaviour, fields: Fields<'_>) -> Result<ConfigKey, Refusal> {
    let data_id = fields.needed_text("dataId")?;
    let group = fields.needed_text("group")?;
    let tenant = fields.needed_text("tenant")?;
    if behaviour.is_java() {
        legality::namespace(&tenant)?;
        legality::data_id(&data_id)?;
        legality::group("group", &group)?;
    }
    Ok(ConfigKey { namespace: behaviour.config_namespace(&tenant), group, data_id })
}
