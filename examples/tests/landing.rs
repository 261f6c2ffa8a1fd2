//! The examples of the landing pages. Those of the READMEs stand here as well, inside of
//! `tokio::spawn`, and compiling is the test; those of the crates' documentation run as doctests,
//! spawned by hidden lines.
#![expect(dead_code, unused_variables, unused_mut, reason = "it need not run")]
use std::{fs, path::Path};

use examples::inventory::InventoryClient;
use nacos_figment::{
    Hot, HotConfig, Import, NacosSource,
    figment::{Figment, providers::Serialized},
};
use nacos_tower::{Balance, BoxError, Connect, SendRequest};
use tokio::net::TcpListener;
use tower::ServiceExt;

fn root(listener: TcpListener, app: axum::Router, nacos_source: NacosSource) {
    tokio::spawn(async move {
        // 1. axum: registered once it listens, withdrawn before it drains
        let nacos = nacos_core::Client::from_env()?.connect().await?;
        nacos_axum::serve(listener, app).with_nacos(&nacos, "orders").await?;

        // 2. tonic: a channel over the live instances of a service, weighted, without a lock
        let channel = nacos_tonic::Channel::new(&nacos, "inventory").await?;
        let mut inventory = InventoryClient::new(channel);

        // 3. configuration: defaults < file < Nacos < environment; checked first, swapped after
        let config: HotConfig<AppConfig> = HotConfig::builder(&nacos)
            .file("config/application.toml")
            .import(Import::app("orders").ext("yaml").group("ORDER_GROUP").profile("prod"))
            .env("ORDERS")
            .start()
            .await?;
        let hot: Hot<AppConfig> = config.hot();
        let limit = hot.load().limits.rps;

        // 4. resources: rebuilt when their part of the configuration changes; the old one drains
        let pool: Hot<Pool> =
            config.resource("db", |c| &c.db, |db| async move { Pool::connect(&db).await }).await?;

        // 5. plain figment, if you only need a provider
        let app: AppConfig =
            Figment::from(Toml::file("app.toml")).merge(nacos_source.fetch().await?).extract()?;
        Ok::<_, BoxError>(())
    });
}

fn core() {
    tokio::spawn(async move {
        use nacos_core::{Client, Instance, Publish};

        let nacos = Client::builder().server_addr("127.0.0.1:8848").connect().await?;

        // Documents: read once, or watch.
        nacos.configs().publish(Publish::new("orders.yaml", "limit: 7")?).await?;
        let mut limits = nacos.configs().watch("orders.yaml")?.ready().await?;

        // Services: registered for as long as the guard lives, and again after every reconnect.
        let registration =
            nacos.naming().register("orders", Instance::new("10.0.0.7", 8080))?.ready().await?;
        let orders = nacos.naming().subscribe("orders")?.ready().await?;
        println!("{} can be called", orders.service().callable().count());
        Ok::<_, BoxError>(())
    });
}

fn tower<K>(nacos: nacos_core::Client, connector: K, request: http::Request<()>)
where
    K: Connect<Connection: SendRequest<(), Body: Send>>,
{
    tokio::spawn(async move {
        let orders = Balance::builder(connector).connect(&nacos, "orders").await?;
        let response = orders.clone().oneshot(request).await?;
        Ok::<_, BoxError>(())
    });
}

fn tonic(nacos: nacos_core::Client) {
    tokio::spawn(async move {
        let channel = nacos_tonic::Channel::new(&nacos, "inventory").await?;
        let mut inventory = InventoryClient::new(channel);
        Ok::<_, BoxError>(())
    });
}

fn axum(listener: TcpListener, app: axum::Router) {
    tokio::spawn(async move {
        let nacos = nacos_core::Client::from_env()?.connect().await?;
        nacos_axum::serve(listener, app).with_nacos(&nacos, "orders").await?;
        Ok::<_, BoxError>(())
    });
}

fn figment(nacos: nacos_core::Client) {
    tokio::spawn(async move {
        let config: HotConfig<AppConfig> = HotConfig::builder(&nacos)
            .file("config/application.toml")
            .import(Import::app("orders").ext("yaml").group("ORDER_GROUP").profile("prod"))
            .env("ORDERS")
            .validate(AppConfig::check)
            .start()
            .await?;

        let hot: Hot<AppConfig> = config.hot();
        let limit = hot.load().limits.rps; // always one consistent version

        let pool: Hot<Pool> =
            config.resource("db", |c| &c.db, |db| async move { Pool::connect(&db).await }).await?;
        Ok::<_, BoxError>(())
    });
}

