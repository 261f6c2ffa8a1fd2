//! Two clients in one process, on one server: they never meet.
use nacos_core::{ClaimState, Client, ConfigKey, DocumentState, Instance};
use nacos_testkit::Server;
use tokio::time::Duration;

use crate::support::{becomes, builder, connected, server, soon};

fn addresses(server: &Server, namespace: &str) -> Vec<String> {
    let mut addresses: Vec<_> = server
        .instances(namespace, "DEFAULT_GROUP", "orders")
        .into_iter()
        .map(|instance| instance.ip)
        .collect();
    addresses.sort();
    addresses
}

fn holds(state: &DocumentState, content: &str) -> bool {
    matches!(state, DocumentState::Present(document) if &*document.content == content)
}

#[tokio::test(start_paused = true)]
async fn client_that_ends_takes_nothing_of_its_neighbour_with_it() {
    for politely in [false, true] {
        let server = server().await;
        let (one, other) = (connected(&server).await, connected(&server).await);
        let register = async |client: &Client, ip: &str| {
            let guard = client.naming().register("orders", Instance::new(ip, 80)).expect("valid");
            guard.ready().await.expect("registered")
        };
        let watch = async |client: &Client| {
            client.configs().watch("d").expect("valid").ready().await.expect("an answer")
        };
        let subscribe = async |client: &Client| {
            client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer")
        };
        let held = (register(&one, "10.0.0.1").await, watch(&one).await, subscribe(&one).await);
        let kept = register(&other, "10.0.0.2").await;
        let (watched, subscribed) = (watch(&other).await, subscribe(&other).await);
        soon(server.until(|server| addresses(server, "").len() == 2)).await;

        if politely {
            one.shutdown(Duration::from_secs(5)).await;
        }
        drop((one, held));
        soon(server.until(|server| server.connections() == 1)).await;
        soon(server.until(|server| addresses(server, "") == ["10.0.0.2"])).await;
        assert_eq!(server.listeners("", "DEFAULT_GROUP", "d"), 1);
        assert_eq!(server.subscribers("", "DEFAULT_GROUP", "orders"), 1);
        becomes(&mut subscribed.live(), |service| service.callable().count() == 1).await;
        server.publish("", "DEFAULT_GROUP", "d", "2");
        becomes(&mut watched.live(), |state| holds(state, "2")).await;
        assert_eq!(*kept.claim().get(), ClaimState::Held);
        assert!(other.state().get().is_connected());
        assert_eq!(other.stats().get().connects, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_different_namespaces_see_nothing_of_each_other() {
    let server = server().await;
    let client = async |namespace: &str| {
        builder(&server).namespace(namespace).connect().await.expect("the server is there")
    };
    let (one, other) = (client("one").await, client("other").await);
    let watch = async |client: &Client| {
        client.configs().watch("d").expect("valid").ready().await.expect("an answer")
    };
    let (in_one, in_other) = (watch(&one).await, watch(&other).await);
    let subscribed = other.naming().subscribe("orders").expect("valid").ready().await;
    let subscribed = subscribed.expect("an answer");
    let guard = one.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    server.publish("one", "DEFAULT_GROUP", "d", "1");
    becomes(&mut in_one.live(), |state| holds(state, "1")).await;
    server.publish("other", "DEFAULT_GROUP", "d", "2");
    becomes(&mut in_other.live(), |state| holds(state, "2")).await;

    assert!(holds(&in_one.state(), "1"), "{:?}", in_one.state());
    assert_eq!(addresses(&server, "one"), ["10.0.0.1"]);
    assert_eq!(addresses(&server, "other"), [""; 0]);
    assert_eq!(subscribed.service().callable().count(), 0);
    // But a key that names the other's namespace reads the other's document.
    let key = ConfigKey::try_from("d").expect("valid").in_namespace("one".parse().expect("valid"));
    let document = other.configs().get(key).await.expect("an answer").expect("is there");
    assert_eq!(&*document.content, "1");
    drop(guard);
}
