//! A consumer's view of a service whose providers are not back yet, and of one whose are gone.
use std::time::Duration;

use nacos_core::{ClaimState, Client, Live, Service, Subscription, inspect::Tree};
use nacos_testkit::{Behaviour, Instance as Held, Server};
use tokio::time::{Instant, sleep, timeout};
use tracing::Level;

use crate::{
    logs::Log,
    support::{
        BEHAVIOURS, becomes, builder, connected, guarded, reconnected, server, server_like, soon,
    },
};

const SECOND: Duration = Duration::from_secs(1);
/// A change is pushed half a second later.
const PUSHED: Duration = Duration::from_secs(2);

fn provider(n: u16) -> Held {
    Held::new("10.0.0.1", n)
}

fn come(server: &Server, providers: impl IntoIterator<Item = u16>) {
    for n in providers {
        server.register("", "DEFAULT_GROUP", "orders", provider(n));
    }
}

fn leave(server: &Server, providers: impl IntoIterator<Item = u16>) {
    for n in providers {
        server.deregister("", "DEFAULT_GROUP", "orders", &provider(n));
    }
}

fn ports(service: &Service) -> Vec<u16> {
    service.instances.iter().map(|instance| instance.port).collect()
}

fn subscribe(client: &Client) -> Subscription {
    client.naming().subscribe("orders").expect("valid")
}

/// Two providers, and a consumer that subscribes to them.
async fn consumer(server: &Server) -> (Client, Subscription) {
    come(server, 1..=2);
    let client = connected(server).await;
    let orders = subscribe(&client).ready().await.expect("an answer");
    assert_eq!(ports(&orders.service()), [1, 2]);
    sleep(PUSHED).await;
    (client, orders)
}

/// The server restarts; its providers have not come back when the consumer has.
async fn restart(server: &Server, client: &Client) {
    let connects = client.stats().get().connects;
    server.stop().await;
    leave(server, 1..=2);
    sleep(SECOND).await;
    server.resume().await.expect("the same ports");
    reconnected(client, connects).await;
}

/// Everything that a reader is shown from now on.
fn record(mut view: Live<Service>) -> impl Future<Output = Vec<(Vec<u16>, bool)>> {
    let recorded = tokio::spawn(async move {
        let mut all = Vec::new();
        view.wait_for(|_| true).await.expect("the present one");
        while let Some(service) = view.changed().await {
            all.push((ports(&service), service.held));
        }
        all
    });
    async move { recorded.await.expect("no panic") }
}

#[tokio::test(start_paused = true)]
async fn providers_that_are_back_late_are_never_missed() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let (client, orders) = consumer(&server).await;
        let (seen, raw) = (record(orders.live()), record(orders.raw()));
        restart(&server, &client).await;
        becomes(&mut orders.live(), |service| service.held).await;
        assert_eq!(ports(&orders.service()), [1, 2]);
        sleep(10 * SECOND).await;
        // Providers are shown as they come: one of two is a list like any other.
        come(&server, [2]);
        becomes(&mut orders.live(), |service| ports(service) == [2] && !service.held).await;
        come(&server, [1]);
        becomes(&mut orders.live(), |service| ports(service) == [1, 2]).await;
        sleep(60 * SECOND).await;
        drop((orders, client));
        let all = vec![1, 2];
        let seen = soon(seen).await;
        assert_eq!(seen, [(all.clone(), true), (vec![2], false), (all.clone(), false)]);
        let raw = soon(raw).await;
        assert_eq!(raw, [(vec![], false), (vec![2], false), (all, false)]);
    }
}

