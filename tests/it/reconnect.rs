//! Losing connections, and what comes after.
use std::time::Duration;

use nacos_core::{ClaimState, ErrorKind, Instance, Publish, SessionState};
use tokio::time::Instant;

use crate::support::{
    BEHAVIOURS, becomes, builder, chain, connected, reconnected, server, server_like, soon,
};

#[tokio::test(start_paused = true)]
async fn dropped_connection_is_replaced_at_once() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
        let guard = guard.ready().await.expect("registered");
        let began = Instant::now();
        server.drop_connections();
        reconnected(&client, 1).await;
        becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
        assert_eq!(server.instances("", "DEFAULT_GROUP", "orders").len(), 1);
        assert!(
            Instant::now() - began < Duration::from_millis(300),
            "{:?}",
            Instant::now() - began
        );
    }
}

#[tokio::test(start_paused = true)]
async fn query_in_flight_goes_on_over_the_next_connection() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    server.delay(Duration::from_secs(1));
    let configs = client.configs();
    let query = configs.get("d");
    let fault = async {
        server.until(|server| server.requests("ConfigQueryRequest") == 1).await;
        server.drop_connections();
        server.delay(Duration::ZERO);
        Instant::now()
    };
    let (document, lost) = soon(async { tokio::join!(query, fault) }).await;
    assert!(Instant::now() - lost < Duration::from_millis(500), "its try is not waited for");
    assert!(document.expect("an answer").is_some());
    assert!(server.requests("ConfigQueryRequest") >= 2);
}

#[tokio::test(start_paused = true)]
async fn publish_in_flight_is_never_sent_twice() {
    let server = server().await;
    let client = connected(&server).await;
    server.delay(Duration::from_secs(1));
    let configs = client.configs();
    let publish = configs.publish(Publish::new("d", "1").expect("valid"));
    let fault = async {
        server.until(|server| server.requests("ConfigPublishRequest") == 1).await;
        server.drop_connections();
        server.delay(Duration::ZERO);
        Instant::now()
    };
    let (outcome, lost) = soon(async { tokio::join!(publish, fault) }).await;
    assert!(Instant::now() - lost < Duration::from_millis(500), "its deadline is not waited for");
    let error = outcome.expect_err("nobody knows whether it was stored");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(server.requests("ConfigPublishRequest"), 1);
}

#[tokio::test(start_paused = true)]
async fn request_on_connections_that_a_server_never_knows_ends_with_its_code() {
    let server = server().await;
    let client = connected(&server).await;
    for _ in 0..1000 {
        server.answer_next("ConfigQueryRequest", 301);
    }
    let error = client.configs().get("d").await.expect_err("until the deadline");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Disconnected, Some(301)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn unregistered_connection_is_replaced_and_the_request_done_there() {
    let server = server().await;
    let client = connected(&server).await;
    server.answer_next("ConfigPublishRequest", 301);
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    assert_eq!(server.requests("ConfigPublishRequest"), 2);
    assert_eq!(client.stats().get().connects, 2);
}

#[tokio::test(start_paused = true)]
async fn black_hole_is_left_for_another_server_within_seconds() {
    let (one, two) = (server().await, server().await);
    let both = format!("{},{}", one.addr(), two.addr());
    let client =
        nacos_core::Client::builder().server_addr(both).connect().await.expect("both are there");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let (dead, alive) = if one.connections() == 1 { (&one, &two) } else { (&two, &one) };
    let began = Instant::now();
    dead.black_hole(true);
    reconnected(&client, 1).await;
    becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    assert_eq!(alive.instances("", "DEFAULT_GROUP", "orders").len(), 1);
    // Suspected after 6 s at the latest, found after one more beside the dead one.
    assert!(Instant::now() - began < Duration::from_secs(8), "{:?}", Instant::now() - began);
}

#[tokio::test(start_paused = true)]
async fn calls_into_a_black_hole_end_by_their_deadline() {
    let server = server().await;
    let client =
        builder(&server).request_timeout(Duration::from_secs(5)).connect().await.expect("there");
    server.black_hole(true);
    let began = Instant::now();
    let error = client.configs().get("d").await.expect_err("no answer");
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Disconnected), "{error:?}");
    assert!(Instant::now() - began <= Duration::from_millis(5100));
}

