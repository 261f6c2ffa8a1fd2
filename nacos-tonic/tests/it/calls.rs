//! Calls while servers come and go.
use nacos_core::inspect::Tree;
use nacos_tonic::Channel;
use tokio::task::JoinSet;

use crate::{
    inventory::{InventoryClient, ask, ask_again},
    server::{Server, channel, service, until_ready},
};

#[tokio::test]
async fn polite_stop_fails_no_call_whatever_it_is() {
    let mut servers = [Server::start("one"), Server::start("two")];
    let (_set, channel) = channel(servers.iter().map(Server::instance).collect());
    until_ready(&channel, 2).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let mut inventory = InventoryClient::new(channel.clone());
        callers.spawn(async move {
            for _ in 0..400 {
                inventory.reserve(ask("book")).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    while servers[0].calls() < 300 {
        tokio::task::yield_now().await;
    }
    servers[0].stop();
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic").expect("no call fails");
    }
    assert_eq!(servers[0].calls() + servers[1].calls(), 3_200, "each exactly once");
}

#[tokio::test]
async fn call_and_stream_finish_at_an_instance_that_left_the_list() {
    let (old, new) = (Server::start("old"), Server::start("new"));
    let (set, channel) = channel(vec![old.instance()]);
    let mut inventory = InventoryClient::new(channel.clone());
    let mut answers = inventory.watch().await.expect("a stream");
    let slow = tokio::spawn({
        let mut inventory = inventory.clone();
        async move { inventory.reserve(ask("slow")).await }
    });
    while old.calls() == 0 {
        tokio::task::yield_now().await;
    }
    set.publish(service(vec![new.instance()]));
    until_ready(&channel, 1).await;
    while inventory.reserve(ask("book")).await.expect("answered") != "new" {}
    for _ in 0..20 {
        assert_eq!(inventory.reserve(ask("book")).await.expect("answered"), "new");
    }
    old.permit(2);
    assert_eq!(slow.await.expect("no panic").expect("answered"), "old");
    let answer = answers.message().await.expect("whole").expect("one more");
    assert_eq!(answer.by, "old");
}

#[tokio::test]
async fn instance_that_restarts_is_found_again() {
    let server = Server::start("first");
    let address = server.address;
    let (_set, channel) = channel(vec![server.instance()]);
    let mut inventory = InventoryClient::new(channel.clone());
    assert_eq!(inventory.reserve(ask("book")).await.expect("answered"), "first");
    drop(server);
    until_ready(&channel, 0).await;
    let _server = Server::start_at(address, "second");
    until_ready(&channel, 1).await;
    assert_eq!(inventory.reserve(ask("book")).await.expect("answered"), "second");
}

#[tokio::test]
async fn calls_under_way_at_a_dying_instance_are_made_again_if_they_may() {
    let (dying, other) = (Server::start("dying"), Server::start("other"));
    let instances =
        vec![dying.instance().with_weight(10_000.0), other.instance().with_weight(1e-9)];
    let (_set, channel) = channel(instances);
    until_ready(&channel, 2).await;
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let mut inventory = InventoryClient::new(channel.clone());
        callers.spawn(async move { inventory.reserve(ask_again("slow")).await });
    }
    while dying.calls() < 20 {
        tokio::task::yield_now().await;
    }
    other.permit(20);
    // More than the budget allows: not all of them may be repeated.
    drop(dying);
    let mut answered = 0;
    while let Some(caller) = callers.join_next().await {
        answered += usize::from(caller.expect("no panic").is_ok_and(|by| by == "other"));
    }
    assert_eq!(answered, 14, "ten and a fifth of twenty");
}

#[tokio::test]
async fn calls_that_are_given_up_together_cost_no_connection() {
    let server = Server::start("one");
    let (_set, channel) = channel(vec![server.instance()]);
    let mut inventory = InventoryClient::new(channel.clone());
    // Would fail with its connection: it is not repeated.
    let held = tokio::spawn({
        let mut inventory = inventory.clone();
        async move { inventory.reserve(ask("slow")).await }
    });
    while server.calls() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        let busy = server.occupy();
        let mut callers = JoinSet::new();
        for _ in 0..64 {
            let mut inventory = inventory.clone();
            callers.spawn(async move { inventory.reserve(ask("slow")).await });
        }
        // All are sent, and none of them is seen before it is given up.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        callers.shutdown().await;
        drop(busy);
        assert_eq!(inventory.reserve(ask("book")).await.expect("answered"), "one");
    }
    assert_eq!(in_flight(&channel), [1]);
    server.permit(1);
    assert_eq!(held.await.expect("no panic").expect("answered"), "one");
}

fn in_flight(channel: &Channel) -> Vec<u64> {
    let report = channel.inspect().report();
    let Some(Tree::List(endpoints)) = report.get("endpoints") else { return Vec::new() };
    let count = |endpoint: &Tree| match endpoint.get("in_flight") {
        Some(Tree::Count(count)) => Some(*count),
        _ => None,
    };
    endpoints.iter().filter_map(count).collect()
}
