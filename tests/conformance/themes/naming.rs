//! Services: subscribed to, queried, listed.
use std::{rc::Rc, time::Duration};

use nacos_core::{Client, Group, Instance, Registration};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    check::{Check, Observation, Theme, check},
    client::Down,
    subject::{Subject, connected},
    trace::apart,
    wire::{Wire, has, host, instance, instance_with, named, ports, query, with},
};

pub(crate) const THEME: Theme = Theme { title: "Services", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("service that nobody registered, queried", nobody)
        .captured(|capture| listed(&capture.answer("naming: queries", 4).field("serviceInfo"))),
    check!("first subscribe to what is there: pushed as well", first_subscribe),
    check!("subscribe again: pushed again", second_subscribe),
    check!("id of an instance", instance_id)
        .captured(|capture| id(&host(capture.view("naming: register with metadata"), 1))),
    check!("key of the flag that a list is complete", flag)
        .captured(|capture| flag_key(capture.view("naming: register with metadata"))),
    check!("top-level names in a push", names).captured(|capture| {
        let pushes = capture.pushes("naming: register with metadata", PUSH);
        names_said(&pushes[0].body)
    }),
    check!("our client: metadata, weight and cluster, as consumers see them", seen),
    check!("services of a group, listed", list)
        .captured(|capture| count(&capture.answer("naming: list services", 0).field("count"))),
    check!("second page of a list of three, two a page", second_page),
    check!("service whose last instance has left, listed a moment later", emptied),
    check!("query with another cluster", cluster)
        .captured(|capture| filtered(&capture.answer("naming: queries", 2).field("serviceInfo"))),
    check!("push to a subscriber of another cluster", cluster_push).captured(|capture| {
        filtered_push(capture.view("naming: subscribe with a cluster on the same connection"))
    }),
    check!("subscribe again, with another cluster", another_cluster).captured(|capture| {
        filtered(capture.view("naming: subscribe with a cluster on the same connection"))
    }),
    check!("push that nobody acknowledges", unacknowledged),
    check!("change after the end of a subscription", unsubscribed)
        .captured(|capture| pushed(!capture.pushes("naming: unsubscribe", PUSH).is_empty())),
    check!("namespace spelled `public` and blank", spelled),
    check!("our client: namespaces spelled `public` and blank, in naming", our_spelling),
    check!("our client: the same service in another namespace", another_namespace),
    check!("our client: queried, listed, subscribed to", ours),
];

const PUSH: &str = "NotifySubscriberRequest";
/// Java Nacos waits for 5 s, and closes nothing before it has been silent for 20 s.
const UNANSWERED: Duration = Duration::from_secs(14);

async fn nobody(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    listed(&wire.ask("ServiceQueryRequest", query("nobody")).await.field("serviceInfo"))
}

fn listed(info: &Value) -> Observation {
    match info["hosts"].as_array() {
        Some(hosts) if hosts.is_empty() => "an empty list".to_owned(),
        Some(hosts) => format!("{} instances", hosts.len()),
        None => "no list".to_owned(),
    }
}

async fn first_subscribe(subject: Rc<Subject>) -> Observation {
    let provider = Wire::to(&subject).await;
    provider.register("first-subscribe", instance(1)).await.granted();
    provider.found("first-subscribe", has(1)).await;
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("first-subscribe").await;
    pushed_before_sentinel(&mut wire, &provider, "first-subscribe").await
}

async fn second_subscribe(subject: Rc<Subject>) -> Observation {
    let provider = Wire::to(&subject).await;
    provider.register("second-subscribe", instance(1)).await.granted();
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("second-subscribe").await;
    wire.view("second-subscribe", has(1)).await;
    wire.subscribe("second-subscribe").await;
    pushed_before_sentinel(&mut wire, &provider, "second-subscribe").await
}

async fn unsubscribed(subject: Rc<Subject>) -> Observation {
    let provider = Wire::to(&subject).await;
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("unsubscribed").await;
    provider.register("unsubscribed", instance(1)).await.granted();
    wire.view("unsubscribed", has(1)).await;
    let body = json!({ "subscribe": false, "clusters": "" });
    let ended = wire.ask("SubscribeServiceRequest", with(&named("unsubscribed"), body)).await;
    ended.granted();
    provider.deregister("unsubscribed", instance(1)).await.granted();
    pushed_before_sentinel(&mut wire, &provider, "unsubscribed").await
}

