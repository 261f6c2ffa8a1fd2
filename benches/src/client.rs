//! Our client as a process under orders, so that what it uses can be read off the process, and a
//! rival can take the same orders: `hold` and `starts`.
use std::{
    io::{self, Read},
    time::Instant,
};

use nacos_core::{Client, Instance};

use crate::{Failure, meter::millis, run::Flavor};

/// Does what the command line says after `--client`.
///
/// # Errors
///
/// It is no order, or the client could not do it.
pub fn client(order: &[String]) -> Result<(), Failure> {
    let runtime = Flavor::TwoWorkers.runtime()?;
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    match order[..] {
        ["hold", addresses, service, subscriptions] => {
            runtime.block_on(hold(addresses, service, subscriptions.parse()?))
        }
        ["starts", addresses, count] => runtime.block_on(starts(addresses, count.parse()?)),
        _ => Err("hold ADDRESSES SERVICE SUBSCRIPTIONS | starts ADDRESSES COUNT".into()),
    }
}

/// Registers an instance of `service`, subscribes to that many services, says so, and keeps all
/// that until standard input ends.
async fn hold(addresses: &str, service: &str, subscriptions: usize) -> Result<(), Failure> {
    let nacos = Client::builder().server_addr(addresses).connect().await?;
    let _guard = nacos.naming().register(service, Instance::new("127.0.0.1", 80))?.ready().await?;
    let mut all = Vec::new();
    for number in 0..subscriptions {
        all.push(nacos.naming().subscribe(&*format!("{service}-{number}"))?);
    }
    for guard in &mut all {
        guard.claim().wait_for(|claim| *claim == nacos_core::ClaimState::Held).await;
    }
    println!("held");
    tokio::task::spawn_blocking(|| io::stdin().lock().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// Connects that often, each time anew, and says how many milliseconds it took, or `failed`.
async fn starts(addresses: &str, count: usize) -> Result<(), Failure> {
    for _ in 0..count {
        let began = Instant::now();
        match Client::builder().server_addr(addresses).connect().await {
            Ok(_) => println!("{}", millis(began.elapsed())),
            Err(_) => println!("failed"),
        }
    }
    Ok(())
}
