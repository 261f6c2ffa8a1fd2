//! Faults of single answers and pushes.

mod client;

use std::time::Duration;

use client::{Client, Failure};
use nacos_testkit::{Behaviour, PushFault, RawAnswer, Server};
use serde_json::{Value, json};
use tokio::time::timeout;

#[tokio::test]
async fn planned_refusal_is_typed_in_java_and_general_in_r_nacos() {
    for (behaviour, expected) in [
        (Behaviour::Nacos2_3, "ConfigPublishResponse"),
        (Behaviour::Nacos3_0, "ConfigPublishResponse"),
        (Behaviour::RNacos, "ErrorResponse"),
    ] {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        server.answer_next("ConfigPublishRequest", 503);
        let answer = client.call("ConfigPublishRequest", &publish("a")).await.expect("answered");
        assert_eq!(answer.0, expected);
        assert_eq!(answer.1["errorCode"], 503);
        assert_eq!(server.document("", "g", "d"), None, "the request took no effect");
    }
}

#[tokio::test]
async fn planned_unregistered_is_an_error_response_everywhere() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        server.answer_next("HealthCheckRequest", 301);
        let answer = client.call("HealthCheckRequest", &json!({})).await.expect("answered");
        assert_eq!(answer.0, "ErrorResponse");
        assert_eq!((&answer.1["errorCode"], &answer.1["resultCode"]), (&json!(301), &json!(500)));
    }
}

#[tokio::test]
async fn planned_answers_queue_up_before_the_standing_one() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.answer_always("ConfigQueryRequest", Some(403));
    server.answer_next("ConfigQueryRequest", 503);
    server.answer_next("ConfigQueryRequest", 500);
    assert_eq!(codes(&client, 4).await, [503, 500, 403, 403]);
    server.answer_always("ConfigQueryRequest", None);
    assert_eq!(codes(&client, 1).await, [300]);
}

#[tokio::test(start_paused = true)]
async fn raw_answers_are_what_they_say() {
    let server = client::start(Server::builder().probe_silence(false)).await;
    let client = Client::set_up(&server).await;
    let message = |body: &str| RawAnswer::Message {
        message_type: "FutureResponse".to_owned(),
        body: body.to_owned(),
    };

    assert!(matches!(raw(&server, &client, message("{")).await, Err(Failure::Message(_))));
    let (message_type, body) = raw(&server, &client, message("[1]")).await.expect("a message");
    assert_eq!((message_type.as_str(), body), ("FutureResponse", json!([1])));
    let garbage = RawAnswer::Envelope(vec![0xff; 10]);
    assert!(matches!(raw(&server, &client, garbage).await, Err(Failure::Message(_))));
    let garbage = RawAnswer::Body(b"\0no".to_vec());
    assert!(raw(&server, &client, garbage).await.is_err());
    let truncated = raw(&server, &client, RawAnswer::TruncatedFrame).await;
    assert_eq!(truncated, Err(Failure::Message("no whole frame".to_owned())));
    let (_, body) = raw(&server, &client, RawAnswer::Oversized(1 << 20)).await.expect("a message");
    assert!(body.to_string().len() > 1 << 20);
    assert_eq!(raw(&server, &client, RawAnswer::Html).await, Err(Failure::Http(502)));
    assert_eq!(raw(&server, &client, RawAnswer::Reset).await, Err(Failure::Reset(8)));
    let status = RawAnswer::Status { code: 14, message: "gone\n".to_owned() };
    let expected = Failure::Status { code: "14".to_owned(), message: "gone".to_owned() };
    assert_eq!(raw(&server, &client, status).await, Err(expected));
    let silent = raw(&server, &client, RawAnswer::Silent);
    assert!(timeout(Duration::from_secs(3600), silent).await.is_err());
    assert_eq!(server.connects(), 1, "none of it has cost the transport");
}

#[tokio::test(start_paused = true)]
async fn dropped_push_never_comes() {
    let server = client::start(Server::builder().probe_silence(false)).await;
    let mut client = listening(&server).await;
    server.next_push(PushFault::Drop);
    server.publish("", "g", "d", "a");
    assert!(timeout(Duration::from_secs(600), client.next()).await.is_err());
    assert_eq!(server.unacknowledged_pushes(), 0);
    server.publish("", "g", "d", "b");
    client.next_acknowledged().await;
}

#[tokio::test]
async fn duplicated_push_comes_twice_with_one_id() {
    let server = client::server().await;
    let mut client = listening(&server).await;
    server.next_push(PushFault::Duplicate);
    server.publish("", "g", "d", "a");
    let first = client.next_acknowledged().await;
    assert_eq!(client.next_acknowledged().await, first);
    server.until(|server| server.acks("ConfigChangeNotifyResponse") == 2).await;
    assert_eq!(server.unacknowledged_pushes(), 0);
}

#[tokio::test]
async fn reordered_push_is_overtaken_by_the_next() {
    let server = client::server().await;
    let mut client = listening(&server).await;
    server.next_push(PushFault::Reorder);
    server.push_raw("FirstRequest", json!({}));
    server.push_raw("SecondRequest", json!({}));
    assert_eq!(client.next_acknowledged().await.0, "SecondRequest");
    assert_eq!(client.next_acknowledged().await.0, "FirstRequest");
}

