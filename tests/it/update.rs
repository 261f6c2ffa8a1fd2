//! Changing a document as it stands, while others do.
use std::time::Duration;

use nacos_core::{Condition, Configs, Document, ErrorKind, Publish, Visibility};
use nacos_testkit::{Behaviour, Server};
use tokio::time::Instant;
use tracing::Level;

use crate::{
    logs::Log,
    support::{BEHAVIOURS, builder, connected, server, server_like, soon, start},
};

const JAVA: [Behaviour; 4] =
    [Behaviour::Nacos2_3, Behaviour::Nacos2_5, Behaviour::Nacos3_0, Behaviour::Nacos3_3];

/// A server that shows what is published as late as the real one.
async fn slow(behaviour: Behaviour) -> Server {
    let settings = Server::builder().behaviour(behaviour).authentication(false);
    start(settings.observed_timing()).await
}

#[expect(clippy::unnecessary_wraps, reason = "as `update` wants it")]
fn one_more(old: Option<&Document>) -> Option<String> {
    let number: u32 = old.map_or(0, |old| old.content.parse().expect("a number"));
    Some((number + 1).to_string())
}

async fn number(configs: &Configs) -> String {
    configs.get("n").await.expect("an answer").expect("is there").content.to_string()
}

#[tokio::test(start_paused = true)]
async fn updates_one_after_the_other_survive_the_time_in_which_the_old_content_shows() {
    for behaviour in BEHAVIOURS {
        let server = slow(behaviour).await;
        let configs = connected(&server).await.configs();
        let mut last = None;
        for _ in 0..10 {
            let updated = soon(configs.update("n", one_more)).await.expect("updated");
            let expected = match behaviour {
                Behaviour::RNacos => Condition::Unknown,
                _ => Condition::Honoured,
            };
            assert_eq!(updated.condition, expected);
            last = updated.published;
        }
        let last = last.expect("it was published");
        assert_eq!(last.visible().await.expect("answers"), Visibility::Visible);
        assert_eq!(number(&configs).await, "10", "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn update_of_many_clients_at_once_loses_none() {
    for behaviour in JAVA {
        let server = slow(behaviour).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(connected(&server).await);
        }
        let updating = clients.iter().map(|client| async {
            for _ in 0..5 {
                soon(client.configs().update("n", one_more)).await.expect("updated");
            }
        });
        futures_util::future::join_all(updating).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(number(&clients[0].configs()).await, "20", "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn document_that_is_left_as_it_is_causes_no_publish() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    let updated = configs.update("n", |_| None::<String>).await.expect("an answer");
    assert!(updated.published.is_none());
    assert_eq!(updated.condition, Condition::Honoured);
    assert_eq!(server.requests("ConfigPublishRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn update_keeps_what_a_client_can_keep() {
    for behaviour in JAVA {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        let first = Publish::new("n", "1").expect("valid").content_type("properties");
        let first = first.app("orders").tags("a,b").description("d").encrypted_data_key("key");
        configs.publish(first).await.expect("published");
        configs.update("n", one_more).await.expect("updated");
        let stored = server.document("", "DEFAULT_GROUP", "n").expect("is there");
        assert_eq!(stored.content, "2");
        assert_eq!(stored.content_type, "properties");
        assert_eq!(stored.encrypted_data_key, "key");
        assert_eq!(stored.app, "orders");
        assert_eq!(stored.tags, ["a", "b"]);
        assert_eq!(stored.description, "", "Java Nacos forgets it, and shows it to no client");
    }
}

#[tokio::test(start_paused = true)]
async fn type_of_a_new_document_follows_its_name() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    configs.update("n.yaml", |_| Some("a: 1")).await.expect("updated");
    let stored = server.document("", "DEFAULT_GROUP", "n.yaml").expect("is there");
    assert_eq!(stored.content_type, "yaml");
}

#[tokio::test(start_paused = true)]
async fn server_that_may_ignore_conditions_is_warned_of_once() {
    let (log, _guard) = Log::keep();
    let server = server_like(Behaviour::RNacos).await;
    let client = connected(&server).await;
    for _ in 0..3 {
        let updated = client.configs().update("n", one_more).await.expect("updated");
        assert_eq!(updated.condition, Condition::Unknown);
    }
    let warnings = log.at(Level::WARN);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains("announces no abilities"), "{warning}");
    assert_eq!(server.requests("ConfigPublishRequest"), 3, "nothing is published to find out");
}

#[tokio::test(start_paused = true)]
async fn others_that_are_always_faster_are_a_conflict_in_the_end() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "n", "1");
    let client = builder(&server).request_timeout(Duration::from_secs(3)).connect().await;
    let client = client.expect("the server is there");
    let began = Instant::now();
    let mut calls = 0;
    let faster = |_: Option<&Document>| {
        calls += 1;
        server.publish("", "DEFAULT_GROUP", "n", format!("theirs {calls}"));
        Some("ours")
    };
    let error = soon(client.configs().update("n", faster)).await.expect_err("never in time");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    let taken = Instant::now() - began;
    assert!(taken <= Duration::from_secs(3), "{taken:?}");
    assert!((8..=64).contains(&calls), "{calls}");
    let stored = server.document("", "DEFAULT_GROUP", "n").expect("is there");
    assert_eq!(stored.content, format!("theirs {calls}"), "nothing was overwritten");
}

#[tokio::test(start_paused = true)]
async fn gray_version_is_no_ground_for_an_update() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    configs.publish(Publish::new("n", "1").expect("valid")).await.expect("published");
    let here = ["127.0.0.1".parse().expect("an address")];
    let beta = Publish::new("n", "7").expect("valid").beta(here);
    configs.publish(beta).await.expect("published");
    let error = configs.update("n", one_more).await.expect_err("it is shown the beta version");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_update_is_not_tried_again() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    let error = configs.update("n", |_| Some(" ")).await.expect_err("blank");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert_eq!(server.requests("ConfigPublishRequest"), 1);
}
