//! Ending a client, politely and not.
use std::time::Duration;

use nacos_core::{ErrorKind, Instance, SessionState};
use tokio::time::Instant;

use crate::support::{connected, server, soon};

#[tokio::test(start_paused = true)]
async fn shutdown_withdraws_first_and_reports_it() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let report = client.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.withdrawn, report.unacknowledged), (2, 0));
    let last = server.last_request("InstanceRequest").expect("a request");
    assert_eq!(last.body["type"], "deregisterInstance");
    soon(server.until(|server| server.connections() == 0)).await;

    // Everything made by it has ended, and says so.
    assert_eq!(*client.state().get(), SessionState::Closed);
    assert_eq!(soon(watch.changed()).await, None);
    assert_eq!(client.configs().get("d").await.expect_err("closed").kind(), ErrorKind::Closed);
    let late = client.naming().register("late", Instance::new("10.0.0.1", 80)).expect("valid");
    assert_eq!(late.ready().await.expect_err("closed").kind(), ErrorKind::Closed);
    drop(guard);
    let again = client.shutdown(Duration::from_secs(5)).await;
    assert_eq!((again.withdrawn, again.unacknowledged), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_at_its_deadline_when_nobody_answers() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    server.black_hole(true);
    let began = Instant::now();
    let report = client.shutdown(Duration::from_secs(2)).await;
    assert_eq!((report.withdrawn, report.unacknowledged), (0, 1));
    assert!(Instant::now() - began <= Duration::from_millis(2100));
}

#[tokio::test(start_paused = true)]
async fn shutdown_reports_how_long_each_step_took() {
    const SLOW: Duration = Duration::from_millis(700);
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    server.delay(SLOW);
    let began = Instant::now();
    let report = client.shutdown(Duration::from_secs(5)).await;
    let took = Instant::now() - began;
    assert_eq!((report.withdrawn, report.unacknowledged), (1, 0));
    assert!((SLOW..2 * SLOW).contains(&report.withdrawing), "{report:?}");
    assert_eq!(report.withdrawing + report.closing, took, "{report:?}");
    assert!(report.closing < Duration::from_millis(100), "{report:?}");

    let server = self::server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    server.black_hole(true);
    let report = client.shutdown(Duration::from_secs(2)).await;
    assert_eq!((report.withdrawn, report.unacknowledged), (0, 1));
    let withdrawing = report.withdrawing.as_millis();
    assert!((2000..=2100).contains(&withdrawing), "all of the time that it had: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn last_handle_that_goes_closes_the_socket() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let state = client.state();
    let twin = client.clone();
    drop(client);
    drop(twin);
    assert!(state.get().is_connected(), "a guard keeps the session");
    assert_eq!(server.connections(), 1);
    drop(guard);
    soon(server.until(|server| server.connections() == 0)).await;
    soon(server.until(|server| server.instances("", "DEFAULT_GROUP", "orders").is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn readers_keep_nothing_alive() {
    let server = server().await;
    let client = connected(&server).await;
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let (mut document, mut state) = (watch.live(), client.state());
    drop((watch, client));
    assert_eq!(soon(document.changed()).await, None);
    while soon(state.changed()).await.is_some() {}
    soon(server.until(|server| server.connections() == 0)).await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_ready_deregisters() {
    let server = server().await;
    let client = connected(&server).await;
    server.delay(Duration::from_secs(2));
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let cancelled = tokio::time::timeout(Duration::from_secs(1), guard.ready()).await;
    assert!(cancelled.is_err());
    server.delay(Duration::ZERO);
    soon(server.until(|server| server.requests("InstanceRequest") == 2)).await;
    soon(server.until(|server| server.instances("", "DEFAULT_GROUP", "orders").is_empty())).await;
}

/// With several workers and in real time: sockets are closed by another one.
#[cfg(target_os = "linux")]
#[test]
fn shutdown_returns_when_the_sockets_are_closed() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = server().await;
        let port = server.addr().port() + 1000;
        let mut open = 0;
        for _ in 0..200 {
            let client = connected(&server).await;
            client.shutdown(Duration::from_secs(5)).await;
            open += ours(port);
            soon(server.until(|server| server.connections() == 0)).await;
        }
        assert_eq!(open, 0, "sockets still open after a shutdown of 200");
    });
}

#[cfg(target_os = "linux")]
/// Established connections of this machine to `port`, as clients see them.
fn ours(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let remote = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter(|line| {
            let mut columns = line.split_whitespace().skip(2);
            columns.next().is_some_and(|it| it.ends_with(&remote)) && columns.next() == Some("01")
        })
        .count()
}
