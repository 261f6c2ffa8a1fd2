//! Requests that callers have given up cost no connection, and nothing that lives in it.
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use nacos_core::{Client, Error, Instance, Publish};
use tokio::time::sleep;

use crate::common::{connect, eventually, on_each, shared, soon, within};

type Get<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// So many gets, each of which has begun, and is given up after a moment.
async fn give_up(nacos: &Client, data_id: &str, count: usize, after: Duration) {
    let get = || async { nacos.configs().get(data_id).await.map(drop) };
    let mut gets: Vec<Get<'_>> = (0..count).map(|_| Box::pin(get()) as Get<'_>).collect();
    let moment = sleep(after);
    tokio::pin!(moment);
    poll_fn(|cx| {
        gets.retain_mut(|get| get.as_mut().poll(cx).is_pending());
        if after.is_zero() { Poll::Ready(()) } else { moment.as_mut().poll(cx) }
    })
    .await;
}

#[test]
fn gets_that_are_dropped_cost_neither_the_connection_nor_a_registration() {
    on_each(|product| {
        let server = shared(product);
        within(Duration::from_secs(200), async {
            let nacos = connect(&server.builder()).await;
            let instance = Instance::new("127.0.0.1", 1);
            let guard = nacos.naming().register("dropped", instance).expect("valid");
            let _guard = guard.ready().await.expect("registered");
            let listed = async || {
                let service = nacos.naming().query("dropped").await.expect("an answer");
                service.instances.len() == 1
            };
            soon("the instance", eventually(listed)).await;
            let large = Publish::new("large", "x".repeat(512 * 1024)).expect("valid");
            nacos.configs().publish(large).await.expect("published");
            for round in 0..60 {
                let after = Duration::from_micros(100 * (round % 20));
                give_up(&nacos, "small", 64, after).await;
            }
            for round in 0..20 {
                give_up(&nacos, "large", 8, Duration::from_millis(1 + round)).await;
                // A Java server holds every large answer that it has been asked for in memory: what
                // it has to produce at once is bounded, for any client.
                nacos.configs().get("large").await.expect("an answer");
            }
            nacos.configs().get("small").await.expect("an answer");
            assert!(listed().await, "{product} has forgotten the instance");
            let stats = nacos.stats().get();
            assert_eq!((stats.connects, stats.losses), (1, 0), "{product}");
        });
    });
}
