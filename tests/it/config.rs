//! Documents: read, published, removed, watched.
use std::time::Duration;

use nacos_core::{ClaimState, DocumentState, ErrorKind, Namespace, Publish};
use nacos_testkit::{Behaviour, PushFault, RawAnswer};
use tokio::time::Instant;

use crate::support::{
    BEHAVIOURS, becomes, builder, chain, connected, reconnected, server, server_like, soon,
};

fn content(state: &DocumentState) -> Option<&str> {
    state.document().map(|document| &*document.content)
}

#[tokio::test(start_paused = true)]
async fn what_is_published_can_be_read_and_removed_on_every_server() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        assert_eq!(configs.get("orders.yaml").await.expect("an answer"), None);

        let publish = Publish::new("orders.yaml", "limit: 7 # grüße").expect("valid");
        configs
            .publish(publish.app("orders").description("d").tags("a,b"))
            .await
            .expect("published");
        let document = configs.get("orders.yaml").await.expect("an answer").expect("is there");
        assert_eq!(&*document.content, "limit: 7 # grüße");
        assert_eq!(&*document.content_type, "yaml");
        assert_eq!(*document.md5, nacos_core::digest("limit: 7 # grüße"));
        assert!(document.last_modified.is_some());

        configs.remove("orders.yaml").await.expect("removed");
        assert_eq!(configs.get("orders.yaml").await.expect("an answer"), None);
        configs.remove("orders.yaml").await.expect("removing nothing succeeds");
    }
}

#[tokio::test(start_paused = true)]
async fn publish_over_another_content_is_a_conflict() {
    for behaviour in [Behaviour::Nacos3_0, Behaviour::Nacos2_3] {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        configs.publish(Publish::new("d", "1").expect("valid")).await.expect("published");
        let first = configs.get("d").await.expect("an answer").expect("is there");

        let second = Publish::new("d", "2").expect("valid").if_unchanged(&first);
        configs.publish(second.clone()).await.expect("nobody was faster");
        let error = configs.publish(second).await.expect_err("now somebody was");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(!error.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn watch_knows_absent_from_pending_and_follows_every_change() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let watch = client.configs().watch("d").expect("valid");
        assert_eq!(*watch.state(), DocumentState::Pending);
        let mut watch = watch.ready().await.expect("an answer");
        assert_eq!(*watch.state(), DocumentState::Absent);

        server.publish("", "DEFAULT_GROUP", "d", "1");
        assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("1"));
        server.publish("", "DEFAULT_GROUP", "d", "2");
        assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("2"));
        server.remove("", "DEFAULT_GROUP", "d");
        assert_eq!(*soon(watch.changed()).await.expect("a state"), DocumentState::Absent);
        // r-nacos has forgotten the listener by now.
        soon(server.until(|server| server.listeners("", "DEFAULT_GROUP", "d") == 1)).await;
        server.publish("", "DEFAULT_GROUP", "d", "3");
        assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("3"));
    }
}