#[tokio::test(start_paused = true)]
async fn instance_that_nobody_may_call_ends_no_grace() {
    // r-nacos lists every instance that registers as one that may be called.
    for behaviour in BEHAVIOURS.into_iter().filter(|kind| *kind != Behaviour::RNacos) {
        for drained in [
            Held { weight: 0.0, ..provider(3) },
            Held { healthy: false, ..provider(3) },
            Held { enabled: false, ..provider(3) },
        ] {
            let server = server_like(behaviour).await;
            let (client, orders) = consumer(&server).await;
            restart(&server, &client).await;
            server.register("", "DEFAULT_GROUP", "orders", drained);
            sleep(PUSHED).await;
            let view = orders.service();
            assert!(view.held && ports(&view) == [1, 2], "{behaviour:?} {:?}", view.instances);
            come(&server, [2]);
            becomes(&mut orders.live(), |it| !it.held && it.callable().count() == 1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn providers_that_do_not_come_back_are_given_up_after_the_grace_and_one_query() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let (client, mut orders) = consumer(&server).await;
        restart(&server, &client).await;
        let began = Instant::now();
        becomes(&mut orders.live(), |service| service.held).await;
        sleep(PUSHED).await;
        let asked = server.requests("SubscribeServiceRequest");
        let change = soon(orders.changed()).await.expect("the client lives");
        assert_eq!(change.removed.len(), 2, "that it was held is no change");
        let took = Instant::now() - began;
        assert!(took >= 30 * SECOND && took < 31 * SECOND, "{took:?}");
        assert!(orders.service().known && !orders.service().held);
        assert_eq!(server.requests("SubscribeServiceRequest"), asked + 1);
        come(&server, [3]);
        becomes(&mut orders.live(), |service| ports(service) == [3]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn silent_server_does_not_keep_what_is_gone() {
    let server = server().await;
    let (client, orders) = consumer(&server).await;
    restart(&server, &client).await;
    becomes(&mut orders.live(), |service| service.held).await;
    server.answer_always("SubscribeServiceRequest", Some(503));
    let began = Instant::now();
    becomes(&mut orders.live(), |service| service.instances.is_empty()).await;
    assert!(Instant::now() - began < 36 * SECOND, "{:?}", Instant::now() - began);
}

#[tokio::test(start_paused = true)]
async fn doubts_end_half_a_minute_after_the_connection_is_back() {
    for (after, held) in [(25, true), (31, false)] {
        let server = server().await;
        let (client, orders) = consumer(&server).await;
        server.drop_connections();
        reconnected(&client, 1).await;
        sleep(after * SECOND).await;
        assert_eq!(ports(&orders.service()), [1, 2]);
        leave(&server, 1..=2);
        let mut view = orders.live();
        let next = timeout(PUSHED, view.changed()).await.expect("pushed").expect("it lives");
        assert_eq!(next.held, held, "{after} s after");
        assert_eq!(next.instances.is_empty(), !held);
    }
}

#[tokio::test(start_paused = true)]
async fn each_subscription_has_the_grace_that_it_chose_and_the_server_one_subscription() {
    let server = server().await;
    let (client, default) = consumer(&server).await;
    let asked = server.requests("SubscribeServiceRequest");
    let short = subscribe(&client).with_grace(5 * SECOND).ready().await.expect("an answer");
    let none = subscribe(&client).without_grace().ready().await.expect("an answer");
    let changed = subscribe(&client).with_grace(SECOND).with_grace(60 * SECOND);
    assert_eq!(server.requests("SubscribeServiceRequest"), asked);
    for subscription in [&default, &short, &none, &changed] {
        assert_eq!(ports(&subscription.service()), [1, 2]);
    }
    restart(&server, &client).await;
    let ends = [(&none, 0), (&short, 5), (&default, 30), (&changed, 60)];
    let began = Instant::now();
    // A subscriber that comes meanwhile reads what the others do.
    becomes(&mut default.live(), |service| service.held).await;
    let late = subscribe(&client);
    assert!(late.service().held);
    for (subscription, grace) in ends {
        let gone = |service: &Service| service.instances.is_empty();
        becomes(&mut subscription.live(), gone).await;
        let took = (Instant::now() - began).as_secs();
        assert!((grace..grace + 2).contains(&took), "{grace}: {took}");
        assert!(subscription.raw().get().instances.is_empty());
    }
    drop((default, short, none, changed, late));
    soon(server.until(|server| server.subscribers("", "DEFAULT_GROUP", "orders") == 0)).await;
}

#[tokio::test(start_paused = true)]
async fn another_loss_begins_the_grace_anew_and_an_outage_ends_none() {
    let server = server().await;
    let (client, orders) = consumer(&server).await;
    restart(&server, &client).await;
    becomes(&mut orders.live(), |service| service.held).await;
    sleep(20 * SECOND).await;
    server.stop().await;
    sleep(120 * SECOND).await;
    assert_eq!(ports(&orders.service()), [1, 2]);
    server.resume().await.expect("the same ports");
    reconnected(&client, 2).await;
    let back = Instant::now();
    becomes(&mut orders.live(), |service| service.instances.is_empty()).await;
    let took = Instant::now() - back;
    assert!(took >= 30 * SECOND && took < 31 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn connection_that_is_lost_again_and_again_keeps_nobody_for_ever() {
    let server = server().await;
    let (client, orders) = consumer(&server).await;
    restart(&server, &client).await;
    becomes(&mut orders.live(), |service| service.held).await;
    let began = Instant::now();
    while orders.service().held && Instant::now() - began < 600 * SECOND {
        sleep(20 * SECOND).await;
        server.drop_connections();
    }
    let took = Instant::now() - began;
    assert!(took >= 80 * SECOND && took <= 120 * SECOND, "{took:?}");
    assert!(orders.service().instances.is_empty());
    // An instance that is listed again may be held again.
    come(&server, 1..=2);
    becomes(&mut orders.live(), |service| ports(service) == [1, 2]).await;
    sleep(PUSHED).await;
    restart(&server, &client).await;
    becomes(&mut orders.live(), |service| service.held).await;
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn grace_begins_when_requests_are_let_in_again() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        come(&server, 1..=2);
        let client = builder(&server).credentials("nacos", "s3cret").connect().await;
        let client = client.expect("logs in");
        let orders = subscribe(&client).ready().await.expect("an answer");
        let connects = client.stats().get().connects;
        server.stop().await;
        leave(&server, 1..=2);
        // The token is good for as long as nobody shows it to the server.
        server.load_users(false);
        server.expire_tokens();
        server.resume().await.expect("the same ports");
        becomes(&mut client.stats(), |stats| stats.connects > connects).await;
        sleep(33 * SECOND).await;
        server.load_users(true);
        becomes(&mut orders.claim(), |claim| *claim == ClaimState::Held).await;
        sleep(PUSHED).await;
        assert_eq!(ports(&orders.service()), [1, 2], "{behaviour:?}");
        assert!(orders.service().held, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_had_no_view_is_shown_what_there_is() {
    let server = server().await;
    let client = connected(&server).await;
    let nobody = subscribe(&client).ready().await.expect("an answer");
    server.restart().await.expect("the same ports");
    reconnected(&client, 1).await;
    let fresh = client.naming().subscribe("stock").expect("valid").ready().await;
    let fresh = fresh.expect("an answer");
    for view in [nobody.service(), fresh.service()] {
        assert!(view.known && view.instances.is_empty() && !view.held);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_said_once_shown_and_ends_with_its_subscription() {
    let (log, _keeping) = Log::keep();
    let server = server().await;
    let (client, orders) = consumer(&server).await;
    let others: Vec<_> = (0..50)
        .map(|n| {
            let name = format!("stock{n}");
            server.register("", "DEFAULT_GROUP", &name, provider(1));
            client.naming().subscribe(name.as_str()).expect("valid")
        })
        .collect();
    for other in &others {
        becomes(&mut other.live(), |service| service.instances.len() == 1).await;
    }
    server.stop().await;
    for n in 0..50 {
        server.deregister("", "DEFAULT_GROUP", &format!("stock{n}"), &provider(1));
    }
    restart(&server, &client).await;
    let mut stats = client.stats();
    becomes(&mut stats, |stats| stats.held == 51).await;
    let said = log.at(Level::WARN);
    let said: Vec<_> = said.iter().filter(|line| line.contains("last instances stay")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    let report = client.inspected()[0].report();
    let Some(Tree::List(held)) = report.get("held_services") else { panic!("{report:?}") };
    assert_eq!(held.len(), 51);
    assert!(held.contains(&Tree::Text("public/DEFAULT_GROUP@@orders".to_owned())), "{held:?}");

    drop(others);
    becomes(&mut stats, |stats| stats.held == 1).await;
    let mut view = orders.live();
    becomes(&mut view, |service| service.held).await;
    drop(orders);
    becomes(&mut stats, |stats| stats.held == 0).await;
    assert_eq!(soon(view.changed()).await.map(|view| ports(&view)), None);
}
