//! The tasks of the crates are in spans of their own. A task that lives long and was made while a
//! request was handled must not keep that request's span open.
use std::{
    collections::HashMap,
    error::Error,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nacos_core::lifecycle::{Bound, Connections, Serve, Shutdown};
use nacos_figment::{HotConfig, Import};
use nacos_tower::{Balance, BoxError, Connect, Endpoint, Http2Connector, ServiceConnection};
use tracing::{
    Dispatch, Event, Instrument, Metadata, Subscriber, info_span,
    span::{self, Id},
};
use tracing_core::span::Current;

use crate::support::{builder, connected, reconnected, server};

/// Keeps books about spans, as a registry does: one is open while a handle of it is there, or a
/// child of it is open.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    last: u64,
    open: HashMap<u64, Open>,
    entered: Vec<u64>,
}

struct Open {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    handles: usize,
}

impl Spans {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Vec<&'static str> {
        let mut open: Vec<_> =
            self.books().open.values().map(|open| open.metadata.name()).collect();
        open.sort_unstable();
        open
    }
}

impl Books {
    fn close(&mut self, id: u64) -> bool {
        let Some(open) = self.open.get_mut(&id) else { return false };
        open.handles -= 1;
        if open.handles > 0 {
            return false;
        }
        if let Some(parent) = self.open.remove(&id).and_then(|open| open.parent) {
            self.close(parent);
        }
        true
    }
}

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> Id {
        let mut books = self.books();
        books.last += 1;
        let id = books.last;
        let contextual = || books.entered.last().copied().filter(|_| span.is_contextual());
        let parent = span.parent().map(Id::into_u64).or_else(contextual);
        if let Some(parent) = parent.and_then(|parent| books.open.get_mut(&parent)) {
            parent.handles += 1;
        }
        books.open.insert(id, Open { metadata: span.metadata(), parent, handles: 1 });
        Id::from_u64(id)
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(open) = self.books().open.get_mut(&id.into_u64()) {
            open.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        self.books().close(id.into_u64())
    }

    fn current_span(&self) -> Current {
        let books = self.books();
        let current = books.entered.last().and_then(|id| Some((*id, books.open.get(id)?)));
        match current {
            Some((id, open)) => Current::new(Id::from_u64(id), open.metadata),
            None => Current::none(),
        }
    }

    fn enter(&self, id: &Id) {
        self.books().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut books = self.books();
        if let Some(at) = books.entered.iter().rposition(|entered| *entered == id.into_u64()) {
            books.entered.remove(at);
        }
    }

    fn record(&self, _: &Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}
}

/// Keeps the books of this thread until the guard is dropped. Two dispatchers, as in
/// [`crate::logs`].
fn keep() -> (Spans, impl Drop) {
    struct Guard {
        _default: tracing::subscriber::DefaultGuard,
        _second: Dispatch,
    }
    impl Drop for Guard {
        fn drop(&mut self) {}
    }
    let spans = Spans::default();
    let second = Dispatch::new(spans.clone());
    let default = tracing::subscriber::set_default(spans.clone());
    (spans, Guard { _default: default, _second: second })
}

#[tokio::test(start_paused = true)]
async fn client_made_in_a_request_does_not_keep_its_span_open() {
    let server = server().await;
    let (spans, _guard) = keep();
    let client = connected(&server).instrument(info_span!("handler")).await;
    let watch = async { client.configs().watch("d").expect("valid").ready().await };
    let watch = watch.instrument(info_span!("handler")).await.expect("answered");
    // Nor does the one that is made while the first request goes on.
    let lazily = info_span!("handler").in_scope(|| builder(&server).connect_lazy());
    let lazily = lazily.expect("valid");
    reconnected(&lazily, 0).await;
    server.drop_connections();
    reconnected(&client, 1).await;
    assert!(!spans.open().contains(&"handler"), "{:?}", spans.open());
    assert!(spans.open().contains(&"nacos"), "{:?}", spans.open());
    drop((client, lazily, watch));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spans.open(), [""; 0], "what has ended keeps no span");
}

