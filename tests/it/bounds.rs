//! Claims that come and go leave nothing behind, with a connection or without.
use nacos_core::{Client, Instance, Registration, SessionStats};
use nacos_testkit::Server;

use crate::support::{becomes, builder, connected, server, soon};

/// How much comes and goes in each test.
const MANY: u16 = 20_000;

fn come_and_go(client: &Client, n: u16) {
    let (naming, name) = (client.naming(), format!("s{n}"));
    let mut registration = naming.register(&*name, Instance::new("10.0.0.1", 1)).expect("valid");
    registration.update(Instance::new("10.0.0.1", 2)).expect("valid");
    let subscription = naming.subscribe(&*name).expect("valid");
    let watch = client.configs().watch(&*name).expect("valid");
    watch.refetch();
    drop((registration, subscription, watch));
}

fn requests(server: &Server) -> u64 {
    let kinds = ["InstanceRequest", "SubscribeServiceRequest", "ConfigBatchListenRequest"];
    kinds.iter().map(|kind| server.requests(kind)).sum()
}

#[tokio::test(start_paused = true)]
async fn claims_that_come_and_go_without_a_connection_are_forgotten() {
    let server = server().await;
    server.stop().await;
    let client = builder(&server).connect_lazy().expect("valid");
    let _kept = client.naming().register("kept", Instance::new("10.0.0.1", 1)).expect("valid");
    for n in 0..MANY {
        come_and_go(&client, n);
        // The session hears of some while they live, and of others never.
        if n % 7 == 0 {
            let watch = client.configs().watch("d").expect("valid");
            tokio::task::yield_now().await;
            drop(watch);
        }
    }
    let forgotten = |stats: &SessionStats| stats.claims == 1 && stats.unsettled == 1;
    becomes(&mut client.stats(), forgotten).await;

    soon(server.resume()).await.expect("the ports are free");
    becomes(&mut client.stats(), |stats| stats.claims == 1 && stats.unsettled == 0).await;
    assert_eq!(requests(&server), 1, "of all those claims one is left");
}

#[tokio::test(start_paused = true)]
async fn updates_in_a_loop_send_the_newest_value() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 1)).expect("valid");
    let mut guard: Registration = guard.ready().await.expect("registered");
    let before = requests(&server);
    for n in 0..MANY {
        let instance = Instance::new("10.0.0.1", 1).with_metadata("n", n.to_string());
        guard.update(instance).expect("valid");
    }
    let _guard = guard.ready().await.expect("registered");
    let held = server.instances("", "DEFAULT_GROUP", "orders");
    assert_eq!(held[0].metadata.get("n"), Some(&(MANY - 1).to_string()));
    assert!(requests(&server) - before <= 2, "{} requests", requests(&server) - before);
}
