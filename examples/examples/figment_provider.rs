//! Plain figment: Nacos as one provider among others, read once.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use nacos_figment::{
    Import, NacosSource,
    figment::{Figment, providers::Serialized},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
struct AppConfig {
    name: String,
    port: u16,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (_server, nacos) = examples::nacos().await?;
    examples::publish(&nacos, "example-figment.toml", "port = 8080").await?;

    let defaults = AppConfig { name: "orders".to_owned(), port: 80 };
    let source = NacosSource::new(&nacos).import(Import::data_id("example-figment.toml"));
    let figment = Figment::from(Serialized::defaults(defaults)).merge(source.fetch().await?);
    let app: AppConfig = figment.extract()?;
    println!("{app:?}");
    if let Some(metadata) = figment.find_metadata("port") {
        println!("the port is from {}", metadata.name);
    }
    Ok(())
}
