//! The statuses that callers see when something is wrong.
use std::{error::Error, time::Duration};

use nacos_core::Instance;
use nacos_tower::ErrorKind;
use tonic::Code;

use crate::{
    inventory::{InventoryClient, ask, ask_again},
    server::{Server, channel, until_ready},
};

#[tokio::test]
async fn nobody_there_is_unavailable_and_says_so() {
    let (_set, channel) = channel(vec![]);
    let status = InventoryClient::new(channel).reserve(ask("book")).await.expect_err("nobody");
    assert_eq!(status.code(), Code::Unavailable);
    let why = "DEFAULT_GROUP@@inventory: no instance may be called: no instance is registered";
    assert_eq!(status.message(), why);
    assert_eq!(kind(&status), Some(ErrorKind::NoEndpoint));
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let address = Server::start("gone").address;
    let instance = Instance::new(address.ip().to_string(), address.port());
    let (_set, channel) = channel(vec![instance]);
    let status = InventoryClient::new(channel).reserve(ask("book")).await.expect_err("refused");
    assert_eq!((status.code(), kind(&status)), (Code::Unavailable, Some(ErrorKind::NotReady)));
}

#[tokio::test]
async fn status_of_the_server_arrives_as_it_is() {
    let server = Server::start("one");
    let (_set, channel) = channel(vec![server.instance()]);
    let mut inventory = InventoryClient::new(channel);
    let status = inventory.reserve(ask("broken")).await.expect_err("broken");
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "broken"));
}

#[tokio::test]
async fn death_under_a_call_is_unavailable() {
    let server = Server::start("one");
    let (_set, channel) = channel(vec![server.instance()]);
    let mut inventory = InventoryClient::new(channel.clone());
    let call = tokio::spawn(async move { inventory.reserve(ask("slow")).await });
    while server.calls() == 0 {
        tokio::task::yield_now().await;
    }
    drop(server);
    let status = call.await.expect("no panic").expect_err("lost");
    assert_eq!((status.code(), kind(&status)), (Code::Unavailable, Some(ErrorKind::Lost)));
    until_ready(&channel, 0).await;
}

#[tokio::test]
async fn death_under_a_stream_is_unavailable() {
    let server = Server::start("one");
    let (_set, channel) = channel(vec![server.instance()]);
    let mut answers = InventoryClient::new(channel).watch().await.expect("a stream");
    server.permit(1);
    assert!(answers.message().await.expect("whole").is_some());
    drop(server);
    assert_eq!(answers.message().await.expect_err("broken off").code(), Code::Unavailable);
}

#[tokio::test]
async fn timeout_of_a_call_is_kept_here() {
    let server = Server::start("one");
    let (_set, channel) = channel(vec![server.instance()]);
    let mut request = ask("slow");
    request.set_timeout(Duration::from_millis(20));
    let status = InventoryClient::new(channel).reserve(request).await.expect_err("late");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
}

#[tokio::test]
async fn unavailable_instance_is_left_for_another_by_calls_that_may_be_repeated() {
    let servers = [Server::start("one"), Server::start("two")];
    let (_set, channel) = channel(servers.iter().map(Server::instance).collect());
    until_ready(&channel, 2).await;
    let mut inventory = InventoryClient::new(channel);
    let status = inventory.reserve(ask_again("closed")).await.expect_err("both are closed");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!((servers[0].calls(), servers[1].calls()), (1, 1));
    inventory.reserve(ask("closed")).await.expect_err("one is closed");
    assert_eq!(servers[0].calls() + servers[1].calls(), 3);
}

fn kind(status: &tonic::Status) -> Option<ErrorKind> {
    let error = status.source()?.downcast_ref::<nacos_tower::Error>()?;
    Some(error.kind())
}
