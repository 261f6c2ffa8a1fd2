//! What users give us to run delays nobody but themselves. In real time: what blocks a thread lets no
//! paused clock go on.
use std::{sync::mpsc::sync_channel, time::Duration};

use nacos_core::Instance;
use nacos_testkit::{Instance as Held, within};

use crate::support::{connected, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn condition_that_blocks_stops_neither_the_session_nor_a_guard() {
    within(Duration::from_secs(60), async {
        let server = server().await;
        let client = connected(&server).await;
        let subscription = client.naming().subscribe("orders").expect("valid");
        let subscription = subscription.ready().await.expect("subscribed");
        let mut view = subscription.live();
        let same = view.clone();
        let (begun, begins) = sync_channel(1);
        let (go_on, goes_on) = sync_channel::<()>(1);
        let blocked = tokio::task::spawn_blocking(move || {
            let condition = view.wait_for(|service| {
                if service.instances.is_empty() {
                    begun.send(()).expect("awaited");
                    goes_on.recv().expect("told to go on");
                }
                same.get().instances.len() == 1 && service.instances.len() == 1
            });
            tokio::runtime::Handle::current().block_on(condition).is_some()
        });
        let begins = tokio::task::spawn_blocking(move || begins.recv()).await;
        begins.expect("no panic").expect("the condition runs");

        // A push that the session puts where the condition reads, and claims after it.
        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 80));
        server.until(|server| server.acks("NotifySubscriberResponse") > 0).await;
        let guard = client.naming().register("billing", Instance::new("10.0.0.2", 80));
        let guard = guard.expect("valid").ready().await.expect("the session goes on");
        let other = client.naming().subscribe("orders").expect("valid");
        drop((guard, other));
        let held = |name| server.instances("", "DEFAULT_GROUP", name).len();
        server.until(|_| held("billing") == 0).await;

        go_on.send(()).expect("it waits");
        assert!(blocked.await.expect("no panic"), "and the condition sees what came meanwhile");
    })
    .await;
}
