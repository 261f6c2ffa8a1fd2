//! A document that is read while it is written: Java Nacos refuses that now and then (400,
//! "requested file is being modified"), and a reader is not to notice.
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use nacos_core::{Client, DocumentState, Publish, telemetry::REQUEST_SECONDS};
use nacos_testkit::TimeLimit;
use servers::Product;

use crate::common::{connect, covered, shared, soon};

#[test]
fn whoever_reads_a_document_while_it_is_written_is_refused_by_nobody() {
    if !covered().contains(&Product::JavaNacos) {
        println!("skipped: only Java Nacos refuses to read what is being written");
        return;
    }
    let _limit = TimeLimit::start();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // Records the metrics of this thread, on which everything runs.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let nacos = connect(&shared(Product::JavaNacos).builder()).await;
        publish(&nacos, 0).await;
        readable(&nacos).await;
        let (began, refused, is_over) = (Instant::now(), Cell::new(0), Cell::new(false));
        let write = async {
            for turn in 1.. {
                publish(&nacos, turn).await;
                refused.set(refused.get() + refusals(&snapshotter));
                if refused.get() >= ENOUGH || began.elapsed() > LIMIT {
                    break;
                }
            }
            is_over.set(true);
        };
        let read = async || {
            while !is_over.get() {
                let document = nacos.configs().get(NAME).await.expect("an answer");
                assert!(document.is_some(), "it was there before");
            }
        };
        tokio::join!(write, join_all((0..READERS).map(|_| read())));
        println!("{NAME}: asked again {} times in {:?}", refused.get(), began.elapsed());
        if refused.get() == 0 {
            println!("{NAME}: the server refused no query, so this run shows nothing of that");
        }
    });
}

async fn publish(nacos: &Client, turn: u32) {
    // A large one takes longer to be written.
    let content = format!("{turn}{}", "x".repeat(100_000));
    nacos.configs().publish(Publish::new(NAME, content).expect("valid")).await.expect("published");
}

/// Returns when the server hands the document out. Java Nacos confirms a first publish before that:
/// it reads documents from a file that another thread of it writes.
async fn readable(nacos: &Client) {
    let watch = nacos.configs().watch(NAME).expect("valid");
    let is_there = |state: &DocumentState| matches!(state, DocumentState::Present(_));
    soon("the document", watch.live().wait_for(is_there)).await.expect("the client lives");
}

/// How many queries the server has refused for that since this was last asked.
fn refusals(snapshotter: &Snapshotter) -> usize {
    let all = snapshotter.snapshot().into_vec();
    let refused = all.iter().filter(|(key, ..)| {
        let has =
            |label, value| key.key().labels().any(|it| (it.key(), it.value()) == (label, value));
        key.key().name() == REQUEST_SECONDS
            && has("type", "ConfigQueryRequest")
            && has("code", "400")
    });
    let counts = refused.map(|(.., value)| match value {
        DebugValue::Histogram(values) => values.len(),
        DebugValue::Counter(_) | DebugValue::Gauge(_) => 0,
    });
    counts.sum()
}

const ENOUGH: usize = 3;
const LIMIT: Duration = Duration::from_secs(30);
const NAME: &str = "being-written";
const READERS: usize = 32;
