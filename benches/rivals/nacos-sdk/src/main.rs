//! nacos-sdk as a process under the orders of the benches: the same two that our own client takes
//! (see `benches/src/client.rs`).
use std::{
    env,
    error::Error,
    io::{self, Read},
    sync::Arc,
    time::Instant,
};

use nacos_sdk::api::{
    config::ConfigServiceBuilder,
    naming::{NamingChangeEvent, NamingEventListener, NamingServiceBuilder, ServiceInstance},
    props::ClientProps,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["hold", addresses, service, subscriptions] => {
            hold(addresses, service, subscriptions.parse()?).await
        }
        ["starts", addresses, count] => starts(addresses, count.parse()?).await,
        _ => Err("hold ADDRESSES SERVICE SUBSCRIPTIONS | starts ADDRESSES COUNT".into()),
    }
}

/// Registers an instance of `service`, subscribes to that many services, says so, and keeps all
/// that until standard input ends.
async fn hold(addresses: &str, service: &str, subscriptions: usize) -> Result<(), Box<dyn Error>> {
    let naming = NamingServiceBuilder::new(props(addresses)).build().await?;
    let group = || Some("DEFAULT_GROUP".to_owned());
    let instance =
        ServiceInstance { ip: "127.0.0.1".to_owned(), port: 80, ..ServiceInstance::default() };
    naming.register_instance(service.to_owned(), group(), instance).await?;
    for number in 0..subscriptions {
        let name = format!("{service}-{number}");
        naming.subscribe(name, group(), Vec::new(), Arc::new(Nobody)).await?;
    }
    println!("held");
    tokio::task::spawn_blocking(|| io::stdin().lock().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// Connects that often, each time anew, and says how many milliseconds it took, or `failed`.
async fn starts(addresses: &str, count: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        let began = Instant::now();
        match ConfigServiceBuilder::new(props(addresses)).build().await {
            Ok(_) => println!("{}", began.elapsed().as_secs_f64() * 1e3),
            Err(_) => println!("failed"),
        }
    }
    Ok(())
}

fn props(addresses: &str) -> ClientProps {
    ClientProps::new().server_addr(addresses).namespace("").app_name("rival")
}

struct Nobody;

impl NamingEventListener for Nobody {
    fn event(&self, _: Arc<NamingChangeEvent>) {}
}
