//! Behind proxies that know HTTP/2: what is recognised, what is said of it, and what goes on.
use std::time::Duration;

use nacos_core::{
    ClaimState, Client, Disconnect, DocumentState, Instance, SessionState, inspect::Tree,
};
use nacos_testkit::{
    Server,
    proxy::{HttpProxy, Upstreams},
};
use tokio::time::{Instant, sleep};
use tracing::Level;

use crate::{
    logs::Log,
    support::{BEHAVIOURS, becomes, server, server_like, soon},
};

async fn behind(server: &Server, upstreams: Upstreams) -> HttpProxy {
    HttpProxy::nacos(server.addr(), upstreams).await.expect("ports on loopback")
}

fn lazy(proxy: &HttpProxy) -> Client {
    Client::builder().server_addr(proxy.addr().to_string()).connect_lazy().expect("valid")
}

fn proxy_of(client: &Client) -> Option<Tree> {
    let report = client.inspected().remove(0).report();
    report.get("stats").and_then(|stats| stats.get("proxy")).cloned()
}

#[tokio::test(start_paused = true)]
async fn proxy_that_splits_calls_is_recognised_and_named_in_state_log_and_report() {
    for behaviour in BEHAVIOURS {
        let (log, _guard) = Log::keep();
        let server = server_like(behaviour).await;
        let proxy = behind(&server, Upstreams::Split).await;
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid");
        becomes(&mut client.stats(), |stats| stats.proxy.is_some()).await;
        let stats = client.stats().get();
        let words = stats.proxy.as_deref().unwrap_or_default();
        assert!(words.contains("splits") && words.contains("nginx `stream`"), "{words}");
        assert_eq!(proxy_of(&client), Some(Tree::from(words)));
        // The state says so, too, while there is no connection.
        let said = |state: &SessionState| format!("{state:?}").contains("splits");
        becomes(&mut client.state(), said).await;
        sleep(Duration::from_secs(30)).await;
        let warnings = log.at(Level::WARN);
        let about = warnings.iter().filter(|line| line.contains("a proxy is in the way")).count();
        assert_eq!(about, 1, "{warnings:?}");
        // Not in a hot loop: at most every quarter of a second, two connections each.
        assert!(proxy.upstreams() < 800, "{}", proxy.upstreams());
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn proxy_that_pools_is_recognised_and_named_when_a_second_connection_has_the_name_of_the_first()
 {
    for behaviour in BEHAVIOURS {
        let (log, _guard) = Log::keep();
        let server = server_like(behaviour).await;
        let proxy = behind(&server, Upstreams::Pooled).await;
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid").ready().await.expect("registered");
        assert_eq!(client.stats().get().proxy, None);
        let telling = {
            let mut state = client.state();
            let said = |state: &SessionState| format!("{state:?}").contains("carries several");
            async move { state.wait_for(said).await }
        };
        let telling = tokio::spawn(telling);
        server.reset_connections(None);
        becomes(&mut client.stats(), |stats| stats.proxy.is_some()).await;
        let words = client.stats().get().proxy.clone().unwrap_or_default();
        assert!(words.contains("carries several connections over one"), "{words}");
        assert_eq!(proxy.upstreams(), 1);
        let warnings = log.at(Level::WARN).join("\n");
        assert!(warnings.contains("carries several"), "{warnings}");
        // The state says so, too, as soon as the connection is lost, however long it went well.
        sleep(Duration::from_secs(30)).await;
        server.drop_connections();
        assert!(soon(telling).await.expect("no panic").is_some(), "{behaviour:?}");
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_a_proxy_resets_when_it_is_silent_is_back_at_once_and_its_limit_is_named() {
    for behaviour in BEHAVIOURS {
        let (log, _guard) = Log::keep();
        let server = server_like(behaviour).await;
        let limit = Duration::from_secs(60);
        let proxy = HttpProxy::with_idle_limit(server.addr(), limit).await;
        let proxy = proxy.expect("ports on loopback");
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid").ready().await.expect("registered");
        for connects in 1..=3 {
            becomes(&mut client.stats(), |stats| stats.connects > connects).await;
            becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
            soon(server.until(|server| server.instances("", "DEFAULT_GROUP", "orders").len() == 1))
                .await;
        }
        let stats = client.stats().get();
        for record in &*stats.disconnects {
            assert_eq!(record.reason, "stream", "{record}");
            assert!((58..63).contains(&record.served.as_secs()), "{record}");
        }
        let words = stats.proxy.as_deref().unwrap_or_default();
        assert!(words.contains("60s") && words.contains("grpc_read_timeout"), "{words}");
        let warnings = log.at(Level::WARN).join("\n");
        assert!(warnings.contains("a proxy is in the way"), "{warnings}");
    }
}

#[tokio::test(start_paused = true)]
async fn limit_on_silence_is_recognised_also_where_something_is_pushed() {
    let server = server().await;
    let proxy = HttpProxy::with_idle_limit(server.addr(), Duration::from_secs(60)).await;
    let proxy = proxy.expect("ports on loopback");
    let client = lazy(&proxy);
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let said = |state: &SessionState| format!("{state:?}").contains("after the last message");
    let mut state = client.state();
    let telling = state.wait_for(said);
    let pushing = async {
        for (connects, after) in [(1, 5), (2, 50), (3, 21), (4, 0)] {
            sleep(Duration::from_secs(after)).await;
            server.publish("", "DEFAULT_GROUP", "d", format!("{after}"));
            becomes(&mut client.stats(), |stats| stats.connects > connects).await;
        }
    };
    let (told, ()) = soon(async { tokio::join!(telling, pushing) }).await;
    assert!(told.is_some(), "the state says so");
    let words = client.stats().get().proxy.clone().unwrap_or_default();
    assert!(words.contains("60s after the last message"), "{words}");
    let ages: Vec<_> = client.stats().get().disconnects.iter().map(|it| it.served).collect();
    assert!(ages.iter().any(|age| age.as_secs() > 100), "{ages:?}");
    drop(watch);
}

#[tokio::test(start_paused = true)]
async fn connection_that_a_proxy_takes_nothing_new_on_is_replaced_within_six_seconds() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let proxy = behind(&server, Upstreams::Own).await;
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid").ready().await.expect("registered");
        let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
        for connects in 1..=2 {
            // Idle, and with a request that finds it out at once.
            let began = Instant::now();
            proxy.go_away();
            if connects == 2 {
                assert_eq!(client.configs().get("d").await.expect("sent again"), None);
                let took = Instant::now() - began;
                assert!(took < Duration::from_secs(1), "{took:?}");
            }
            becomes(&mut client.stats(), |stats| stats.connects > connects).await;
            becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
            let took = Instant::now() - began;
            assert!(took < Duration::from_secs(6), "{took:?}");
            soon(server.until(|server| server.instances("", "DEFAULT_GROUP", "orders").len() == 1))
                .await;
        }
        server.publish("", "DEFAULT_GROUP", "d", "new");
        let is_new =
            |state: &DocumentState| state.document().is_some_and(|it| &*it.content == "new");
        becomes(&mut watch.live(), is_new).await;
        let stats = client.stats().get();
        assert_eq!((stats.connects, stats.proxy.as_deref()), (3, None), "{stats:?}");
        let named = |record: &Disconnect| record.cause.contains("GOAWAY");
        assert!(stats.disconnects.iter().all(named), "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn server_without_a_proxy_before_it_is_never_taken_for_one() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let own = behind(&server, Upstreams::Own).await;
        for address in [server.addr(), own.addr()] {
            let client = Client::builder().server_addr(address.to_string());
            let client = client.connect().await.expect("there");
            for (connects, after) in [(1, 15), (2, 22), (3, 31), (4, 15)] {
                sleep(Duration::from_secs(after)).await;
                server.drop_connections();
                becomes(&mut client.stats(), |stats| stats.connects > connects).await;
            }
            server.answer_next("HealthCheckRequest", 301);
            becomes(&mut client.stats(), |stats| stats.connects > 5).await;
            sleep(Duration::from_secs(20)).await;
            assert_eq!(client.stats().get().proxy, None, "{behaviour:?}");
            assert_eq!(client.stats().get().connects, 6);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn proxy_that_changes_its_upstream_under_a_connection_is_named() {
    for behaviour in BEHAVIOURS {
        let (log, _guard) = Log::keep();
        let server = server_like(behaviour).await;
        let proxy = behind(&server, Upstreams::Renewed { calls: 12 }).await;
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid");
        becomes(&mut client.stats(), |stats| stats.proxy.is_some()).await;
        assert_eq!(client.stats().get().disconnects.len(), 1, "with the first end of that kind");
        let words = client.stats().get().proxy.clone().unwrap_or_default();
        assert!(words.contains("splits") && words.contains("nginx `stream`"), "{words}");
        let said = |state: &SessionState| format!("{state:?}").contains("splits");
        becomes(&mut client.state(), said).await;
        let warnings = log.at(Level::WARN).join("\n");
        assert!(warnings.contains("a proxy is in the way"), "{warnings}");
        // The instance is registered again each time.
        becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    }
}

#[tokio::test(start_paused = true)]
async fn proxy_that_carries_stream_and_calls_apart_is_named_and_not_stormed() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let proxy = behind(&server, Upstreams::Apart).await;
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let guard = guard.expect("valid");
        let began = Instant::now();
        becomes(&mut client.stats(), |stats| stats.proxy.is_some()).await;
        let took = Instant::now() - began;
        assert!(took < Duration::from_secs(10), "{behaviour:?}: {took:?}");
        let words = client.stats().get().proxy.clone().unwrap_or_default();
        assert!(words.contains("splits"), "{words}");
        let said = |state: &SessionState| format!("{state:?}").contains("splits");
        becomes(&mut client.state(), said).await;
        sleep(Duration::from_secs(120)).await;
        // Two for each connection.
        assert!(proxy.upstreams() < 120, "{behaviour:?}: {}", proxy.upstreams());
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn pool_is_named_also_where_connections_follow_each_other() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let proxy = behind(&server, Upstreams::Pooled).await;
        let client = lazy(&proxy);
        let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80));
        let _guard = guard.expect("valid");
        // Three, one after the other, are no accident where a server names them by their address.
        for _ in 0..2 {
            sleep(Duration::from_secs(30)).await;
            proxy.go_away();
        }
        becomes(&mut client.stats(), |stats| stats.proxy.is_some()).await;
        let words = client.stats().get().proxy.clone().unwrap_or_default();
        assert!(words.contains("carries several connections over one"), "{words}");
        assert_eq!(proxy.upstreams(), 1);
    }
}