#[tokio::test(start_paused = true)]
async fn document_under_watch_before_it_exists_is_seen_at_its_first_publish() {
    let server = server().await;
    let client = connected(&server).await;
    let mut watch = client.configs().watch("new").expect("valid").ready().await.expect("an answer");
    client.configs().publish(Publish::new("new", "1").expect("valid")).await.expect("published");
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn several_watches_of_one_document_are_one_listen() {
    let server = server().await;
    let client = connected(&server).await;
    let first = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let second = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert_eq!(server.listeners("", "DEFAULT_GROUP", "d"), 1);
    assert_eq!(server.requests("ConfigBatchListenRequest"), 1);
    drop(first);
    becomes(&mut second.claim(), |state| *state == ClaimState::Held).await;
    assert_eq!(server.listeners("", "DEFAULT_GROUP", "d"), 1);
    drop(second);
    soon(server.until(|server| server.listeners("", "DEFAULT_GROUP", "d") == 0)).await;
}

#[tokio::test(start_paused = true)]
async fn watches_made_together_are_one_listen() {
    let server = server().await;
    let client = connected(&server).await;
    let watches: Vec<_> = (0..3001)
        .map(|n| client.configs().watch(format!("d{n}").as_str()).expect("valid"))
        .collect();
    soon(server.until(|server| server.listeners("", "DEFAULT_GROUP", "d3000") == 1)).await;
    soon(server.until(|server| server.listeners("", "DEFAULT_GROUP", "d0") == 1)).await;
    // The driver takes in 1 024 commands at a time, and a request holds 3 000 keys.
    assert!(server.requests("ConfigBatchListenRequest") <= 4);
    drop(watches);
}

#[tokio::test(start_paused = true)]
async fn watch_again_after_the_last_one_went_still_follows() {
    let server = server().await;
    let client = connected(&server).await;
    for round in ["1", "2", "3"] {
        let mut watch = client.configs().watch("d").expect("valid");
        server.publish("", "DEFAULT_GROUP", "d", round);
        while content(&watch.state()) != Some(round) {
            soon(watch.changed()).await.expect("a state");
        }
        drop(watch);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_push_is_healed_by_the_audit() {
    let server = server().await;
    let client = connected(&server).await;
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    server.next_push(PushFault::Drop);
    server.publish("", "DEFAULT_GROUP", "d", "1");
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn doubled_push_is_no_second_change() {
    let server = server().await;
    let client = connected(&server).await;
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    server.next_push(PushFault::Duplicate);
    server.publish("", "DEFAULT_GROUP", "d", "1");
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("1"));
    server.publish("", "DEFAULT_GROUP", "d", "2");
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn change_during_an_outage_is_seen_after_it_and_nothing_is_fetched_twice() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "same", "1");
    server.publish("", "DEFAULT_GROUP", "other", "1");
    let same = client.configs().watch("same").expect("valid").ready().await.expect("an answer");
    let mut other =
        client.configs().watch("other").expect("valid").ready().await.expect("an answer");
    let queries = server.requests("ConfigQueryRequest");

    let before = client.stats().get().connects;
    server.stop().await;
    server.publish("", "DEFAULT_GROUP", "other", "2");
    server.resume().await.expect("the same ports");
    reconnected(&client, before).await;
    assert_eq!(content(&soon(other.changed()).await.expect("a state")), Some("2"));
    assert_eq!(content(&same.state()), Some("1"));
    assert_eq!(server.requests("ConfigQueryRequest"), queries + 1);
}

#[tokio::test(start_paused = true)]
async fn refused_query_is_unreachable_and_never_absent() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = connected(&server).await;
    server.answer_always("ConfigQueryRequest", Some(403));
    let mut watch = client.configs().watch("d").expect("valid");
    let state = soon(watch.changed()).await.expect("a state");
    let DocumentState::Unreachable { last: None, why, cause } = &*state else {
        panic!("{state:?}")
    };
    assert_eq!(*why, ErrorKind::Denied);
    assert!(cause.contains("403"), "{cause}");
    for (code, kind) in [(403, ErrorKind::Denied), (400, ErrorKind::Refused)] {
        server.answer_always("ConfigQueryRequest", Some(code));
        server.publish("", "DEFAULT_GROUP", "other", "1");
        let began = Instant::now();
        let other = client.configs().watch("other").expect("valid");
        let error = other.ready().await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(chain(&error).contains(&code.to_string()), "{error:?}");
        assert!(Instant::now() - began < Duration::from_secs(1), "nothing is waited for");
    }
    server.answer_always("ConfigQueryRequest", None);
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn query_that_fails_for_the_moment_is_waited_for_and_named_in_the_end() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = connected(&server).await;
    server.answer_next("ConfigQueryRequest", 503);
    server.answer_next("ConfigQueryRequest", 500);
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("the third try");
    assert_eq!(content(&watch.state()), Some("1"));

    server.publish("", "DEFAULT_GROUP", "other", "1");
    server.answer_always("ConfigQueryRequest", Some(503));
    let other = client.configs().watch("other").expect("valid");
    let error = other.ready().await.expect_err("refused until the end");
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(chain(&error).contains("503"), "{error:?}");
}

/// A Java server's answer to this request while it writes a document down.
fn being_modified(request: &str) -> (String, RawAnswer) {
    let message = "requested file is being modified, please try later.";
    let body = serde_json::json!({
        "resultCode": 500, "errorCode": 400, "message": message, "success": false,
        "lastModified": 0, "beta": false
    });
    let message_type = request.replace("Request", "Response");
    (request.to_owned(), RawAnswer::Message { message_type, body: body.to_string() })
}

#[tokio::test(start_paused = true)]
async fn document_that_is_being_modified_is_asked_for_again_until_the_deadline() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = connected(&server).await;
    for _ in 0..3 {
        let (request, answer) = being_modified("ConfigQueryRequest");
        server.answer_next_raw(&request, answer);
    }
    let configs = client.configs();
    let began = Instant::now();
    let document = configs.get("d").await.expect("the fourth try").expect("is there");
    assert_eq!((&*document.content, server.requests("ConfigQueryRequest")), ("1", 4));
    assert!(Instant::now() - began < Duration::from_secs(1), "a moment each");
    // A request that changes something is never sent twice, whatever the server says.
    let (request, answer) = being_modified("ConfigPublishRequest");
    server.answer_next_raw(&request, answer);
    let error = configs.publish(Publish::new("d", "2").expect("valid")).await.expect_err("refused");
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(server.requests("ConfigPublishRequest"), 1);

    // For ever: the deadline ends it, and the error says what the server said.
    for _ in 0..100 {
        let (request, answer) = being_modified("ConfigQueryRequest");
        server.answer_next_raw(&request, answer);
    }
    let began = Instant::now();
    let error = configs.get("d").await.expect_err("until the deadline");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some(400)));
    assert!(error.is_retryable() && chain(&error).contains("being modified"), "{error:?}");
    assert_eq!((Instant::now() - began).as_secs(), 10);
    assert!(server.requests("ConfigQueryRequest") < 24, "not in a hot loop");
}