/// Whether the service is pushed before two changes of another one are: whatever was to be pushed
/// when this began has been pushed by then.
async fn pushed_before_sentinel(wire: &mut Wire, provider: &Wire, service: &str) -> Observation {
    let sentinel = format!("{service}-sentinel");
    wire.subscribe(&sentinel).await;
    let mut was_pushed = false;
    for port in [1, 2] {
        provider.batch(&sentinel, vec![instance(port)]).await.granted();
        loop {
            let push = wire.push(PUSH).await;
            let info = &push["serviceInfo"];
            if info["name"] == sentinel.as_str() && has(port.into())(info) {
                break;
            }
            was_pushed |= info["name"] == service;
        }
    }
    pushed(was_pushed)
}

fn pushed(was_pushed: bool) -> Observation {
    if was_pushed { "yes" } else { "no" }.to_owned()
}

async fn instance_id(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.register("svc-id", instance(1)).await.granted();
    id(&host(&wire.found("svc-id", has(1)).await, 1)).replace("svc-id", "svc")
}

fn id(host: &Value) -> Observation {
    format!("`{}`", host["instanceId"].as_str().unwrap_or("none"))
}

async fn flag(subject: Rc<Subject>) -> Observation {
    flag_key(&Wire::to(&subject).await.subscribe("flag").await)
}

fn flag_key(info: &Value) -> Observation {
    let keys = ["allIPs", "allIps"].into_iter().filter(|key| info.get(key).is_some());
    keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ")
}

async fn names(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("names").await;
    wire.register("names", instance(1)).await.granted();
    names_said(&wire.push(PUSH).await)
}

fn names_said(push: &Value) -> Observation {
    let keys = ["namespace", "groupName", "serviceName"];
    let keys: Vec<String> = keys
        .into_iter()
        .filter(|key| push.get(key).is_some_and(Value::is_string))
        .map(|key| format!("`{key}`"))
        .collect();
    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
}

async fn seen(subject: Rc<Subject>) -> Observation {
    let (provider, consumer) = (subject.client().await, subject.client().await);
    let seen = consumer.naming().subscribe("seen").expect("valid").ready().await.expect("answered");
    let instance = Instance::new("127.0.0.1", 1)
        .with_weight(2.5)
        .with_cluster(nacos_core::ClusterName::parse("c2").expect("valid"))
        .with_metadata("zone", "grüße");
    let guard = provider.naming().register("seen", instance.clone()).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    let view = seen.live().wait_for(|service| service.instances.len() == 1).await.expect("came");
    assert_eq!(*view.instances[0], instance);
    "as registered".to_owned()
}

async fn list(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    register_in(&wire, "listed", "one").await;
    count(&list_of(&wire, "listed", 1).await["count"])
}

fn count(count: &Value) -> Observation {
    format!("count {count}")
}

async fn second_page(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    for name in ["one", "two", "three"] {
        register_in(&wire, "paged", name).await;
    }
    let page = list_of(&wire, "paged", 2).await;
    let names = page["serviceNames"].as_array().map_or(0, Vec::len);
    format!("count {}, {names} names", page["count"])
}

async fn emptied(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    register_in(&wire, "emptied", "one").await;
    let body =
        json!({ "groupName": "emptied", "type": "deregisterInstance", "instance": instance(1) });
    wire.ask("InstanceRequest", with(&named("one"), body)).await.granted();
    crate::wire::eventually(async || {
        let body = with(&query("one"), json!({ "groupName": "emptied" }));
        ports(&wire.ask("ServiceQueryRequest", body).await.field("serviceInfo")).is_empty()
    })
    .await;
    count(&list_of(&wire, "emptied", 1).await["count"])
}

async fn register_in(wire: &Wire, group: &str, service: &str) {
    let body = json!({ "groupName": group, "type": "registerInstance", "instance": instance(1) });
    wire.ask("InstanceRequest", with(&named(service), body)).await.granted();
    crate::wire::eventually(async || {
        let body = with(&query(service), json!({ "groupName": group }));
        has(1)(&wire.ask("ServiceQueryRequest", body).await.field("serviceInfo"))
    })
    .await;
}

async fn list_of(wire: &Wire, group: &str, page: u32) -> Value {
    let body = json!({
        "namespace": "public", "groupName": group, "pageNo": page, "pageSize": 2, "selector": "",
    });
    let answer = wire.ask("ServiceListRequest", body).await;
    answer.granted();
    json!({ "count": answer.field("count"), "serviceNames": answer.field("serviceNames") })
}

async fn cluster(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    two_clusters(&wire, "clusters").await;
    let body = with(&query("clusters"), json!({ "cluster": "c2" }));
    filtered(&wire.ask("ServiceQueryRequest", body).await.field("serviceInfo"))
}

async fn two_clusters(wire: &Wire, service: &str) {
    let other = instance_with(14, json!({ "clusterName": "c2" }));
    wire.batch(service, vec![instance(13), other]).await.granted();
    wire.found(service, |info| ports(info) == [13, 14]).await;
}

