//! A resource that is rebuilt when its part of the configuration changes, and only then.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use std::convert::Infallible;

use nacos_figment::{Hot, HotConfig, Import};
use serde::Deserialize;

#[derive(Deserialize)]
struct AppConfig {
    db: Db,
    greeting: String,
}

#[derive(Clone, Deserialize, PartialEq)]
struct Db {
    url: String,
}

/// Stands for a pool of connections.
struct Pool(String);

impl Pool {
    #[expect(clippy::unused_async, reason = "a real pool waits here")]
    async fn connect(db: Db) -> Result<Self, Infallible> {
        println!("connecting to {}", db.url);
        Ok(Self(db.url))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        println!("the pool of {} has drained", self.0);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (_server, nacos) = examples::nacos().await?;
    let document = "example-resource.yaml";
    examples::publish(&nacos, document, "greeting: hello\ndb: { url: first }").await?;
    let import = Import::data_id(document);
    let config: HotConfig<AppConfig> = HotConfig::builder(&nacos).import(import).start().await?;
    let hot = config.hot();
    let pool: Hot<Pool> = config.resource("db", |config| &config.db, Pool::connect).await?;
    println!("using {}", pool.load().0);

    for content in ["greeting: hi\ndb: { url: first }", "greeting: hi\ndb: { url: second }"] {
        let before = hot.generation();
        examples::publish(&nacos, document, content).await?;
        let newer = config.status().wait_for(|status| status.generation > before).await;
        newer.ok_or("closed")?;
        println!("{}, using {}", hot.load().greeting, pool.load().0);
    }
    Ok(())
}
