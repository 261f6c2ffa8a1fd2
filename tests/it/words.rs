//! The texts of guards, handles and errors: one short line, the reason, no secret.
use std::{
    collections::HashMap, convert::Infallible, error::Error as _, fmt::Debug, time::Duration,
};

use nacos_core::{
    Client, ErrorKind, Instance, Publish,
    inspect::Tree,
    lifecycle::{Connections, Lifecycle, Shutdown},
};
use nacos_figment::{Freshness, Hot, HotConfig, Import, Status};
use nacos_tower::{Balance, Endpoint, ServiceConnection};
use tracing::Level;

use crate::{
    logs::Log,
    support::{self, becomes, builder, connected, server, soon},
};

/// One line, not a long one, without the content and metadata of these tests.
fn is_short(what: &impl Debug) -> String {
    let text = format!("{what:?}");
    assert!(!text.contains('\n') && text.len() <= 200, "{} characters: {text}", text.len());
    assert!(!text.contains("hidden") && !text.contains("password"), "{text}");
    text
}

#[tokio::test(start_paused = true)]
async fn every_guard_and_handle_is_one_line_without_content_or_secrets() {
    let server =
        support::start(nacos_testkit::Server::builder().credentials("nacos", "password")).await;
    let client = builder(&server).credentials("nacos", "password").connect().await;
    let client = client.expect("there");
    let address = server.addr().to_string();
    assert!(is_short(&client).contains(&address));
    is_short(&client.configs());
    is_short(&client.naming());

    let content = format!("{}a=hidden", "# hidden\n".repeat(1000));
    let publish = Publish::new("d.properties", content.as_str()).expect("valid");
    client.configs().publish(publish).await.expect("stored");
    let watch = client.configs().watch("d.properties").expect("valid").ready().await;
    let watch = watch.expect("answered");
    let text = is_short(&watch);
    assert!(text.contains("d.properties") && text.contains("Held"), "{text}");
    is_short(&watch.live());

    let instance = Instance::new("10.0.0.1", 8080).with_metadata("hidden", "hidden");
    let guard = client.naming().register("orders", instance).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let text = is_short(&guard);
    assert!(text.contains("orders") && text.contains("10.0.0.1:8080"), "{text}");
    let orders = client.naming().subscribe("orders").expect("valid").ready().await;
    let orders = orders.expect("answered");
    let text = is_short(&orders);
    assert!(text.contains("orders") && text.contains("instances: 1"), "{text}");

    let connector = async |_: Endpoint| Ok(ServiceConnection::new(()));
    let balance = Balance::builder(connector).connect(&client, "orders").await.expect("there");
    assert!(is_short(&balance).contains("orders"));

    let config = HotConfig::<HashMap<String, String>>::builder(&client)
        .import(Import::data_id("d.properties"))
        .validate(|config| if config.contains_key("b") { Err("hidden") } else { Ok(()) })
        .start();
    let config = config.await.expect("valid");
    assert!(is_short(&config).contains("generation: 1"));
    let hot: Hot<_> = config.hot();
    is_short(&hot);
    is_short(&hot.pin());
    server.publish("", "DEFAULT_GROUP", "d.properties", "b=hidden");
    becomes(&mut config.status(), |status| status.rejection.is_some()).await;
    assert!(is_short(&config).contains("Validate"));
    let build = async |_| Ok::<_, Infallible>("hidden".to_owned());
    let resource = config.resource("r", |config| config, build).await.expect("built");
    is_short(&resource);

    is_short(&Lifecycle::of(&client));
    is_short(&Shutdown::new());
    let connections = Connections::new();
    let tracked = connections.track(());
    assert!(is_short(&connections).contains("open: 1"));
    is_short(&tracked);
    client.shutdown(Duration::from_secs(1)).await;
    is_short(&(&client, &watch.claim()));
}