#[tokio::test]
async fn thread_of_a_session_does_not_keep_the_span_that_it_was_made_in() {
    let server = server().await;
    let (spans, _guard) = keep();
    let handler = info_span!("handler");
    let client = async { builder(&server).dedicated_thread(true).connect().await };
    let client = client.instrument(handler).await.expect("there");
    assert!(!spans.open().contains(&"handler"), "{:?}", spans.open());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn balancer_made_in_a_request_does_not_keep_its_span_open() {
    let server = server().await;
    let client = connected(&server).await;
    let (spans, _guard) = keep();
    let instance = nacos_testkit::Instance::new("10.0.0.1", 80);
    server.register("", "DEFAULT_GROUP", "orders", instance);
    let (dialled, mut dials) = tokio::sync::mpsc::channel(1);
    let connector = move |_: Endpoint| {
        let dialled = dialled.clone();
        async move {
            dialled.send(()).await?;
            Ok::<_, BoxError>(ServiceConnection::new(Nobody))
        }
    };
    let connecting = Balance::builder(connector).connect(&client, "orders");
    let balance = connecting.instrument(info_span!("handler")).await.expect("subscribed");
    dials.recv().await.expect("one is dialled");
    assert_eq!(spans.open(), ["balance"]);
    drop(balance);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spans.open(), [""; 0], "what has ended keeps no span");
}

#[tokio::test(start_paused = true)]
async fn connection_made_in_a_request_does_not_keep_its_span_open() {
    let server = server().await;
    let grpc = server.grpc_addr();
    let (spans, _guard) = keep();
    let connector = Http2Connector::<http_body_util::Full<bytes::Bytes>>::new();
    let instance = nacos_core::Instance::new(grpc.ip().to_string(), grpc.port());
    let connecting = connector.connect(Endpoint::new(instance));
    let connection = connecting.instrument(info_span!("handler")).await.expect("it is there");
    // The protocol has one of its own, at either end.
    assert_eq!(spans.open(), ["Connection", "Connection", "http2 connection"]);
    drop(connection);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spans.open(), [""; 0], "what has ended keeps no span");
}

#[tokio::test(start_paused = true)]
async fn configuration_made_in_a_request_does_not_keep_its_span_open() {
    let server = server().await;
    let client = connected(&server).await;
    let (spans, _guard) = keep();
    let starting = HotConfig::<HashMap<String, String>>::builder(&client)
        .import(Import::data_id("orders.properties"))
        .start();
    let config = starting.instrument(info_span!("handler")).await.expect("no document is one");
    server.publish("", "DEFAULT_GROUP", "orders.properties", "a=1");
    let changed = config.status().wait_for(|status| status.generation == 2).await;
    assert!(changed.is_some(), "published");
    tokio::task::yield_now().await;
    assert_eq!(spans.open(), ["configuration"]);
    drop((config, changed));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(spans.open(), [""; 0], "what has ended keeps no span");
}

#[tokio::test(start_paused = true)]
async fn task_that_waits_for_signals_does_not_keep_the_span_of_who_serves_first() {
    let server = server().await;
    let client = connected(&server).await;
    let (spans, _guard) = keep();
    let shutdown = Shutdown::new();
    let serving = Bound::new(Idle).with_nacos(&client, "orders").with_shutdown(&shutdown);
    let mut serving = serving.into_future();
    // Polled inside of a span, and outside of it from then on.
    let begun = async {
        tokio::select! {
            biased;
            _ = &mut serving => panic!("it serves"),
            () = server.until(|server| server.connections() == 1) => {}
        }
    };
    begun.instrument(info_span!("handler")).await;
    assert!(!spans.open().contains(&"handler"), "{:?}", spans.open());
    shutdown.begin();
    serving.await.expect("withdrawn");
}

/// A server that no client calls.
struct Idle;

impl Serve for Idle {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 80).into())
    }

    async fn serve(
        self,
        _: Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        stop.await;
        Ok(())
    }
}

/// A service that no client calls.
#[derive(Clone)]
struct Nobody;
