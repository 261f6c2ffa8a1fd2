//! Layered configuration that is reloaded live; an invalid change is rejected.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use nacos_core::Publish;
use nacos_figment::{Hot, HotConfig, Import};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
struct AppConfig {
    limits: Limits,
}

#[derive(Debug, Deserialize, Serialize)]
struct Limits {
    rps: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (_server, nacos) = examples::nacos().await?;
    let publish = async |content: &str| {
        nacos
            .configs()
            .publish(Publish::new(("example-orders-prod.yaml", "ORDER_GROUP"), content)?)
            .await
    };
    publish("limits: { rps: 100 }").await?;

    let config: HotConfig<AppConfig> = HotConfig::builder(&nacos)
        .defaults(AppConfig { limits: Limits { rps: 1 } })
        .import(Import::app("example-orders").ext("yaml").group("ORDER_GROUP").profile("prod"))
        .env("ORDERS")
        .start()
        .await?;
    let hot: Hot<AppConfig> = config.hot();
    let mut status = config.status();
    // Java servers show a document some 90 ms after its publish was answered.
    status.wait_for(|_| hot.load().limits.rps == 100).await.ok_or("closed")?;
    println!("generation {}: {:?}", hot.generation(), hot.load().limits);

    publish("limits: { rps: 200 }").await?;
    status.wait_for(|_| hot.load().limits.rps == 200).await.ok_or("closed")?;
    println!("generation {}: {:?}", hot.generation(), hot.load().limits);

    publish("limits: { rps: many }").await?;
    let rejected = status.wait_for(|status| status.rejection.is_some()).await.ok_or("closed")?;
    println!("{}", rejected.rejection.as_ref().ok_or("it was just there")?);
    println!("generation {}: {:?}", hot.generation(), hot.load().limits);
    Ok(())
}
