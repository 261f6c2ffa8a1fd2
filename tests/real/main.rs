//! The client against servers that nobody here wrote: r-nacos, and Java Nacos where it can be had.
//!
//! Runs where `NACOS_REAL=1` asks for it (`bash .ci/run real`); says what it skips, and why. Time is
//! real here, so everything is waited for, nothing is measured. One server of each kind serves all
//! tests that do not break it; names of services and documents keep the tests apart.
#[path = "../certificates.rs"]
mod certificates;
mod cluster;
mod common;
mod faults;
mod fleet;
mod guarded;
mod relay;
mod tls;
mod traveller;

use std::time::Duration;

use nacos_core::{ClaimState, DocumentState, ErrorKind, Group, Instance, Publish};
use servers::Product;

use common::{changes_until, connect, document_becomes, eventually, on_each_server};

#[test]
fn document_is_published_read_and_removed() {
    on_each_server(|server| async move {
        let nacos = connect(&server.builder()).await;
        let configs = nacos.configs();
        let name = "crud.yaml";
        configs.remove(name).await.expect("removing nothing succeeds");
        eventually(async || configs.get(name).await.expect("an answer").is_none()).await;
        configs
            .publish(Publish::new(name, "a: grüße 你好 🦀").expect("valid"))
            .await
            .expect("published");
        // Java servers show it up to some 90 ms later.
        eventually(async || configs.get(name).await.expect("an answer").is_some()).await;
        let document = configs.get(name).await.expect("an answer").expect("is there");
        assert_eq!((&*document.content, &*document.content_type), ("a: grüße 你好 🦀", "yaml"));
        assert_eq!(*document.md5, nacos_core::digest(&document.content));
        configs.remove(name).await.expect("removed");
        eventually(async || configs.get(name).await.expect("an answer").is_none()).await;
    });
}

#[test]
fn wrong_md5_is_a_conflict_where_the_server_looks_at_it() {
    on_each_server(|server| async move {
        let nacos = connect(&server.builder()).await;
        let configs = nacos.configs();
        configs.publish(Publish::new("cas", "1").expect("valid")).await.expect("published");
        eventually(async || configs.get("cas").await.expect("an answer").is_some()).await;
        let mut stale = configs.get("cas").await.expect("an answer").expect("is there");
        stale.md5 = nacos_core::digest("something else").into();
        let outcome =
            configs.publish(Publish::new("cas", "2").expect("valid").if_unchanged(&stale)).await;
        if server.product == Product::RNacos {
            outcome.expect("r-nacos ignores the condition");
        } else {
            assert_eq!(outcome.expect_err("a conflict").kind(), ErrorKind::Conflict);
        }
    });
}

#[test]
fn watch_follows_first_publish_change_removal_and_return() {
    on_each_server(|server| async move {
        let (reader, writer) = (connect(&server.builder()).await, connect(&server.builder()).await);
        let watch =
            reader.configs().watch("watched").expect("valid").ready().await.expect("an answer");
        assert_eq!(*watch.state(), DocumentState::Absent);
        for content in ["1", "2"] {
            writer
                .configs()
                .publish(Publish::new("watched", content).expect("valid"))
                .await
                .expect("published");
            document_becomes(&watch, Some(content)).await;
        }
        writer.configs().remove("watched").await.expect("removed");
        document_becomes(&watch, None).await;
        writer
            .configs()
            .publish(Publish::new("watched", "3").expect("valid"))
            .await
            .expect("published");
        document_becomes(&watch, Some("3")).await;
    });
}

#[test]
fn three_thousand_and_one_documents_are_watched_and_each_change_is_seen() {
    on_each_server(|server| async move {
        let nacos = connect(&server.builder()).await;
        let watches: Vec<_> = (0..3001)
            .map(|n| nacos.configs().watch(format!("many-{n}").as_str()).expect("valid"))
            .collect();
        for watch in &watches {
            let mut claim = watch.claim();
            claim.wait_for(|state| *state == ClaimState::Held).await.expect("listened to");
        }
        for n in [0, 1500, 3000] {
            let name = format!("many-{n}");
            let publish = Publish::new(name.as_str(), name.as_str()).expect("valid");
            nacos.configs().publish(publish).await.expect("published");
            document_becomes(&watches[n], Some(&name)).await;
        }
    });
}

#[test]
fn large_documents_are_stored_or_refused_and_the_session_lives() {
    on_each_server(|server| async move {
        let nacos = connect(&server.builder()).await;
        let megabyte = "x".repeat(1024 * 1024);
        nacos
            .configs()
            .publish(Publish::new("mega", megabyte.as_str()).expect("valid"))
            .await
            .expect("published");
        eventually(async || nacos.configs().get("mega").await.expect("an answer").is_some()).await;
        let huge = "x".repeat(12 * 1024 * 1024);
        let outcome =
            nacos.configs().publish(Publish::new("huge", huge.as_str()).expect("valid")).await;
        if server.product == Product::RNacos {
            outcome.expect("r-nacos has no limit");
            let document = nacos.configs().get("huge").await.expect("an answer").expect("is there");
            assert_eq!(document.content.len(), huge.len());
        } else {
            assert_eq!(outcome.expect_err("over its limit").kind(), ErrorKind::Refused);
        }
        assert_eq!(nacos.vitals().get().connects, 1);
    });
}

