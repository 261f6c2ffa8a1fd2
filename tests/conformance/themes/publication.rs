//! A connection's publications of a service: one instance, many, again, none.
use std::rc::Rc;

use nacos_core::{Client, Instance, Service, Subscription};
use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    subject::Subject,
    wire::{Answer, Wire, has, host, instance, instance_with},
};

pub(crate) const THEME: Theme = Theme { title: "Registering", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("second instance of a service over the same connection", second)
        .captured(|capture| replaced(capture.view(ANOTHER), 1)),
    check!("second batch over the same connection", second_batch)
        .captured(|capture| replaced(capture.view("naming: batch replaces"), 21)),
    check!("batch of none", empty_batch).captured(|capture| {
        let step = "naming: batch of none";
        let pushes = capture.pushes(step, "NotifySubscriberRequest");
        // A server that pushes nothing has changed nothing.
        let left = pushes.last().is_none_or(|push| has(22)(&push.body["serviceInfo"]));
        emptied(&capture.answer(step, 0), left)
    }),
    check!("deregistration of what was never there, beside what is", stranger).captured(
        |capture| {
            let pushes = capture.pushes(NEVER, "NotifySubscriberRequest");
            kept(has(2)(&pushes[0].body["serviceInfo"]))
        },
    ),
    check!("same address over two connections, one of which ends", two_owners),
    check!("registration again, with other metadata", metadata),
    check!("registration again, with metadata where there was none", late_metadata).captured(
        |capture| {
            let view = capture.view("naming: re-register with other metadata");
            host(view, 2)["metadata"].to_string().replace('"', "")
        },
    ),
    check!("registration again, without metadata", no_metadata),
    check!("registration again, with weight 1 after 5", weight),
    check!("registration again, enabled after disabled", enabled),
    check!("our client: three instances come and go one by one", fleet),
    check!("our client: weight of 5 returns to 1", our_weight),
    check!("our client: metadata changes and goes", our_metadata),
];

const ANOTHER: &str = "naming: the same connection registers another endpoint";
const NEVER: &str = "naming: deregister an endpoint that was never there, and one that was";

async fn second(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.register("second", instance(1)).await.granted();
    wire.register("second", instance(2)).await.granted();
    replaced(&wire.found("second", has(2)).await, 1)
}

async fn second_batch(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.batch("second-batch", vec![instance(21), instance(22)]).await.granted();
    wire.batch("second-batch", vec![instance(22), instance(23)]).await.granted();
    replaced(&wire.found("second-batch", has(23)).await, 21)
}

fn replaced(info: &Value, first: u64) -> Observation {
    if has(first)(info) { "joins the first" } else { "replaces the first" }.to_owned()
}

async fn empty_batch(subject: Rc<Subject>) -> Observation {
    let (wire, other) = (Wire::to(&subject).await, Wire::to(&subject).await);
    wire.batch("empty-batch", vec![instance(22)]).await.granted();
    wire.found("empty-batch", has(22)).await;
    let answer = wire.batch("empty-batch", Vec::new()).await;
    // A later registration shows what has become of it.
    other.register("empty-batch", instance(50)).await.granted();
    let info = other.found("empty-batch", has(50)).await;
    emptied(&answer, has(22)(&info))
}

fn emptied(answer: &Answer, left: bool) -> Observation {
    let result = answer.field("resultCode");
    format!("result code {result}, {}", if left { "changes nothing" } else { "publishes nothing" })
}

async fn stranger(subject: Rc<Subject>) -> Observation {
    let (wire, other) = (Wire::to(&subject).await, Wire::to(&subject).await);
    wire.register("stranger", instance(31)).await.granted();
    wire.found("stranger", has(31)).await;
    wire.deregister("stranger", instance(999)).await.granted();
    other.register("stranger", instance(50)).await.granted();
    kept(has(31)(&other.found("stranger", has(50)).await))
}

fn kept(is_there: bool) -> Observation {
    if is_there { "what is there stays" } else { "what is there goes" }.to_owned()
}

async fn two_owners(subject: Rc<Subject>) -> Observation {
    let (wire, other) = (Wire::to(&subject).await, Wire::to(&subject).await);
    let third = Wire::to(&subject).await;
    wire.register("two-owners", instance(1)).await.granted();
    wire.found("two-owners", has(1)).await;
    other.batch("two-owners", vec![instance(1), instance(2)]).await.granted();
    other.found("two-owners", has(2)).await;
    drop(wire);
    // The end of a connection takes its time: until something else that ends with it is gone.
    third.register("two-owners", instance(50)).await.granted();
    let first = kept(has(1)(&third.found("two-owners", has(50)).await));
    drop(other);
    third.found("two-owners", |info| !has(2)(info)).await;
    let then = kept(has(1)(&third.found("two-owners", has(50)).await));
    format!("{first}; after the other one: {then}")
}

async fn metadata(subject: Rc<Subject>) -> Observation {
    again(
        &subject,
        "again-metadata",
        json!({ "metadata": { "a": "1", "b": "2" } }),
        json!({ "metadata": { "a": "3" } }),
    )
    .await["metadata"]
        .to_string()
        .replace('"', "")
}

