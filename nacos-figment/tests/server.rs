//! Against a server: what is published is followed, and what breaks is reported.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use figment::{Figment, providers::Serialized};
use nacos_core::{
    Client,
    filter::{ConfigContent, ConfigFilter, FilterError, FilterFuture},
    inspect::{Action, Tree},
};
use nacos_figment::{ErrorKind, Freshness, Hot, HotConfig, Import, NacosSource, Stage, Status};
use nacos_testkit::{Server, TimeLimit};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct AppConfig {
    limits: Limits,
    #[serde(default)]
    db: Db,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Limits {
    rps: u32,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Db {
    url: String,
    password: String,
}

/// Of a test that has a time limit from here on.
async fn world() -> (Server, Client) {
    TimeLimit::for_test();
    let server = Server::start().await.expect("ports are free");
    let client = Client::builder().server_addr(server.addr().to_string()).connect().await;
    (server, client.expect("the server runs"))
}

fn app() -> Import {
    Import::app("orders").ext("json").group("ORDER_GROUP").profile("prod")
}

fn publish(server: &Server, data_id: &str, content: &str) {
    server.publish("", "ORDER_GROUP", data_id, content);
}

async fn until(config: &HotConfig<AppConfig>, condition: impl FnMut(&Status) -> bool) -> Status {
    let status = tokio::time::timeout(PATIENCE, async {
        config.status().wait_for(condition).await.expect("the engine lives")
    });
    (*status.await.expect("in time")).clone()
}

#[tokio::test]
async fn publish_is_followed_and_a_broken_one_is_rejected_until_a_good_one_comes() {
    let (server, nacos) = world().await;
    publish(&server, "orders", r#"{"limits": {"rps": 1}, "db": {"url": "bare"}}"#);
    publish(&server, "orders.json", r#"{"limits.rps": 2}"#);
    publish(&server, "orders-prod.json", r#"{"limits.rps": 3}"#);
    let config: HotConfig<AppConfig> = HotConfig::builder(&nacos)
        .import(app().required())
        .env_from("ORDERS", [("ORDERS__DB__PASSWORD", "hunter2")])
        .start()
        .await
        .expect("valid");
    let hot: Hot<AppConfig> = config.hot();
    assert_eq!((hot.load().limits.rps, &*hot.load().db.url), (3, "bare"));
    assert_eq!(hot.load().db.password, "hunter2");
    let sources: Vec<String> = hot.pin().sources().iter().map(ToString::to_string).collect();
    assert!(sources[2].starts_with("nacos://public/ORDER_GROUP/orders-prod.json@"), "{sources:?}");

    let mut changes = hot.map(|config| &config.limits).changes();
    publish(&server, "orders-prod.json", r#"{"limits.rps": 4}"#);
    let change = tokio::time::timeout(PATIENCE, changes.next()).await.expect("in time");
    let change = change.expect("the client lives");
    assert_eq!((change.old.rps, change.new.rps), (3, 4));

    publish(&server, "orders-prod.json", "{\"limits.rps\":\n \"hunter3\"}");
    let status = until(&config, |status| status.rejection.is_some()).await;
    let rejection = status.rejection.expect("just seen");
    assert_eq!(rejection.stage, Stage::Extract);
    let shown = rejection.to_string();
    assert!(shown.contains("orders-prod.json@") && shown.contains("line 2 column 2"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert_eq!(hot.load().limits.rps, 4);

    publish(&server, "orders-prod.json", r#"{"limits.rps": 5}"#);
    until(&config, |status| status.rejection.is_none()).await;
    assert_eq!(hot.load().limits.rps, 5);
}

#[tokio::test]
async fn restarted_server_is_followed_again() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(app()).start().await.expect("valid");
    server.stop().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 2}}"#);
    server.resume().await.expect("the ports are still free");
    until(&config, |status| status.generation == 2 && status.freshness == Freshness::Confirmed)
        .await;
    assert_eq!(config.hot().load().limits.rps, 2);
}

#[tokio::test]
async fn configuration_from_disk_is_stale_until_a_server_has_confirmed_it() {
    let (server, _) = world().await;
    let directory = tempfile::tempdir().expect("there is room");
    let builder = || {
        let builder = Client::builder().server_addr(server.addr().to_string());
        builder.snapshot_dir(directory.path().display().to_string()).snapshot_scope("blue")
    };
    let import = || Import::data_id("orders.json").group("ORDER_GROUP").required();
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    let before = builder().connect().await.expect("the server runs");
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&before).import(import()).start().await.expect("valid");
    drop(config);
    before.shutdown(PATIENCE).await;
    server.stop().await;

    let nacos = builder().connect_lazy().expect("valid");
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(import()).start().await.expect("it is on disk");
    assert_eq!(config.hot().load().limits.rps, 1);
    let status = config.status().get();
    let [document] = status.freshness.stale() else { panic!("{status:?}") };
    assert_eq!(&*document.name, "nacos://public/ORDER_GROUP/orders.json");
    assert!(document.cause.contains("snapshot on disk"), "{document:?}");
    server.resume().await.expect("the ports are still free");
    until(&config, |status| status.freshness == Freshness::Confirmed).await;
    assert_eq!(config.hot().generation(), 1);
}

#[tokio::test]
async fn document_that_never_existed_keeps_no_configuration_from_starting_from_disk() {
    let (server, _) = world().await;
    let directory = tempfile::tempdir().expect("there is room");
    let builder = || {
        let builder = Client::builder().server_addr(server.addr().to_string());
        builder.snapshot_dir(directory.path().display().to_string()).snapshot_scope("blue")
    };
    let order = |name| Import::data_id(name).group("ORDER_GROUP");
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    let start = |nacos: &Client| {
        let builder =
            HotConfig::<AppConfig>::builder(nacos).import(order("orders.json").required());
        builder.import(order("orders-blue.json")).start()
    };
    let before = builder().connect().await.expect("the server runs");
    drop(start(&before).await.expect("valid"));
    before.shutdown(PATIENCE).await;
    server.stop().await;

    let nacos = builder().connect_lazy().expect("valid");
    let config = start(&nacos).await.expect("it is on disk, and so is that the other is not");
    assert_eq!(config.hot().load().limits.rps, 1);
    let status = config.status().get();
    assert!(matches!(status.freshness, Freshness::FromDisk { .. }), "{status:?}");
    assert_eq!(status.freshness.stale().len(), 2);
    // It appears once a server is there.
    publish(&server, "orders-blue.json", r#"{"limits": {"rps": 2}}"#);
    server.resume().await.expect("the ports are still free");
    until(&config, |status| status.freshness.is_confirmed() && status.generation == 2).await;
    assert_eq!(config.hot().load().limits.rps, 2);
}

#[tokio::test]
async fn words_of_a_configuration_are_those_of_its_documents() {
    let (server, _) = world().await;
    let directory = tempfile::tempdir().expect("there is room");
    let file = directory.path().join("public/ORDER_GROUP/orders.json");
    let builder = Client::builder().server_addr(server.addr().to_string());
    let builder = builder.override_dir(directory.path().display().to_string());
    let nacos = builder.connect().await.expect("the server runs");
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    let import = Import::data_id("orders.json").group("ORDER_GROUP").required();
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(import).start().await.expect("valid");
    assert!(config.status().get().freshness.is_confirmed());

    server.stop().await;
    until(&config, |status| matches!(status.freshness, Freshness::Stale { .. })).await;
    assert!(format!("{config:?}").contains("stale: nacos://public/ORDER_GROUP/orders.json"));
    server.resume().await.expect("the ports are still free");
    until(&config, |status| status.freshness.is_confirmed()).await;

    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(&file, r#"{"limits": {"rps": 9}}"#).expect("written");
    let is_overridden = |status: &Status| match &status.freshness {
        Freshness::Overridden { paths } => *paths[0] == *file,
        _ => false,
    };
    until(&config, |status| is_overridden(status) && status.generation == 2).await;
    assert_eq!(config.hot().load().limits.rps, 9);
}

#[tokio::test]
async fn encrypted_document_is_an_error_that_says_so_wherever_it_is_imported() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    // Of an application whose name begins so, each variant does; of another, one may.
    server.publish("", "ORDER_GROUP", "cipher-aes-db.json", r#"{"limits": {"rps": 2}}"#);
    let key = "aHVudGVyMg==";
    server.publish_encrypted("", "ORDER_GROUP", "orders-prod.json", "4a76b0b5", key);
    let cipher = Import::data_id("cipher-aes-db.json").group("ORDER_GROUP");
    for import in [cipher.clone(), cipher.required(), app(), app().required()] {
        let plain = NacosSource::new(&nacos).import(import.clone());
        let fetched = plain.fetch().await.expect_err("encrypted");
        let started = HotConfig::<AppConfig>::builder(&nacos).import(import).start().await;
        for error in [fetched, started.expect_err("encrypted")] {
            assert_eq!(error.kind(), ErrorKind::Unreachable);
            let cause = causes(&error);
            assert!(cause.contains("encrypted") && cause.contains("cipher-"), "{cause}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("nacos://public/ORDER_GROUP/"), "{shown}");
            assert!(!shown.contains(key) && !shown.contains("4a76b0b5"), "{shown}");
        }
    }
}

#[tokio::test]
async fn document_that_a_filter_decrypts_is_configuration_and_stays_so_while_it_cannot() {
    /// Reads a text backwards, if its key is `backwards`.
    #[derive(Debug)]
    struct Backwards;

    impl ConfigFilter for Backwards {
        fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
            let outcome = match document.encrypted_data_key.as_deref() {
                Some("backwards") => {
                    let text: String = document.content.chars().rev().collect();
                    Ok(document.decrypted(text))
                }
                _ => Err(FilterError::unavailable("the key service is down")),
            };
            Box::pin(std::future::ready(outcome))
        }
    }

    let (server, _) = world().await;
    let nacos = Client::builder().server_addr(server.addr().to_string());
    let nacos = nacos.with_config_filter(Backwards).connect().await.expect("the server runs");
    let publish = |text: &str, key| {
        let backwards: String = text.chars().rev().collect();
        server.publish_encrypted("", "ORDER_GROUP", "cipher-db.json", backwards, key);
    };
    publish(r#"{"limits": {"rps": 1}}"#, "backwards");
    let import = || Import::data_id("cipher-db.json").group("ORDER_GROUP").required();
    let fetched = NacosSource::new(&nacos).import(import()).fetch().await.expect("readable");
    let fetched: AppConfig = Figment::from(fetched).extract().expect("valid");
    assert_eq!(fetched.limits.rps, 1);
    let config = HotConfig::<AppConfig>::builder(&nacos).import(import()).start().await;
    let config = config.expect("readable");
    publish(r#"{"limits": {"rps": 2}}"#, "unknown");
    let status = until(&config, |status| !status.freshness.stale().is_empty()).await;
    let [document] = status.freshness.stale() else { panic!("{status:?}") };
    assert!(document.cause.contains("the key service is down"), "{document:?}");
    assert_eq!(config.hot().load().limits.rps, 1);
    publish(r#"{"limits": {"rps": 3}}"#, "backwards");
    let status = until(&config, |status| status.generation == 2).await;
    assert_eq!((status.freshness, config.hot().load().limits.rps), (Freshness::Confirmed, 3));
}

#[tokio::test]
async fn user_with_rights_on_one_group_is_told_which_is_missing_and_may_poll() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    server.limit_rights(Some(&[":ORDER_GROUP:config/*"]));
    let builder = || HotConfig::<AppConfig>::builder(&nacos).import(app());
    let error = builder().start().await.expect_err("it could not be followed");
    let cause = causes(&error);
    assert!(cause.contains("`:*:config/*`") && cause.contains("poll_when_refused"), "{cause}");
    let config = builder().poll_when_refused().start().await.expect("readable");
    assert_eq!(config.hot().load().limits.rps, 1);
}

#[tokio::test]
async fn first_configuration_that_is_not_valid_fails_the_start() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", "{\"limits\": {\n  \"rps\": \"hunter2\"}}");
    let builder = || HotConfig::<AppConfig>::builder(&nacos);
    let error = builder().import(app()).start().await.expect_err("no number");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let shown = error.to_string();
    let place = "nacos://public/ORDER_GROUP/orders.json@";
    assert!(shown.contains(place) && shown.contains("line 2 column 10"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let absent = Import::data_id("absent.json").required();
    let error = builder().import(absent).start().await.expect_err("absent");
    assert!(error.to_string().contains("does not exist"), "{error}");

    let invalid = builder().import(Import::data_id("no spaces")).start().await;
    assert_eq!(invalid.expect_err("no name").kind(), ErrorKind::InvalidOption);
}

#[tokio::test]
async fn resources_that_come_and_go_leave_nothing_behind() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}, "db": {"url": "one"}}"#);
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(app()).start().await.expect("valid");
    let builds = Arc::new(AtomicUsize::new(0));
    let build = || {
        let builds = Arc::clone(&builds);
        let build = move |db: Db| {
            builds.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, std::io::Error>(db) }
        };
        config.resource("db", |config| &config.db, build)
    };
    let first = build().await.expect("built");
    for _ in 0..100 {
        drop(build().await.expect("built"));
    }
    // A part keeps the whole.
    let url = build().await.expect("built").map(|db| &db.url);
    let before = builds.load(Ordering::Relaxed);
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}, "db": {"url": "two"}}"#);
    let mut changes = config.status();
    let applied = changes.wait_for(|_| config.hot().load().db.url == "two");
    tokio::time::timeout(PATIENCE, applied).await.expect("in time").expect("the engine lives");
    assert_eq!(builds.load(Ordering::Relaxed) - before, 2, "of what nobody has nothing is built");
    assert_eq!((first.load().url.as_str(), url.load().as_str()), ("two", "two"));
}

#[tokio::test]
async fn resource_follows_its_part_of_the_configuration() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}, "db": {"url": "one"}}"#);
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(app()).start().await.expect("valid");
    let pool: Hot<String> = config
        .resource("db", |c| &c.db, |db| async move { Ok::<_, std::io::Error>(db.url) })
        .await
        .expect("built");
    assert_eq!(*pool.load(), "one");
    let mut changes = pool.changes();
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}, "db": {"url": "two"}}"#);
    let change = tokio::time::timeout(PATIENCE, changes.next()).await.expect("in time");
    assert_eq!(*change.expect("the client lives").new, "two");
}

