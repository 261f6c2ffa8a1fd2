//! Queries for watched documents, as an operator sees and stops them.
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use nacos_core::{ErrorKind, Freshness, PullMode, inspect};

use crate::support::{becomes, builder, connected, server, soon};

#[tokio::test(start_paused = true)]
async fn frozen_client_shows_what_it_had_and_says_so_until_it_is_thawed() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "limits", "1");
    let watch = client.configs().watch("limits").expect("valid").ready().await.expect("answered");
    let content = || watch.state().document().map(|document| document.content.to_string());
    assert_eq!(content().as_deref(), Some("1"));

    client.configs().freeze();
    let is_frozen = |report: &nacos_core::StormReport| report.mode.name() == "frozen";
    becomes(&mut client.configs().storm(), is_frozen).await;
    server.publish("", "DEFAULT_GROUP", "limits", "2");
    let is_stale = |freshness: &Freshness| {
        matches!(freshness, Freshness::Stale { why: ErrorKind::Overloaded, .. })
    };
    becomes(&mut watch.freshness(), is_stale).await;
    assert_eq!(content().as_deref(), Some("1"));
    let read = client.configs().get("limits").await.expect("answered").expect("there");
    assert_eq!(&*read.content, "2", "a get is no pull");
    becomes(&mut client.configs().storm(), |report| report.is_alarming).await;
    let session = client.inspected().remove(0);
    let pulls = session.report();
    let pulls = pulls.get("pulls").expect("a part of it");
    assert_eq!(pulls.get("mode"), Some(&inspect::Tree::from("frozen")));
    assert_eq!(pulls.get("waiting"), Some(&inspect::Tree::from(1_u64)));

    session.act(&inspect::Action::new("thaw")).expect("known");
    becomes(&mut watch.live(), |state| {
        state.document().is_some_and(|document| &*document.content == "2")
    })
    .await;
    becomes(&mut watch.freshness(), Freshness::is_confirmed).await;
    assert_eq!(client.configs().storm().get().mode, PullMode::Normal);
}

#[tokio::test(start_paused = true)]
async fn decisions_about_pulls_are_measured() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = server().await;
    let client = builder(&server).pull_burst(1).pull_rate(1).connect().await.expect("there");
    for name in ["a", "b", "c"] {
        server.publish("", "DEFAULT_GROUP", name, "1");
    }
    let watch = |name| client.configs().watch(name).expect("valid").ready();
    let mut watches = Vec::new();
    for name in ["a", "b", "c"] {
        watches.push(watch(name).await.expect("answered"));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    for name in ["a", "b", "c"] {
        server.publish("", "DEFAULT_GROUP", name, "2");
    }
    for watch in &watches {
        becomes(&mut watch.live(), |state| {
            state.document().is_some_and(|document| &*document.content == "2")
        })
        .await;
    }
    soon(async { becomes(&mut client.configs().storm(), |report| report.waiting == 0).await })
        .await;
    let counted = |name: &str, label: &str| -> u64 {
        let all = snapshotter.snapshot().into_vec();
        let found = all.into_iter().filter_map(|(key, _, _, value)| {
            let (_, key) = key.into_parts();
            let is_it = key.name() == name && key.labels().any(|other| other.value() == label);
            match value {
                DebugValue::Counter(count) if is_it => Some(count),
                _ => None,
            }
        });
        found.sum()
    };
    let counts = client.configs().storm().get().counts;
    assert_eq!((counts.start, counts.push), (3, 3));
    assert!(counts.held.throttled > 0, "{counts:?}");
    assert_eq!(counted("nacos_config_pulls_total", "push"), 3);
}
