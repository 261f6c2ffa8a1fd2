//! Publishing: everything that a server takes, conditions, sizes, and when what was published
//! shows.
use std::time::Duration;

use nacos_core::{Condition, Configs, ErrorKind, Namespace, Publish, Published, Visibility};
use nacos_testkit::{Behaviour, Server};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{BEHAVIOURS, builder, chain, connected, server, server_like, soon, start};

fn publish(data_id: &str, content: &str) -> Publish {
    Publish::new(data_id, content).expect("valid")
}

/// A server that shows what is published as late as the real one.
async fn slow(behaviour: Behaviour) -> Server {
    let settings = Server::builder().behaviour(behaviour).authentication(false);
    start(settings.observed_timing()).await
}

async fn content(configs: &Configs, data_id: &str) -> Option<String> {
    let document = configs.get(data_id).await.expect("an answer");
    document.map(|document| document.content.to_string())
}

#[tokio::test(start_paused = true)]
async fn every_field_of_a_publish_has_the_name_that_servers_read() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    let known = configs.publish(publish("known", "1")).await.expect("published");
    let document = configs.get("known").await.expect("an answer").expect("is there");
    let full = publish("known", "2")
        .content_type("json")
        .app("orders")
        .description("limits")
        .tags("a,b")
        .encrypted_data_key("key")
        .addition("src_user", "joe")
        .if_unchanged(&document);
    configs.publish(full).await.expect("published");
    let sent = server.last_request("ConfigPublishRequest").expect("it came").body;
    assert_eq!(sent["casMd5"], json!(known.md5()));
    let additions = json!({
        "type": "json", "appName": "orders", "desc": "limits", "config_tags": "a,b",
        "encryptedDataKey": "key", "src_user": "joe",
    });
    assert_eq!(sent["additionMap"], additions);
    assert_eq!(sent["tenant"], json!(""));

    let beta = publish("known", "3").beta(["10.0.0.1", "::1"].map(|ip| ip.parse().expect("ip")));
    configs.publish(beta).await.expect("published");
    let sent = server.last_request("ConfigPublishRequest").expect("it came").body;
    assert_eq!(sent["additionMap"], json!({ "betaIps": "10.0.0.1,::1" }));
    configs.publish(publish("known", "4").gray_tag("blue")).await.expect("published");
    let sent = server.last_request("ConfigPublishRequest").expect("it came").body;
    assert_eq!(sent["additionMap"], json!({ "tag": "blue" }));
    assert_eq!(content(&configs, "known").await.as_deref(), Some("2"), "neither is for us");
}

#[tokio::test(start_paused = true)]
async fn document_is_published_only_where_there_is_none() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        let first = configs.publish(publish("d", "1").if_absent()).await;
        if behaviour == Behaviour::RNacos {
            let error = first.expect_err("the server would overwrite");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            assert_eq!(server.requests("ConfigPublishRequest"), 0, "nothing was sent");
            continue;
        }
        let condition = first.expect("there was none").condition();
        assert_eq!(condition, Some(Condition::Honoured));
        let error = configs.publish(publish("d", "2").if_absent()).await.expect_err("is there");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        assert_eq!(content(&configs, "d").await.as_deref(), Some("1"));
        configs.remove("d").await.expect("removed");
        configs.publish(publish("d", "3").if_absent()).await.expect("there is none again");
    }
}

