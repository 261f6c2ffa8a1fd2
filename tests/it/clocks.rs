//! A server whose clock does not go on as clocks should.
use std::time::Duration;

use nacos_core::{Client, Service, Subscription, telemetry};
use nacos_testkit::{Instance as Held, Server};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tracing::Level;

use crate::{
    logs::Log,
    support::{BEHAVIOURS, becomes, builder, connected, server_like},
};

/// A push is half a second late, and the answer to a query follows it.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Idle subscriptions are confirmed every 144 to 216 s.
const BEFORE_THE_AUDIT: Duration = Duration::from_secs(140);
const HOUR: i64 = 3_600_000;

async fn subscribed(client: &Client) -> Subscription {
    client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer")
}

fn ports(service: &Service) -> Vec<u16> {
    service.instances.iter().map(|instance| instance.port).collect()
}

/// Adds an instance as another client, and waits until it is seen.
async fn grows(server: &Server, orders: &Subscription, port: u16, within: Duration) {
    server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", port));
    let mut view = orders.live();
    let seen = view.wait_for(|service| ports(service).contains(&port));
    let seen = timeout(within, seen).await;
    assert!(seen.is_ok_and(|seen| seen.is_some()), "{port} among {:?}", orders.service());
}

#[tokio::test(start_paused = true)]
async fn clock_that_steps_back_hides_no_change_and_costs_one_query() {
    for behaviour in BEHAVIOURS {
        let (log, _keeping) = Log::keep();
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let orders = subscribed(&client).await;
        grows(&server, &orders, 1, AT_ONCE).await;
        sleep(AT_ONCE).await;
        let asked = server.requests("SubscribeServiceRequest");

        server.step_clock(-HOUR);
        grows(&server, &orders, 2, AT_ONCE).await;
        grows(&server, &orders, 3, AT_ONCE).await;
        // A subscription that stays idle is confirmed again after that.
        sleep(BEFORE_THE_AUDIT).await;
        assert_eq!(server.requests("SubscribeServiceRequest"), asked + 1);
        assert_eq!(client.stats().get().clock_steps, 1);
        assert_eq!(client.stats().get().connects, 1);
        let said = log.at(Level::WARN);
        let said: Vec<_> = said.iter().filter(|line| line.contains("stepped back")).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("orders"), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clock_that_steps_back_a_little_hides_no_change_for_good() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let orders = subscribed(&client).await;
        sleep(AT_ONCE).await;
        server.step_clock(-4000);
        // Its push looks as if it was overtaken, and is asked for.
        grows(&server, &orders, 1, AT_ONCE).await;
        assert_eq!(client.stats().get().overtaken, 1);
        assert_eq!(client.stats().get().clock_steps, 0);
        grows(&server, &orders, 2, AT_ONCE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn clock_that_jumps_to_and_fro_hides_nothing_and_causes_no_loop() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let orders = subscribed(&client).await;
        let began = Instant::now();
        let before = server.requests("SubscribeServiceRequest");
        for port in 1..=100 {
            server.step_clock(if port % 2 == 0 { -HOUR } else { HOUR });
            grows(&server, &orders, port, AT_ONCE).await;
        }
        sleep(BEFORE_THE_AUDIT).await;
        let minutes = (Instant::now() - began).as_secs() / 60 + 1;
        let asked = server.requests("SubscribeServiceRequest") - before;
        assert!(asked <= minutes, "{asked} queries in {minutes} minutes");
        // Then it is an idle one like any other.
        sleep(Duration::from_secs(3600)).await;
        let idle = server.requests("SubscribeServiceRequest") - before - asked;
        assert!(idle <= 3600 / BEFORE_THE_AUDIT.as_secs(), "{idle} queries in an hour");
        assert_eq!(client.stats().get().connects, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn absurd_time_freezes_nothing() {
    for stamp in [json!(i64::MAX), json!(i64::MIN), json!(-1), json!(0), json!(null)] {
        let server = server_like(BEHAVIOURS[0]).await;
        let client = connected(&server).await;
        let orders = subscribed(&client).await;
        sleep(AT_ONCE).await;
        let list = json!({"serviceInfo": {
            "name": "orders", "groupName": "DEFAULT_GROUP", "lastRefTime": stamp,
            "hosts": [{"ip": "10.0.0.1", "port": 9, "weight": 1.0, "healthy": true}],
        }});
        server.push_raw("NotifySubscriberRequest", list);
        becomes(&mut orders.live(), |service| ports(service) == [9]).await;
        grows(&server, &orders, 1, AT_ONCE).await;
        assert_eq!(ports(&orders.service()), [1], "after {stamp}");
    }
}

#[tokio::test(start_paused = true)]
async fn namesakes_follow_a_clock_that_steps_back() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = builder(&server).connect().await.expect("there");
        let naming = client.naming();
        let key = |namespace: &str| {
            let key = nacos_core::ServiceKey::try_from("orders").expect("valid");
            key.in_namespace(namespace.parse().expect("valid"))
        };
        let here = naming.subscribe(key("")).expect("valid").ready().await.expect("an answer");
        let there = naming.subscribe(key("dev")).expect("valid").ready().await.expect("an answer");
        sleep(AT_ONCE).await;
        server.step_clock(-HOUR);
        for (namespace, orders, port) in [("", &here, 1), ("dev", &there, 2), ("", &here, 3)] {
            server.register(namespace, "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", port));
            let mut view = orders.live();
            let seen = view.wait_for(|service| ports(service).contains(&port));
            timeout(AT_ONCE, seen).await.expect("seen").expect("the client lives");
        }
        assert_eq!((ports(&here.service()), ports(&there.service())), (vec![1, 3], vec![2]));
    }
}

#[tokio::test(start_paused = true)]
async fn change_of_a_namesake_while_it_is_asked_for_is_asked_for_after_the_answer() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = builder(&server).connect().await.expect("there");
        let key = |namespace: &str| {
            let key = nacos_core::ServiceKey::try_from("orders").expect("valid");
            key.in_namespace(namespace.parse().expect("valid"))
        };
        let naming = client.naming();
        let here = naming.subscribe(key("")).expect("valid").ready().await.expect("an answer");
        let _there = naming.subscribe(key("dev")).expect("valid").ready().await.expect("answered");
        sleep(AT_ONCE).await;
        server.delay(Duration::from_millis(1500));
        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 1));
        sleep(Duration::from_secs(1)).await;
        grows(&server, &here, 2, 2 * AT_ONCE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_is_counted() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = server_like(BEHAVIOURS[0]).await;
    let client = connected(&server).await;
    let orders = subscribed(&client).await;
    sleep(AT_ONCE).await;
    server.step_clock(-4000);
    grows(&server, &orders, 1, AT_ONCE).await;
    server.step_clock(-HOUR);
    grows(&server, &orders, 2, AT_ONCE).await;
    let counted = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, .., value)| {
        let (_, key) = key.into_parts();
        let outcome = key.labels().next().map(|label| label.value().to_owned());
        (key.name() == telemetry::OLDER_LISTS).then_some((outcome, value))
    });
    let one = metrics_util::debugging::DebugValue::Counter(1);
    let counted: std::collections::HashMap<_, _> = counted.collect();
    assert_eq!(counted.get(&Some("dropped".to_owned())), Some(&one), "{counted:?}");
    assert_eq!(counted.get(&Some("applied".to_owned())), Some(&one), "{counted:?}");
}