#[test]
fn instances_of_one_service_come_and_go_one_by_one() {
    on_each_server(|server| async move {
        let (provider, consumer) =
            (connect(&server.builder()).await, connect(&server.builder()).await);
        let mut seen =
            consumer.naming().subscribe("fleet").expect("valid").ready().await.expect("an answer");
        let register = async |port| {
            let instance = Instance::new("127.0.0.1", port).with_metadata("port", port.to_string());
            provider
                .naming()
                .register("fleet", instance)
                .expect("valid")
                .ready()
                .await
                .expect("registered")
        };
        let one = register(1).await;
        changes_until(&mut seen, &["127.0.0.1:1"]).await;
        let two = register(2).await;
        let three = register(3).await;
        changes_until(&mut seen, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]).await;
        two.deregister().await.expect("agreed");
        changes_until(&mut seen, &["127.0.0.1:1", "127.0.0.1:3"]).await;
        drop(one);
        changes_until(&mut seen, &["127.0.0.1:3"]).await;
        drop(three);
        changes_until(&mut seen, &[]).await;
    });
}

#[test]
fn weight_that_returns_to_one_reaches_the_consumers() {
    on_each_server(|server| async move {
        let (provider, consumer) =
            (connect(&server.builder()).await, connect(&server.builder()).await);
        let seen = consumer
            .naming()
            .subscribe("weights")
            .expect("valid")
            .ready()
            .await
            .expect("an answer");
        let heavy = Instance::new("127.0.0.1", 1).with_weight(5.0);
        let guard = provider.naming().register("weights", heavy.clone()).expect("valid");
        let mut guard = guard.ready().await.expect("registered");
        let weighs = |weight: &'static str| {
            move |service: &nacos_core::Service| {
                service
                    .instances
                    .first()
                    .is_some_and(|instance| instance.weight.to_string() == weight)
            }
        };
        seen.live().wait_for(weighs("5")).await.expect("heavy");
        guard.update(heavy.with_weight(1.0)).expect("valid");
        seen.live().wait_for(weighs("1")).await.expect("light");
    });
}

#[test]
fn services_are_queried_and_listed() {
    on_each_server(|server| async move {
        let nacos = connect(&server.builder()).await;
        let guard = nacos
            .naming()
            .register("LISTED@@listed", Instance::new("127.0.0.1", 1))
            .expect("valid");
        let _guard = guard.ready().await.expect("registered");
        eventually(async || {
            nacos.naming().query("LISTED@@listed").await.expect("an answer").callable().count() == 1
        })
        .await;
        let group = Group::parse("LISTED").expect("valid");
        let page = nacos.naming().list(&group, 1, 10).await.expect("an answer");
        assert_eq!((page.total, page.names), (1, vec!["listed".to_owned()]));
        assert!(nacos.naming().query("nobody").await.expect("an answer").instances.is_empty());
    });
}

#[test]
fn persistent_instance_outlives_its_client_where_the_server_can() {
    on_each_server(|server| async move {
        let instance = Instance::new("127.0.0.1", 4242);
        let nacos = connect(&server.builder()).await;
        let outcome = nacos.naming().register_persistent("lasting", &instance).await;
        if server.product == Product::RNacos {
            assert_eq!(outcome.expect_err("cannot").kind(), ErrorKind::Unsupported);
            return;
        }
        outcome.expect("registered");
        nacos.shutdown(Duration::from_secs(3)).await;
        let other = connect(&server.builder()).await;
        eventually(async || {
            other.naming().query("lasting").await.expect("an answer").instances.len() == 1
        })
        .await;
        other.naming().deregister_persistent("lasting", &instance).await.expect("deregistered");
        eventually(async || {
            other.naming().query("lasting").await.expect("an answer").instances.is_empty()
        })
        .await;
    });
}

#[test]
fn shutdown_is_acknowledged_and_consumers_see_it() {
    on_each_server(|server| async move {
        let (provider, consumer) =
            (connect(&server.builder()).await, connect(&server.builder()).await);
        let mut seen = consumer
            .naming()
            .subscribe("leaving")
            .expect("valid")
            .ready()
            .await
            .expect("an answer");
        let guard =
            provider.naming().register("leaving", Instance::new("127.0.0.1", 1)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        changes_until(&mut seen, &["127.0.0.1:1"]).await;
        let report = provider.shutdown(Duration::from_secs(5)).await;
        assert_eq!((report.withdrawn, report.unacknowledged), (1, 0));
        changes_until(&mut seen, &[]).await;
    });
}
