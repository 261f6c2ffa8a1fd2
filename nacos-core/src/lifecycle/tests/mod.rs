//! Whole lives of servers, on a paused clock, against a Nacos in the process.
mod world;

use std::{pin::pin, sync::Arc, task::Context, time::Duration};

use nacos_testkit::{Server as Nacos, within};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    time::Instant,
};

use self::world::{Line, World, ask, finish, outcome, outcomes, run, took};
use super::{Bound, Lifecycle, Outcome, Readiness, Step};
use crate::{Client, ErrorKind, inspect::Inspect, live::live, testing::inline_waker};

#[tokio::test(start_paused = true)]
async fn listens_before_it_is_registered() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    // The first bytes are answered while Nacos knows no instance yet.
    let warm = Arc::new(Notify::new());
    let warm_up = Arc::clone(&warm);
    let _ended = run(world.on(bound).ready_when(async move { warm_up.notified().await }));
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    assert!(world.instances().is_empty());
    warm.notify_one();
    world.registered(1).await;
    assert_eq!(world.instances()[0].port, u32::from(address.port()));
    assert_eq!(world.instances()[0].ip, "127.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_told_of_readiness_may_look_at_the_lifecycle_at_once() {
    let world = World::new().await;
    let waker = inline_waker({
        let lifecycle = world.lifecycle.clone();
        move || drop(lifecycle.shared.report())
    });
    let mut readiness = world.lifecycle.readiness();
    let mut changed = pin!(readiness.changed());
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    world.lifecycle.join().ready();
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[tokio::test(start_paused = true)]
async fn serves_on_after_nacos_has_forgotten_it() {
    let world = World::with(Nacos::builder().naming_push_delay(Duration::from_millis(500))).await;
    let (bound, address) = world.bound().await;
    let ended = run(world.on(bound));
    world.registered(1).await;
    world.shutdown.begin();
    world.registered(0).await;
    // Subscribers are not told yet, so that callers may still come.
    assert_eq!(ask(address, b'p').await.expect("still accepts"), b'p');
    let report = finish(ended).await;
    assert_eq!(outcomes(&report), [Outcome::Completed; 8]);
    assert!(took(&report, Step::Observe) >= Duration::from_millis(490), "{report}");
    assert!(took(&report, Step::Grace) >= Duration::from_secs(1), "{report}");
    assert!(ask(address, b'p').await.is_err());
    assert!(!world.nacos.state().get().is_connected(), "the client is closed");
}

#[tokio::test(start_paused = true)]
async fn own_withdrawal_is_observed_while_consumers_still_doubt_empty_lists() {
    let world = World::with(Nacos::builder().naming_push_delay(Duration::from_millis(500))).await;
    let (bound, _) = world.bound().await;
    let ended = run(world.on(bound));
    world.registered(1).await;
    let consumer = world.nacos.naming().subscribe("orders").expect("valid");
    consumer.live().wait_for(|service| service.instances.len() == 1).await.expect("alive");
    world.server.restart().await.expect("its ports are free");
    world.server.until(|_| world.instances().len() == 1).await;
    world.shutdown.begin();
    let report = finish(ended).await;
    assert_eq!(outcomes(&report), [Outcome::Completed; 8], "{report}");
    assert!(took(&report, Step::Observe) < Duration::from_secs(1), "{report}");
    assert!(consumer.service().held);
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_finish() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    let (release, stopped) = (Arc::clone(&bound.release), Arc::clone(&bound.stopped));
    let ended = run(world.on(bound));
    world.registered(1).await;
    let slow = tokio::spawn(ask(address, b'w'));
    world.shutdown.begin();
    stopped.notified().await;
    assert!(ask(address, b'p').await.is_err());
    release.notify_one();
    assert_eq!(slow.await.expect("no panic").expect("answered"), b'w');
    let report = finish(ended).await;
    assert_eq!(report.cut, 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn hard_limit_cuts_what_does_not_end() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    let ended = run(world.on(bound).with_drain_limit(Duration::from_secs(3)));
    world.registered(1).await;
    let stuck = tokio::spawn(ask(address, b's'));
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    world.shutdown.begin();
    let report = finish(ended).await;
    assert_eq!((report.cut, outcome(&report, Step::Drain)), (1, Outcome::TimedOut), "{report}");
    assert!(took(&report, Step::Drain) < Duration::from_millis(3300), "{report}");
    assert!(stuck.await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn hurry_ends_everything_at_once() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    let stopped = Arc::clone(&bound.stopped);
    let ended = run(world.on(bound));
    world.registered(1).await;
    let stuck = tokio::spawn(ask(address, b's'));
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    world.shutdown.begin();
    stopped.notified().await;
    let hurried = Instant::now();
    world.shutdown.hurry();
    let report = finish(ended).await;
    assert_eq!((report.cut, outcome(&report, Step::Drain)), (1, Outcome::Hurried), "{report}");
    assert!(hurried + Duration::from_millis(100) > Instant::now(), "{report}");
    assert!(stuck.await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn silent_nacos_delays_the_end_by_seconds_only() {
    let world = World::new().await;
    let (bound, _) = world.bound().await;
    let ended = run(world.on(bound));
    world.registered(1).await;
    world.server.black_hole(true);
    let asked = Instant::now();
    world.shutdown.begin();
    let report = finish(ended).await;
    assert_eq!(outcome(&report, Step::Withdraw), Outcome::TimedOut, "{report}");
    assert!(asked + Duration::from_secs(4) > Instant::now(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn deadline_holds_when_nothing_answers() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    let ended = run(world.on(bound).with_deadline(Duration::from_secs(7)));
    world.registered(1).await;
    let stuck = tokio::spawn(ask(address, b's'));
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    world.server.black_hole(true);
    let asked = Instant::now();
    world.shutdown.begin();
    let report = finish(ended).await;
    assert!(asked + Duration::from_secs(7) >= Instant::now(), "{report}");
    assert_eq!(report.cut, 1, "{report}");
    assert!(stuck.await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn servers_of_one_lifecycle_end_together_and_the_last_closes() {
    let world = World::new().await;
    let lifecycle = world.lifecycle.clone();
    let mut readiness = lifecycle.readiness();
    let [(one, _), (two, _)] = [world.bound().await, world.bound().await];
    let (release, stays) = (Arc::clone(&two.release), two.listener.local_addr().expect("bound"));
    let join = |line| Bound::new(line).with_nacos(&lifecycle, "orders").without_signals();
    let [one, two] = [run(join(one)), run(join(two))];
    world.registered(2).await;
    let slow = tokio::spawn(ask(stays, b'w'));
    lifecycle.shutdown().begin();
    readiness.wait_for(|readiness| *readiness == Readiness::Stopping).await.expect("alive");
    let first = finish(one).await;
    assert_eq!(outcome(&first, Step::Close), Outcome::Skipped, "{first}");
    assert!(world.nacos.state().get().is_connected());
    release.notify_one();
    assert_eq!(slow.await.expect("no panic").expect("answered"), b'w');
    let last = finish(two).await;
    assert_eq!(outcome(&last, Step::Close), Outcome::Completed, "{last}");
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_given_the_client_join_its_lifecycle() {
    let world = World::new().await;
    let [(one, _), (two, _)] = [world.bound().await, world.bound().await];
    let one = run(world.on(one));
    let two = Bound::new(two).with_nacos(&world.nacos, "orders").without_signals();
    let two = run(two);
    world.registered(2).await;
    // The trigger of one ends both, and the last one closes the client.
    world.shutdown.begin();
    let reports = [finish(one).await, finish(two).await];
    let closed = reports.iter().filter(|report| outcome(report, Step::Close) == Outcome::Completed);
    assert_eq!(closed.count(), 1);
    assert!(world.instances().is_empty());
}

#[tokio::test(start_paused = true)]
async fn registration_that_is_refused_for_the_moment_does_not_end_the_start() {
    let world = World::new().await;
    world.server.answer_next("InstanceRequest", 503);
    let (bound, address) = world.bound().await;
    let ended = run(world.on(bound));
    world.registered(1).await;
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    world.shutdown.begin();
    finish(ended).await;
}

#[tokio::test(start_paused = true)]
async fn refused_registration_is_an_error() {
    let world = World::new().await;
    world.server.answer_always("InstanceRequest", Some(403));
    let (bound, address) = world.bound().await;
    let error = world.on(bound).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(ask(address, b'p').await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_nacos_only_the_lazy_serve() {
    let world = World::new().await;
    world.server.stop().await;
    let nacos = || {
        let builder = Client::builder().server_addr(world.server.addr().to_string());
        builder.connect_lazy().expect("valid")
    };
    let (bound, _) = world.bound().await;
    let serving = Bound::new(bound).with_nacos(&nacos(), "orders").without_signals();
    assert_eq!(serving.await.expect_err("nobody there").kind(), ErrorKind::Disconnected);

    let (bound, address) = world.bound().await;
    let lifecycle = Lifecycle::of(&nacos());
    let serving = Bound::new(bound).with_nacos(&lifecycle, "orders").without_signals();
    let ended = run(serving.register_lazily());
    lifecycle.readiness().wait_for(|readiness| readiness.is_ready()).await.expect("alive");
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    world.server.resume().await.expect("its ports are free");
    world.server.until(|_| world.instances().len() == 1).await;
    lifecycle.shutdown().begin();
    assert_eq!(outcome(&finish(ended).await, Step::Withdraw), Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn end_before_the_beginning_registers_nothing() {
    let world = World::new().await;
    let (bound, _) = world.bound().await;
    world.shutdown.begin();
    let report = finish(run(world.on(bound).ready_when(std::future::pending()))).await;
    assert_eq!(report.instance, None);
    assert_eq!(world.server.requests("InstanceRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_server_is_deregistered_and_its_connections_are_cut() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    let ended = run(world.on(bound));
    world.registered(1).await;
    let stuck = tokio::spawn(ask(address, b's'));
    assert_eq!(ask(address, b'p').await.expect("answered"), b'p');
    ended.abort();
    world.registered(0).await;
    assert!(stuck.await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn unspecified_listener_registers_what_reaches_nacos() {
    let world = World::new().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let ended = run(world.on(Line::new(listener)).with_metadata("zone", "b").with_weight(2.0));
    world.registered(1).await;
    let instance = &world.instances()[0];
    assert_eq!((instance.ip.as_str(), instance.weight), ("127.0.0.1", 2.0));
    world.shutdown.begin();
    let registered = finish(ended).await.instance.expect("registered");
    assert_eq!(registered.metadata["zone"], "b");
}

#[tokio::test(start_paused = true)]
async fn address_of_another_host_is_not_replaced_by_loopback() {
    let world = World::new().await;
    let mut registrar = world.routed("10.9.9.9");
    registrar.register(false).await.expect("connected");
    registrar.acknowledged().await.expect("acknowledged");
    registrar.follow_route(&world.server.addr().to_string()).await;
    assert!(!registrar.reconcile().expect("valid"));
    assert_eq!(registrar.instance().expect("registered").ip, "10.9.9.9");
}

#[tokio::test(start_paused = true)]
async fn address_that_changes_is_registered_in_place_of_the_former() {
    let world = World::new().await;
    let mut registrar = world.routed("10.9.9.9");
    registrar.register(false).await.expect("connected");
    registrar.acknowledged().await.expect("acknowledged");
    assert!(!registrar.reconcile().expect("valid"), "nothing has changed");
    registrar.route_through("10.9.9.10");
    assert!(registrar.reconcile().expect("valid"));
    let ips = || world.instances().into_iter().map(|it| it.ip).collect::<Vec<_>>();
    world.server.until(|_| ips() == ["10.9.9.10"]).await;
    assert_eq!(registrar.instance().expect("registered").ip, "10.9.9.10");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_registered_is_refused_before_anything_is_served() {
    let world = World::new().await;
    let (bound, _) = world.bound().await;
    let error = world.on(bound).with_ip("0.0.0.0").await.expect_err("nobody could call it");
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    let (bound, _) = world.bound().await;
    let serving = Bound::new(bound).with_nacos(&world.nacos, "no@@such@@name");
    assert_eq!(serving.await.expect_err("no name").kind(), ErrorKind::InvalidName);
}

#[tokio::test(start_paused = true)]
async fn unhealthy_server_is_disabled_and_not_ready_until_it_is_healthy_again() {
    let world = World::new().await;
    let (bound, address) = world.bound().await;
    let (health, is_healthy) = live(true);
    let ended = run(world.on(bound).with_health(is_healthy));
    world.registered(1).await;
    let mut readiness = world.lifecycle.readiness();
    health.publish(false);
    readiness.wait_for(|now| *now == Readiness::Unhealthy).await.expect("alive");
    world.server.until(|_| !world.instances()[0].enabled).await;
    assert_eq!(ask(address, b'p').await.expect("still serves"), b'p');
    health.publish(true);
    readiness.wait_for(|now| *now == Readiness::Ready).await.expect("alive");
    world.server.until(|_| world.instances()[0].enabled).await;
    // The source goes away, and the server stays as it was.
    drop(health);
    world.shutdown.begin();
    assert_eq!(outcomes(&finish(ended).await), [Outcome::Completed; 8]);
}

#[tokio::test(start_paused = true)]
async fn server_that_begins_unhealthy_is_registered_disabled() {
    let world = World::new().await;
    let (bound, _) = world.bound().await;
    let (health, is_healthy) = live(false);
    let ended = run(world.on(bound).with_health(is_healthy).register_lazily());
    world.server.until(|_| world.instances().len() == 1).await;
    assert!(!world.instances()[0].enabled);
    assert_eq!(*world.lifecycle.readiness().get(), Readiness::Unhealthy);
    health.publish(true);
    world.registered(1).await;
    world.server.until(|_| world.instances()[0].enabled).await;
    world.shutdown.begin();
    finish(ended).await;
}

#[tokio::test(start_paused = true)]
async fn server_that_becomes_unhealthy_while_it_warms_up_is_never_enabled() {
    let world = World::new().await;
    let (bound, _) = world.bound().await;
    let (health, is_healthy) = live(true);
    let (warm, warmed) = oneshot::channel::<()>();
    let warm_up = async move { warmed.await.expect("it does warm up") };
    let ended = run(world.on(bound).ready_when(warm_up).with_health(is_healthy));
    tokio::time::sleep(Duration::from_secs(1)).await;
    health.publish(false);
    warm.send(()).expect("it is waited for");
    world.server.until(|_| world.instances().len() == 1).await;
    assert!(!world.instances()[0].enabled, "from the first request on");
    world.shutdown.begin();
    finish(ended).await;
}

#[tokio::test(start_paused = true)]
async fn lazy_server_without_nacos_is_as_ready_as_it_is_healthy() {
    let world = World::new().await;
    world.server.stop().await;
    let (bound, _) = world.bound().await;
    let (health, is_healthy) = live(true);
    let ended = run(world.on(bound).with_health(is_healthy).register_lazily());
    let mut readiness = world.lifecycle.readiness();
    readiness.wait_for(|now| now.is_ready()).await.expect("alive");
    health.publish(false);
    readiness.wait_for(|now| *now == Readiness::Unhealthy).await.expect("alive");
    health.publish(true);
    readiness.wait_for(|now| now.is_ready()).await.expect("alive");
    ended.abort();
}

#[tokio::test(start_paused = true)]
async fn cold_server_gets_its_weight_in_steps_once_and_not_after_a_reconnect() {
    let world = World::new().await;
    let (bound, _) = world.bound().await;
    let over = Duration::from_secs(10);
    let ended = run(world.on(bound).with_weight(2.0).with_weight_ramp(over));
    world.registered(1).await;
    let began = Instant::now();
    for (seconds, weight) in [(0, 0.2), (2, 0.56), (4, 0.92), (6, 1.28), (8, 1.64), (10, 2.0)] {
        let is = |server: &Nacos| {
            let instances = server.instances("", "DEFAULT_GROUP", "orders");
            instances.iter().any(|instance| (instance.weight - weight).abs() < 1e-9)
        };
        within(over, world.server.until(is)).await;
        assert_eq!((Instant::now() - began).as_secs(), seconds, "{weight}");
    }
    world.server.restart().await.expect("its ports are free");
    world.server.until(|_| world.instances().len() == 1).await;
    assert!((world.instances()[0].weight - 2.0).abs() < 1e-9);
    world.shutdown.begin();
    finish(ended).await;
}
