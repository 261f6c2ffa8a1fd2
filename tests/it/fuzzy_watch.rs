//! Fuzzy watches of documents: first the whole set, then differences, whatever happens meanwhile.
use std::{collections::BTreeSet, time::Duration};

use nacos_core::{
    ClaimState, Completeness, ConfigPattern, ErrorKind, FuzzyWatch, KeyChange, Namespace,
};
use nacos_testkit::{Behaviour, PushFault, Server};
use tokio::time::Instant;

use crate::support::{after, becomes, builder, chain, connected, reconnected, server_like, soon};

const THIRD: [Behaviour; 2] = [Behaviour::Nacos3_0, Behaviour::Nacos3_3];

fn publish(server: &Server, data_id: &str) {
    server.publish("", "G", data_id, "1");
}

async fn watch(client: &nacos_core::Client, pattern: &str) -> FuzzyWatch {
    let watch = client.configs().fuzzy_watch((pattern, "G")).expect("valid");
    soon(watch.ready()).await.expect("a set")
}

fn names(watch: &FuzzyWatch) -> Vec<String> {
    watch.matched().keys.iter().map(|key| key.data_id().to_string()).collect()
}

/// Waits until these match, and no others.
async fn matches(watch: &FuzzyWatch, names: &[&str]) {
    let expected: BTreeSet<&str> = names.iter().copied().collect();
    let is_so = |now: &nacos_core::MatchedKeys| {
        now.keys.iter().map(|key| key.data_id().as_str()).collect::<BTreeSet<_>>() == expected
    };
    becomes(&mut watch.live(), is_so).await;
}

