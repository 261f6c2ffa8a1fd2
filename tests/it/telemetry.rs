//! What is measured, as a recorder sees it.
use std::{collections::BTreeMap, time::Duration};

use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use nacos_core::{Instance, telemetry};

use crate::support::{builder, connected, reconnected, server, soon};

/// Everything recorded since the last time: `name{label=value,…}` and its value, that of a histogram
/// being its count, that of a gauge its change.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        #[expect(clippy::cast_precision_loss, reason = "counts in a test are small")]
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        all.insert(format!("{}{{{}}}", key.name(), labels.join(",")), value);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn everything_documented_is_measured_and_a_client_takes_its_share_along() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);

    let server = nacos_testkit::Server::builder().credentials("nacos", "secret").start();
    let server = server.await.expect("ports on loopback");
    let client = builder(&server).credentials("nacos", "secret").connect().await.expect("there");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("answered");
    client.configs().get("d").await.expect("answered");
    server.answer_next("ConfigQueryRequest", 500);
    client.configs().get("d").await.expect_err("refused");
    server.push_raw("NoveltyRequest", serde_json::json!({"requestId": "1"}));
    soon(server.until(|server| server.acks("NoveltyResponse") == 1)).await;
    // Long enough for a health check.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let connects = client.vitals().get().connects;
    server.drop_connections();
    reconnected(&client, connects).await;

    let now = recorded(&snapshotter);
    for (name, at_least) in [
        ("nacos_sessions{state=connected}", 1.0),
        ("nacos_connects_total{}", 2.0),
        ("nacos_claims{}", 2.0),
        ("nacos_request_duration_seconds{type=ServerCheckRequest,code=200}", 2.0),
        ("nacos_request_duration_seconds{type=HealthCheckRequest,code=200}", 1.0),
        ("nacos_request_duration_seconds{type=ConfigQueryRequest,code=500}", 1.0),
        ("nacos_request_duration_seconds{type=ConfigQueryRequest,code=300}", 1.0),
        ("nacos_request_duration_seconds{type=InstanceRequest,code=200}", 1.0),
        ("nacos_sent_bytes_total{}", 500.0),
        ("nacos_received_bytes_total{}", 500.0),
        ("nacos_pushes_total{type=other}", 1.0),
        ("nacos_session_lag_seconds{}", 1.0),
    ] {
        assert!(now.get(name).is_some_and(|&value| value >= at_least), "{name} in {now:#?}");
    }
    assert!(now.contains_key("nacos_token_age_seconds{}"));
    let ended = |name: &String| name.starts_with("nacos_disconnects_total{reason=");
    assert_eq!(now.keys().filter(|name| ended(name)).count(), 1, "{now:#?}");

    drop((guard, watch, client));
    soon(server.until(|server| server.connections() == 0)).await;
    let after = recorded(&snapshotter);
    for (name, change) in after {
        let value = now.get(&name).unwrap_or(&0.0) + change;
        let gauge = [telemetry::SESSIONS, telemetry::CLAIMS, telemetry::CLAIMS_UNSETTLED];
        if gauge.iter().any(|gauge| name.split('{').next() == Some(gauge)) {
            assert!(value.abs() < 1e-9, "{name} is {value}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_those_of_the_documentation() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = server().await;
    let client = connected(&server).await;
    client.configs().get("d").await.expect("answered");
    let documented = [
        (MetricKind::Gauge, telemetry::SESSIONS),
        (MetricKind::Counter, telemetry::CONNECTS),
        (MetricKind::Counter, telemetry::DISCONNECTS),
        (MetricKind::Histogram, telemetry::REQUEST_SECONDS),
        (MetricKind::Counter, telemetry::SENT_BYTES),
        (MetricKind::Counter, telemetry::RECEIVED_BYTES),
        (MetricKind::Counter, telemetry::PUSHES),
        (MetricKind::Counter, telemetry::UNREADABLE),
        (MetricKind::Gauge, telemetry::CLAIMS),
        (MetricKind::Gauge, telemetry::CLAIMS_UNSETTLED),
        (MetricKind::Gauge, telemetry::TOKEN_AGE_SECONDS),
        (MetricKind::Histogram, telemetry::LAG_SECONDS),
    ];
    for (key, _, _, _) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        assert!(documented.contains(&(kind, key.name())), "{kind:?} {}", key.name());
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_a_reason_of_its_own() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    client.shutdown(Duration::from_secs(5)).await;
    for (key, _, _, _) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(
            !key.labels().any(|label| label.key() == "reason" && label.value() == "health_check"),
            "{key:?}"
        );
    }
}
