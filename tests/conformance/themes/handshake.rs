//! How a connection begins, and what a server says to what it does not know.
use std::rc::Rc;

use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    client::setup,
    subject::Subject,
    wire::{Wire, instance, with},
};

pub(crate) const THEME: Theme = Theme { title: "Handshake", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("server check, before anything else", server_check)
        .captured(|capture| check_said(&capture.answer(BEFORE, 0).field_names())),
    check!("health check before the connection is set up", unregistered)
        .captured(|capture| capture.answer(BEFORE, 1).said()),
    check!("query before the connection is set up", unregistered_query)
        .captured(|capture| capture.answer(BEFORE, 2).said()),
    check!("abilities of the server", abilities).captured(|capture| {
        let acks = capture.pushes("connection setup", "SetupAckRequest");
        able(acks.first().map(|line| &line.body))
    }),
    check!("health check", health_check)
        .captured(|capture| capture.answer("connection setup", 1).said()),
    check!("request of an unknown type", unknown)
        .captured(|capture| capture.answer(UNKNOWN, 0).said()),
    check!("request that only servers send", of_servers)
        .captured(|capture| capture.answer(UNKNOWN, 1).said()),
    check!("push that a client sends as a request", of_pushes)
        .captured(|capture| capture.answer(UNKNOWN, 2).said()),
    check!("registration over a connection without the label `module`", without_label),
];

const BEFORE: &str = "server check, then a unary call before the connection is set up";
const UNKNOWN: &str = "unknown and forbidden types";

async fn server_check(subject: Rc<Subject>) -> Observation {
    let wire = Wire::bare(subject.open.grpc_addr()).await;
    check_said(&wire.ask("ServerCheckRequest", json!({})).await.field_names())
}

fn check_said(fields: &[String]) -> Observation {
    let said = |name: &str| fields.iter().any(|field| field == name);
    assert!(said("connectionId"), "a connection has an id: {fields:?}");
    if said("supportAbilityNegotiation") { "negotiates abilities" } else { "names no abilities" }
        .to_owned()
}

async fn unregistered(subject: Rc<Subject>) -> Observation {
    let wire = Wire::bare(subject.open.grpc_addr()).await;
    wire.ask("HealthCheckRequest", json!({})).await.said()
}

async fn unregistered_query(subject: Rc<Subject>) -> Observation {
    let wire = Wire::bare(subject.open.grpc_addr()).await;
    wire.ask("ConfigQueryRequest", crate::wire::document("x")).await.said()
}

/// The first push is the acknowledgement, or else that of a subscription, which must come.
async fn abilities(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("abilities").await;
    let other = Wire::to(&subject).await;
    other.register("abilities", instance(1)).await.granted();
    let (kind, body) = wire.next().await.expect("a push");
    able((kind == "SetupAckRequest").then_some(&body))
}

fn able(acknowledgement: Option<&Value>) -> Observation {
    let Some(body) = acknowledgement else { return "none, no acknowledgement".to_owned() };
    let table = body["abilityTable"].as_object().into_iter().flatten();
    let mut able: Vec<String> = table
        .filter(|(_, able)| **able == json!(true))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    able.sort();
    able.join(", ")
}

async fn health_check(subject: Rc<Subject>) -> Observation {
    Wire::to(&subject).await.ask("HealthCheckRequest", json!({})).await.said()
}

async fn unknown(subject: Rc<Subject>) -> Observation {
    Wire::to(&subject).await.ask("NoSuchRequest", json!({})).await.said()
}

async fn of_servers(subject: Rc<Subject>) -> Observation {
    Wire::to(&subject).await.ask("ServerLoaderInfoRequest", json!({})).await.said()
}

async fn of_pushes(subject: Rc<Subject>) -> Observation {
    Wire::to(&subject).await.ask("ConnectResetRequest", json!({})).await.said()
}

async fn without_label(subject: Rc<Subject>) -> Observation {
    let setup = with(&setup(), json!({ "labels": { "source": "sdk" } }));
    let wire = Wire::registered(subject.open.grpc_addr(), subject.token.clone(), &setup).await;
    let said = wire.register("unlabelled", instance(1)).await.said();
    // Java names the connection; its id is another one each time.
    match (said.find("Client ["), said.find("] connection")) {
        (Some(from), Some(to)) => {
            format!("{}Client <id{}", &said[..from], &said[to..]).replace("<id]", "\\<id>")
        }
        _ => said,
    }
}
