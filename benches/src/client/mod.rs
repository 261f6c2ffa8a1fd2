//! Our client as a process under orders, so that what it uses can be read off the process, and a
//! rival can take the same orders: `hold`, `starts`, `reads` and `watch`.
mod documents;

use std::{
    io::{self, Read},
    time::Instant,
};

use nacos_core::{Client, Instance};

use crate::{
    Failure,
    group::{Ours, Reader},
    meter::{Meter, amount, micros, millis},
    row::{quantile, sorted},
    run::Flavor,
};

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
        ["reads", addresses, each, in_flight] => {
            runtime.block_on(reads(addresses, each.parse()?, in_flight.parse()?))
        }
        ["watch", addresses, documents, count] => {
            runtime.block_on(documents::watch(addresses, documents, count.parse()?, None))
        }
        ["watch", addresses, documents, count, directory] => runtime.block_on(documents::watch(
            addresses,
            documents,
            count.parse()?,
            Some(directory),
        )),
        ["restore", directory, documents, count, policy] => {
            runtime.block_on(documents::restore(directory, documents, count.parse()?, policy))
        }
        _ => Err("hold ADDRESSES SERVICE SUBSCRIPTIONS | starts ADDRESSES COUNT | \
                  reads ADDRESSES EACH IN_FLIGHT | watch ADDRESSES DOCUMENTS COUNT [DIRECTORY] | \
                  restore DIRECTORY DOCUMENTS COUNT POLICY"
            .into()),
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
    until_the_end().await
}

/// Waits until standard input ends, which it does when the parent is gone.
async fn until_the_end() -> Result<(), Failure> {
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

/// Reads the document of the benches so often by each of so many tasks at once. Says the median
/// latency in microseconds, the calls per second, and the microseconds of processor time per call.
async fn reads(addresses: &str, each: usize, in_flight: usize) -> Result<(), Failure> {
    let (ours, _client) = Ours::connect(addresses).await?;
    ours.read().await?;
    let meter = Meter::start();
    let readers: Vec<_> = (0..in_flight)
        .map(|_| {
            let ours = ours.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(each);
                for _ in 0..each {
                    let began = Instant::now();
                    ours.read().await?;
                    latencies.push(micros(began.elapsed()));
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await??);
    }
    let (taken, calls) = (meter.stop(), amount(latencies.len()));
    let median = quantile(&sorted(&latencies), 0.5);
    println!("{median} {} {}", calls / taken.wall.as_secs_f64(), micros(taken.cpu) / calls);
    Ok(())
}