#[tokio::test]
async fn operators_see_documents_and_rejections_but_no_content() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}, "db": {"password": "hunter2"}}"#);
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(app()).start().await.expect("valid");
    let inspected = nacos.inspected();
    let part = inspected.iter().find(|part| part.name() == "config:orders").expect("registered");
    assert_eq!(part.report().get("generation"), Some(&Tree::Count(1)));
    part.act(&Action::new("reload")).expect("known");
    part.act(&Action::new("explode")).expect_err("unknown");
    publish(&server, "orders.json", r#"{"limits": {"rps": "hunter2"}}"#);
    until(&config, |status| status.rejection.is_some()).await;
    let shown = format!("{:?} {config:?} {:?}", part.report(), config.status());
    assert!(shown.contains("nacos://public/ORDER_GROUP/orders.json"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    drop((inspected, config));
    assert!(nacos.inspected().iter().all(|part| part.name() != "config:orders"));
}

#[tokio::test]
async fn shutdown_ends_changes_and_keeps_the_last_value() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", r#"{"limits": {"rps": 1}}"#);
    let config: HotConfig<AppConfig> =
        HotConfig::builder(&nacos).import(app()).start().await.expect("valid");
    let mut changes = config.hot().changes();
    nacos.shutdown(PATIENCE).await;
    let ended = tokio::time::timeout(PATIENCE, changes.next()).await.expect("in time");
    assert!(ended.is_none());
    assert_eq!(config.hot().load().limits.rps, 1);
}

#[tokio::test]
async fn fetched_documents_are_a_frozen_provider_that_names_them() {
    let (server, nacos) = world().await;
    publish(&server, "orders.json", "{\"limits\": {\n  \"rps\": 2}}");
    let source = NacosSource::new(&nacos).import(app());
    let fetched = source.fetch().await.expect("valid");
    publish(&server, "orders.json", "{}");
    let defaults = Serialized::defaults(serde_json::json!({"limits": {"rps": 1}}));
    let figment = Figment::from(defaults.clone()).merge(&fetched);
    let app: AppConfig = figment.extract().expect("valid");
    assert_eq!(app.limits.rps, 2);
    let name = &figment.find_metadata("limits.rps").expect("it has one").name;
    assert!(name.starts_with("nacos://public/ORDER_GROUP/orders.json@"), "{name}");
    let error = figment.extract_inner::<bool>("limits.rps").expect_err("no flag");
    assert!(nacos_figment::redacted(error).to_string().contains("found integer"));

    publish(&server, "orders-prod.json", "{\"limits\": {\n  \"rps\": \"hunter2\"}}");
    let error = Figment::from(defaults)
        .merge(source.fetch().await.expect("valid"))
        .extract::<AppConfig>()
        .expect_err("no number");
    let shown = nacos_figment::redacted(error).to_string();
    assert!(shown.contains("limits.rps @ 2:10"), "{shown}");
    assert!(shown.contains("nacos://public/ORDER_GROUP/orders-prod.json@"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let missing = NacosSource::new(&nacos).import(Import::data_id("absent.json").required());
    assert_eq!(missing.fetch().await.expect_err("absent").kind(), ErrorKind::Rejected);
    publish(&server, "orders-prod.json", "{\n\"hunter2\"");
    let error = source.fetch().await.expect_err("broken");
    assert!(error.to_string().contains("line 2") && !error.to_string().contains("hunter2"));
}

/// Far longer than anything takes: reached only if it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why it is so, down to the last reason.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
