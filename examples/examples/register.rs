//! Registers two instances of a service, watches them come, and one of them go.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use nacos_core::Instance;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (_server, nacos) = examples::nacos().await?;
    let naming = nacos.naming();
    let mut service = naming.subscribe("example-orders")?.ready().await?;
    println!("{} is known, with {} instances", service.key(), service.service().instances.len());

    let small = Instance::new("127.0.0.1", 8081).with_weight(1.0).with_metadata("zone", "a");
    let large = Instance::new("127.0.0.1", 8082).with_weight(3.0).with_metadata("zone", "b");
    let small = naming.register("example-orders", small)?.ready().await?;
    let _large = naming.register("example-orders", large)?.ready().await?;
    while service.service().instances.len() < 2 {
        let change = service.changed().await.ok_or("the client was shut down")?;
        for instance in &change.added {
            println!("came: {} of weight {}", instance.address(), instance.weight);
        }
    }

    // Dropping the guard does the same, without waiting for the server to agree.
    small.deregister().await?;
    while service.service().instances.len() > 1 {
        let change = service.changed().await.ok_or("the client was shut down")?;
        for instance in &change.removed {
            println!("went: {}", instance.address());
        }
    }
    println!("{:?}", nacos.shutdown(std::time::Duration::from_secs(3)).await);
    Ok(())
}
