//! The groups of rows, one file each, and what they share.
pub mod connect;
pub mod documents;
pub mod faults;
pub mod get;
pub mod hot;
pub mod pick;
pub mod register;
pub mod rival;

use std::{future::Future, time::Duration};

use nacos_core::{Client, Configs, Publish};
use tokio::time::{Instant, sleep};

use crate::{
    Failure,
    contest::Figures,
    row::{Metric, Row},
    run::{Flavor, Run},
    server::Server,
};

/// A group of rows that are measured together, by the name that the command line knows.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// The comparison, in a few words.
    pub about: &'static str,
    /// It takes minutes: measured only if it is named.
    pub on_request: bool,
    /// Measures.
    pub measure: fn(&Run) -> Result<Vec<Row>, Failure>,
}

/// Something that reads one document from a server, each time anew.
pub trait Reader: Clone + Send + 'static {
    /// Reads it, and says how large it is.
    fn read(&self) -> impl Future<Output = Result<usize, Failure>> + Send;
}

/// The product, as its users call it.
#[derive(Clone, Debug)]
pub struct Ours {
    configs: Configs,
}

impl Ours {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub async fn connect(addr: &str) -> Result<(Self, Client), Failure> {
        let client = Client::builder().server_addr(addr).connect().await?;
        Ok((Self { configs: client.configs() }, client))
    }
}

impl Reader for Ours {
    async fn read(&self) -> Result<usize, Failure> {
        let document = self.configs.get(DATA_ID).await?.ok_or("the document is gone")?;
        Ok(document.content.len())
    }
}

/// Publishes the document that is read, lets `measure` measure, and removes it again.
fn with_document(
    server: &Server,
    measure: impl FnOnce() -> Result<Vec<Row>, Failure>,
) -> Result<Vec<Row>, Failure> {
    // Each with a client of its own: while `measure` runs, this runtime does not, and would not
    // keep a client connected.
    let runtime = Flavor::CurrentThread.runtime()?;
    runtime.block_on(publish(server.addr()))?;
    let measured = measure();
    runtime.block_on(remove(server.addr()))?;
    measured
}

/// Publishes the document, and waits until it can be read: Java servers take a while.
async fn publish(addr: &str) -> Result<(), Failure> {
    let (ours, client) = Ours::connect(addr).await?;
    let content: String = ('a'..='z').cycle().take(CONTENT).collect();
    ours.configs.publish(Publish::new(DATA_ID, content)?).await?;
    let deadline = Instant::now() + PATIENCE;
    while ours.read().await.ok() != Some(CONTENT) {
        if Instant::now() > deadline {
            return Err("the document that was published does not show".into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    client.shutdown(PATIENCE).await;
    Ok(())
}

async fn remove(addr: &str) -> Result<(), Failure> {
    let (ours, client) = Ours::connect(addr).await?;
    ours.configs.remove(DATA_ID).await?;
    client.shutdown(PATIENCE).await;
    Ok(())
}

/// Rows of `ours` beside `theirs`, one for each metric.
fn compare<const METRICS: usize>(
    group: &'static str,
    case: &str,
    metrics: [Metric; METRICS],
    ours: &Figures<METRICS>,
    (baseline, theirs): (&'static str, &Figures<METRICS>),
) -> Vec<Row> {
    let figures = ours.iter().zip(theirs);
    let row = |(metric, (ours, theirs)): (Metric, (&Vec<f64>, &Vec<f64>))| {
        Row::new((group, case), metric, ours, (baseline, theirs))
    };
    metrics.into_iter().zip(figures).map(row).collect()
}

/// The document that is read.
const DATA_ID: &str = "nacos-rs-benches";
/// Its size.
const CONTENT: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// The baseline of both groups of calls.
const BARE_TONIC: &str = "bare tonic";