#[tokio::test(start_paused = true)]
async fn error_of_a_call_says_who_did_not_answer_and_when_the_next_is_asked() {
    let server = server().await;
    let client =
        builder(&server).request_timeout(Duration::from_secs(5)).connect().await.expect("there");
    server.answer_next_raw("ConfigPublishRequest", nacos_testkit::RawAnswer::Silent);
    let error = client.configs().publish(Publish::new("d", "1").expect("valid")).await;
    let error = error.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(chain(&error).contains(&server.addr().to_string()), "{error:?}");
    server.answer_always("InstanceRequest", Some(503));
    server.delay(Duration::from_secs(60));
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let error = guard.ready().await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(chain(&error).contains(&server.addr().to_string()), "{error:?}");

    server.stop().await;
    let mut state = client.state();
    tokio::time::sleep(Duration::from_secs(120)).await;
    becomes(&mut state, |state| matches!(state, SessionState::Backoff { .. })).await;
    let error = client.configs().get("d").await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let shown = chain(&error);
    assert!(shown.contains("next try in "), "{shown}");
    assert!(shown.contains(&server.addr().to_string()), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn short_pause_of_the_server_costs_no_registration() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    server.black_hole(true);
    tokio::time::advance(Duration::from_secs(3)).await;
    server.black_hole(false);
    client.configs().get("d").await.expect("an answer");
    assert_eq!(client.stats().get().connects, 1);
    assert_eq!(server.instances("", "DEFAULT_GROUP", "orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reset_moves_without_a_gap() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    let mut watched =
        client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
    server.reset_connections(None);
    reconnected(&client, 1).await;
    soon(server.until(|server| server.connections() == 1)).await;
    assert_eq!(server.instances("", "DEFAULT_GROUP", "orders").len(), 1);
    assert_eq!(server.acks("ConnectResetResponse"), 1);
    // A push of an empty list would have been reported by now.
    server.publish("", "DEFAULT_GROUP", "marker", "x");
    client.configs().get("marker").await.expect("an answer");
    let nothing = tokio::time::timeout(Duration::from_secs(5), watched.changed()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn every_push_is_acknowledged_unknown_ones_too() {
    let server = server().await;
    let _client = connected(&server).await;
    server.push_raw("NoveltyRequest", serde_json::json!({"x": 1}));
    server.push_raw("ClientDetectionRequest", serde_json::json!({}));
    server.push_raw("NotifySubscriberRequest", serde_json::json!({"serviceInfo": "garbage"}));
    soon(server.until(|server| server.acks("NoveltyResponse") == 1)).await;
    soon(server.until(|server| server.acks("ClientDetectionResponse") == 1)).await;
    soon(server.until(|server| server.acks("NotifySubscriberResponse") == 1)).await;
}

#[tokio::test(start_paused = true)]
async fn server_that_asks_is_told_sizes_and_digests_and_never_content() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "hunter2 ü");
    let client = connected(&server).await;
    let _watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let key = |kind: &str, key: &str| serde_json::json!({"type": kind, "key": key});
    let keys = [
        key("cacheData", "d+DEFAULT_GROUP"),
        key("cacheData", "other+DEFAULT_GROUP"),
        key("snapshotData", "d+DEFAULT_GROUP"),
        key("novelty", "<html>"),
    ];
    for (asked, question) in [
        serde_json::json!({"metricsKeys": keys}),
        serde_json::json!({"metricsKeys": "garbage"}),
        serde_json::json!({}),
    ]
    .into_iter()
    .enumerate()
    {
        server.push_raw("ClientConfigMetricRequest", question);
        let answered = asked as u64 + 1;
        soon(server.until(|server| server.acks("ClientConfigMetricResponse") == answered)).await;
        let body = server.last_request("ClientConfigMetricResponse").expect("an answer").body;
        assert_eq!(body["resultCode"], 200, "{body}");
        assert!(!body.to_string().contains("hunter2"), "{body}");
        let metrics = body["metrics"].as_object().expect("a map");
        let (_, text) = metrics.iter().next().expect("one client");
        let report: serde_json::Value =
            serde_json::from_str(text.as_str().expect("text")).expect("JSON");
        assert_eq!(report["listenConfigSize"], 1);
        let values = report["metricValues"].as_object().expect("a map");
        let value =
            |kind: &str, key: &str| &values[&format!("MetricsKey{{type='{kind}', key='{key}'}}")];
        if asked == 0 {
            let expected = format!("10:{}", nacos_core::digest("hunter2 ü"));
            assert_eq!(*value("cacheData", "d+DEFAULT_GROUP"), expected);
            assert_eq!(*value("cacheData", "other+DEFAULT_GROUP"), "");
            assert_eq!(*value("snapshotData", "d+DEFAULT_GROUP"), "");
        } else {
            assert!(values.is_empty());
        }
    }
    assert_eq!(server.unacknowledged_pushes(), 0);
}

#[tokio::test(start_paused = true)]
async fn silent_client_keeps_its_connection_by_health_checks() {
    let server = server().await;
    let client = connected(&server).await;
    tokio::time::sleep_until(Instant::now() + Duration::from_secs(60)).await;
    assert!(server.requests("HealthCheckRequest") >= 10);
    assert_eq!((server.connects(), client.stats().get().connects), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_in_the_state_and_is_over_when_it_is() {
    let server = server().await;
    let client = connected(&server).await;
    let mut state = client.state();
    server.stop().await;
    becomes(&mut state, |state| matches!(state, SessionState::Backoff { .. })).await;
    let SessionState::Backoff { cause, .. } = &*state.get() else { panic!("it just was") };
    assert!(cause.contains(&server.addr().to_string()), "{cause}");
    server.resume().await.expect("the same ports");
    becomes(&mut state, SessionState::is_connected).await;
}
