//! nacos-sdk as a process under the orders of the benches: the same that our own client takes
//! (see `benches/src/client/mod.rs`).
mod nodelay;
mod watch;

use std::{
    env,
    error::Error,
    io::{self, Read},
    sync::Arc,
    time::Instant,
};

use cpu_time::ProcessTime;
use nacos_sdk::api::{
    config::{ConfigService, ConfigServiceBuilder},
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
        ["watch", addresses, documents, count] => {
            watch::watch(addresses, documents, count.parse()?, false).await
        }
        ["--nodelay", "watch", addresses, documents, count] => {
            watch::watch(addresses, documents, count.parse()?, true).await
        }
        ["starts", addresses, count] => starts(addresses, count.parse()?).await,
        ["reads", addresses, each, in_flight] => {
            reads(addresses, each.parse()?, in_flight.parse()?).await
        }
        _ => Err("hold ADDRESSES SERVICE SUBSCRIPTIONS | starts ADDRESSES COUNT | \
                  reads ADDRESSES EACH IN_FLIGHT | [--nodelay] watch ADDRESSES DOCUMENTS COUNT"
            .into()),
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
    until_the_end().await
}

/// Waits until standard input ends, which it does when the parent is gone.
async fn until_the_end() -> Result<(), Box<dyn Error>> {
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

/// Reads the document of the benches so often by each of so many tasks at once. Says the median
/// latency in microseconds, the calls per second, and the microseconds of processor time per call.
async fn reads(addresses: &str, each: usize, in_flight: usize) -> Result<(), Box<dyn Error>> {
    let configs = ConfigServiceBuilder::new(props(addresses)).build().await?;
    let read = |configs: ConfigService| async move {
        let (data_id, group) = ("nacos-rs-benches".to_owned(), "DEFAULT_GROUP".to_owned());
        configs.get_config(data_id, group).await
    };
    read(configs.clone()).await?;
    let (began, cpu) = (Instant::now(), ProcessTime::now());
    let readers: Vec<_> = (0..in_flight)
        .map(|_| {
            let configs = configs.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(each);
                for _ in 0..each {
                    let began = Instant::now();
                    read(configs.clone()).await?;
                    latencies.push(began.elapsed().as_secs_f64() * 1e6);
                }
                Ok::<_, nacos_sdk::api::error::Error>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await??);
    }
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
    latencies.sort_by(f64::total_cmp);
    let calls = latencies.len() as f64;
    println!("{} {} {}", latencies[latencies.len() / 2], calls / wall, cpu * 1e6 / calls);
    Ok(())
}

fn props(addresses: &str) -> ClientProps {
    ClientProps::new().server_addr(addresses).namespace("").app_name("rival")
}

struct Nobody;

impl NamingEventListener for Nobody {
    fn event(&self, _: Arc<NamingChangeEvent>) {}
}
