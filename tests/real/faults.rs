//! What a server can do to its clients: die, freeze, come back empty.
use std::time::Duration;

use nacos_core::{ClaimState, DocumentState, Instance, Publish, SessionState};
use servers::{Product, RNacos, covers};

use crate::common::{Server, connect, document_becomes, eventually, within_a_minute};

#[test]
fn killed_and_restarted_server_has_everything_back() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut running = RNacos::builder().start().expect("the server starts");
    let server = Server { addr: running.addr() };
    within_a_minute(async {
        let nacos = connect(&server.builder()).await;
        let guard =
            nacos.naming().register("phoenix", Instance::new("127.0.0.1", 1)).expect("valid");
        let guard = guard.ready().await.expect("registered");
        let watch =
            nacos.configs().watch("phoenix").expect("valid").ready().await.expect("an answer");
        tokio::task::block_in_place(|| {
            running.kill().expect("killed");
            running.restart().expect("it comes back");
        });
        let mut vitals = nacos.vitals();
        vitals.wait_for(|vitals| vitals.connects == 2).await.expect("reconnected");
        guard.claim().wait_for(|state| *state == ClaimState::Held).await.expect("registered again");
        eventually(async || {
            nacos.naming().query("phoenix").await.expect("an answer").instances.len() == 1
        })
        .await;
        nacos
            .configs()
            .publish(Publish::new("phoenix", "risen").expect("valid"))
            .await
            .expect("published");
        document_becomes(&watch, Some("risen")).await;
    });
}

#[test]
fn client_that_was_there_before_the_server_finds_it() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut running = RNacos::builder().start().expect("the server starts");
    running.stop().expect("stopped");
    let server = Server { addr: running.addr() };
    within_a_minute(async {
        let nacos = server.builder().connect_lazy().expect("valid options");
        let watch = nacos.configs().watch("early").expect("valid");
        nacos
            .state()
            .wait_for(|state| matches!(state, SessionState::Backoff { .. }))
            .await
            .expect("nobody there");
        tokio::task::block_in_place(|| running.restart().expect("it comes"));
        watch.live().wait_for(|state| *state == DocumentState::Absent).await.expect("an answer");
    });
}

#[test]
fn frozen_server_costs_no_call_more_than_its_deadline() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut running = RNacos::builder().start().expect("the server starts");
    let server = Server { addr: running.addr() };
    within_a_minute(async {
        let nacos = connect(&server.builder().request_timeout(Duration::from_secs(4))).await;
        tokio::task::block_in_place(|| running.pause().expect("frozen"));
        nacos.configs().get("d").await.expect_err("nobody answers");
        tokio::task::block_in_place(|| running.resume().expect("resumed"));
        eventually(async || nacos.configs().get("d").await.is_ok()).await;
    });
}
