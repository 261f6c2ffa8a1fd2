//! The servers, started once for all tests, and what the tests wait with.
use std::{
    net::SocketAddr,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use nacos_core::{Client, ClientBuilder, DocumentState, Watch};
use nacos_testkit::TimeLimit;
use servers::{Given, JavaNacos, Product, RNacos, Running, covers};

use crate::visit::Visit;

/// A server that runs, as far as a test has to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Of a client of this server; on a given server, in a namespace of its own.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = Client::builder().server_addr(self.addr.to_string());
        let Some(given) = Given::from_env() else { return builder };
        let builder = builder.namespace(given.prefix());
        match given.credentials() {
            Some((user, password)) => builder.credentials(user, password),
            None => builder,
        }
    }
}

/// The products that the tests of this file cover on this machine.
pub(crate) fn covered() -> Vec<Product> {
    [Product::RNacos, Product::JavaNacos].into_iter().filter(|product| covers(*product)).collect()
}

/// Runs `test` for each product on a thread of its own, side by side: most of the time is waiting.
pub(crate) fn on_each(test: impl Fn(Product) + Sync) {
    side_by_side(&covered(), test);
}

/// The same with a test that does nothing to a server but what clients do: a given one is as good.
pub(crate) fn on_each_shared(test: impl Fn(Product) + Sync) {
    match Given::from_env() {
        Some(given) => {
            let _visit = Visit::begin(given);
            side_by_side(&[given.kind().product()], test);
        }
        None => side_by_side(&covered(), test),
    }
}

fn side_by_side(products: &[Product], test: impl Fn(Product) + Sync) {
    thread::scope(|scope| {
        for product in products.iter().copied() {
            let test = &test;
            scope.spawn(move || test(product));
        }
    });
}

/// Runs `test` on a runtime of its own, a minute at most.
pub(crate) fn within_a_minute(test: impl Future<Output = ()>) {
    within(Duration::from_secs(60), test);
}

/// Runs `test` on a runtime of its own. The limit is for what hangs, and judges no server.
pub(crate) fn within(limit: Duration, test: impl Future<Output = ()>) {
    let _limit = TimeLimit::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(limit, test).await.expect("the test ends in time");
    });
}

/// A server of its own, without anything switched on.
pub(crate) fn started(product: Product) -> Running {
    let running = match product {
        Product::RNacos => RNacos::builder().start(),
        Product::JavaNacos => JavaNacos::builder().start(),
    };
    running.expect("the server starts")
}

/// The server of this kind that all tests share: the given one, or else one that takes up to half a
/// minute to start.
pub(crate) fn shared(product: Product) -> Server {
    // Held by the process; the rig ends a server whose process has gone.
    static RUNNING: [OnceLock<Mutex<Running>>; 2] = [OnceLock::new(), OnceLock::new()];
    if let Some(given) = Given::from_env() {
        println!("covered: {} on {}, under {}", given.kind(), given.addr(), given.prefix());
        return Server { addr: given.addr() };
    }
    let place = match product {
        Product::RNacos => &RUNNING[0],
        Product::JavaNacos => &RUNNING[1],
    };
    let running = place.get_or_init(|| {
        let running = started(product);
        println!("covered: {} {}", running.name(), running.version());
        Mutex::new(running)
    });
    let addr = running.lock().unwrap_or_else(PoisonError::into_inner).addr();
    Server { addr }
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

/// Waits a minute for it at most, and then says what never came.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let within_a_minute = tokio::time::timeout(Duration::from_secs(60), wait).await;
    within_a_minute.unwrap_or_else(|_| panic!("{what}: not within a minute"))
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
