//! The order `watch`.
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use nacos_sdk::api::config::{
    ConfigChangeListener, ConfigResponse, ConfigService, ConfigServiceBuilder,
};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{nodelay, props, until_the_end};

/// Watches so many documents. Says after how many milliseconds all of them were listened to, twice:
/// when the server knows them the client does not tell, and not before that. Then, until standard
/// input ends, the number and the first word of each that becomes another one.
pub async fn watch(
    addresses: &str,
    documents: &str,
    count: usize,
    repaired: bool,
) -> Result<(), Box<dyn Error>> {
    let configs = ConfigServiceBuilder::new(props(addresses)).build().await?;
    // It has a socket as soon as it has been answered.
    let _ = configs.get_config("nacos-rs-benches".to_owned(), group()).await;
    if repaired {
        nodelay::set()?;
    }
    let began = Instant::now();
    // One after the other would take as many times the way to the server and back.
    let (places, mut adding) = (Arc::new(Semaphore::new(IN_FLIGHT)), JoinSet::new());
    for number in 0..count {
        let (name, places) = (format!("{documents}-{number}"), Arc::clone(&places));
        adding.spawn(listen(configs.clone(), name, number, places));
    }
    while let Some(added) = adding.join_next().await {
        added?.map_err(|why| why.to_string())?;
    }
    let taken = began.elapsed().as_secs_f64() * 1e3;
    // The listens are still on their way, and nobody reads their answers: a change that one of
    // them tells of is seen a minute later.
    sleep(SETTLING).await;
    println!("held {taken} {taken}");
    until_the_end().await
}

async fn listen(
    configs: ConfigService,
    name: String,
    number: usize,
    places: Arc<Semaphore>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let _place = places.acquire().await?;
    configs.add_listener(name, group(), Arc::new(Says(number))).await?;
    Ok(())
}

struct Says(usize);

impl ConfigChangeListener for Says {
    fn notify(&self, changed: ConfigResponse) {
        if let Some(word) = changed.content().split_whitespace().next() {
            println!("{} {word}", self.0);
        }
    }
}

fn group() -> String {
    "DEFAULT_GROUP".to_owned()
}

/// Requests at a time.
const IN_FLIGHT: usize = 64;
const SETTLING: Duration = Duration::from_secs(2);
