//! The orders about documents: `watch` and `restore`.
use std::time::Instant;

use nacos_core::{ClaimState, Client, StartPolicy, Watch};

use super::until_the_end;
use crate::{
    Failure,
    group::documents::{NO_SERVER, SCOPE, name},
    meter::millis,
};

/// Watches so many documents. Says after how many milliseconds the server knew all of them, and
/// after how many all were shown; then, until standard input ends, the number and the first word
/// of each that becomes another one. With a `directory` they are kept there.
pub(super) async fn watch(
    addresses: &str,
    documents: &str,
    count: usize,
    directory: Option<&str>,
) -> Result<(), Failure> {
    let builder = Client::builder().server_addr(addresses);
    let builder = match directory {
        Some(directory) => builder.snapshot_dir(directory).snapshot_scope(SCOPE),
        None => builder,
    };
    let nacos = builder.connect().await?;
    let names: Vec<_> = (0..count).map(|number| name(documents, number)).collect();
    let began = Instant::now();
    let configs = nacos.configs();
    let watches: Result<Vec<_>, _> = names.iter().map(|name| configs.watch(&**name)).collect();
    let watches = watches?;
    for watch in &watches {
        watch.claim().wait_for(|claim| *claim == ClaimState::Held).await;
    }
    let known = millis(began.elapsed());
    let mut shown = Vec::with_capacity(count);
    for watch in watches {
        shown.push(watch.ready().await?);
    }
    println!("held {known} {}", millis(began.elapsed()));
    for (number, watch) in shown.into_iter().enumerate() {
        tokio::spawn(say(number, watch));
    }
    until_the_end().await
}

async fn say(number: usize, mut watch: Watch) {
    while let Some(state) = watch.changed().await {
        let content = state.document().map(|document| &*document.content);
        if let Some(word) = content.and_then(|content| content.split_whitespace().next()) {
            println!("{number} {word}");
        }
    }
}

/// Starts without a server, and says after how many milliseconds all documents were shown that are
/// kept in `directory`.
pub(super) async fn restore(
    directory: &str,
    documents: &str,
    count: usize,
    policy: &str,
) -> Result<(), Failure> {
    let policy = match policy {
        "usual" => StartPolicy::default(),
        "snapshot_first" => StartPolicy::snapshot_first(),
        other => return Err(format!("{other} is no policy here").into()),
    };
    let names: Vec<_> = (0..count).map(|number| name(documents, number)).collect();
    let began = Instant::now();
    let nacos = Client::builder()
        .server_addr(NO_SERVER)
        .snapshot_dir(directory)
        .snapshot_scope(SCOPE)
        .start_policy(policy)
        .connect_lazy()?;
    let configs = nacos.configs();
    let watches: Result<Vec<_>, _> = names.iter().map(|name| configs.watch(&**name)).collect();
    for watch in watches? {
        let watch = watch.ready().await?;
        watch.state().document().ok_or("a document was not shown")?;
    }
    println!("{}", millis(began.elapsed()));
    Ok(())
}