#[tokio::test(start_paused = true)]
async fn configuration_that_cannot_start_says_what_the_client_says() {
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "d.properties", "a=1");
    for request in ["ConfigQueryRequest", "ConfigBatchListenRequest"] {
        server.answer_always(request, Some(403));
    }
    let start = |client: &Client| {
        let builder = HotConfig::<HashMap<String, String>>::builder(client);
        builder
            .import(Import::data_id("d.properties"))
            .start_timeout(Duration::from_secs(2))
            .start()
    };
    let error = soon(start(&client)).await.expect_err("denied");
    assert_eq!(error.kind(), nacos_figment::ErrorKind::Unreachable);
    let source = error.source().expect("the client's");
    let source = source.downcast_ref::<nacos_core::Error>().expect("the client's");
    assert_eq!(source.kind(), ErrorKind::Denied);
    assert!(!support::chain(source).is_empty());

    // No server is there to be asked.
    let address = server.addr().to_string();
    server.stop().await;
    let lazy = Client::builder().server_addr(address.as_str()).connect_lazy().expect("valid");
    let error = soon(start(&lazy)).await.expect_err("nobody answers");
    assert_eq!(error.kind(), nacos_figment::ErrorKind::Timeout);
    let source = error.source().expect("the client's");
    let source = source.downcast_ref::<nacos_core::Error>().expect("the client's");
    assert_eq!(source.kind(), ErrorKind::Disconnected);
    assert!(support::chain(source).contains(&address), "{source:?}");
}

/// The version in force stays so: only the status, the report and the log tell.
#[tokio::test(start_paused = true)]
async fn document_of_a_configuration_that_is_stale_is_named_with_its_cause() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = connected(&server).await;
    server.publish("", "DEFAULT_GROUP", "a.properties", "a=1");
    server.publish("", "DEFAULT_GROUP", "b.properties", "b=1");
    let builder = HotConfig::<HashMap<String, String>>::builder(&client);
    let config = builder
        .import(Import::data_id("a.properties"))
        .import(Import::data_id("b.properties"))
        .start()
        .await
        .expect("valid");
    let name = "nacos://public/DEFAULT_GROUP/a.properties";
    let is_stale = |status: &Status| status.freshness != Freshness::Confirmed;
    let told = |of: &str, cause: &str| {
        let status = config.status().get();
        let [stale] = status.freshness.stale() else { panic!("{status:?}") };
        assert_eq!(&*stale.name, name);
        assert!(stale.cause.contains(cause), "{stale:?}");
        assert!(stale.source().is_some());
        let part = client.inspected().into_iter().find(|part| part.name().starts_with("config:"));
        let report = part.expect("it runs").report().to_string();
        assert!(report.contains(name) && report.contains(cause), "{report}");
        let warnings = log.at(Level::WARN);
        let warnings: Vec<_> = warnings.iter().filter(|line| line.contains(name)).collect();
        let last = warnings.last().expect("a line");
        assert!(last.contains(of) && last.contains(cause), "{last}");
        assert_eq!(config.hot().generation(), 1);
        warnings.len()
    };

    server.answer_always("ConfigQueryRequest", Some(403));
    server.publish("", "DEFAULT_GROUP", "a.properties", "a=2");
    becomes(&mut config.status(), is_stale).await;
    assert_eq!(told("access denied", "403"), 1);
    server.answer_always("ConfigQueryRequest", None);
    server.publish("", "DEFAULT_GROUP", "a.properties", "a=1");
    becomes(&mut config.status(), |status| !is_stale(status)).await;
    let again = log.at(Level::INFO).into_iter().filter(|line| line.contains(name)).count();
    assert_eq!(again, 1);

    server.publish_encrypted("", "DEFAULT_GROUP", "a.properties", "4a76b0b5", "hidden");
    becomes(&mut config.status(), is_stale).await;
    assert_eq!(told("unreadable answer", "the document is encrypted"), 2);
}

#[tokio::test(start_paused = true)]
async fn report_of_a_session_is_an_outline_and_json() {
    let server = server().await;
    let client = connected(&server).await;
    let report: Tree = client.inspected().remove(0).report();
    let outline = report.to_string();
    assert!(outline.starts_with("state:\n  name: connected\n"), "{outline}");
    assert!(outline.contains("\n  connects: 1\n"), "{outline}");
    let json = serde_json::to_value(&report).expect("plain values");
    assert_eq!(json["state"]["name"], "connected");
    assert_eq!(json["stats"]["connects"], 1);
}
