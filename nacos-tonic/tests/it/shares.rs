//! Discovery, weights and death, all of it for real.
use nacos_core::Client;
use nacos_testkit::{Instance, TimeLimit};
use nacos_tonic::{Channel, WeightedP2c};
use tokio::task::JoinSet;

use crate::{
    inventory::{InventoryClient, ask, ask_again},
    server::{Server, until_ready},
};

#[tokio::test]
async fn calls_are_shared_by_weight_and_a_death_fails_none_that_may_be_repeated() {
    TimeLimit::for_test();
    let nacos = nacos_testkit::Server::start().await.expect("a Nacos server");
    let mut servers: Vec<_> = ["one", "two", "three"].map(Server::start).into();
    for (server, weight) in servers.iter().zip([1.0, 2.0, 3.0]) {
        let address = server.address;
        let mut instance = Instance::new(address.ip().to_string(), address.port());
        instance.weight = weight;
        nacos.register("", "DEFAULT_GROUP", "inventory", instance);
    }
    let client = Client::builder().server_addr(nacos.addr().to_string()).connect().await;
    let client = client.expect("connected");
    let channel =
        Channel::builder().policy(WeightedP2c::strict()).connect(&client, "inventory").await;
    let channel = channel.expect("subscribed");
    until_ready(&channel, 3).await;
    let mut inventory = InventoryClient::new(channel.clone());

    for _ in 0..1_200 {
        inventory.reserve(ask("book")).await.expect("answered");
    }
    // The draws are random: six standard deviations (of at most 17) are not reached by chance.
    for (server, expected) in servers.iter().zip([200, 400, 600]) {
        assert!(server.calls().abs_diff(expected) < 104, "{} of {expected}", server.calls());
    }

    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let mut inventory = InventoryClient::new(channel.clone());
        callers.spawn(async move {
            for _ in 0..400 {
                inventory.reserve(ask_again("book")).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    let dying = servers.pop().expect("three");
    let before = dying.calls();
    while dying.calls() < before + 300 {
        tokio::task::yield_now().await;
    }
    drop(dying);
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic").expect("no call fails");
    }
    let answered: usize = servers.iter().map(Server::calls).sum();
    assert!(answered > 600 + 300, "the others took over: {answered}");
}
