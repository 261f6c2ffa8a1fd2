//! A visit to a given server: what was written there is removed at its end.
use std::{
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nacos_core::{Client, ConfigKey, DataId, Group, Namespace};
use servers::{Given, Journal, Place};

use crate::common::Server;

/// Held by each test that goes there. When the last one ends, however it does, the documents are
/// removed; those of a run that was killed are when the next one begins.
#[must_use = "the visit ends when this is dropped"]
pub(crate) struct Visit {
    given: &'static Given,
}

impl Visit {
    pub(crate) fn begin(given: &'static Given) -> Self {
        let mut visits = visits();
        if *visits == 0 {
            for left in JOURNAL.as_ref().map(Journal::leftovers).unwrap_or_default() {
                if removed(given, &left.places) {
                    left.forget();
                }
            }
        }
        *visits += 1;
        Self { given }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // The lock makes the next visit wait until this is over.
        let mut visits = visits();
        *visits -= 1;
        let Some(journal) = JOURNAL.as_ref().filter(|_| *visits == 0) else { return };
        if removed(self.given, &journal.places()) {
            journal.forget();
        }
    }
}

/// Notes a document of our clients before it is published.
pub(crate) fn writes(data_id: &str) {
    if let (Some(journal), Some(given)) = (&*JOURNAL, Given::from_env()) {
        let place = [given.prefix(), "DEFAULT_GROUP", data_id].map(str::to_owned);
        journal.note(place).expect("what is written can be noted");
    }
}

/// Whether all of them are gone. Panics never: a test that fails has a panic of its own.
fn removed(given: &Given, places: &[Place]) -> bool {
    if places.is_empty() {
        return true;
    }
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            let removing = tokio::time::timeout(PATIENCE, remove(given, places));
            runtime.block_on(async { removing.await.map_err(|_| "not in time".to_owned())? })
        });
    match &outcome {
        Ok(()) => println!("removed {} documents", places.len()),
        Err(why) => println!("not all documents are removed, the next run tries again: {why}"),
    }
    outcome.is_ok()
}

async fn remove(given: &Given, places: &[Place]) -> Result<(), String> {
    let client = Server { addr: given.addr() }.builder().connect().await.map_err(text)?;
    for place in places {
        remove_one(&client, place).await?;
    }
    Ok(())
}

async fn remove_one(client: &Client, [namespace, group, data_id]: &Place) -> Result<(), String> {
    let namespace = Namespace::parse(namespace).map_err(text)?;
    let (data_id, group) =
        (DataId::parse(data_id).map_err(text)?, Group::parse(group).map_err(text)?);
    let key = ConfigKey::new(data_id, group).in_namespace(namespace);
    client.configs().remove(key).await.map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn visits() -> MutexGuard<'static, usize> {
    static VISITS: Mutex<usize> = Mutex::new(0);
    VISITS.lock().unwrap_or_else(PoisonError::into_inner)
}

static JOURNAL: LazyLock<Option<Journal>> =
    LazyLock::new(|| Given::from_env().map(|given| Journal::of("real", given)));

/// For all of them: a few documents.
const PATIENCE: Duration = Duration::from_secs(60);
