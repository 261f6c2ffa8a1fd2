//! Sets that change while requests are made.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt;
use nacos_tower::Balance;
use tower::ServiceExt;

use crate::network::{Manner, Network, Wire, states, until, until_ready};

#[tokio::test(start_paused = true)]
async fn endpoint_that_left_finishes_what_it_has_and_gets_no_more() {
    let network = Network::new();
    network.set("a:1", Manner::Holds);
    let (set, balance) = network.balance(&[("a", 1.0)]);
    let call = tokio::spawn(ask(balance.clone()));
    until_ready(&balance, 1).await;
    while network.received("a:1") == 0 {
        tokio::task::yield_now().await;
    }
    set.publish(&[("b", 1.0)]);
    until(&balance, |report| states(report) == ["ready", "draining"]).await;
    for _ in 0..100 {
        assert_eq!(ask(balance.clone()).await, "b:1");
    }
    // Longer than it is kept for its return: now only the request holds the connection.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(network.open("a:1"), 1);
    network.set("a:1", Manner::Answers);
    assert_eq!(call.await.expect("no panic"), "a:1");
    assert_eq!(network.received("a:1"), 1);
    tokio::task::yield_now().await;
    assert_eq!(network.open("a:1"), 0);
}

#[tokio::test(start_paused = true)]
async fn changed_weight_keeps_the_connection() {
    let network = Network::new();
    let (set, balance) = network.balance(&[("a", 1.0), ("b", 1.0)]);
    until_ready(&balance, 2).await;
    set.publish(&[("a", 0.0), ("b", 5.0)]);
    until_ready(&balance, 1).await;
    set.publish(&[("a", 3.0), ("b", 5.0)]);
    until_ready(&balance, 2).await;
    assert_eq!((network.dials("a:1"), network.dials("b:1")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn dead_endpoint_costs_no_request_and_gets_none() {
    let network = Network::new();
    let (_set, balance) = network.balance(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]);
    until_ready(&balance, 3).await;
    ask_many(&balance, 100).await;
    network.set("b:1", Manner::Down);
    let before = network.received("b:1");
    // Before anybody has told the balancer, and after.
    ask_many(&balance, 1_000).await;
    until_ready(&balance, 2).await;
    ask_many(&balance, 1_000).await;
    assert_eq!(network.received("b:1"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_change_under_load_and_no_request_is_lost() {
    let network = Network::new();
    let all = [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)];
    let (set, balance) = network.balance(&all);
    until_ready(&balance, 4).await;
    let over = Arc::new(AtomicBool::new(false));
    let clients = (0..4).map(|_| {
        let (balance, over) = (balance.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut count = 0_usize;
            while !over.load(Relaxed) {
                ask_many(&balance, 10).await;
                count += 10;
                tokio::task::yield_now().await;
            }
            count
        })
    });
    let clients: Vec<_> = clients.collect();
    for round in 0..2_000 {
        let mut some = all.to_vec();
        some.remove(round % all.len());
        set.publish(if round % 2 == 0 { &some } else { &all });
        tokio::task::yield_now().await;
    }
    over.store(true, Relaxed);
    let counts = join_all(clients).await;
    let count: usize = counts.into_iter().map(|count| count.expect("no panic")).sum();
    assert!(count > 0);
    let received: usize = all.iter().map(|(ip, _)| network.received(&format!("{ip}:1"))).sum();
    assert_eq!(received, count);
}

#[tokio::test(start_paused = true)]
async fn last_list_stays_when_no_more_will_come() {
    let network = Network::new();
    let (set, balance) = network.balance(&[("a", 1.0)]);
    until_ready(&balance, 1).await;
    drop(set);
    tokio::task::yield_now().await;
    assert_eq!(ask(balance.clone()).await, "a:1");
    network.set("a:1", Manner::Down);
    until_ready(&balance, 0).await;
    network.set("a:1", Manner::Answers);
    until_ready(&balance, 1).await;
    assert_eq!(ask(balance).await, "a:1");
}

async fn ask(balance: Balance<Wire>) -> Bytes {
    let response = balance.oneshot(Request::new(())).await.expect("somebody answers");
    response.into_body().collect().await.expect("whole").to_bytes()
}

async fn ask_many(balance: &Balance<Wire>, count: usize) {
    for _ in 0..count {
        ask(balance.clone()).await;
    }
}
