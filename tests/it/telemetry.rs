//! The metrics, as a recorder sees them.
use std::{collections::BTreeMap, time::Duration};

use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use nacos_core::{Instance, telemetry};
use nacos_figment::telemetry as figment;

use crate::{
    address_server::AddressServer,
    leaving::Leaving,
    support::{self, becomes, builder, connected, reconnected, server, soon},
};

/// Everything recorded since the last time: `name{label=value,…}` and its value, that of a
/// histogram being its count, that of a gauge its change.
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

    let server =
        support::start(nacos_testkit::Server::builder().credentials("nacos", "secret")).await;
    let client = builder(&server).credentials("nacos", "secret").connect().await.expect("there");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("answered");
    client.configs().get("d").await.expect("answered");
    server.answer_next("ConfigQueryRequest", 500);
    client.configs().get("d").await.expect_err("refused");
    server.push_raw("NoveltyRequest", serde_json::json!({"requestId": "1"}));
    soon(server.until(|server| server.acks("NoveltyResponse") == 1)).await;
    server.push_raw("NotifySubscriberRequest", serde_json::json!({"serviceInfo": 7}));
    soon(server.until(|server| server.acks("NotifySubscriberResponse") == 1)).await;
    // One that is not acknowledged while this looks.
    server.delay(Duration::from_secs(1));
    let slow = client.naming().register("slow", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut client.stats(), |stats| stats.unsettled == 1).await;
    let early = recorded(&snapshotter);
    assert_eq!(early.get("nacos_claims_unsettled{}"), Some(&1.0), "{early:#?}");
    server.delay(Duration::ZERO);
    let slow = slow.ready().await.expect("registered");
    // Long enough for a health check.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let connects = client.stats().get().connects;
    server.drop_connections();
    reconnected(&client, connects).await;

    let mut now = recorded(&snapshotter);
    for (name, value) in early {
        *now.entry(name).or_default() += value;
    }
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
        ("nacos_unreadable_total{}", 1.0),
        ("nacos_session_lag_seconds{}", 1.0),
    ] {
        assert!(now.get(name).is_some_and(|&value| value >= at_least), "{name} in {now:#?}");
    }
    assert!(now.contains_key("nacos_token_age_seconds{}"));
    let ended = |name: &String| name.starts_with("nacos_disconnects_total{reason=");
    assert_eq!(now.keys().filter(|name| ended(name)).count(), 1, "{now:#?}");

    drop((guard, slow, watch, client));
    soon(server.until(|server| server.connections() == 0)).await;
    let after = recorded(&snapshotter);
    for (name, change) in after {
        let value = now.get(&name).unwrap_or(&0.0) + change;
        let gauge = [
            telemetry::SESSIONS,
            telemetry::SESSIONS_STARVED,
            telemetry::CLAIMS,
            telemetry::CLAIMS_UNSETTLED,
            telemetry::SERVICES_HELD,
        ];
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
    let first = recorded(&snapshotter);
    // A state that came and went is counted, too, though it was never shown.
    assert_eq!(first.get("nacos_sessions{state=connecting}"), Some(&0.0), "{first:#?}");
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
        (MetricKind::Counter, telemetry::OLDER_LISTS),
        (MetricKind::Gauge, telemetry::CLAIMS),
        (MetricKind::Gauge, telemetry::CLAIMS_UNSETTLED),
        (MetricKind::Gauge, telemetry::SERVICES_HELD),
        (MetricKind::Gauge, telemetry::TOKEN_AGE_SECONDS),
        (MetricKind::Histogram, telemetry::LAG_SECONDS),
        (MetricKind::Gauge, telemetry::SESSIONS_STARVED),
    ];
    for (key, _, _, _) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        assert!(documented.contains(&(kind, key.name())), "{kind:?} {}", key.name());
    }
}

#[tokio::test(start_paused = true)]
async fn recorder_that_is_installed_late_never_shows_less_than_nobody() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let held = guard.ready().await.expect("registered");
    let short = connected(&server).await;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    // Before anything could be said of it.
    short.shutdown(Duration::from_secs(1)).await;
    let gauges = |all: BTreeMap<String, f64>| -> Vec<_> {
        let gauge = |name: &String| name.contains("_sessions") || name.contains("_claims");
        all.into_iter().filter(|(name, _)| gauge(name)).collect()
    };
    let mut sums = BTreeMap::new();
    let mut add_up = || {
        for (name, change) in gauges(recorded(&snapshotter)) {
            let sum = sums.entry(name).or_insert(0.0);
            *sum += change;
            assert!(*sum > -1e-9, "{sums:?}");
        }
        sums.clone()
    };
    add_up();
    // The next health check.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let known = add_up();
    assert_eq!(known.get("nacos_sessions{state=connected}"), Some(&1.0), "{known:?}");
    assert_eq!(known.get("nacos_claims{}"), Some(&1.0), "{known:?}");
    {
        // Another recorder for a while changes nothing here.
        let other = DebuggingRecorder::new();
        let _recording = metrics::set_default_local_recorder(&other);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(recorded(&other.snapshotter()).get("nacos_claims{}"), Some(&1.0));
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(add_up(), known);
    client.shutdown(Duration::from_secs(1)).await;
    drop((client, held));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(add_up().values().all(|sum| sum.abs() < 1e-9), "{:?}", add_up());
}