fn told(changes: &[KeyChange]) -> Vec<String> {
    let text = |change: &KeyChange| match change {
        KeyChange::Added(key) => format!("+{}", key.data_id()),
        KeyChange::Removed(key) => format!("-{}", key.data_id()),
        _ => "?".to_owned(),
    };
    changes.iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn first_the_whole_set_then_differences() {
    for behaviour in THIRD {
        let server = server_like(behaviour).await;
        for n in 0..45 {
            publish(&server, &format!("app-{n}"));
        }
        publish(&server, "other");
        server.publish("", "H", "app-1", "another group");
        server.publish("elsewhere", "G", "app-1", "another namespace");
        let client = connected(&server).await;
        let mut watch = watch(&client, "app-*").await;
        assert_eq!(watch.matched().completeness, Completeness::Complete);
        assert_eq!(names(&watch).len(), 45);
        let first = soon(watch.changes()).await.expect("the set");
        assert_eq!(first.len(), 45, "in one piece");

        publish(&server, "app-45");
        assert_eq!(told(&soon(watch.changes()).await.expect("news")), ["+app-45"]);
        // A new content is no news.
        publish(&server, "app-45");
        server.remove("", "G", "app-0");
        assert_eq!(told(&soon(watch.changes()).await.expect("news")), ["-app-0"]);

        client.shutdown(Duration::from_secs(5)).await;
        assert_eq!(soon(watch.changes()).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn empty_set_is_a_set_and_the_namespace_is_part_of_it() {
    let server = server_like(Behaviour::Nacos3_0).await;
    let client = connected(&server).await;
    let mut empty = watch(&client, "app-*").await;
    assert_eq!(soon(empty.changes()).await, Some(Vec::new()));

    let blue = ConfigPattern::try_from(("*", "*")).expect("valid");
    let blue = blue.in_namespace(Namespace::parse("blue").expect("valid"));
    let blue = client.configs().fuzzy_watch(blue).expect("valid");
    let blue = soon(blue.ready()).await.expect("a set");
    publish(&server, "app-1");
    server.publish("blue", "G", "app-1", "1");
    server.publish("blue", "G", "app-2", "1");
    matches(&blue, &["app-1", "app-2"]).await;
    matches(&empty, &["app-1"]).await;
    let key = blue.matched().keys.first().cloned().expect("there");
    assert_eq!(key.namespace().map(Namespace::as_str), Some("blue"));
}

#[tokio::test(start_paused = true)]
async fn watches_of_one_pattern_are_one_and_it_ends_with_the_last() {
    let server = server_like(Behaviour::Nacos3_0).await;
    let client = connected(&server).await;
    publish(&server, "app-1");
    let one = watch(&client, "app-*").await;
    let others = [watch(&client, "app-*").await, watch(&client, "app-*").await];
    assert_eq!(names(&others[1]), ["app-1"]);
    assert_eq!(server.requests(REQUEST), 1);
    drop((one, others));
    server.until(|server| server.requests(REQUEST) == 2).await;
    let cancelled = server.last_request(REQUEST).expect("two");
    assert_eq!(cancelled.body["watchType"], "CANCEL_WATCH");

    // The next one begins anew.
    publish(&server, "app-2");
    let again = watch(&client, "app-*").await;
    assert_eq!(names(&again), ["app-1", "app-2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_over_a_reconnect_and_the_server_sends_the_difference_alone() {
    for behaviour in THIRD {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        for name in ["app-1", "app-2", "app-3"] {
            publish(&server, name);
        }
        let mut watch = watch(&client, "app-*").await;
        soon(watch.changes()).await.expect("the set");
        let connects = client.stats().get().connects;
        server.drop_connections();
        server.remove("", "G", "app-2");
        publish(&server, "app-4");
        reconnected(&client, connects).await;
        matches(&watch, &["app-1", "app-3", "app-4"]).await;
        let sent = server.last_request(REQUEST).expect("a redo");
        assert_eq!(sent.body["receivedGroupKeys"].as_array().map(Vec::len), Some(3));
        assert_eq!(sent.body["initializing"], true, "the end of the difference is told, too");
        becomes(&mut watch.claim(), |claim| *claim == ClaimState::Held).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connection_that_ends_in_the_middle_of_the_list_costs_nothing() {
    let server = server_like(Behaviour::Nacos3_0).await;
    for n in 0..100 {
        publish(&server, &format!("app-{n}"));
    }
    let client = connected(&server).await;
    for _ in 0..4 {
        server.next_push(PushFault::Drop);
    }
    let watch = client.configs().fuzzy_watch(("app-*", "G")).expect("valid");
    becomes(&mut watch.live(), |matched| !matched.keys.is_empty()).await;
    assert!(!watch.matched().is_known());
    server.drop_connections();
    let watch = soon(watch.ready()).await.expect("a set");
    assert_eq!(names(&watch).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn batches_may_be_lost_doubled_or_overtaken() {
    for fault in [PushFault::Drop, PushFault::Duplicate, PushFault::Reorder] {
        for which in 0..4 {
            let server = server_like(Behaviour::Nacos3_0).await;
            for n in 0..50 {
                publish(&server, &format!("app-{n}"));
            }
            let client = connected(&server).await;
            // The list has three batches and an end; others pass.
            for _ in 0..which {
                server.next_push(PushFault::None);
            }
            server.next_push(fault);
            let watch = watch(&client, "app-*").await;
            matches(&watch, &names_to(50).iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!(watch.matched().completeness, Completeness::Complete);
        }
    }
}

const REQUEST: &str = "ConfigFuzzyWatchRequest";

fn names_to(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("app-{n}")).collect()
}

#[tokio::test(start_paused = true)]
async fn change_that_is_lost_or_overtaken_is_found() {
    let server = server_like(Behaviour::Nacos3_0).await;
    let client = connected(&server).await;
    publish(&server, "app-1");
    let watch = watch(&client, "app-*").await;
    // Deleted and published again: the deletion comes last.
    server.next_push(PushFault::Reorder);
    server.remove("", "G", "app-1");
    publish(&server, "app-1");
    after(20).await;
    assert_eq!(names(&watch), ["app-1"]);

    server.next_push(PushFault::Drop);
    publish(&server, "app-2");
    let began = Instant::now();
    matches(&watch, &["app-1", "app-2"]).await;
    assert!((Instant::now() - began).as_secs() < 240, "by the next comparison");
}

#[tokio::test(start_paused = true)]
async fn overlapping_patterns_are_each_told() {
    let server = server_like(Behaviour::Nacos3_0).await;
    let client = connected(&server).await;
    let (all, apps) = (watch(&client, "*").await, watch(&client, "app-*").await);
    let exact = watch(&client, "app-1").await;
    publish(&server, "app-1");
    publish(&server, "b");
    matches(&all, &["app-1", "b"]).await;
    matches(&apps, &["app-1"]).await;
    matches(&exact, &["app-1"]).await;
    server.remove("", "G", "app-1");
    matches(&all, &["b"]).await;
    matches(&apps, &[]).await;
    matches(&exact, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn server_without_the_ability_is_unsupported_and_one_that_gains_it_is_asked() {
    for behaviour in [Behaviour::RNacos, Behaviour::Nacos2_3, Behaviour::Nacos2_5] {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let watch = client.configs().fuzzy_watch("*").expect("valid");
        let error = soon(watch.ready()).await.expect_err("it has none");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{behaviour:?}");
        assert!(chain(&error).contains("fuzzyWatch"), "{}", chain(&error));
        assert_eq!(server.requests(REQUEST), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_patterns_are_refused_until_a_place_is_free() {
    let server = server_like(Behaviour::Nacos3_0).await;
    server.limit_fuzzy_watches(2, 500);
    let (client, other) = (connected(&server).await, connected(&server).await);
    let others = [watch(&other, "a*").await, watch(&other, "b*").await];
    // A pattern that is watched already takes no place.
    let shared = watch(&client, "a*").await;
    let refused = client.configs().fuzzy_watch(("c*", "G")).expect("valid");
    let error = soon(refused.ready()).await.expect_err("there is no place");
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooManyPatterns, Some(50310)));

    let waiting = client.configs().fuzzy_watch(("c*", "G")).expect("valid");
    becomes(&mut waiting.claim(), |claim| {
        matches!(claim, ClaimState::Refused { retrying: true, .. })
    })
    .await;
    publish(&server, "c1");
    let asked = server.requests(REQUEST);
    after(25).await;
    assert_eq!(server.requests(REQUEST), asked, "not asked in a loop");
    drop(others);
    becomes(&mut waiting.claim(), |claim| *claim == ClaimState::Held).await;
    matches(&waiting, &["c1"]).await;
    drop(shared);
}

#[tokio::test(start_paused = true)]
async fn too_many_matches_are_a_partial_set_and_heal() {
    let server = server_like(Behaviour::Nacos3_3).await;
    server.limit_fuzzy_watches(20, 30);
    let client = connected(&server).await;
    for n in 0..40 {
        publish(&server, &format!("app-{n:02}"));
    }
    let partial = client.configs().fuzzy_watch(("app-*", "G")).expect("valid");
    let error = soon(partial.ready()).await.expect_err("some are missing");
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooManyMatches, Some(50311)));

    let partial = client.configs().fuzzy_watch(("app-*", "G")).expect("valid");
    let is_partial =
        |matched: &nacos_core::MatchedKeys| matched.completeness == Completeness::Partial;
    becomes(&mut partial.live(), is_partial).await;
    assert_eq!(names(&partial).len(), 30);
    for n in 0..20 {
        server.remove("", "G", &format!("app-{n:02}"));
    }
    becomes(&mut partial.live(), |matched| matched.completeness == Completeness::Complete).await;
    let expected: Vec<_> = (20..40).map(|n| format!("app-{n:02}")).collect();
    matches(&partial, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn user_without_the_right_is_told_which_one() {
    let server = crate::support::guarded(Behaviour::Nacos3_0).await;
    let client = builder(&server).username("nacos").password("s3cret");
    let client = client.connect().await.expect("the user is right");
    server.limit_rights(Some(&["public:G:config/*"]));
    let watch = client.configs().fuzzy_watch(("*", "G")).expect("valid");
    let error = soon(watch.ready()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(chain(&error).contains("public:*:config/*"), "{}", chain(&error));
    let watch = client.configs().fuzzy_watch(("*", "G")).expect("valid");
    becomes(&mut watch.claim(), |claim| matches!(claim, ClaimState::Refused { .. })).await;
    server.limit_rights(None);
    becomes(&mut watch.claim(), |claim| *claim == ClaimState::Held).await;
}
