//! Which instances consumers are shown: the disabled, the unhealthy, the weightless.
use std::rc::Rc;

use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    subject::Subject,
    wire::{Wire, has, host, instance, instance_with, query, with},
};

pub(crate) const THEME: Theme = Theme { title: "Which instances are shown", checks: CHECKS };

// The captures have them at these ports: 11 disabled, 12 unhealthy, 13 of no weight.
const CHECKS: &[Check] = &[
    check!("disabled instance", disabled).captured(|capture| shown(capture.view(FOUR), 11)),
    check!("unhealthy instance, beside a healthy one", unhealthy)
        .captured(|capture| shown(capture.view(FOUR), 12)),
    check!("unhealthy instance, where only healthy ones are asked for", healthy_only)
        .captured(|capture| shown(&capture.answer("naming: queries", 1).field("serviceInfo"), 12)),
    check!("instance of weight 0", weightless).captured(|capture| shown(capture.view(FOUR), 13)),
    check!("service of which no instance is healthy", all_unhealthy),
    check!("service of which no instance is healthy, asked for healthy ones", none_healthy),
];

const FOUR: &str =
    "naming: another connection registers disabled, unhealthy, zero weight, another cluster";

async fn disabled(subject: Rc<Subject>) -> Observation {
    beside_a_good_one(&subject, "disabled", json!({ "enabled": false })).await
}

async fn unhealthy(subject: Rc<Subject>) -> Observation {
    beside_a_good_one(&subject, "unhealthy", json!({ "healthy": false })).await
}

async fn weightless(subject: Rc<Subject>) -> Observation {
    beside_a_good_one(&subject, "weightless", json!({ "weight": 0.0 })).await
}

async fn beside_a_good_one(subject: &Subject, service: &str, fields: Value) -> Observation {
    let wire = Wire::to(subject).await;
    wire.batch(service, vec![instance_with(11, fields), instance(15)]).await.granted();
    shown(&wire.found(service, has(15)).await, 11)
}

async fn healthy_only(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let sick = instance_with(12, json!({ "healthy": false }));
    wire.batch("healthy-only", vec![sick, instance(15)]).await.granted();
    wire.found("healthy-only", has(15)).await;
    let body = with(&query("healthy-only"), json!({ "healthyOnly": true }));
    shown(&wire.ask("ServiceQueryRequest", body).await.field("serviceInfo"), 12)
}

async fn all_unhealthy(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let sick = instance_with(12, json!({ "healthy": false }));
    wire.register("all-unhealthy", sick).await.granted();
    let info = wire.found("all-unhealthy", has(12)).await;
    format!("{}, {}", shown(&info, 12), protection(&info))
}

async fn none_healthy(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let sick = instance_with(12, json!({ "healthy": false }));
    wire.register("none-healthy", sick).await.granted();
    wire.found("none-healthy", has(12)).await;
    let body = with(&query("none-healthy"), json!({ "healthyOnly": true }));
    let info = wire.ask("ServiceQueryRequest", body).await.field("serviceInfo");
    format!("{}, {}", shown(&info, 12), protection(&info))
}

fn shown(info: &Value, port: u64) -> Observation {
    let host = host(info, port);
    match (host.is_null(), host["healthy"] == true) {
        (true, _) => "not shown",
        (false, true) => "shown, as healthy",
        (false, false) => "shown, as unhealthy",
    }
    .to_owned()
}

/// Whether the server says that it shows more than is well.
fn protection(info: &Value) -> &'static str {
    if info["reachProtectionThreshold"] == true { "protected" } else { "not protected" }
}
