//! One request that fails is a matter of that request: the session's state stays what it was, down
//! to the moment since when it has been connected.
use std::{future::Future, time::Duration};

use nacos_core::{Client, ErrorKind, Group, Instance, Publish};
use nacos_testkit::{RawAnswer, Server};
use tokio::time::Instant;

use crate::support::{BEHAVIOURS, builder, connected, server_like, soon};

/// Every code that says something about one request, or about nothing we know.
const CODES: [i32; 12] = [300, 302, 400, 403, 404, 409, 500, 501, 502, 503, 22_001, -503];

/// Answers that are none. `Silent` ends with the deadline of its request.
fn odd_answers() -> Vec<RawAnswer> {
    let message = |kind: &str, body: &str| RawAnswer::Message {
        message_type: kind.to_owned(),
        body: body.to_owned(),
    };
    let mut answers = vec![
        RawAnswer::Html,
        RawAnswer::TruncatedFrame,
        RawAnswer::Body(b"no frame".to_vec()),
        RawAnswer::Body(Vec::new()),
        RawAnswer::Envelope(vec![0xff; 64]),
        RawAnswer::Oversized(200_000),
        RawAnswer::Reset,
        RawAnswer::Silent,
        message("ErrorResponse", "{}"),
        message("ErrorResponse", r#"{"resultCode":200}"#),
        message("NoSuchResponse", "{}"),
        message("", "null"),
    ];
    // RESOURCE_EXHAUSTED is 8: a message over the server's limit.
    answers.extend((1..=16).map(|code| RawAnswer::Status { code, message: "a status".to_owned() }));
    answers
}

/// One of each kind of request, each of them once; how they end is not what is asked.
async fn one_of_each(client: &Client) {
    let (configs, naming) = (client.configs(), client.naming());
    // The errors are looked at elsewhere.
    let _ = configs.get("d").await;
    let _ = configs.publish(Publish::new("d", "1").expect("valid")).await;
    let _ = configs.remove("d").await;
    let _ = naming.query("orders").await;
    let _ = naming.list(&Group::default(), 1, 10).await;
    let _ = naming.register("orders", Instance::new("10.0.0.1", 1)).expect("valid").ready().await;
    let _ = naming.subscribe("orders").expect("valid").ready().await;
    let _ = configs.watch("d").expect("valid").ready().await;
}

const REQUESTS: [&str; 8] = [
    "ConfigQueryRequest",
    "ConfigPublishRequest",
    "ConfigRemoveRequest",
    "ServiceQueryRequest",
    "ServiceListRequest",
    "InstanceRequest",
    "SubscribeServiceRequest",
    "ConfigBatchListenRequest",
];

/// Runs `bad` and sees that the session is what it was before.
async fn unmoved(server: &Server, client: &Client, what: &str, bad: impl Future<Output = ()>) {
    let mut states = client.state();
    let before = (*states.get()).clone();
    assert!(before.is_connected());
    tokio::select! {
        biased;
        changed = states.wait_for(|state| *state != before) => panic!("{what}: {changed:?}"),
        () = bad => {}
    }
    assert_eq!(*states.get(), before, "{what}");
    assert_eq!((server.connects(), client.stats().get().connects), (1, 1), "{what}");
    // Once no fault is planned any more, everything works.
    client.configs().publish(Publish::new("ok", "1").expect("valid")).await.expect(what);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_any_code_leave_the_session_alone() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        for code in CODES {
            let what = format!("{behaviour:?} {code}");
            unmoved(&server, &client, &what, async {
                for request in REQUESTS {
                    server.answer_next(request, code);
                }
                one_of_each(&client).await;
                clear(&client).await;
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_none_leave_the_session_alone() {
    let server = server_like(BEHAVIOURS[0]).await;
    let client = builder(&server).receive_limit(100_000).connect().await.expect("there");
    for answer in odd_answers() {
        let what = format!("{answer:?}");
        unmoved(&server, &client, &what, async {
            for request in REQUESTS {
                server.answer_next_raw(request, answer.clone());
            }
            one_of_each(&client).await;
            clear(&client).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn odd_health_checks_leave_the_session_alone() {
    let server = server_like(BEHAVIOURS[0]).await;
    let client = builder(&server).receive_limit(100_000).connect().await.expect("there");
    // Silence is not odd: after a second of it another connection is looked for, and may win.
    for answer in odd_answers().into_iter().filter(|answer| *answer != RawAnswer::Silent) {
        let what = format!("{answer:?}");
        unmoved(&server, &client, &what, async {
            server.answer_next_raw("HealthCheckRequest", answer);
            tokio::time::sleep_until(Instant::now() + Duration::from_secs(20)).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn publish_over_the_servers_limit_is_refused_and_leaves_the_session_alone() {
    // Java takes 10 MiB; r-nacos takes everything.
    for behaviour in &BEHAVIOURS[..4] {
        let server = server_like(*behaviour).await;
        // More than the server takes: by default the client sends no such thing.
        let builder = builder(&server).max_publish(64 * 1024 * 1024);
        let client = builder.connect().await.expect("the server is there");
        unmoved(&server, &client, "too large", async {
            let large = Publish::new("d", "x".repeat(11 * 1024 * 1024)).expect("valid");
            let error = client.configs().publish(large).await.expect_err("over the limit");
            assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_are_refused_leave_the_session_alone() {
    let server = server_like(BEHAVIOURS[0]).await;
    let client = connected(&server).await;
    unmoved(&server, &client, "names", async {
        assert!(client.configs().get("a b").await.is_err());
        assert!(client.naming().register("订单", Instance::new("10.0.0.1", 1)).is_err());
        assert!(client.naming().register("orders", Instance::new(" ", 1)).is_err());
        let metadata = Instance::new("10.0.0.1", 1).with_metadata("k", "v".repeat(2000));
        assert!(client.naming().register("orders", metadata).is_err());
        // One that the client lets pass, and the server does not.
        server.answer_next("InstanceRequest", 400);
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.1", 1)).expect("valid");
        assert_eq!(guard.ready().await.expect_err("refused").kind(), ErrorKind::Refused);
    })
    .await;
}

/// Waits until nothing is claimed any more and no answer is planned.
async fn clear(client: &Client) {
    let mut stats = client.stats();
    soon(stats.wait_for(|stats| stats.claims == 0)).await.expect("every guard is gone");
    soon(async { while client.configs().get("d").await.is_err() {} }).await;
}
