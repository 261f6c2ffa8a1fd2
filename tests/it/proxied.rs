//! The client behind a network that fails: what becomes of it, beneath HTTP/2.
use std::time::Duration;

use nacos_core::{
    ClaimState, Client, DocumentState, Instance, Live, Publish, Registration, SessionState, Watch,
};
use nacos_testkit::{
    Server,
    proxy::{Command, Direction, FaultProxy, Script},
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{BEHAVIOURS, becomes, reconnected, server, server_like, soon};

/// A client behind a proxy, with an instance and a document.
struct Behind {
    server: Server,
    proxy: FaultProxy,
    client: Client,
    registration: Registration,
    watch: Watch,
}

impl Behind {
    async fn new(server: Server) -> Self {
        let proxy = front(&server).await;
        server.publish("", "DEFAULT_GROUP", "d", "first");
        let client = Client::builder().server_addr(proxy.addr().to_string());
        let client = client.connect().await.expect("the server is there");
        let instance = Instance::new("10.0.0.1", 80);
        let registration = client.naming().register("orders", instance).expect("valid");
        let registration = registration.ready().await.expect("registered");
        let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
        Self { server, proxy, client, registration, watch }
    }

    fn apply(&self, command: Command) {
        self.proxy.apply(command).expect("the ports are reserved");
    }

    /// Waits until the client has all that it claims, on the server and from it.
    async fn converges(&self, content: &str) {
        becomes(&mut self.registration.claim(), |state| *state == ClaimState::Held).await;
        becomes(&mut self.document(), |state| text(state) == Some(content)).await;
        soon(self.server.until(|server| {
            let listened = server.listeners("", "DEFAULT_GROUP", "d") == 1;
            listened && server.instances("", "DEFAULT_GROUP", "orders").len() == 1
        }))
        .await;
    }

    fn document(&self) -> Live<DocumentState> {
        self.watch.live()
    }
}

async fn front(server: &Server) -> FaultProxy {
    FaultProxy::nacos(server.addr()).await.expect("ports on loopback")
}

fn text(state: &DocumentState) -> Option<&str> {
    state.document().map(|document| &*document.content)
}

#[tokio::test(start_paused = true)]
async fn black_hole_is_suspected_and_replaced_within_six_seconds() {
    for command in [
        Command::black_hole(),
        Command::black_hole().to_client(),
        Command::black_hole().to_server(),
    ] {
        let behind = Behind::new(server().await).await;
        let began = Instant::now();
        behind.apply(command.existing());
        reconnected(&behind.client, 1).await;
        let took = Instant::now() - began;
        assert!(took <= Duration::from_millis(6100), "{command}: {took:?}");
        behind.apply(Command::pass());
        behind.converges("first").await;
    }
}

#[tokio::test(start_paused = true)]
async fn short_black_hole_costs_neither_the_connection_nor_a_change() {
    let behind = Behind::new(server().await).await;
    behind.apply(Command::black_hole());
    behind.server.publish("", "DEFAULT_GROUP", "d", "second");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(text(&behind.watch.state()), Some("first"));
    behind.apply(Command::pass());
    behind.converges("second").await;
    assert_eq!(behind.client.stats().get().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn reset_connection_is_replaced_at_once_with_its_claims() {
    for behaviour in BEHAVIOURS {
        for command in [Command::reset(), Command::reset().to_client()] {
            let behind = Behind::new(server_like(behaviour).await).await;
            let began = Instant::now();
            behind.apply(command);
            reconnected(&behind.client, 1).await;
            behind.server.publish("", "DEFAULT_GROUP", "d", "second");
            behind.converges("second").await;
            let took = Instant::now() - began;
            assert!(took < Duration::from_millis(600), "{command}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_is_the_end_of_the_connection() {
    for command in [Command::half_close().to_client(), Command::half_close().to_server()] {
        let behind = Behind::new(server().await).await;
        let began = Instant::now();
        behind.apply(command);
        reconnected(&behind.client, 1).await;
        behind.converges("first").await;
        let took = Instant::now() - began;
        assert!(took < Duration::from_millis(600), "{command}: {took:?}");
        soon(behind.proxy.until(|proxy| proxy.connections() == 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lazy_client_is_connected_once_it_is_no_longer_refused() {
    let server = server().await;
    let proxy = front(&server).await;
    proxy.apply(Command::refuse()).expect("closed");
    let client = Client::builder().server_addr(proxy.addr().to_string());
    let client = client.connect_lazy().expect("valid options");
    let instance = Instance::new("10.0.0.1", 80);
    let guard = client.naming().register("orders", instance).expect("valid");
    let mut state = client.state();
    becomes(&mut state, |state| matches!(state, SessionState::Backoff { .. })).await;
    sleep(Duration::from_secs(30)).await;
    assert!(!state.get().is_connected());
    assert_eq!(proxy.accepted(), 0);

    proxy.apply(Command::accept()).expect("the ports are reserved");
    let began = Instant::now();
    becomes(&mut state, SessionState::is_connected).await;
    // In the first 75 s a try comes every 250 ms.
    assert!(Instant::now() - began <= Duration::from_millis(300));
    let _guard = guard.ready().await.expect("registered");
    assert_eq!(server.instances("", "DEFAULT_GROUP", "orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn large_push_over_a_slow_link_costs_no_connection() {
    let pushed = LargePush::after(Duration::ZERO, 2_000_000).await;
    assert!(pushed.took > Duration::from_secs(1), "{:?}", pushed.took);
    sleep(Duration::from_secs(20)).await;
    // At least: what is asked for otherwise meanwhile is a sign of life, too.
    assert!(pushed.behind.server.requests("HealthCheckRequest") >= 2);
    assert_eq!(pushed.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn push_under_way_is_a_sign_of_life() {
    // The health check is due a second after the push has begun, and its answer comes behind it.
    let pushed = LargePush::after(Duration::from_secs(4), 1_200_000).await;
    assert!(pushed.took > Duration::from_secs(2), "{:?}", pushed.took);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(pushed.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn document_that_takes_longer_than_one_try_arrives() {
    let behind = Behind::new(server().await).await;
    behind.apply(Command::throttle(600_000).to_client());
    let large = "x".repeat(3_000_000);
    behind.server.publish("", "DEFAULT_GROUP", "d", large.as_str());
    let arrived = timeout(Duration::from_secs(60), behind.converges(&large)).await;
    let delivered = behind.proxy.delivered(Direction::ToClient);
    assert!(arrived.is_ok(), "after {delivered} bytes in a minute");
}

#[tokio::test(start_paused = true)]
async fn document_that_takes_longer_than_one_try_is_published() {
    let behind = Behind::new(server().await).await;
    behind.apply(Command::throttle(600_000).to_server());
    let large = Publish::new("d", "x".repeat(3_000_000)).expect("valid");
    behind.client.configs().publish(large).await.expect("it takes five seconds, and is answered");
    let stored = behind.server.document("", "DEFAULT_GROUP", "d").expect("published");
    assert_eq!(stored.content.len(), 3_000_000);
}

#[tokio::test(start_paused = true)]
async fn publish_under_way_outlasts_a_planned_move() {
    let behind = Behind::new(server().await).await;
    behind.apply(Command::throttle(500_000).to_server());
    let large = Publish::new("other", "x".repeat(3_000_000)).expect("valid");
    let configs = behind.client.configs();
    let began = Instant::now();
    let publish = async {
        configs.publish(large).await.expect("nobody ends its connection");
        assert!(
            Instant::now() - began > Duration::from_secs(5),
            "it took longer than a retirement"
        );
    };
    let planned = async {
        behind.server.reset_connections(None);
        reconnected(&behind.client, 1).await;
        assert!(Instant::now() - began < Duration::from_secs(2), "the move does not wait");
    };
    tokio::join!(publish, planned);
    soon(behind.proxy.until(|proxy| proxy.connections() == 1)).await;
    assert!(Instant::now() - began < Duration::from_secs(8), "and is kept no longer");
    behind.apply(Command::pass());
    behind.converges("first").await;
}

#[tokio::test(start_paused = true)]
async fn options_say_how_long_silence_is_borne() {
    let server = server().await;
    let proxy = front(&server).await;
    let client = Client::builder()
        .server_addr(proxy.addr().to_string())
        .health_check_interval(Duration::from_secs(1))
        .suspect_after(Duration::from_millis(100));
    let client = client.connect().await.expect("the server is there");
    let began = Instant::now();
    proxy.apply(Command::black_hole().existing()).expect("it goes on");
    reconnected(&client, 1).await;
    let took = Instant::now() - began;
    assert!(took < Duration::from_millis(1300), "{took:?}");
}

/// A push of three megabytes that has arrived.
struct LargePush {
    behind: Behind,
    took: Duration,
}

impl LargePush {
    /// After this much silence, over a link of so many bytes per second.
    async fn after(silence: Duration, bytes_per_second: u32) -> Self {
        let behind = Behind::new(server().await).await;
        let orders = behind.client.naming().subscribe("orders").expect("valid");
        let orders = orders.ready().await.expect("an answer");
        behind.apply(Command::throttle(bytes_per_second).to_client());
        let mut large = nacos_testkit::Instance::new("10.0.0.2", 80);
        large.metadata.insert("large".to_owned(), "x".repeat(3_000_000));
        sleep(silence).await;
        let began = Instant::now();
        behind.server.register("", "DEFAULT_GROUP", "orders", large);
        becomes(&mut orders.live(), |service| service.instances.len() == 2).await;
        Self { behind, took: Instant::now() - began }
    }

    fn connects(&self) -> u64 {
        self.behind.client.stats().get().connects
    }
}

#[tokio::test(start_paused = true)]
async fn slow_network_with_jitter_is_no_outage() {
    let behind = Behind::new(server().await).await;
    behind.apply(Command::delay(Duration::from_millis(300), Duration::from_millis(100)));
    for round in 0..10 {
        let content = format!("round {round}");
        behind.server.publish("", "DEFAULT_GROUP", "d", content.as_str());
        behind.converges(&content).await;
        sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(behind.client.stats().get().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn client_converges_after_any_faults_of_the_network() {
    for seed in 0..20_u8 {
        let behaviour = BEHAVIOURS[usize::from(seed) % BEHAVIOURS.len()];
        let script = Script::random(seed.into(), Duration::from_secs(20));
        let behind = Behind::new(server_like(behaviour).await).await;
        let changes = async {
            for round in 0..40 {
                behind.server.publish("", "DEFAULT_GROUP", "d", format!("round {round}"));
                sleep(Duration::from_millis(500)).await;
            }
            // While the last fault may still be on.
            behind.server.publish("", "DEFAULT_GROUP", "d", "last");
        };
        let (played, ()) = tokio::join!(behind.proxy.play(&script), changes);
        played.expect("the ports are reserved");
        let healed = timeout(Duration::from_secs(30), behind.converges("last")).await;
        let state = (behind.client.state().get(), behind.client.stats().get());
        assert!(healed.is_ok(), "{behaviour:?}, {state:?}\n{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_right_after_a_planned_move_is_gone() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = Client::builder()
            .server_addr(server.addr().to_string())
            .connect()
            .await
            .expect("there");
        let guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
        let guard = guard.ready().await.expect("registered");
        server.reset_connections(None);
        reconnected(&client, 1).await;
        becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
        guard.deregister().await.expect("the server has agreed");
        let left = server.instances("", "DEFAULT_GROUP", "o");
        assert!(left.is_empty(), "{behaviour:?}: {left:?}");
    }
}
