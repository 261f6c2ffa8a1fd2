//! A generated client over discovery: a channel that balances over the live instances.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use std::time::Duration;

use examples::inventory::{InventoryClient, InventoryServer, Item};
use nacos_tonic::Channel;
use tokio::{net::TcpListener, time::timeout};
use tonic::{Request, service::Routes};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (_server, nacos) = examples::nacos().await?;
    let mut serving = tokio::task::JoinSet::new();
    for name in ["one", "two"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let routes = Routes::new(InventoryServer { instance: name.to_owned() });
        let server = nacos_tonic::serve(listener, routes).with_nacos(&nacos, "example-inventory");
        serving.spawn(async move { server.await });
    }
    let both = nacos.naming().subscribe("example-inventory")?.ready().await?;
    both.live().wait_for(|service| service.callable().count() == 2).await.ok_or("shut down")?;

    let channel = Channel::new(&nacos, "example-inventory").await?;
    let mut inventory = InventoryClient::new(channel);
    for _ in 0..6 {
        let stock = inventory.stock(Request::new(Item { name: "tea".to_owned() })).await?;
        println!("{} answered", stock.into_inner().instance);
    }
    // The servers are dropped where they stand, as a process that is killed drops them.
    let closing = nacos.shutdown(Duration::from_secs(3));
    println!("{:?}", timeout(Duration::from_secs(4), closing).await?);
    Ok(())
}