/// The part of two clusters that is shown to a client that asks for `c2`.
fn filtered(info: &Value) -> Observation {
    let hosts = info["hosts"].as_array().into_iter().flatten();
    let others = hosts.filter(|host| host["clusterName"] != "c2").count();
    if others == 0 { "its instances only" } else { "those of all clusters" }.to_owned()
}

async fn cluster_push(subject: Rc<Subject>) -> Observation {
    let provider = Wire::to(&subject).await;
    let mut wire = Wire::to(&subject).await;
    wire.subscribe_to("cluster-push", "c2").await;
    two_clusters(&provider, "cluster-push").await;
    let info = wire.view("cluster-push", has(14)).await;
    filtered_push(&info)
}

/// The instances in pushes after a second subscription, which names one cluster of two.
async fn another_cluster(subject: Rc<Subject>) -> Observation {
    let provider = Wire::to(&subject).await;
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("another-cluster").await;
    wire.subscribe_to("another-cluster", "c2").await;
    two_clusters(&provider, "another-cluster").await;
    filtered(&wire.view("another-cluster", has(14)).await)
}

/// A service that does not change any more, and a consumer that reads and says nothing.
async fn unacknowledged(subject: Rc<Subject>) -> Observation {
    let provider = Wire::to(&subject).await;
    provider.register("unacknowledged", instance(1)).await.granted();
    provider.found("unacknowledged", has(1)).await;
    let mut wire = Wire::to(&subject).await;
    wire.subscribe("unacknowledged").await;
    let mut pushes = 0;
    let reading = async {
        while let Down::Push { message_type, body } = wire.client.next().await {
            let is_it = message_type == PUSH && has(1)(&body["serviceInfo"]);
            pushes += usize::from(is_it);
        }
    };
    let ended = timeout(UNANSWERED, reading).await.is_ok();
    match (ended, pushes) {
        (true, _) => "the stream is ended".to_owned(),
        (false, 0) => "never comes".to_owned(),
        (false, 1) => "is not repeated".to_owned(),
        (false, _) => "is repeated".to_owned(),
    }
}

fn filtered_push(info: &Value) -> Observation {
    format!("{}, `clusters` says `{}`", filtered(info), info["clusters"])
}

async fn spelled(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let other = Wire::to(&subject).await;
    let body = json!({ "namespace": "", "type": "registerInstance", "instance": instance(1) });
    wire.ask("InstanceRequest", with(&named("spelled"), body)).await.granted();
    other.register("spelled", instance(50)).await.granted();
    let same = has(1)(&other.found("spelled", has(50)).await);
    if same { "one place" } else { "two places" }.to_owned()
}

async fn our_spelling(subject: Rc<Subject>) -> Observation {
    let provider = connected(subject.builder().namespace("public")).await;
    let consumer = connected(subject.builder().namespace("")).await;
    let name = apart("our-spelling");
    let _guard = registered(&provider, &name).await;
    let seen = consumer.naming().subscribe(name.as_str()).expect("valid");
    seen.live().wait_for(|service| service.instances.len() == 1).await.expect("it came");
    "one place".to_owned()
}

async fn another_namespace(subject: Rc<Subject>) -> Observation {
    let here = subject.client().await;
    let there = connected(subject.builder().namespace(apart("elsewhere"))).await;
    let _guard = registered(&there, "two-namespaces").await;
    let seen = there.naming().subscribe("two-namespaces").expect("valid");
    seen.live().wait_for(|service| service.instances.len() == 1).await.expect("it came");
    let found = here.naming().query("two-namespaces").await.expect("an answer");
    assert!(found.instances.is_empty(), "{found:?}");
    "two places".to_owned()
}

async fn registered(nacos: &Client, service: &str) -> Registration {
    let guard = nacos.naming().register(service, Instance::new("127.0.0.1", 1));
    guard.expect("valid").ready().await.expect("registered")
}

async fn ours(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    let service = "OURS@@ours";
    let guard = nacos.naming().register(service, Instance::new("127.0.0.1", 1)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    let seen = nacos.naming().subscribe(service).expect("valid").ready().await.expect("answered");
    seen.live().wait_for(|service| service.callable().count() == 1).await.expect("it came");
    let found = nacos.naming().query(service).await.expect("an answer");
    assert_eq!(found.callable().count(), 1);
    let group = Group::parse("OURS").expect("valid");
    let page = nacos.naming().list(&group, 1, 10).await.expect("an answer");
    assert_eq!((page.total, page.names), (1, vec!["ours".to_owned()]));
    "one instance, one service".to_owned()
}