#[tokio::test]
async fn raw_push_reaches_every_connection_and_its_acks_are_counted() {
    let server = client::server().await;
    let mut clients = [Client::set_up(&server).await, Client::set_up(&server).await];
    server.push_raw("FutureRequest", json!({ "hint": 1 }));
    assert_eq!(server.unacknowledged_pushes(), 2);
    for client in &mut clients {
        let (message_type, body) = client.next_acknowledged().await;
        assert_eq!((message_type.as_str(), &body["hint"]), ("FutureRequest", &json!(1)));
    }
    server.until(|server| server.acks("FutureResponse") == 2).await;
    assert_eq!(server.unacknowledged_pushes(), 0);
}

#[tokio::test(start_paused = true)]
async fn unacknowledged_notice_is_repeated_by_java() {
    let server = client::start(Server::builder().probe_silence(false)).await;
    let mut client = listening(&server).await;
    server.publish("", "g", "d", "a");
    let (_, first) = client.next().await.push();
    let (_, again) = client.next_acknowledged().await;
    assert_eq!(again["dataId"], "d");
    assert_ne!(again["requestId"], first["requestId"]);
    assert!(timeout(Duration::from_secs(600), client.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn connection_that_never_acknowledges_is_given_up_by_java() {
    let server = client::start(Server::builder().probe_silence(false)).await;
    let mut client = listening(&server).await;
    server.publish("", "g", "d", "a");
    for _ in 0..50 {
        client.next().await.push();
    }
    server.until(|server| server.connections() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn unacknowledged_notice_is_not_repeated_by_r_nacos() {
    let server =
        client::start(Server::builder().behaviour(Behaviour::RNacos).probe_silence(false)).await;
    let mut client = listening(&server).await;
    server.publish("", "g", "d", "a");
    client.next().await.push();
    assert!(timeout(Duration::from_secs(600), client.next()).await.is_err());
    assert_eq!(server.unacknowledged_pushes(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_service_push_is_repeated_with_what_is_true_then() {
    let server = client::start(Server::builder().probe_silence(false)).await;
    let mut client = Client::set_up(&server).await;
    let subscription =
        json!({ "namespace": "public", "serviceName": "s", "groupName": "g", "subscribe": true });
    client.call("SubscribeServiceRequest", &subscription).await.expect("answered");
    let (_, push) = client.next().await.push();
    server.next_push(PushFault::Drop);
    server.register("", "g", "s", nacos_testkit::Instance::new("10.0.0.1", 80));
    let refusal = json!({ "resultCode": 500, "requestId": push["requestId"] });
    client.send("NotifySubscriberResponse", &refusal);
    let (_, push) = client.next_acknowledged().await;
    assert_eq!(push["serviceInfo"]["hosts"][0]["port"], 80);
}

#[tokio::test(start_paused = true)]
async fn withheld_setup_ack_leaves_the_connection_registered() {
    let server = client::server().await;
    server.withhold_setup_ack(true);
    let mut client = Client::connect(server.grpc_addr()).await.expect("the server listens");
    client.open().await;
    client.send("ConnectionSetupRequest", &client::setup());
    assert!(timeout(Duration::from_secs(10), client.next()).await.is_err());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn reset_names_the_main_port_of_its_target() {
    let server = client::server().await;
    let mut client = Client::set_up(&server).await;
    server.reset_connections(Some("10.0.0.2:8848".parse().expect("an address")));
    let (message_type, body) = client.next_acknowledged().await;
    assert_eq!(message_type, "ConnectResetRequest");
    assert_eq!((&body["serverIp"], &body["serverPort"]), (&json!("10.0.0.2"), &json!("8848")));
    server.reset_connections(None);
    let (_, body) = client.next_acknowledged().await;
    assert_eq!(body.get("serverIp"), None);
    server.until(|server| server.acks("ConnectResetResponse") == 2).await;
    assert_eq!(server.connections(), 1, "it is the client that has to go");
}

async fn listening(server: &Server) -> Client {
    let client = Client::set_up(server).await;
    let body = json!({ "listen": true, "configListenContexts": [
        { "dataId": "d", "group": "g", "tenant": "", "md5": "" },
    ] });
    client.call("ConfigBatchListenRequest", &body).await.expect("answered");
    assert_eq!(server.listeners("", "g", "d"), 1);
    client
}

async fn raw(
    server: &Server,
    client: &Client,
    answer: RawAnswer,
) -> Result<(String, Value), Failure> {
    server.answer_next_raw("ConfigQueryRequest", answer);
    client.call("ConfigQueryRequest", &query()).await
}

async fn codes(client: &Client, count: usize) -> Vec<i64> {
    let mut codes = Vec::new();
    for _ in 0..count {
        let (_, body) = client.call("ConfigQueryRequest", &query()).await.expect("answered");
        codes.push(body["errorCode"].as_i64().expect("a code"));
    }
    codes
}

fn query() -> Value {
    json!({ "dataId": "d", "group": "g", "tenant": "" })
}

fn publish(content: &str) -> Value {
    json!({ "dataId": "d", "group": "g", "tenant": "", "content": content })
}
