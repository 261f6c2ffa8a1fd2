//! A user with rights on one group only: it can read, and not listen.
use nacos_core::{ClaimState, ConfigKey, DocumentState, ErrorKind, Namespace};
use nacos_testkit::{Behaviour, Server};
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::support::{
    BEHAVIOURS, becomes, builder, chain, connected, guarded, server, server_like, soon,
};

#[tokio::test(start_paused = true)]
async fn watch_of_what_can_only_be_read_names_the_right_that_lets_it_listen() {
    for behaviour in JAVA {
        let server = server_like(behaviour).await;
        limit(&server);
        let client = connected(&server).await;
        let document = client.configs().get(("d", "ORDERS")).await.expect("readable");
        assert!(document.is_some());
        let watch = client.configs().watch(("d", "ORDERS")).expect("valid");
        let mut live = watch.live();
        let error = watch.ready().await.expect_err("refused");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        let text = chain(&error);
        assert!(text.contains("poll_when_refused"), "{text}");
        assert_eq!(live.get().document().map(|document| &*document.content), Some("1"));

        let watch = client.configs().watch(("d", "OTHERS")).expect("valid");
        let others = chain(&watch.ready().await.expect_err("refused"));
        assert!(!others.contains("config/*"), "it cannot be read either: {others}");

        let watch = client.configs().watch(("d", "ORDERS")).expect("valid");
        let named = text.split('`').nth(1).expect("a right");
        server.limit_rights(Some(&[ORDERS, named]));
        becomes(&mut watch.claim(), |claim| *claim == ClaimState::Held).await;
        drop((client, watch));
        assert!(soon(live.wait_for(|_| false)).await.is_none());
    }
}

/// The least with which a watch works.
#[tokio::test(start_paused = true)]
async fn user_who_may_read_one_group_and_listen_follows_that_group_and_reads_no_other() {
    for behaviour in JAVA {
        let server = server_like(behaviour).await;
        limit(&server);
        server.limit_rights(Some(&[ORDERS, ":[*]:config/[*]"]));
        let client = connected(&server).await;
        let watch = client.configs().watch(("d", "ORDERS")).expect("valid");
        let mut watch = watch.ready().await.expect("let in");
        server.publish("", "ORDERS", "d", "2");
        assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("2"));
        let error = client.configs().get(("d", "OTHERS")).await.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}

#[tokio::test(start_paused = true)]
async fn polled_watch_sees_changes_and_is_pushed_to_once_the_right_is_granted() {
    let server = server().await;
    limit(&server);
    let client = connected(&server).await;
    let watch = client.configs().watch(("d", "ORDERS")).expect("valid").poll_when_refused();
    let mut watch = watch.ready().await.expect("readable");
    assert_eq!(content(&watch.state()), Some("1"));
    assert!(matches!(*watch.claim().get(), ClaimState::Refused { code: 403, .. }));
    server.publish("", "ORDERS", "d", "2");
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("2"));
    server.remove("", "ORDERS", "d");
    assert_eq!(*soon(watch.changed()).await.expect("a state"), DocumentState::Absent);

    server.limit_rights(None);
    becomes(&mut watch.claim(), |claim| *claim == ClaimState::Held).await;
    let queries = server.requests("ConfigQueryRequest");
    server.publish("", "ORDERS", "d", "3");
    assert_eq!(content(&soon(watch.changed()).await.expect("a state")), Some("3"));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(server.requests("ConfigQueryRequest"), queries + 1, "nobody polls any more");
}

#[tokio::test(start_paused = true)]
async fn poll_that_is_asked_for_late_or_beside_another_watch_is_ready() {
    let server = server().await;
    limit(&server);
    let client = connected(&server).await;
    let mut first = client.configs().watch(("d", "ORDERS")).expect("valid");
    let is_refused = |state: &DocumentState| matches!(state, DocumentState::Unreachable { .. });
    becomes(&mut first.live(), is_refused).await;
    let second = client.configs().watch(("d", "ORDERS")).expect("valid").poll_when_refused();
    let second = second.ready().await.expect("readable");
    assert_eq!(content(&second.state()), Some("1"));
    // Both watch one document.
    assert_eq!(content(&first.state()), Some("1"));
    drop(second);
    sleep(Duration::from_secs(100)).await;
    assert!(is_refused(&first.state()), "nobody asks for it any more");
    first = first.poll_when_refused().ready().await.expect("readable");
    let queries = server.requests("ConfigQueryRequest");
    drop(first);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(server.requests("ConfigQueryRequest"), queries, "polling ends with the watch");
}

