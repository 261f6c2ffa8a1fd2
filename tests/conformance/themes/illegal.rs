//! Illegal requests, which servers refuse or let pass. Our client refuses each before it is sent.
use std::rc::Rc;

use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    subject::Subject,
    wire::{Answer, Wire, document, instance, instance_with, named, with},
};

pub(crate) const THEME: Theme = Theme { title: "Illegal requests", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("data id with a blank and other characters", bad_data_id)
        .captured(|capture| capture.answer(NAMES, 0).said()),
    check!("blank data id", no_data_id).captured(|capture| capture.answer(NAMES, 1).said()),
    check!("blank group in a query", no_group).captured(|capture| capture.answer(NAMES, 2).said()),
    check!("data id of 257 characters", long_data_id),
    check!("namespace with a blank", bad_namespace),
    check!("blank service name", no_service).captured(|capture| capture.answer(NAMING, 0).said()),
    check!("unknown type of an instance request", nonsense)
        .captured(|capture| capture.answer(NAMING, 1).said()),
    check!("service name with `@@`", bad_service)
        .captured(|capture| capture.answer(NAMING, 2).said()),
    check!("port 70 000", bad_port).captured(|capture| capture.answer(NAMING, 3).said()),
    check!("blank ip", no_ip).captured(|capture| capture.answer(NAMING, 4).said()),
    check!("cluster with a blank", bad_cluster),
    check!("metadata of 1 025 characters", long_metadata),
    check!("heart beat interval above its timeout", slow_heart),
    check!("body that is not JSON", not_json),
    check!("query without a data id", lacking),
];

const NAMES: &str = "config: illegal names";
const NAMING: &str = "naming: illegal";

async fn bad_data_id(subject: Rc<Subject>) -> Observation {
    published(&subject, json!({ "dataId": "bad name?*" })).await
}

async fn no_data_id(subject: Rc<Subject>) -> Observation {
    published(&subject, json!({ "dataId": "" })).await
}

async fn long_data_id(subject: Rc<Subject>) -> Observation {
    published(&subject, json!({ "dataId": "d".repeat(257) })).await
}

async fn bad_namespace(subject: Rc<Subject>) -> Observation {
    published(&subject, json!({ "tenant": "a b" })).await
}

async fn published(subject: &Subject, fields: Value) -> Observation {
    let body = with(&document("illegal"), with(&json!({ "content": "x" }), fields));
    Wire::to(subject).await.ask("ConfigPublishRequest", body).await.said()
}

async fn no_group(subject: Rc<Subject>) -> Observation {
    let body = with(&document("illegal"), json!({ "group": "" }));
    Wire::to(&subject).await.ask("ConfigQueryRequest", body).await.said()
}

async fn no_service(subject: Rc<Subject>) -> Observation {
    registered(&subject, "", "registerInstance", instance(1)).await
}

async fn nonsense(subject: Rc<Subject>) -> Observation {
    registered(&subject, "nonsense", "nonsense", instance(1)).await
}

async fn bad_service(subject: Rc<Subject>) -> Observation {
    registered(&subject, "weird@@name", "registerInstance", instance(1)).await
}

async fn bad_port(subject: Rc<Subject>) -> Observation {
    one(&subject, json!({ "port": 70_000 })).await
}

async fn no_ip(subject: Rc<Subject>) -> Observation {
    one(&subject, json!({ "ip": "" })).await
}

async fn bad_cluster(subject: Rc<Subject>) -> Observation {
    one(&subject, json!({ "clusterName": "a b" })).await
}

async fn long_metadata(subject: Rc<Subject>) -> Observation {
    one(&subject, json!({ "metadata": { "k": "v".repeat(1024) } })).await
}

async fn slow_heart(subject: Rc<Subject>) -> Observation {
    let metadata = json!({ "preserved.heart.beat.interval": "20000" });
    one(&subject, json!({ "metadata": metadata })).await
}

async fn one(subject: &Subject, fields: Value) -> Observation {
    registered(subject, "illegal", "registerInstance", instance_with(1, fields)).await
}

async fn registered(subject: &Subject, service: &str, kind: &str, instance: Value) -> Observation {
    let body = json!({ "type": kind, "instance": instance });
    let body = with(&named(service), body);
    Wire::to(subject).await.ask("InstanceRequest", body).await.said()
}

/// The text is the parser's.
async fn not_json(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    code(&wire.ask_raw("ConfigQueryRequest", "{\"dataId\":".to_owned()).await)
}

async fn lacking(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    code(&wire.ask("ConfigQueryRequest", json!({ "group": "g", "tenant": "" })).await)
}

fn code(answer: &Answer) -> Observation {
    match answer {
        Answer::Message { kind, .. } => format!("`{kind}` {}", answer.code()),
        Answer::Failed(how) => how.clone(),
    }
}