#[tokio::test(start_paused = true)]
async fn conditional_publish_of_a_gray_version_is_a_conflict_too() {
    for behaviour in [Behaviour::Nacos3_0, Behaviour::Nacos2_5] {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        configs.publish(publish("d", "1")).await.expect("published");
        let formal = configs.get("d").await.expect("an answer").expect("is there");
        let here = ["10.0.0.1".parse().expect("an address")];
        for gray in [publish("d", "2").gray_tag("blue"), publish("d", "2").beta(here)] {
            configs.publish(gray.clone()).await.expect("published");
            let error = configs.publish(gray.if_unchanged(&formal)).await.expect_err("it is not");
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn success_that_stored_nothing_is_no_honoured_condition_and_never_shows() {
    let server = slow(Behaviour::Nacos2_3).await;
    let configs = connected(&server).await.configs();
    configs.publish(publish("d", "1")).await.expect("published");
    let blue = configs.publish(publish("d", "2").gray_tag("blue")).await.expect("published");
    assert_eq!(blue.visible().await.expect("answers"), Visibility::Visible);
    let formal = configs.get("d").await.expect("an answer").expect("is there");
    let wrong = publish("d", "3").gray_tag("blue").if_unchanged(&formal);
    let said = configs.publish(wrong).await.expect("the server says so");
    assert_eq!(said.condition(), Some(Condition::Unknown));
    assert_eq!(soon(said.visible()).await.expect("answers"), Visibility::NotSeen);
}

/// r-nacos would do it, to everybody.
#[tokio::test(start_paused = true)]
async fn nothing_that_a_server_would_show_to_everybody_or_lose_is_sent_to_it() {
    let server = server_like(Behaviour::RNacos).await;
    let configs = connected(&server).await.configs();
    let here = ["10.0.0.1".parse().expect("an address")];
    for hazard in [
        publish("d", "1").beta(here),
        publish("d", "1").gray_tag("blue"),
        publish("d", "1").encrypted_data_key("key"),
        publish("d", "1").addition("tag", "blue"),
        publish("d", "1").addition("encryptedDataKey", "key"),
    ] {
        let error = configs.publish(hazard).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(chain(&error).contains("announces no abilities"), "{error:?}");
    }
    let error = configs.publish(publish("d", "1").beta([])).await.expect_err("for nobody");
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error:?}");
    assert_eq!(server.requests("ConfigPublishRequest"), 0);
    configs.publish(publish("d", "1").encrypted_data_key("")).await.expect("no key is no hazard");
}

#[tokio::test(start_paused = true)]
async fn publish_over_the_limit_is_refused_before_anything_is_sent() {
    let server = server().await;
    let client = builder(&server).max_publish(1000).connect().await.expect("the server is there");
    let configs = client.configs();
    configs.publish(publish("d", &"x".repeat(800))).await.expect("published");
    let sent = server.requests("ConfigPublishRequest");
    // Two bytes for each quote, six for each control character.
    for content in ["x".repeat(1000), "\"".repeat(500), "\u{1}".repeat(160)] {
        let error = configs.publish(publish("d", &content)).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
        assert!(!error.is_retryable());
        assert!(chain(&error).contains("max_publish"), "{error:?}");
    }
    assert_eq!(server.requests("ConfigPublishRequest"), sent);
}

#[tokio::test(start_paused = true)]
async fn ten_mebibytes_are_the_default_limit() {
    let server = server().await;
    let client = connected(&server).await;
    let most = 10 * 1024 * 1024;
    let error = client.configs().publish(publish("d", &"x".repeat(most))).await;
    assert_eq!(error.expect_err("too large").kind(), ErrorKind::TooLarge);
    let large = "x".repeat(most - 1000);
    client.configs().publish(publish("d", &large)).await.expect("the server reads that");
    assert_eq!(content(&client.configs(), "d").await.as_deref(), Some(&*large));
    assert_eq!(server.connects(), 1, "the session is intact");
}

#[tokio::test(start_paused = true)]
async fn content_arrives_as_it_was_given_or_is_refused() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        for odd in ["\u{feff}a: 1", "a\0b", "\u{1}\u{7f}\u{2028}", "a\r\nb\n", "🦀", "\u{fffd}"] {
            let published = configs.publish(publish("odd", odd)).await.expect("published");
            let document = configs.get("odd").await.expect("an answer").expect("is there");
            assert_eq!(&*document.content, odd);
            assert_eq!(&*document.md5, published.md5());
        }
        for blank in ["", " \n\t"] {
            match configs.publish(publish("blank", blank)).await {
                Ok(_) => {
                    assert_eq!(behaviour, Behaviour::RNacos);
                    assert_eq!(content(&configs, "blank").await.as_deref(), Some(blank));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}"),
            }
        }
    }
}

#[test]
fn hostile_data_ids_are_refused_before_anything_is_sent() {
    let long = "x".repeat(257);
    for name in ["", " ", "../../x", "a/b", "a%2fb", "a\0", "a\nb", "grüße", "a b", &*long] {
        let error = Publish::new(name, "1").expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{name:?}");
    }
    for name in ["..", "con", "nul.yaml", "a:b"] {
        // Names of files are not this layer's concern.
        let _valid = Publish::new(name, "1").expect(name);
    }
}

#[tokio::test(start_paused = true)]
async fn missing_right_to_write_is_denied() {
    let server = server().await;
    server.limit_rights(Some(&[":OTHERS:config/*"]));
    let client = connected(&server).await;
    let error = client.configs().publish(publish("d", "1")).await.expect_err("denied");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
}