#[tokio::test(start_paused = true)]
async fn every_name_has_a_description_and_a_unit() {
    let server = server().await;
    let early = connected(&server).await;
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let client = connected(&server).await;
    let config = nacos_figment::HotConfig::<BTreeMap<String, u32>>::builder(&client)
        .import(nacos_figment::Import::data_id("orders.properties"))
        .start();
    let config = config.await.expect("no document is one");
    let mut status = config.status();
    server.publish("", "DEFAULT_GROUP", "orders.properties", "a=1");
    becomes(&mut status, |status| status.generation == 2).await;
    server.publish("", "DEFAULT_GROUP", "orders.properties", "a=many");
    becomes(&mut status, |status| status.rejection.is_some()).await;
    early.configs().get("d").await.expect("answered");
    server.drop_connections();
    reconnected(&client, 1).await;
    let all = snapshotter.snapshot().into_vec();
    let names: Vec<_> = all.iter().map(|(key, ..)| key.key().name()).collect();
    for name in [figment::COMMITS, figment::REJECTIONS, figment::REJECTED, telemetry::CONNECTS] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for (key, unit, description, _) in all {
        let name = key.key().name();
        assert!(unit.is_some(), "{name} has no unit");
        assert!(description.is_some_and(|text| text.len() > 10), "{name} is not described");
    }
}

/// Why connections ended while this went on, and how many of each.
async fn ends_during(scenario: impl Future<Output = ()>) -> Vec<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    scenario.await;
    let ends = recorded(&snapshotter).into_iter().filter_map(|(name, count)| {
        let reason = name.strip_prefix("nacos_disconnects_total{reason=")?.strip_suffix('}')?;
        Some(format!("{reason} {count}"))
    });
    ends.collect()
}

#[tokio::test(start_paused = true)]
async fn connection_that_is_reset_has_ended_by_itself_also_under_load() {
    let ends = ends_during(async {
        let server = server().await;
        let client = connected(&server).await;
        server.drop_connections();
        reconnected(&client, 1).await;
        let configs = client.configs();
        let (one, two) = (Box::pin(configs.get("a")), Box::pin(configs.get("b")));
        let asked = server.requests("ConfigQueryRequest") + 2;
        server.delay(Duration::from_secs(1));
        let fault = async {
            server.until(|server| server.requests("ConfigQueryRequest") == asked).await;
            server.drop_connections();
            server.delay(Duration::ZERO);
        };
        let (one, two, ()) = soon(async { tokio::join!(one, two, fault) }).await;
        assert!(one.is_ok() && two.is_ok(), "answered by the next");
        let guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
    });
    assert_eq!(ends.await, ["connection 2"]);
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_alone_is_a_reason_of_its_own() {
    let ends = ends_during(async {
        let peer = Leaving::start().await;
        let client = peer.client().await;
        peer.end_streams();
        reconnected(&client, 1).await;
    });
    assert_eq!(ends.await, ["stream 1"]);
}

#[tokio::test(start_paused = true)]
async fn server_that_is_silent_is_lost_by_health_checks_if_there_is_no_other() {
    let ends = ends_during(async {
        let server = server().await;
        let client = connected(&server).await;
        server.black_hole(true);
        becomes(&mut client.state(), |state| !state.is_connected()).await;
    });
    assert_eq!(ends.await, ["health_check 1"]);
}

#[tokio::test(start_paused = true)]
async fn server_that_is_silent_is_suspect_if_there_is_another() {
    let ends = ends_during(async {
        let (one, two) = (server().await, server().await);
        let both = format!("{},{}", one.addr(), two.addr());
        let client = nacos_core::Client::builder().server_addr(both).connect().await;
        let client = client.expect("both are there");
        if one.connections() == 1 { &one } else { &two }.black_hole(true);
        reconnected(&client, 1).await;
    });
    assert_eq!(ends.await, ["suspect 1"]);
}

#[tokio::test(start_paused = true)]
async fn connection_that_the_server_does_not_know_is_unusable_whoever_learns_it() {
    let ends = ends_during(async {
        let server = server().await;
        let client = connected(&server).await;
        server.answer_next("ConfigQueryRequest", 301);
        client.configs().get("d").await.expect("answered by the next");
        server.answer_next("InstanceRequest", 301);
        let guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered over the next");
        server.answer_next("HealthCheckRequest", 301);
        reconnected(&client, 3).await;
    });
    assert_eq!(ends.await, ["unusable 3"]);
}

#[tokio::test(start_paused = true)]
async fn planned_moves_are_reasons_of_their_own() {
    let ends = ends_during(async {
        let server = server().await;
        let client = connected(&server).await;
        server.reset_connections(None);
        reconnected(&client, 1).await;
    });
    assert_eq!(ends.await, ["reset 1"]);
    let ends = ends_during(async {
        let (one, two) = (server().await, server().await);
        let addresses = AddressServer::start(&one.addr().to_string()).await;
        let client = addresses.client().connect().await.expect("it is there");
        addresses.answer(&two.addr().to_string());
        reconnected(&client, 1).await;
    });
    assert_eq!(ends.await, ["left 1"]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_a_reason_of_its_own() {
    let ends = ends_during(async {
        let server = server().await;
        let client = connected(&server).await;
        let guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        client.shutdown(Duration::from_secs(5)).await;
    });
    assert_eq!(ends.await, ["shutdown 1"]);
}

#[tokio::test(start_paused = true)]
async fn session_that_was_kept_waiting_shows_for_a_minute() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = server().await;
    let client = connected(&server).await;
    let starved = || recorded(&snapshotter).get("nacos_sessions_starved{}").copied();
    assert_eq!(starved(), None);
    // No task runs while the clock goes on.
    tokio::time::advance(Duration::from_secs(20)).await;
    becomes(&mut client.stats(), |stats| stats.lag >= Duration::from_secs(10)).await;
    assert_eq!(starved(), Some(1.0));
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(starved(), Some(-1.0));
}
