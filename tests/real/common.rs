//! What the tests begin with, and what they wait with.
use std::{net::SocketAddr, time::Duration};

use nacos_core::{Client, ClientBuilder, DocumentState, Watch};

/// A server that runs, as far as a test has to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
}

impl Server {
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder().server_addr(self.addr.to_string())
    }
}

/// Runs `test` on a runtime of its own; no test of this file may take longer than a minute.
pub(crate) fn within_a_minute(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .expect("a test takes a minute at most");
    });
}

pub(crate) async fn connect(builder: &ClientBuilder) -> Client {
    builder.clone().connect().await.expect("the server is up")
}

/// Asks until it is so. For what no server tells by itself; the pause keeps it from being flooded.
pub(crate) async fn eventually(condition: impl AsyncFn() -> bool) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        if condition().await {
            return;
        }
    }
}

/// Waits until the watched document has this content, or is absent.
pub(crate) async fn document_becomes(watch: &Watch, content: Option<&str>) {
    let expected = |state: &DocumentState| match (state, content) {
        (DocumentState::Present(document), Some(content)) => *document.content == *content,
        (DocumentState::Absent, None) => true,
        _ => false,
    };
    watch.live().wait_for(expected).await.expect("the client lives");
}
