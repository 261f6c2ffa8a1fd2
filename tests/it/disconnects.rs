//! The traces of each end of a connection: in the stats, in reports, in the log.
use std::time::Duration;

use nacos_core::inspect::Tree;
use tracing::Level;

use crate::{
    logs::Log,
    support::{becomes, connected, reconnected, server},
};

#[tokio::test(start_paused = true)]
async fn silence_that_ends_a_connection_is_on_record_with_its_length_and_the_last_round_trip() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = connected(&server).await;
    server.delay(Duration::from_millis(70));
    // One health check.
    tokio::time::sleep(Duration::from_secs(6)).await;
    server.delay(Duration::ZERO);
    server.black_hole(true);
    becomes(&mut client.state(), |state| !state.is_connected()).await;

    let stats = client.stats().get();
    let [record] = &*stats.disconnects else { panic!("{stats:?}") };
    assert_eq!(record.reason, "health_check");
    assert_eq!(*record.server, server.addr().to_string());
    assert!(record.silent >= Duration::from_secs(13), "{record}");
    assert!(record.served > record.silent, "{record}");
    let round_trip = record.round_trip.expect("it was asked once");
    assert!((70..200).contains(&round_trip.as_millis()), "{record}");
    assert!(record.stall < Duration::from_secs(1), "{record}");

    // For operators at every level.
    let warnings = log.at(Level::WARN).join("\n");
    for part in ["silent for 1", "round trip 7", "runtime late by", "health_check"] {
        assert!(warnings.contains(part), "no {part:?}: {warnings}");
    }
    let details = log.at(Level::DEBUG);
    let ends = details.iter().filter(|line| line.contains("a connection has ended"));
    assert_eq!(ends.count(), 1, "{details:?}");

    let session = client.inspected().remove(0).report();
    let stats = session.get("stats").expect("they are reported");
    let Some(Tree::List(records)) = stats.get("disconnects") else { panic!("{session:?}") };
    let [report] = &records[..] else { panic!("{records:?}") };
    assert_eq!(report.get("reason"), Some(&Tree::from("health_check")));
    assert_eq!(report.get("round_trip_ms"), Some(&Tree::Count(70)));
    assert!(matches!(report.get("silent_ms"), Some(Tree::Count(13_000..))), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn runtime_that_did_not_run_is_on_record_beside_what_it_cost() {
    let server = server().await;
    let client = connected(&server).await;
    // No task runs while the clock goes on, and then the server has had enough.
    tokio::time::advance(Duration::from_secs(20)).await;
    becomes(&mut client.stats(), |stats| stats.lag >= Duration::from_secs(10)).await;
    let connects = client.stats().get().connects;
    server.drop_connections();
    reconnected(&client, connects).await;
    let stats = client.stats().get();
    let record = stats.disconnects.last().expect("it was lost");
    assert!(record.stall >= Duration::from_secs(10), "{record}");
    assert_eq!(record.reason, "connection");
    assert!(!record.cause.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_loss_is_on_record_in_the_log_and_in_reports() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = connected(&server).await;
    for connects in 1..=8 {
        server.drop_connections();
        reconnected(&client, connects).await;
    }
    let stats = client.stats().get();
    let lines = [log.at(Level::WARN), log.at(Level::INFO)].concat().join("\n");
    assert_eq!(stats.disconnects.len(), 8);
    for record in &*stats.disconnects {
        assert!(lines.contains(&record.to_string()), "no {record}: {lines}");
    }
    // A session that flaps fills no disk, and says what it has left out.
    for connects in 9..=20 {
        server.drop_connections();
        reconnected(&client, connects).await;
    }
    let said = |level| {
        log.at(level).into_iter().filter(|it| it.contains("runtime late by")).collect::<Vec<_>>()
    };
    // One in what is said of the first outage.
    assert_eq!((said(Level::WARN).len(), said(Level::INFO).len()), (1, 8));
    tokio::time::sleep(Duration::from_secs(60)).await;
    server.drop_connections();
    reconnected(&client, 21).await;
    let last = said(Level::WARN).pop().expect("just lost");
    assert!(last.contains("left_out=11"), "{last}");
    assert_eq!((said(Level::WARN).len(), said(Level::INFO).len()), (2, 8));
}

#[tokio::test(start_paused = true)]
async fn the_last_eight_ends_are_kept() {
    let server = server().await;
    let client = connected(&server).await;
    for connects in 1..=11 {
        server.drop_connections();
        reconnected(&client, connects).await;
    }
    let stats = client.stats().get();
    assert_eq!(stats.disconnects.len(), 8);
    assert!(stats.disconnects.is_sorted_by_key(|record| record.at));
    let planned = stats.connects;
    server.reset_connections(None);
    reconnected(&client, planned).await;
    let stats = client.stats().get();
    assert_eq!(stats.disconnects.len(), 8);
    assert_eq!(stats.disconnects.last().map(|record| record.reason), Some("reset"));
    // Each of them had only the handshake to be timed by.
    assert!(stats.disconnects.iter().all(|record| record.round_trip.is_some()));
}
