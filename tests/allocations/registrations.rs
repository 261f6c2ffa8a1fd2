//! A registration must not allocate more where there are many of them.
use std::{sync::mpsc, thread};

use nacos_core::{ClaimState, Client, Instance, SessionStats};
use nacos_testkit::{Server, TimeLimit};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use super::allocations;

/// The whole way of a registration: its guard, the session, the request, the answer, and its end.
#[test]
fn registrations_allocate_the_same_however_many_there_are() {
    let _limit = TimeLimit::start();
    let (tell, told) = mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    // On a thread of its own, so that only what the client allocates is counted.
    let server = thread::spawn(move || {
        runtime().block_on(async {
            let server = Server::start().await.expect("a port is free");
            tell.send(server.addr()).expect("the test waits for it");
            // The end is that the other half is dropped.
            let _ = ended.await;
        });
    });
    let (addr, runtime) = (told.recv().expect("the server runs"), runtime());
    let client = Client::builder().server_addr(addr.to_string()).connect();
    let client = runtime.block_on(client).expect("the server runs");
    let each = |count: u16| {
        let all = allocations(|| runtime.block_on(register_and_withdraw(&client, count)));
        all / u64::from(count)
    };
    let (few, many) = (each(100), each(2000));
    assert!(many <= few + few / 4, "{few} each of 100, {many} each of 2000");
    drop(client);
    drop(end);
    server.join().expect("the server ends");
}

async fn register_and_withdraw(client: &Client, count: u16) {
    let naming = client.naming();
    let register = |port| naming.register("orders", Instance::new("127.0.0.1", port));
    let guards: Vec<_> = (1..=count).map(|port| register(port).expect("valid")).collect();
    for guard in &guards {
        let held = guard.claim().wait_for(|state| *state == ClaimState::Held).await;
        assert!(held.is_some());
    }
    drop(guards);
    let nothing = client.stats().wait_for(|stats: &SessionStats| stats.claims == 0).await;
    assert!(nothing.is_some());
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("the system has a thread")
}