#[tokio::test(start_paused = true)]
async fn cipher_text_is_marked_by_its_name_and_by_its_key() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        server.publish("", "DEFAULT_GROUP", "plain", "k: v");
        server.publish("", "DEFAULT_GROUP", "cipher-aes-db", "4a76b0b5");
        server.publish_encrypted("", "DEFAULT_GROUP", "by-key", "4a76b0b5", "hunter2");
        // r-nacos loses the key, and nothing shows what it is.
        let by_key = behaviour != Behaviour::RNacos;
        for (name, encrypted) in [("plain", false), ("cipher-aes-db", true), ("by-key", by_key)] {
            let document = client.configs().get(name).await.expect("an answer").expect("there");
            assert_eq!(document.is_encrypted(), encrypted, "{name}");
            assert!(!format!("{document:?}").contains("hunter2"));
            let watch = client.configs().watch(name).expect("valid").ready().await;
            let state = watch.expect("an answer").state();
            let document = state.document().expect("there");
            assert_eq!(document.is_encrypted(), encrypted, "{name}, watched");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_learn_that_no_server_is_there() {
    let server = server().await;
    let client = builder(&server).connect_lazy().expect("valid options");
    server.stop().await;
    let mut watch = client.configs().watch("d").expect("valid");
    let state = soon(watch.changed()).await.expect("a state");
    assert!(matches!(
        *state,
        DocumentState::Unreachable { last: None, why: ErrorKind::Disconnected, .. }
    ));
    server.resume().await.expect("the same ports");
    assert_eq!(*soon(watch.changed()).await.expect("a state"), DocumentState::Absent);
}

#[tokio::test(start_paused = true)]
async fn namespaces_do_not_meet_and_the_default_one_has_two_names() {
    let server = server().await;
    let client = builder(&server).namespace("public").connect().await.expect("the server is there");
    let staging = Namespace::parse("staging").expect("valid");
    let key = nacos_core::ConfigKey::try_from("d").expect("valid");
    let publish =
        Publish::new(key.clone().in_namespace(staging.clone()), "staging").expect("valid");
    client.configs().publish(publish).await.expect("published");
    client.configs().publish(Publish::new("d", "own").expect("valid")).await.expect("published");

    let content =
        |namespace: &str| server.document(namespace, "DEFAULT_GROUP", "d").map(|d| d.content);
    assert_eq!(content("staging").as_deref(), Some("staging"));
    assert_eq!(content("").as_deref(), Some("own"));
    let there = client.configs().get(key.in_namespace(staging)).await.expect("an answer");
    assert_eq!(there.map(|document| document.content.to_string()).as_deref(), Some("staging"));
}

#[tokio::test(start_paused = true)]
async fn refetch_asks_again() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    server.next_push(PushFault::Drop);
    server.publish("", "DEFAULT_GROUP", "d", "2");
    let began = Instant::now();
    watch.refetch();
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("2"));
    assert!(Instant::now() - began < Duration::from_secs(60), "the audit did it");
}
