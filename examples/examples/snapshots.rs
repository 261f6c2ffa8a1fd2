//! Starts without a server, from documents that were kept on disk when there was one.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use std::time::Duration;

use nacos_core::{Client, Freshness, StartPolicy};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (server, nacos) = examples::nacos().await?;
    examples::publish(&nacos, "example-kept.yaml", "limit: 7").await?;
    let addr = match &server {
        Some(server) => server.addr().to_string(),
        None => std::env::var("NACOS_SERVER_ADDR")?,
    };

    let directory = tempfile::tempdir()?;
    let keeping = Client::from_env()?
        .snapshot_dir(directory.path().display().to_string())
        .snapshot_scope("example");

    // A watched document is kept as it is received.
    let client = keeping.clone().server_addr(addr).connect().await?;
    let watch = client.configs().watch("example-kept.yaml")?.ready().await?;
    println!("with a server: {:?}", watch.freshness().get());
    client.shutdown(Duration::from_secs(3)).await;

    // Nobody answers there.
    let client = keeping.server_addr("127.0.0.1:1").connect_lazy()?;
    let watch = client.configs().watch("example-kept.yaml")?;
    let watch = watch.start(StartPolicy::snapshot_first()).ready().await?;
    let state = watch.state();
    let document = state.document().ok_or("it was kept")?;
    println!("without one: {:?}, {:?}", document.content, watch.freshness().get());
    assert!(matches!(*watch.freshness().get(), Freshness::FromDisk { .. }));

    nacos.configs().remove("example-kept.yaml").await?;
    nacos.shutdown(Duration::from_secs(3)).await;
    Ok(())
}