async fn late_metadata(subject: Rc<Subject>) -> Observation {
    let second = json!({ "metadata": { "v": "2" } });
    again(&subject, "again-late", json!({}), second).await["metadata"].to_string().replace('"', "")
}

async fn no_metadata(subject: Rc<Subject>) -> Observation {
    again(&subject, "again-none", json!({ "metadata": { "a": "1" } }), json!({})).await["metadata"]
        .to_string()
        .replace('"', "")
}

async fn weight(subject: Rc<Subject>) -> Observation {
    let host = again(&subject, "again-weight", json!({ "weight": 5.0 }), json!({})).await;
    format!("weight {}", host["weight"])
}

async fn enabled(subject: Rc<Subject>) -> Observation {
    let host = again(&subject, "again-enabled", json!({ "enabled": false }), json!({})).await;
    if host.is_null() { "still disabled" } else { "enabled" }.to_owned()
}

/// Registers an instance twice, and returns how consumers see it then.
async fn again(subject: &Subject, service: &str, first: Value, second: Value) -> Value {
    let (wire, other) = (Wire::to(subject).await, Wire::to(subject).await);
    wire.register(service, instance_with(1, first)).await.granted();
    other.register(service, instance(50)).await.granted();
    other.found(service, has(50)).await;
    wire.register(service, instance_with(1, second)).await.granted();
    other.register(service, instance(51)).await.granted();
    host(&other.found(service, has(51)).await, 1)
}

async fn fleet(subject: Rc<Subject>) -> Observation {
    let (provider, consumer) = (subject.client().await, subject.client().await);
    let mut seen = subscription(&consumer, "fleet").await;
    let register = async |port| {
        let instance = Instance::new("127.0.0.1", port).with_metadata("port", port.to_string());
        let guard = provider.naming().register("fleet", instance).expect("valid");
        guard.ready().await.expect("registered")
    };
    let one = register(1).await;
    until(&mut seen, &["127.0.0.1:1"]).await;
    let two = register(2).await;
    let three = register(3).await;
    until(&mut seen, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]).await;
    two.deregister().await.expect("agreed");
    until(&mut seen, &["127.0.0.1:1", "127.0.0.1:3"]).await;
    drop(one);
    until(&mut seen, &["127.0.0.1:3"]).await;
    drop(three);
    until(&mut seen, &[]).await;
    "each one seen".to_owned()
}

async fn our_weight(subject: Rc<Subject>) -> Observation {
    let (provider, consumer) = (subject.client().await, subject.client().await);
    let seen = subscription(&consumer, "our-weight").await;
    let heavy = Instance::new("127.0.0.1", 1).with_weight(5.0);
    let guard = provider.naming().register("our-weight", heavy.clone()).expect("valid");
    let mut guard = guard.ready().await.expect("registered");
    let weighs = |weight: &'static str| {
        move |service: &Service| {
            service.instances.first().is_some_and(|it| it.weight.to_string() == weight)
        }
    };
    seen.live().wait_for(weighs("5")).await.expect("heavy");
    guard.update(heavy.with_weight(1.0)).expect("valid");
    seen.live().wait_for(weighs("1")).await.expect("light");
    "seen".to_owned()
}

/// With each change the weight changes, too: it shows when the change has arrived.
async fn our_metadata(subject: Rc<Subject>) -> Observation {
    let (provider, consumer) = (subject.client().await, subject.client().await);
    let seen = subscription(&consumer, "our-metadata").await;
    let first = Instance::new("127.0.0.1", 1).with_metadata("version", "1").with_weight(2.0);
    let second = first.clone().with_metadata("version", "2").with_weight(3.0);
    let third = Instance::new("127.0.0.1", 1).with_weight(4.0);
    let version = async |weight: &'static str| {
        let weighs = |service: &Service| {
            service.instances.first().is_some_and(|it| it.weight.to_string() == weight)
        };
        let service = seen.live().wait_for(weighs).await.expect("it came");
        service.instances[0].metadata.get("version").cloned().unwrap_or_else(|| "none".to_owned())
    };
    let guard = provider.naming().register("our-metadata", first).expect("valid");
    let mut guard = guard.ready().await.expect("registered");
    let first = version("2").await;
    guard.update(second).expect("valid");
    let second = version("3").await;
    guard.update(third).expect("valid");
    format!("{first}, then {second}, then {}", version("4").await)
}

async fn subscription(consumer: &Client, service: &str) -> Subscription {
    consumer.naming().subscribe(service).expect("valid").ready().await.expect("an answer")
}

/// Takes changes until the view is exactly this.
async fn until(seen: &mut Subscription, addresses: &[&str]) {
    let is = |seen: &Subscription| {
        let there: Vec<_> = seen.service().instances.iter().map(|i| i.address()).collect();
        there == addresses
    };
    while !is(seen) {
        seen.changed().await.expect("the client lives");
    }
}
