//! User code that we run delays nothing but itself. In real time: a blocked thread lets
//! no paused clock go on.
use std::{
    sync::mpsc::{Sender, channel, sync_channel},
    thread,
    time::Duration,
};

use nacos_core::{
    Instance,
    credentials::{Credentials, Grant, GrantContext, GrantFuture},
};
use nacos_testkit::{Instance as Held, within};

use crate::support::{builder, connected, server};

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

#[tokio::test]
async fn signer_that_is_replaced_is_dropped_elsewhere_than_on_the_thread_of_the_session() {
    /// Tells on which thread it is dropped.
    struct Tells(Sender<Option<String>>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(str::to_owned));
        }
    }

    /// Another signer for each login.
    #[derive(Debug)]
    struct Another(Sender<Option<String>>);

    impl Credentials for Another {
        fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
            let tells = Tells(self.0.clone());
            let grant = Grant::new().signed_by(move |_, _, headers| {
                let Tells(_) = &tells;
                headers.insert("x-signed", "yes");
            });
            Box::pin(std::future::ready(Ok(grant)))
        }
    }

    within(Duration::from_secs(60), async {
        let server = server().await;
        let (tell, told) = channel();
        let client = builder(&server).with_credentials(Another(tell)).dedicated_thread(true);
        let client = client.connect().await.expect("connects");
        // A claim of the session's own is refused, so that no task of a user's holds the signer.
        server.answer_next("InstanceRequest", 403);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        guard.expect("valid").ready().await.map(drop).expect("with the next signer");
        let dropped = tokio::task::spawn_blocking(move || (told.recv(), told)).await;
        let (thread, _told) = dropped.expect("no panic");
        assert_ne!(thread.expect("told").as_deref(), Some("nacos"));
    })
    .await;
}