mod testkit {
    use nacos_testkit::{Behaviour, Instance, Server};

    async fn main() -> std::io::Result<()> {
        let server = Server::builder().behaviour(Behaviour::Nacos3_0).start().await?;
        // Give `server.addr()` to the client under test. Here a second client does its part:
        server.register("", "DEFAULT_GROUP", "orders", Instance::new("10.0.0.1", 8080));
        server.publish("", "DEFAULT_GROUP", "orders.yaml", "limit: 7");

        server.until(|nacos| nacos.instances("", "DEFAULT_GROUP", "orders").len() == 1).await;
        server.restart().await?; // every connection is lost; documents are not
        assert!(server.document("", "DEFAULT_GROUP", "orders.yaml").is_some());
        Ok(())
    }

    fn spawned() {
        tokio::spawn(main());
    }
}

mod proxy {
    use std::time::Duration;

    use nacos_testkit::{
        Server,
        proxy::{Command, FaultProxy, Script},
    };

    async fn main() -> std::io::Result<()> {
        let server = Server::start().await?;
        let proxy = FaultProxy::nacos(server.addr()).await?; // two ports: `proxy.addr()` is for the client
        proxy.apply(
            Command::delay(Duration::from_millis(80), Duration::from_millis(20)).to_client(),
        )?;
        proxy.apply(Command::reset())?;

        let outage = Script::new()
            .after(Duration::from_millis(10), Command::refuse())
            .after(Duration::from_millis(10), Command::accept());
        proxy.play(&outage).await?;
        let script = Script::random(7, Duration::from_secs(20)); // the same in every run; prints its seed
        assert_eq!(script, Script::random(7, Duration::from_secs(20)));
        Ok(())
    }

    fn spawned() {
        tokio::spawn(main());
    }
}

#[derive(serde::Deserialize)]
struct AppConfig {
    limits: Limits,
    db: Db,
}

#[derive(serde::Deserialize)]
struct Limits {
    rps: u32,
}

#[derive(Clone, PartialEq, serde::Deserialize)]
struct Db {
    url: String,
}

impl AppConfig {
    fn check(&self) -> Result<(), &'static str> {
        if self.limits.rps > 0 { Ok(()) } else { Err("no rps") }
    }
}

/// Stands for figment's, which wants a feature of its own.
struct Toml;

impl Toml {
    fn file(path: &str) -> Serialized<()> {
        Serialized::default(path, ())
    }
}

struct Pool;

impl Pool {
    async fn connect(db: &Db) -> Result<Self, std::io::Error> {
        std::future::ready(Ok(Self)).await
    }
}

#[test]
fn every_example_of_a_landing_page_is_compiled_inside_a_spawned_task() {
    let here = dense(include_str!("landing.rs"));
    let (mut readmes, mut documentations) = (0, 0);
    for page in PAGES {
        let readme = format!("{page}/README.md");
        for example in examples(&read(&readme)) {
            readmes += 1;
            let visible = dense(&example.replace("#[tokio::main]", ""));
            let visible = visible.split("asyncfnmain").last().unwrap_or_default();
            assert!(here.contains(visible), "{readme} has an example that is not here:\n{example}");
        }
        let documentation = format!("{page}/src/lib.rs");
        if *page == "." {
            continue;
        }
        let text = read(&documentation);
        let text: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .fold(String::new(), |text, line| text + line.strip_prefix(' ').unwrap_or(line) + "\n");
        for example in examples(&text) {
            documentations += 1;
            let spawned = example
                .lines()
                .any(|line| line.starts_with("# ") && line.ends_with("tokio::spawn(async move {"));
            assert!(spawned, "{documentation} has an example that is not spawned:\n{example}");
        }
    }
    assert!(readmes >= 8 && documentations >= 8, "only {readmes} and {documentations} were found");
}

/// The blocks of Rust that wait for something.
fn examples(markdown: &str) -> Vec<String> {
    let fences: Vec<&str> = markdown.split("```").collect();
    let blocks = fences.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks
        .filter(|(kind, text)| !["sh", "text"].contains(kind) && text.contains(".await"))
        .map(|(_, text)| text.to_owned())
        .collect()
}

/// Without blanks and last commas, which are the formatter's.
fn dense(text: &str) -> String {
    text.split_whitespace().collect::<String>().replace(",)", ")").replace(",}", "}")
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const PAGES: &[&str] = &[
    ".",
    "nacos-core",
    "nacos-tower",
    "nacos-tonic",
    "nacos-axum",
    "nacos-figment",
    "nacos-testkit",
];
