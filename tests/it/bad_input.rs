//! Nothing that a server sends can panic the client, or cost more than its own message.
use std::time::Duration;

use nacos_core::{DocumentState, ErrorKind, Publish};
use nacos_testkit::{Instance as Held, PushFault, RawAnswer, Server};
use tokio::time::Instant;

use crate::support::{becomes, builder, chain, connected, server, soon};

fn garbage() -> Vec<RawAnswer> {
    let message = |kind: &str, body: &str| RawAnswer::Message {
        message_type: kind.to_owned(),
        body: body.to_owned(),
    };
    vec![
        RawAnswer::Html,
        RawAnswer::TruncatedFrame,
        RawAnswer::Body(b"garbage that is no frame".to_vec()),
        RawAnswer::Body(Vec::new()),
        RawAnswer::Envelope(vec![0xff; 64]),
        RawAnswer::Envelope(Vec::new()),
        message("ConfigQueryResponse", "<html>"),
        message("ConfigQueryResponse", r#"{"resultCode":200,"content":"#),
        message("ConfigQueryResponse", r#"{"resultCode":"many"}"#),
        message("ConfigQueryResponse", "null"),
        message("ConfigPublishResponse", r#"{"resultCode":200}"#),
        message("", ""),
        message("NoSuchResponse", "{}"),
    ]
}

async fn healthy(server: &Server, client: &nacos_core::Client) {
    client.configs().publish(Publish::new("ok", "1").expect("valid")).await.expect("published");
    assert_eq!(server.connects(), 1, "the session is intact");
    assert_eq!(client.stats().get().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn garbage_costs_its_own_request_only() {
    let server = server().await;
    let client = connected(&server).await;
    for answer in garbage() {
        let shown = format!("{answer:?}");
        server.answer_next_raw("ConfigQueryRequest", answer);
        let error = client.configs().get("d").await.expect_err(&shown);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{shown}: {error:?}");
    }
    healthy(&server, &client).await;
    assert_eq!(client.stats().get().unreadable, garbage().len() as u64);
}

#[tokio::test(start_paused = true)]
async fn nulls_everywhere_are_tolerated() {
    let server = server().await;
    let client = connected(&server).await;
    server.answer_next_raw("ConfigQueryRequest", RawAnswer::Message {
        message_type: "ConfigQueryResponse".to_owned(),
        body: r#"{"resultCode":200,"errorCode":null,"message":null,"content":"","contentType":null,
                  "md5":null,"encryptedDataKey":null,"lastModified":null,"beta":null,"tag":null}"#.to_owned(),
    });
    let document = client.configs().get("d").await.expect("an answer").expect("is there");
    assert_eq!((&*document.content, &*document.content_type), ("", "text"));
    server.answer_next_raw(
        "ServiceQueryRequest",
        RawAnswer::Message {
            message_type: "QueryServiceResponse".to_owned(),
            body: r#"{"resultCode":200,"serviceInfo":null}"#.to_owned(),
        },
    );
    assert!(client.naming().query("orders").await.expect("an answer").instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn answer_without_content_never_replaces_what_is_there() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "d", "good");
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    for body in [r#"{"resultCode":200,"content":null}"#, r#"{"resultCode":200,"md5":"x"}"#] {
        let nothing = RawAnswer::Message {
            message_type: "ConfigQueryResponse".to_owned(),
            body: body.to_owned(),
        };
        server.answer_next_raw("ConfigQueryRequest", nothing.clone());
        let error = client.configs().get("d").await.expect_err("no document");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        server.answer_next_raw("ConfigQueryRequest", nothing);
        watch.refetch();
        let state = soon(watch.changed()).await.expect("a state");
        assert!(matches!(&*state, DocumentState::Unreachable { why: ErrorKind::Protocol, .. }));
        assert_eq!(state.document().map(|document| &*document.content), Some("good"));
        let again = soon(watch.changed()).await.expect("asked again");
        assert!(
            matches!(&*again, DocumentState::Present(document) if &*document.content == "good")
        );
    }
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn oversized_watched_document_is_named_and_not_downloaded_in_a_loop() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "x".repeat(200_000));
    let client = builder(&server).receive_limit(100_000).connect().await.expect("there");
    let watch = client.configs().watch("d").expect("valid");
    let began = Instant::now();
    let error = watch.ready().await.expect_err("too large");
    assert!(Instant::now() - began < Duration::from_secs(1), "nothing is waited for");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let shown = chain(&error);
    for part in ["DEFAULT_GROUP/d", "a message of 200", "limit of 100000 bytes"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let mut watch = client.configs().watch("d").expect("valid");
    let before = server.requests("ConfigQueryRequest");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(server.requests("ConfigQueryRequest") - before <= 3);
    server.publish("", "DEFAULT_GROUP", "d", "small");
    becomes(&mut watch.live(), |state| matches!(state, DocumentState::Present(_))).await;
    assert!(soon(watch.changed()).await.is_some());
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn oversized_answer_is_named_and_costs_only_itself() {
    let server = server().await;
    let client = builder(&server).receive_limit(100_000).connect().await.expect("there");
    server.answer_next_raw("ConfigQueryRequest", RawAnswer::Oversized(1_000_000));
    let error = client.configs().get("d").await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let shown = format!("{error:?}");
    assert!(shown.contains("over the receive limit of 100000 bytes"), "{shown}");
    // The size too: the JSON's, and a few bytes of envelope around it.
    assert!(shown.contains("a message of 1000"), "{shown}");
    assert!(shown.contains("DEFAULT_GROUP/d"), "{shown}");
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn receive_limit_is_what_it_says_to_the_byte() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "x".repeat(50_000));
    let size = {
        let client = builder(&server).receive_limit(1000).connect().await.expect("there");
        let shown = format!("{:?}", client.configs().get("d").await.expect_err("too large"));
        let (_, rest) = shown.split_once("a message of ").expect("the size");
        rest.split(' ').next().and_then(|size| size.parse().ok()).expect("a number")
    };
    for (limit, fits) in [(size, true), (size - 1, false)] {
        let client = builder(&server).receive_limit(limit).connect().await.expect("there");
        assert_eq!(client.configs().get("d").await.is_ok(), fits, "{limit} for {size}");
    }
}

#[tokio::test(start_paused = true)]
async fn oversized_push_is_skipped_and_the_stream_goes_on() {
    let server = server().await;
    let client = builder(&server).receive_limit(50_000).connect().await.expect("there");
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    server.push_raw(
        "NotifySubscriberRequest",
        serde_json::json!({"serviceInfo": {"name": "x".repeat(200_000)}}),
    );
    server.publish("", "DEFAULT_GROUP", "d", "1");
    soon(watch.changed()).await.expect("a state");
    assert_eq!(client.stats().get().unreadable, 1);
    soon(server.until(|server| server.acks("NotifySubscriberResponse") == 1)).await;
    assert_eq!(server.unacknowledged_pushes(), 0, "it is not sent again");
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn service_of_a_push_that_cannot_be_read_is_asked_for_once_a_minute_at_most() {
    let server = server().await;
    let client = builder(&server).receive_limit(50_000).connect().await.expect("there");
    let naming = client.naming();
    let orders = naming.subscribe("orders").expect("valid").ready().await.expect("an answer");
    let _stock = naming.subscribe("stock").expect("valid").ready().await.expect("an answer");
    let large = serde_json::json!({"aServiceInfo": {}, "serviceInfo": {
        "groupName": "DEFAULT_GROUP", "name": "orders", "pad": "x".repeat(60_000),
    }});
    let unread = serde_json::json!({"serviceInfo": {
        "groupName": "DEFAULT_GROUP", "name": "orders", "hosts": "<html>",
    }});
    // The push that tells of the change is lost, and what comes after it cannot be read.
    for (round, odd) in [large, unread].into_iter().enumerate() {
        let asked = server.requests("SubscribeServiceRequest");
        let port = u16::try_from(round).expect("small") + 1;
        server.next_push(PushFault::Drop);
        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", port));
        let began = Instant::now();
        for _ in 0..10 {
            server.push_raw("NotifySubscriberRequest", odd.clone());
        }
        let instances = round + 1;
        becomes(&mut orders.live(), |orders| orders.instances.len() == instances).await;
        // The first is at once, the next a minute after that.
        assert!(Instant::now() - began <= Duration::from_secs(61 * round as u64 + 1));
        assert_eq!(server.requests("SubscribeServiceRequest"), asked + 1, "only what is in doubt");
    }
    assert_eq!(client.stats().get().unreadable, 20);
    assert_eq!(server.unacknowledged_pushes(), 0);
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn notice_that_cannot_be_read_makes_documents_be_compared_soon() {
    let server = server().await;
    let client = connected(&server).await;
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    server.next_push(PushFault::Drop);
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let began = Instant::now();
    server.push_raw("ConfigChangeNotifyRequest", serde_json::json!({"dataId": 7}));
    let state = soon(watch.changed()).await.expect("a state");
    assert_eq!(state.document().map(|document| &*document.content), Some("1"));
    assert!(Instant::now() - began < Duration::from_secs(1), "the audit did it");
    assert_eq!(client.stats().get().unreadable, 1);
}

#[tokio::test(start_paused = true)]
async fn ten_mebibytes_are_read_by_default() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "big", "x".repeat(12 * 1024 * 1024));
    let document = client.configs().get("big").await.expect("an answer").expect("is there");
    assert_eq!(document.content.len(), 12 * 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn status_instead_of_an_answer_is_an_error_and_no_more() {
    let server = server().await;
    let client = connected(&server).await;
    for (code, kind) in
        [(8, ErrorKind::Refused), (12, ErrorKind::Unsupported), (13, ErrorKind::Server)]
    {
        server.answer_next_raw(
            "ConfigQueryRequest",
            RawAnswer::Status { code, message: "no".to_owned() },
        );
        assert_eq!(client.configs().get("d").await.expect_err("a status").kind(), kind);
    }
    server.answer_next_raw("ConfigPublishRequest", RawAnswer::Reset);
    let error = client.configs().publish(Publish::new("d", "1").expect("valid")).await;
    assert_eq!(error.expect_err("cancelled").kind(), ErrorKind::Refused);
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn odd_pushes_change_nothing() {
    let server = server().await;
    let client = connected(&server).await;
    let orders =
        client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
    let bodies = [
        serde_json::json!({"serviceInfo": {"name": "orders", "groupName": "DEFAULT_GROUP", "hosts": null}}),
        serde_json::json!({"serviceInfo": {"name": "@@@@", "groupName": "", "hosts": []}}),
        serde_json::json!({"serviceInfo": 7}),
        serde_json::json!({}),
    ];
    let count = bodies.len() as u64;
    for body in bodies {
        server.push_raw("NotifySubscriberRequest", body);
    }
    soon(server.until(|server| server.acks("NotifySubscriberResponse") >= count)).await;
    assert!(orders.service().known);
    // The number in place of a service; the others are odd, and can be read.
    assert_eq!(client.stats().get().unreadable, 1);
    server
        .push_raw("ConfigChangeNotifyRequest", serde_json::json!({"dataId": "a b", "group": null}));
    soon(server.until(|server| server.acks("ConfigChangeNotifyResponse") == 1)).await;
    healthy(&server, &client).await;
}

#[tokio::test(start_paused = true)]
async fn names_outside_the_rules_are_refused_before_anything_is_sent() {
    let server = server().await;
    let client = connected(&server).await;
    let error = client.configs().get("orders yaml").await.expect_err("a blank");
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    assert!(format!("{error:?}").contains("' '"), "{error:?}");
    assert!(client.configs().watch(("d", "gro/up")).is_err());
    assert!(client.naming().subscribe("订单").is_err());
    assert_eq!(server.requests("ConfigQueryRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn silence_is_repeated_within_the_deadline() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    server.answer_next_raw("ConfigQueryRequest", RawAnswer::Silent);
    assert!(client.configs().get("d").await.expect("the second try").is_some());
    assert_eq!(server.requests("ConfigQueryRequest"), 2);
    healthy(&server, &client).await;
}
