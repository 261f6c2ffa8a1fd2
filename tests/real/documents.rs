//! Documents that are frozen, delayed and on disk: what the client promises of them without a word
//! of the server's, kept on real servers.
use std::time::Duration;

use nacos_core::{Client, Freshness, PullMode, Watch};
use servers::Running;
use tokio::task::block_in_place;

use crate::{
    common::{connect, document_becomes, on_each_shared, shared, soon, within_a_minute},
    faults::{client_of, on_a_server_of_its_own, publish},
};

#[test]
fn frozen_client_shows_what_it_has_until_it_is_thawed() {
    on_each_shared(|product| {
        within_a_minute(async {
            let builder = shared(product).builder();
            let (one, other) = (connect(&builder).await, connect(&builder).await);
            publish(&one, "frozen", "1").await;
            let [held, free] = [watch(&one, "frozen").await, watch(&other, "frozen").await];
            for watch in [&held, &free] {
                soon("the first content", document_becomes(watch, Some("1"))).await;
            }
            one.configs().freeze();
            publish(&other, "frozen", "2").await;
            soon("the change", document_becomes(&free, Some("2"))).await;
            let mut freshness = held.freshness();
            let is_stale = |now: &Freshness| matches!(now, Freshness::Stale { .. });
            soon("the word that it may be old", freshness.wait_for(is_stale)).await;
            assert_eq!(held.state().document().map(|it| &*it.content), Some("1"));
            let mode = one.configs().storm().get().mode;
            assert!(matches!(mode, PullMode::Frozen { .. }), "{mode:?}");
            one.configs().thaw();
            soon("what was held back", document_becomes(&held, Some("2"))).await;
            let is_fresh = |now: &Freshness| matches!(now, Freshness::Confirmed { .. });
            soon("its confirmation", freshness.wait_for(is_fresh)).await;
        });
    });
}

#[test]
fn push_whose_document_may_wait_is_followed_by_one_query_within_that_time() {
    on_each_shared(|product| {
        within_a_minute(async {
            let nacos = connect(&shared(product).builder()).await;
            publish(&nacos, "jittered", "1").await;
            let watch = nacos.configs().watch("jittered").expect("valid");
            let watch = watch.pull_jitter(Duration::from_secs(1)).ready().await.expect("answered");
            soon("the first content", document_becomes(&watch, Some("1"))).await;
            let before = nacos.configs().storm().get().counts;
            publish(&nacos, "jittered", "2").await;
            soon("the change", document_becomes(&watch, Some("2"))).await;
            let counted = |storm: &nacos_core::StormReport| {
                storm.counts.push == before.push + 1 && storm.counts.jittered > before.jittered
            };
            soon("its query", nacos.configs().storm().wait_for(counted)).await;
        });
    });
}

/// A service that starts while its configuration server is down has what it had, and follows the
/// server once it is back.
#[test]
fn client_without_a_server_has_its_fifty_snapshots_and_follows_the_server_later() {
    on_a_server_of_its_own(&async |running: &mut Running| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_str().expect("a name in Unicode").to_owned();
        let builder = client_of(running).snapshot_dir(path).snapshot_scope("real");
        let names: Vec<_> = (0..50).map(|n| format!("kept-{n}")).collect();
        let nacos = connect(&builder).await;
        for name in &names {
            publish(&nacos, name, "before").await;
            let watch = watch(&nacos, name).await;
            soon("the content", document_becomes(&watch, Some("before"))).await;
        }
        // It writes what waits to be written.
        nacos.shutdown(Duration::from_secs(5)).await;
        block_in_place(|| running.kill().expect("killed"));

        let nacos = builder.clone().connect_lazy().expect("valid");
        let watches: Vec<_> =
            names.iter().map(|name| nacos.configs().watch(name.as_str()).expect("valid")).collect();
        for watch in &watches {
            soon("the snapshot", document_becomes(watch, Some("before"))).await;
            let freshness = watch.freshness().get();
            assert!(matches!(*freshness, Freshness::FromDisk { .. }), "{freshness:?}");
        }
        block_in_place(|| running.restart().expect("it comes back"));
        for watch in &watches {
            let is_fresh = |now: &Freshness| matches!(now, Freshness::Confirmed { .. });
            soon("its confirmation", watch.freshness().wait_for(is_fresh)).await;
        }
        publish(&nacos, &names[7], "after").await;
        soon("the change", document_becomes(&watches[7], Some("after"))).await;
        nacos.configs().remove(names[8].as_str()).await.expect("removed");
        soon("the removal", document_becomes(&watches[8], None)).await;
        nacos.shutdown(Duration::from_secs(5)).await;
    });
}

async fn watch(nacos: &Client, name: &str) -> Watch {
    nacos.configs().watch(name).expect("valid").ready().await.expect("an answer")
}
