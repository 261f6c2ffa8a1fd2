//! Services: registered, subscribed to, queried, listed.
use std::{error::Error as _, time::Duration};

use nacos_core::{ClaimState, ErrorKind, Group, Instance, ServiceKey, SessionState};
use nacos_testkit::{Behaviour, Instance as Held, Server};
use tokio::time::sleep;

use crate::support::{
    BEHAVIOURS, becomes, chain, connected, reconnected, server, server_like, soon,
};

fn held(server: &Server, service: &str) -> Vec<String> {
    let held = server.instances("", "DEFAULT_GROUP", service);
    held.iter().map(|instance| format!("{}:{}", instance.ip, instance.port)).collect()
}

fn seen(service: &nacos_core::Service) -> Vec<String> {
    service.instances.iter().map(|instance| instance.address()).collect()
}

#[tokio::test(start_paused = true)]
async fn registration_lives_as_long_as_its_guard_on_every_server() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let instance = Instance::new("10.0.0.1", 80).with_weight(2.5).with_metadata("zone", "b");
        let guard = client.naming().register("orders", instance).expect("valid");
        let guard = guard.ready().await.expect("registered");
        let there = server.instances("", "DEFAULT_GROUP", "orders").remove(0);
        assert_eq!(
            (there.ip.as_str(), there.port, there.weight.to_string().as_str()),
            ("10.0.0.1", 80, "2.5")
        );
        assert_eq!(there.metadata.get("zone").map(String::as_str), Some("b"));

        drop(guard);
        soon(server.until(|server| held(server, "orders").is_empty())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn several_instances_of_one_service_stand_side_by_side_on_every_server() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let naming = connected(&server).await.naming();
        let register =
            |port| naming.register("orders", Instance::new("10.0.0.1", port)).expect("valid");
        let one = register(1).ready().await.expect("registered");
        let two = register(2).ready().await.expect("registered");
        let three = register(3).ready().await.expect("registered");
        assert_eq!(held(&server, "orders"), ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]);

        // Each takes away its own only.
        two.deregister().await.expect("agreed");
        assert_eq!(held(&server, "orders"), ["10.0.0.1:1", "10.0.0.1:3"]);
        one.deregister().await.expect("agreed");
        assert_eq!(held(&server, "orders"), ["10.0.0.1:3"]);
        three.deregister().await.expect("agreed");
        assert!(held(&server, "orders").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn instance_that_changes_all_the_time_keeps_no_other_of_its_service_waiting() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let naming = connected(&server).await.naming();
        let register =
            |port| naming.register("orders", Instance::new("10.0.0.1", port)).expect("valid");
        let mut ramp = register(1).ready().await.expect("registered");
        // Every answer finds another weight than its request had.
        server.delay(Duration::from_millis(30));
        let changes = async {
            for weight in 1.. {
                ramp.update(Instance::new("10.0.0.1", 1).with_weight(f64::from(weight)))
                    .expect("valid");
                sleep(Duration::from_millis(10)).await;
            }
        };
        let others = async {
            let other = register(2).ready().await.expect("registered");
            assert_eq!(held(&server, "orders").len(), 2);
            other.deregister().await.expect("agreed");
            assert_eq!(held(&server, "orders"), ["10.0.0.1:1"]);
            server.answer_always("InstanceRequest", Some(400));
            server.answer_always("BatchInstanceRequest", Some(400));
            let refused = |state: &ClaimState| matches!(state, ClaimState::Refused { .. });
            becomes(&mut register(3).claim(), refused).await;
        };
        tokio::select! {
            () = changes => {}
            () = soon(others) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn update_reaches_every_server_even_one_that_would_swallow_it() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let naming = connected(&server).await.naming();
        let heavy = Instance::new("10.0.0.1", 80).with_weight(5.0);
        let mut guard = naming
            .register("orders", heavy.clone())
            .expect("valid")
            .ready()
            .await
            .expect("registered");
        // Weight 1 means "as before" to r-nacos.
        guard.update(heavy.clone().with_weight(1.0)).expect("valid");
        let weight = |server: &Server| {
            server.instances("", "DEFAULT_GROUP", "orders").first().map(|i| i.weight.to_string())
        };
        soon(server.until(|server| weight(server).as_deref() == Some("1"))).await;
        guard.update(Instance::new("10.0.0.2", 80)).expect("valid");
        soon(server.until(|server| held(server, "orders") == ["10.0.0.2:80"])).await;
        becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    }
}

