//! An operator's changes over HTTP: weights, switches, protection, and instances that last.
use std::{rc::Rc, time::Duration};

use nacos_core::{ErrorKind, Instance};
use serde_json::{Value, json};

use crate::{
    check::{Check, Needs, Observation, Theme, check},
    http,
    subject::Subject,
    trace::group,
    wire::{Answer, Wire, eventually, has, host, instance, instance_with, named, with},
};

pub(crate) const THEME: Theme =
    Theme { title: "Operators and persistent instances", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("instance disabled by an operator", disabled).needs(Needs::Own),
    check!("instance disabled by an operator, registered again by its client", disabled_again)
        .needs(Needs::Own),
    check!("weight set by an operator", weighed).needs(Needs::Own),
    check!("weight set by an operator, registered again by its client", weighed_again)
        .needs(Needs::Own),
    check!("threshold of 0.5, one of three is healthy", protected).needs(Needs::Own),
    check!("threshold of 0.5, two of three are healthy", unprotected).needs(Needs::Own),
    check!("threshold for a service that is not there", protected_nothing).needs(Needs::Own),
    check!("persistent instance over gRPC", persistent)
        .captured(|capture| capture.answer("naming: persistent", 0).said()),
    check!("persistent instance of an ephemeral service", persistent_of_ephemeral)
        .captured(|capture| refused(&capture.answers("naming: persistent"), "svc")),
    check!("our client: persistent instance outlives it", outlives),
];

async fn disabled(subject: Rc<Subject>) -> Observation {
    let (_wire, host) = edited(&subject, "op-disabled", ("enabled", "false"), false).await;
    if host.is_null() { "not shown" } else { "shown" }.to_owned()
}

async fn disabled_again(subject: Rc<Subject>) -> Observation {
    let (_wire, host) = edited(&subject, "op-disabled-again", ("enabled", "false"), true).await;
    if host.is_null() { "not shown" } else { "shown" }.to_owned()
}

async fn weighed(subject: Rc<Subject>) -> Observation {
    let (_wire, host) = edited(&subject, "op-weighed", ("weight", "7"), false).await;
    format!("weight {}", host["weight"])
}

async fn weighed_again(subject: Rc<Subject>) -> Observation {
    let (_wire, host) = edited(&subject, "op-weighed-again", ("weight", "7"), true).await;
    format!("weight {}", host["weight"])
}

/// How an instance is seen that an operator has changed, and perhaps its client registered again.
async fn edited(
    subject: &Subject,
    service: &str,
    change: (&str, &str),
    again: bool,
) -> (Wire, Value) {
    let (wire, other) = (Wire::to(subject).await, Wire::to(subject).await);
    wire.register(service, instance(1)).await.granted();
    wire.found(service, has(1)).await;
    let parameters = [
        ("serviceName", service),
        ("groupName", group()),
        ("ip", "127.0.0.1"),
        ("port", "1"),
        ("ephemeral", "true"),
        change,
    ];
    let reply =
        http::ask(subject.open.addr(), "PUT", &admin(subject, "instance"), &parameters).await;
    assert!(reply.status == 200 && reply.body.contains("ok"), "{reply:?}");
    if again {
        wire.register(service, instance(1)).await.granted();
    }
    other.register(service, instance(50)).await.granted();
    let host = host(&other.found(service, has(50)).await, 1);
    (wire, host)
}

async fn protected(subject: Rc<Subject>) -> Observation {
    threshold(&subject, "op-protected", false).await
}

async fn unprotected(subject: Rc<Subject>) -> Observation {
    threshold(&subject, "op-unprotected", true).await
}

/// Three instances, of which the second is unhealthy, the third healthy.
async fn threshold(subject: &Subject, service: &str, first_healthy: bool) -> Observation {
    let (wire, other) = (Wire::to(subject).await, Wire::to(subject).await);
    let healthy = |port, healthy: bool| instance_with(port, json!({ "healthy": healthy }));
    wire.batch(service, vec![healthy(1, first_healthy), healthy(2, false)]).await.granted();
    let set = protect(subject, service).await;
    assert!(set.status == 200 && set.body.contains("ok"), "{set:?}");
    other.register(service, instance(3)).await.granted();
    let info = other.found(service, has(3)).await;
    let hosts = info["hosts"].as_array().expect("a list");
    let well = hosts.iter().filter(|host| host["healthy"] == true).count();
    let says = if info["reachProtectionThreshold"] == true { "protected" } else { "not protected" };
    format!("{} shown, {well} as healthy, {says}", hosts.len())
}

async fn protected_nothing(subject: Rc<Subject>) -> Observation {
    let reply = protect(&subject, "op-nothing").await;
    format!("{} \"{}\"", reply.status, reply.body)
}

async fn protect(subject: &Subject, service: &str) -> http::Reply {
    let parameters =
        [("serviceName", service), ("groupName", group()), ("protectThreshold", "0.5")];
    http::ask(subject.open.addr(), "PUT", &admin(subject, "service"), &parameters).await
}

async fn persistent(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let answer = lasting(&wire, "op-persistent", "registerInstance").await;
    if answer.code() == 200 {
        wire.found("op-persistent", has(41)).await;
        lasting(&wire, "op-persistent", "deregisterInstance").await.granted();
    }
    answer.said()
}

async fn persistent_of_ephemeral(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.register("op-mixed", instance(1)).await.granted();
    refused(&[lasting(&wire, "op-mixed", "registerInstance").await], "op-mixed")
}

async fn lasting(wire: &Wire, service: &str, kind: &str) -> Answer {
    let instance = instance_with(41, json!({ "ephemeral": false }));
    let body = json!({ "type": kind, "instance": instance });
    wire.ask("PersistentInstanceRequest", with(&named(service), body)).await
}

fn refused(answers: &[Answer], service: &str) -> Observation {
    let said = answers.last().expect("an answer").said();
    said.replace(&format!("@@{service} "), "@@… ")
}

async fn outlives(subject: Rc<Subject>) -> Observation {
    let instance = Instance::new("127.0.0.1", 4242);
    let nacos = subject.client().await;
    if let Err(error) = nacos.naming().register_persistent("lasting", &instance).await {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        return "`ErrorKind::Unsupported`".to_owned();
    }
    nacos.shutdown(Duration::from_secs(3)).await;
    let other = subject.client().await;
    let number = async || other.naming().query("lasting").await.expect("an answer").instances.len();
    eventually(async || number().await == 1).await;
    other.naming().deregister_persistent("lasting", &instance).await.expect("deregistered");
    eventually(async || number().await == 0).await;
    "until it is deregistered".to_owned()
}

/// Where operators change instances and services: 3.x has closed the paths of v1 to them.
fn admin(subject: &Subject, what: &str) -> String {
    let family = if subject.kind.has_v3() { "v3/admin" } else { "v1" };
    format!("/nacos/{family}/ns/{what}")
}