#[tokio::test(start_paused = true)]
async fn right_that_is_missing_costs_no_login_and_no_wait() {
    for behaviour in JAVA {
        let server = guarded(behaviour).await;
        limit(&server);
        let client = builder(&server).credentials("nacos", "s3cret").connect().await;
        let client = client.expect("its password is right");
        let watch = client.configs().watch(("d", "ORDERS")).expect("valid").poll_when_refused();
        let watch = watch.ready().await.expect("readable");
        server.delay_logins(Duration::from_secs(4));
        for _ in 0..100 {
            let began = Instant::now();
            let error = client.configs().get(("d", "OTHERS")).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(Instant::now() - began < Duration::from_secs(1));
            sleep(Duration::from_secs(36)).await;
        }
        assert_eq!(server.logins(), 1, "in an hour");
        assert_eq!(content(&watch.state()), Some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn polled_watch_of_what_cannot_be_read_is_refused_at_once() {
    let server = server().await;
    limit(&server);
    let client = connected(&server).await;
    let watch = client.configs().watch(("d", "OTHERS")).expect("valid").poll_when_refused();
    let began = Instant::now();
    let error = watch.ready().await.expect_err("refused");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
    assert!(Instant::now() - began < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn namespace_without_rights_takes_nothing_from_the_others() {
    let server = server().await;
    server.limit_rights(Some(&["team-a:*:*"]));
    let client = builder(&server).namespace("team-a").connect().await.expect("the server is there");
    for namespace in ["team-0", "team-z", ""] {
        let namespace = Namespace::parse(namespace).expect("valid");
        let key = ConfigKey::try_from("shared").expect("valid").in_namespace(namespace);
        let watch = client.configs().watch(&key).expect("valid");
        let own = client.configs().watch("d").expect("valid").ready().await.expect("allowed");
        assert_eq!(*own.state(), DocumentState::Absent);
        assert_eq!(watch.ready().await.expect_err("refused").kind(), ErrorKind::Denied);
    }
}

/// r-nacos leaves out of a listen what the user may not read, and says nothing.
#[tokio::test(start_paused = true)]
async fn document_of_a_namespace_without_rights_is_denied_and_not_absent_on_r_nacos() {
    let server = guarded(Behaviour::RNacos).await;
    server.publish("", "ORDERS", "d", "1");
    server.limit_rights(Some(&["team-a:*:*"]));
    let client = builder(&server).credentials("nacos", "s3cret").connect().await;
    let client = client.expect("its password is right");
    let watch = client.configs().watch(("d", "ORDERS")).expect("valid");
    let error = watch.ready().await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(chain(&error).contains("NO_NAMESPACE_PERMISSION"), "{}", chain(&error));
    assert_eq!(server.logins(), 1, "it is no matter of a login");

    let watch = client.configs().watch(("d", "ORDERS")).expect("valid");
    server.limit_rights(Some(&["team-a:*:*", ":*:*"]));
    becomes(&mut watch.live(), |state| content(state) == Some("1")).await;
    // Within a few seconds, it is listened to as well.
    sleep(Duration::from_secs(5)).await;
    let queries = server.requests("ConfigQueryRequest");
    server.publish("", "ORDERS", "d", "2");
    becomes(&mut watch.live(), |state| content(state) == Some("2")).await;
    assert_eq!(server.requests("ConfigQueryRequest"), queries + 1);
    assert_eq!(*watch.claim().get(), ClaimState::Held);
}

/// A user of r-nacos learns, too, that a document is not there.
#[tokio::test(start_paused = true)]
async fn document_that_is_not_there_is_absent_to_a_user_of_any_server() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        let client = builder(&server).credentials("nacos", "s3cret").connect().await;
        let client = client.expect("its password is right");
        let watch = client.configs().watch("absent").expect("valid").ready().await;
        assert_eq!(*watch.expect("an answer").state(), DocumentState::Absent);
        let asked = u64::from(behaviour == Behaviour::RNacos);
        assert_eq!(server.requests("ConfigQueryRequest"), asked, "{behaviour:?}");
    }
}

/// The user may do everything with the documents of one group, and nothing else.
fn limit(server: &Server) {
    server.publish("", "ORDERS", "d", "1");
    server.publish("", "OTHERS", "d", "1");
    server.limit_rights(Some(&[ORDERS]));
}

fn content(state: &DocumentState) -> Option<&str> {
    state.document().map(|document| &*document.content)
}

/// Everything with the documents of one group of the default namespace, as every version of Java
/// Nacos takes it.
const ORDERS: &str = ":ORDERS:config/*";

/// r-nacos knows no groups in rights.
const JAVA: [Behaviour; 4] =
    [Behaviour::Nacos2_3, Behaviour::Nacos2_5, Behaviour::Nacos3_0, Behaviour::Nacos3_3];