#[tokio::test(start_paused = true)]
async fn what_was_published_is_read_once_it_is_visible() {
    for behaviour in BEHAVIOURS {
        let server = slow(behaviour).await;
        let configs = connected(&server).await.configs();
        for round in ["1", "2", "3"] {
            let published = configs.publish(publish("d", round)).await.expect("published");
            let began = Instant::now();
            let asked = server.requests("ConfigQueryRequest");
            assert_eq!(soon(published.visible()).await.expect("answers"), Visibility::Visible);
            assert_eq!(content(&configs, "d").await.as_deref(), Some(round));
            let taken = Instant::now() - began;
            assert!(taken < Duration::from_millis(200), "{taken:?}");
            assert!(server.requests("ConfigQueryRequest") - asked <= 8);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn version_of_a_gray_tag_is_waited_for_and_a_beta_version_is_not() {
    let server = slow(Behaviour::Nacos3_0).await;
    let configs = connected(&server).await.configs();
    let published = configs.publish(publish("d", "1")).await.expect("published");
    assert_eq!(published.visible().await.expect("answers"), Visibility::Visible);
    let blue = configs.publish(publish("d", "2").gray_tag("blue")).await.expect("published");
    assert_eq!(blue.visible().await.expect("answers"), Visibility::Visible);
    assert_eq!(content(&configs, "d").await.as_deref(), Some("1"));
    // For us, which nobody is told.
    let here = ["127.0.0.1".parse().expect("an address")];
    let beta = configs.publish(publish("d", "3").beta(here)).await.expect("published");
    let unsupported = async |published: &Published| {
        let error = published.visible().await.expect_err("it cannot be known");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    };
    unsupported(&beta).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(content(&configs, "d").await.as_deref(), Some("3"));
    let formal = configs.publish(publish("d", "4")).await.expect("published");
    unsupported(&formal).await;
}

/// Somebody else's publish comes before anybody has looked, or while one looks.
#[tokio::test(start_paused = true)]
async fn publish_that_was_replaced_meanwhile_is_not_waited_for() {
    let server = slow(Behaviour::Nacos3_0).await;
    let configs = connected(&server).await.configs();
    let first = configs.publish(publish("d", "1")).await.expect("published");
    assert_eq!(first.visible().await.expect("answers"), Visibility::Visible);
    let began = Instant::now();
    let second = configs.publish(publish("d", "2")).await.expect("published");
    server.publish("", "DEFAULT_GROUP", "d", "3");
    assert_eq!(soon(second.visible()).await.expect("answers"), Visibility::Replaced);
    let third = configs.publish(publish("d", "4")).await.expect("published");
    server.remove("", "DEFAULT_GROUP", "d");
    assert_eq!(soon(third.visible()).await.expect("answers"), Visibility::Replaced);
    let taken = Instant::now() - began;
    assert!(taken < Duration::from_secs(3), "{taken:?}");

    // The condition says what was there before, so that the first look is enough.
    let first = configs.publish(publish("d", "1")).await.expect("published");
    assert_eq!(first.visible().await.expect("answers"), Visibility::Visible);
    let known = configs.get("d").await.expect("an answer").expect("is there");
    let second = configs.publish(publish("d", "2").if_unchanged(&known)).await.expect("published");
    server.publish("", "DEFAULT_GROUP", "d", "3");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(soon(second.visible()).await.expect("answers"), Visibility::Replaced);
}

#[tokio::test(start_paused = true)]
async fn wait_for_what_never_shows_ends_with_the_request_timeout() {
    let settings = Server::builder().config_dump_delay(Duration::from_secs(3600));
    let server = start(settings).await;
    let client = connected(&server).await;
    let configs = client.configs();
    let published = configs.publish(publish("d", "1")).await.expect("published");
    let began = Instant::now();
    assert_eq!(soon(published.visible()).await.expect("answers"), Visibility::NotSeen);
    let taken = Instant::now() - began;
    assert!(taken > Duration::from_secs(9) && taken <= Duration::from_secs(10), "{taken:?}");
    assert!(server.requests("ConfigQueryRequest") <= 60);
    // Dropping the wait is no harm.
    let late = tokio::time::timeout(Duration::from_secs(1), published.visible()).await;
    late.expect_err("it is not there yet");

    server.black_hole(true);
    let began = Instant::now();
    let error = soon(published.visible()).await.expect_err("nobody answers");
    assert!(error.is_retryable(), "{error:?}");
    let taken = Instant::now() - began;
    assert!(taken <= Duration::from_secs(11), "{taken:?}");
    client.shutdown(Duration::from_secs(1)).await;
    let error = soon(published.visible()).await.expect_err("it is shut down");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
}

/// Also where the condition says what was there before, or a look was answered long ago.
#[tokio::test(start_paused = true)]
async fn server_that_falls_silent_after_a_publish_is_not_said_to_show_something_else() {
    let settings = Server::builder().config_dump_delay(Duration::from_secs(20));
    let server = start(settings).await;
    let configs = connected(&server).await.configs();
    configs.publish(publish("d", "1")).await.expect("published");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let known = configs.get("d").await.expect("an answer").expect("is there");
    let published = configs.publish(publish("d", "2").if_unchanged(&known)).await;
    let published = published.expect("published");
    for _ in 0..2 {
        let goes_silent = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            server.black_hole(true);
        };
        let (seen, ()) = futures_util::join!(soon(published.visible()), goes_silent);
        let error = seen.expect_err("nobody answers");
        assert!(error.is_retryable(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn publish_in_another_namespace_is_seen_there() {
    let server = slow(Behaviour::Nacos3_0).await;
    let configs = connected(&server).await.configs();
    let key = nacos_core::ConfigKey::try_from("d").expect("valid");
    let key = key.in_namespace(Namespace::parse("staging").expect("valid"));
    let published = configs.publish(Publish::new(&key, "1").expect("valid")).await;
    let published = published.expect("published");
    assert_eq!(published.key(), &key);
    assert_eq!(published.visible().await.expect("answers"), Visibility::Visible);
    assert_eq!(content(&configs, "d").await, None);
}