#[tokio::test(start_paused = true)]
async fn subscription_shows_the_whole_service_and_what_changed_in_it() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 80));
        let mut orders =
            client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
        assert_eq!(seen(&orders.service()), ["10.0.0.1:80"]);

        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.2", 80));
        let change = soon(orders.changed()).await.expect("a change");
        assert_eq!(change.added.len(), 1);
        assert!(change.removed.is_empty() && change.modified.is_empty());

        server.deregister("", "DEFAULT_GROUP", "orders", &Held::new("10.0.0.1", 80));
        let change = soon(orders.changed()).await.expect("a change");
        assert_eq!(change.removed[0].address(), "10.0.0.1:80");
        assert_eq!(seen(&orders.service()), ["10.0.0.2:80"]);
    }
}

#[tokio::test(start_paused = true)]
async fn last_instance_that_leaves_is_seen_to_leave() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 80));
        let mut orders =
            client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
        server.deregister("", "DEFAULT_GROUP", "orders", &Held::new("10.0.0.1", 80));
        assert_eq!(soon(orders.changed()).await.expect("a change").removed.len(), 1);
        assert!(orders.service().known && orders.service().instances.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_a_service_that_nobody_knows_is_no_error() {
    let server = server().await;
    let client = connected(&server).await;
    let nobody = client.naming().subscribe("nobody").expect("valid");
    assert!(!nobody.service().known);
    let nobody = nobody.ready().await.expect("an answer");
    assert!(nobody.service().known && nobody.service().instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_subscriptions_of_one_service_are_one() {
    let server = server().await;
    let client = connected(&server).await;
    let one = client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
    let two = client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
    assert_eq!(server.requests("SubscribeServiceRequest"), 1);
    drop(one);
    server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 80));
    let mut view = two.live();
    becomes(&mut view, |service| service.instances.len() == 1).await;
    drop(two);
    soon(server.until(|server| server.subscribers("", "DEFAULT_GROUP", "orders") == 0)).await;
    assert_eq!(soon(view.changed()).await, None, "a reader keeps nothing alive");
}

#[tokio::test(start_paused = true)]
async fn everything_is_back_after_a_restart_and_the_difference_is_reported() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.9", 80)).expect("valid");
        let guard = guard.ready().await.expect("registered");
        let mut stock =
            client.naming().subscribe("stock").expect("valid").ready().await.expect("an answer");
        let before = client.stats().get().connects;

        server.restart().await.expect("the same ports");
        server.register("", "DEFAULT_GROUP", "stock", Held::new("10.0.0.1", 80));
        reconnected(&client, before).await;
        soon(server.until(|server| held(server, "orders") == ["10.0.0.9:80"])).await;
        assert_eq!(soon(stock.changed()).await.expect("a change").added.len(), 1);
        becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    }
}

#[tokio::test(start_paused = true)]
async fn push_that_was_overtaken_does_not_bring_the_past_back() {
    let server = server().await;
    let client = connected(&server).await;
    server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 80));
    let orders =
        client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
    let past = serde_json::json!({"serviceInfo": {
        "name": "orders", "groupName": "DEFAULT_GROUP", "lastRefTime": server.clock_millis() - 2000,
        "hosts": [{"ip": "10.0.0.2", "port": 80, "weight": 1.0, "healthy": true}],
    }});
    let before = server.acks("NotifySubscriberResponse");
    server.push_raw("NotifySubscriberRequest", past);
    soon(server.until(|server| server.acks("NotifySubscriberResponse") > before)).await;
    server.push_raw("ClientDetectionRequest", serde_json::json!({}));
    soon(server.until(|server| server.acks("ClientDetectionResponse") == 1)).await;
    assert_eq!(seen(&orders.service()), ["10.0.0.1:80"]);
    assert_eq!(client.stats().get().overtaken, 1);
}

