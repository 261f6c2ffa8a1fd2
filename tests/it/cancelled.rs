//! Requests that callers have given up, and answers that they do not read: the connection, and all
//! that lives in it, is none the worse for them.
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use nacos_core::{Client, Error, ErrorKind, Instance, Registration};
use nacos_testkit::{Behaviour, RawAnswer, Server};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{self, becomes, builder, connected, server, server_like, soon};

type Get<'a> = Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + 'a>>;

/// So many gets, each of which has begun.
async fn begun<'a>(client: &'a Client, data_id: &'a str, count: usize) -> Vec<Get<'a>> {
    let mut gets: Vec<Get<'a>> = Vec::with_capacity(count);
    for _ in 0..count {
        let configs = client.configs();
        gets.push(Box::pin(async move {
            let document = configs.get(data_id).await?;
            Ok(document.map(|document| document.content.to_string()))
        }));
    }
    poll_fn(|cx| {
        for get in &mut gets {
            assert!(get.as_mut().poll(cx).is_pending(), "nothing is answered at once");
        }
        Poll::Ready(())
    })
    .await;
    gets
}

async fn registered(client: &Client) -> Registration {
    let orders = client.naming().register("orders", Instance::new("10.0.0.1", 80));
    let orders = orders.expect("valid");
    soon(orders.ready()).await.expect("the server is there")
}

/// Everything is as it was when the client came.
async fn is_untouched(client: &Client, server: &Server) {
    client.configs().get("other").await.expect("the connection serves");
    let stats = client.stats().get();
    assert_eq!((stats.connects, stats.losses), (1, 0));
    assert_eq!(server.connects(), 1);
    assert_eq!(server.instances("", "DEFAULT_GROUP", "orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn gets_dropped_at_once_cost_neither_the_connection_nor_a_registration() {
    for behaviour in [Behaviour::RNacos, Behaviour::Nacos3_0] {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let _orders = registered(&client).await;
        for round in 0..40 {
            let gets = begun(&client, "d", 64).await;
            // Not sent yet, on its way, at the server.
            for _ in 0..round % 8 {
                tokio::task::yield_now().await;
            }
            drop(gets);
        }
        is_untouched(&client, &server).await;
        assert_eq!(server.resets(), 0, "small answers are thrown away instead");
    }
}

#[tokio::test(start_paused = true)]
async fn gets_dropped_while_the_server_thinks_cost_no_reset_either() {
    let server = support::start(Server::builder().reset_limit(0)).await;
    let client = connected(&server).await;
    let _orders = registered(&client).await;
    server.delay(Duration::from_secs(2));
    for _ in 0..20 {
        let gets = begun(&client, "d", 64).await;
        sleep(Duration::from_secs(1)).await;
        drop(gets);
    }
    server.delay(Duration::ZERO);
    is_untouched(&client, &server).await;
}

#[tokio::test(start_paused = true)]
async fn large_answers_that_nobody_wants_are_reset_at_a_pace_that_servers_bear() {
    let server = support::start(Server::builder().reset_limit(200)).await;
    server.publish("", "DEFAULT_GROUP", "large", "x".repeat(1024 * 1024));
    let client = connected(&server).await;
    let _orders = registered(&client).await;
    let began = Instant::now();
    for _ in 0..8 {
        server.delay(Duration::from_secs(1));
        let gets = begun(&client, "large", 16).await;
        sleep(Duration::from_millis(500)).await;
        drop(gets);
        server.delay(Duration::ZERO);
        sleep(Duration::from_secs(1)).await;
    }
    is_untouched(&client, &server).await;
    let seconds = (Instant::now() - began).as_secs();
    assert!((1..=10 + 4 * seconds).contains(&server.resets()), "{} resets", server.resets());
}

#[tokio::test(start_paused = true)]
async fn requests_that_run_out_of_time_cost_no_connection() {
    let server = support::start(Server::builder().reset_limit(110)).await;
    let client = builder(&server).request_timeout(Duration::from_secs(3)).connect().await;
    let client = client.expect("the server is there");
    let _orders = registered(&client).await;
    for _ in 0..4 {
        for _ in 0..60 {
            server.answer_next_raw("ConfigQueryRequest", RawAnswer::Silent);
        }
        for get in begun(&client, "d", 60).await {
            let error = get.await.expect_err("nobody answers");
            assert_eq!(error.kind(), ErrorKind::Timeout);
        }
        // The time of these answers in the background, and a few of their resets.
        sleep(Duration::from_secs(20)).await;
    }
    is_untouched(&client, &server).await;
    assert!(server.resets() > 0);
}

#[tokio::test(start_paused = true)]
async fn server_that_answers_no_query_keeps_its_connection_and_takes_no_more_memory() {
    let server = server().await;
    let client = builder(&server).request_timeout(Duration::from_secs(3)).connect().await;
    let client = client.expect("the server is there");
    let _orders = registered(&client).await;
    for _ in 0..2000 {
        server.answer_next_raw("ConfigQueryRequest", RawAnswer::Silent);
    }
    let before = server.requests("ConfigQueryRequest");
    for get in begun(&client, "d", 2000).await {
        let error = get.await.expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    let sent = server.requests("ConfigQueryRequest") - before;
    assert!(sent <= 300, "{sent} requests were sent to a server that answers none");
    assert_eq!(server.connects(), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(client.stats().get().losses, 0, "health checks were answered all the time");
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_starve_neither_health_checks_nor_pushes() {
    let server = server().await;
    let large = "x".repeat(9 * 1024 * 1024);
    server.publish("", "DEFAULT_GROUP", "large", large.clone());
    server.publish("", "DEFAULT_GROUP", "small", "1");
    let client = connected(&server).await;
    let _orders = registered(&client).await;
    let watch = client.configs().watch("small").expect("valid");
    let watch = soon(watch.ready()).await.expect("it is there");

    let unread = begun(&client, "large", 6).await;
    let (began, checks) = (Instant::now(), server.requests("HealthCheckRequest"));
    sleep_until(began + Duration::from_secs(60)).await;
    let checks = server.requests("HealthCheckRequest") - checks;
    assert!(checks >= 8, "{checks} health checks within a minute");
    server.publish("", "DEFAULT_GROUP", "small", "2");
    let is_new = |state: &nacos_core::DocumentState| {
        state.document().is_some_and(|document| &*document.content == "2")
    };
    becomes(&mut watch.live(), is_new).await;
    is_untouched(&client, &server).await;
    for get in unread {
        let content = soon(get).await.expect("it came long ago");
        assert_eq!(content.as_deref(), Some(&*large));
    }
}

#[tokio::test(start_paused = true)]
async fn gets_that_nobody_polls_hold_up_no_other() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = connected(&server).await;
    let _orders = registered(&client).await;
    let unpolled = begun(&client, "d", 2_000).await;
    let (one, other) = (client.configs(), client.configs());
    for get in [one.get("d"), other.get("e")] {
        soon(get).await.expect("there is a place for it");
    }
    drop(unpolled);
    is_untouched(&client, &server).await;
}

#[tokio::test(start_paused = true)]
async fn request_between_those_of_a_buffered_stream_is_answered() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = connected(&server).await;
    let configs = client.configs();
    let gets = stream::iter(0..4_000).map(|_| configs.get("d")).buffer_unordered(1_000);
    let mut gets = pin!(gets);
    while let Some(got) = soon(gets.next()).await {
        got.expect("answered");
        // Nobody polls the others meanwhile.
        soon(configs.get("other")).await.expect("answered, too");
    }
}