#[tokio::test(start_paused = true)]
async fn query_and_list_answer_once() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let naming = connected(&server).await.naming();
        server.register("", "DEFAULT_GROUP", "orders", Held::new("10.0.0.1", 80));
        server.register("", "OTHER", "hidden", Held::new("10.0.0.1", 80));
        assert_eq!(seen(&naming.query("orders").await.expect("an answer")), ["10.0.0.1:80"]);
        assert!(naming.query("nobody").await.expect("an answer").instances.is_empty());
        let page = naming.list(&Group::default(), 1, 10).await.expect("an answer");
        assert_eq!((page.total, page.names.as_slice()), (1, &["orders".to_owned()][..]));
        assert_eq!(server.subscribers("", "DEFAULT_GROUP", "orders"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn grouped_name_means_the_group() {
    let server = server().await;
    let client = connected(&server).await;
    let guard =
        client.naming().register("PAY@@orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    assert_eq!(server.instances("", "PAY", "orders").len(), 1);
    assert_eq!(
        seen(&client.naming().query(("orders", "PAY")).await.expect("an answer")),
        ["10.0.0.1:80"]
    );
}

#[tokio::test(start_paused = true)]
async fn persistent_instance_needs_a_server_that_can() {
    let server = server().await;
    let client = connected(&server).await;
    let instance = Instance::new("10.0.0.1", 80);
    client.naming().register_persistent("orders", &instance).await.expect("registered");
    assert!(!server.instances("", "DEFAULT_GROUP", "orders")[0].ephemeral);
    client.naming().deregister_persistent("orders", &instance).await.expect("deregistered");
    assert!(held(&server, "orders").is_empty());

    let server = server_like(Behaviour::RNacos).await;
    let client = connected(&server).await;
    let error = client.naming().register_persistent("orders", &instance).await.expect_err("cannot");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!error.is_retryable());
    let why = error.source().expect("a cause").to_string();
    assert!(why.contains("supportPersistentInstanceByGrpc"), "{why}");
    assert!(why.contains(&server.addr().to_string()), "{why}");
    assert_eq!(server.requests("PersistentInstanceRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn persistent_instance_that_was_removed_is_not_brought_back_by_a_reconnect() {
    let server = server().await;
    let client = connected(&server).await;
    let naming = client.naming();
    let (gone, kept) = (Instance::new("10.0.0.1", 80), Instance::new("10.0.0.2", 80));
    for instance in [&gone, &kept] {
        naming.register_persistent("orders", instance).await.expect("registered");
    }
    naming.deregister_persistent("orders", &gone).await.expect("deregistered");
    for losses in 1..=2 {
        server.drop_connections();
        reconnected(&client, losses).await;
        // All claims have been made again before this is answered.
        let orders = naming.subscribe("orders").expect("valid").ready().await.expect("an answer");
        assert_eq!(seen(&orders.service()), ["10.0.0.2:80"]);
    }
    sleep(Duration::from_secs(300)).await;
    assert_eq!(held(&server, "orders"), ["10.0.0.2:80"]);
    assert_eq!(server.requests("PersistentInstanceRequest"), 3);
}

#[tokio::test(start_paused = true)]
async fn abilities_are_those_of_the_connection_that_serves() {
    let servers = [server().await, server_like(Behaviour::RNacos).await];
    let [able, unable] = &servers;
    let both = format!("{},{}", able.addr(), unable.addr());
    let client = nacos_core::Client::builder().server_addr(both).connect().await.expect("there");
    let instance = Instance::new("10.0.0.1", 80);
    for moves in 1..=6 {
        let serving = servers.iter().find(|server| server.connections() == 1).expect("one");
        let outcome = client.naming().register_persistent("orders", &instance).await;
        let kind = outcome.map_err(|error| error.kind());
        let can = serving.addr() == able.addr();
        assert_eq!(kind, if can { Ok(()) } else { Err(ErrorKind::Unsupported) });
        serving.reset_connections(None);
        reconnected(&client, moves).await;
        soon(serving.until(|server| server.connections() == 0)).await;
    }
    assert_eq!(unable.requests("PersistentInstanceRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn refused_registration_is_an_error_and_leaves_the_session_alone() {
    let server = server().await;
    let client = connected(&server).await;
    server.answer_always("InstanceRequest", Some(400));
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let mut claim = guard.claim();
    becomes(&mut claim, |state| {
        matches!(state, ClaimState::Refused { code: 400, retrying: false, .. })
    })
    .await;
    let error = guard.ready().await.expect_err("refused");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(400)));
    assert!(matches!(*client.state().get(), SessionState::Connected { .. }));
    assert_eq!(client.stats().get().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn overloaded_server_is_asked_again_later() {
    let server = server().await;
    let client = connected(&server).await;
    server.answer_next("InstanceRequest", 503);
    server.answer_next("InstanceRequest", 503);
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    assert_eq!(server.requests("InstanceRequest"), 3);
    assert_eq!(client.stats().get().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn refusal_for_the_moment_does_not_end_the_wait_for_a_claim() {
    let server = server().await;
    let naming = connected(&server).await.naming();
    for code in [503, 300, 500] {
        server.answer_next("InstanceRequest", code);
        server.answer_next("SubscribeServiceRequest", code);
        let guard = naming.register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered by the second try");
        let orders = naming.subscribe("orders").expect("valid");
        let _orders = orders.ready().await.expect("subscribed by the second try");
    }
}

#[tokio::test(start_paused = true)]
async fn last_refusal_is_the_reason_when_the_wait_for_a_claim_is_over() {
    let server = server().await;
    let naming = connected(&server).await.naming();
    server.answer_always("InstanceRequest", Some(503));
    let guard = naming.register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let error = guard.ready().await.expect_err("refused until the end");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Overloaded, Some(503)));
    assert!(server.requests("InstanceRequest") > 3);
    // A right that is missing is not gained by waiting.
    server.answer_always("InstanceRequest", Some(403));
    let began = tokio::time::Instant::now();
    let guard = naming.register("orders", Instance::new("10.0.0.1", 80));
    let error = guard.expect("valid").ready().await.expect_err("denied");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
    assert!(tokio::time::Instant::now() - began < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn registering_while_disconnected_registers_at_the_next_connection() {
    let server = server().await;
    let client = connected(&server).await;
    server.stop().await;
    becomes(&mut client.state(), |state| !state.is_connected()).await;
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let gone = client.naming().register("gone", Instance::new("10.0.0.1", 80)).expect("valid");
    gone.deregister().await.expect("there is nothing to take back");
    server.resume().await.expect("the same ports");
    becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    assert_eq!(held(&server, "orders"), ["10.0.0.1:80"]);
    assert!(held(&server, "gone").is_empty());
}

#[tokio::test(start_paused = true)]
async fn metadata_and_names_are_counted_as_java_counts_by_client_and_server() {
    for behaviour in [Behaviour::Nacos2_5, Behaviour::Nacos3_0, Behaviour::Nacos3_3] {
        let server = server_like(behaviour).await;
        let strict = connected(&server).await;
        let lax = crate::support::builder(&server).max_metadata(9_999).connect().await;
        let lax = lax.expect("the server is there");
        // One character, and two of Java's.
        let emojis = |count| "\u{1f980}".repeat(count);
        let with = |count| Instance::new("10.0.0.1", 80).with_metadata("kk", emojis(count));
        let fits = strict.naming().register("fits", with(511)).expect("1024 of Java's");
        let _fits = fits.ready().await.unwrap_or_else(|error| panic!("{behaviour:?}: {error:?}"));
        let refused = strict.naming().register("long", with(512)).expect_err("1026 of Java's");
        assert!(chain(&refused).contains("1026"), "{refused:?}");
        let refused = lax.naming().register("long", with(512)).expect("the user's own limit");
        let refused = refused.ready().await.expect_err("the server has its own");
        assert!(chain(&refused).contains("1024"), "{behaviour:?}: {refused:?}");
        assert!(ServiceKey::try_from(emojis(256).as_str()).is_ok());
        assert!(ServiceKey::try_from(emojis(257).as_str()).is_err(), "514 of Java's");
    }
}

#[tokio::test(start_paused = true)]
async fn instance_that_nobody_could_call_is_refused_at_every_door_before_anything_is_sent() {
    let server = server().await;
    let client = crate::support::builder(&server).max_metadata(10).connect().await;
    let client = client.expect("the server is there");
    let naming = client.naming();
    let good = Instance::new("orders.example", 80).with_metadata("zone", "eu-1");
    let mut registration =
        naming.register("good", good.clone()).expect("valid").ready().await.expect("registered");
    let sent = || {
        server.requests("InstanceRequest")
            + server.requests("BatchInstanceRequest")
            + server.requests("PersistentInstanceRequest")
    };
    let before = sent();
    for bad in [
        Instance::new("0.0.0.0", 80),
        Instance::new("::", 80),
        Instance::new("224.0.0.1", 80),
        Instance::new("10.0.0.1:80", 80),
        Instance::new("http://10.0.0.1", 80),
        Instance::new(" 10.0.0.1", 80),
        good.clone().with_metadata("a", "bc"),
    ] {
        let persistent = naming.register_persistent("persistent", &bad).await;
        let errors = [
            naming.register("bad", bad.clone()).map(drop).expect_err("refused"),
            registration.update(bad.clone()).expect_err("refused"),
            persistent.expect_err("refused"),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidOption, "{bad:?}");
            assert!(std::error::Error::source(&error).is_some(), "the rule is named: {error:?}");
        }
    }
    assert_eq!(sent(), before);
    assert_eq!(registration.instance(), &good);
}
