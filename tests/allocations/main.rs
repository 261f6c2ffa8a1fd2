//! Counted allocations, where there must be none: reading a hot value, picking an endpoint, and a
//! balanced call; of registrations, none of which may cost more where there are many; and of claims
//! that are gone, which must leave nothing.
//!
//! A binary of its own, because counting replaces the allocator of the whole process.
mod claims;
mod registrations;
mod watched;

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use nacos_core::{Client, Instance, ServiceKey};
use nacos_figment::Hot;
use nacos_testkit::Server;
use nacos_tower::{
    Balance, BoxError, Candidate, Candidates, Endpoint, PickArgs, Policy, ServiceConnection,
    WeightedP2c, WeightedRandom, bench::Picker,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::Instant,
};
use tower_service::Service;

/// Runs `test` with a client, and a server on a thread of its own, so that only what the client
/// allocates is counted.
fn with_a_server(test: impl FnOnce(&Runtime, &Client)) {
    let (tell, told) = mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let server = thread::spawn(move || {
        runtime().block_on(async {
            let server = Server::start().await.expect("a port is free");
            tell.send(server.addr()).expect("the test waits for it");
            // The end is that the other half is dropped.
            let _ = ended.await;
        });
    });
    let (addr, runtime) = (told.recv().expect("the server runs"), runtime());
    let client = Client::builder().server_addr(addr.to_string()).connect();
    let client = runtime.block_on(client).expect("the server runs");
    test(&runtime, &client);
    drop(client);
    drop(end);
    server.join().expect("the server ends");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("the system has a thread")
}

/// How many allocations `code` makes, once everything lazy about it has been made.
fn allocations(mut code: impl FnMut()) -> u64 {
    code();
    allocation_counter::measure(code).count_total
}

#[test]
fn counting_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn loading_a_hot_value_allocates_nothing() {
    let hot = Hot::fixed((7_u32, "text".to_owned()));
    let part = hot.map(|value| &value.0);
    assert_eq!(allocations(|| assert_eq!(hot.load().1.len(), 4)), 0);
    assert_eq!(allocations(|| assert_eq!(*part.load(), 7)), 0);
}

#[test]
fn reading_a_live_value_allocates_nothing() {
    let (_writer, reader) = nacos_core::live("text".to_owned());
    assert_eq!(allocations(|| assert_eq!(reader.get().len(), 4)), 0);
}

#[test]
fn picking_an_endpoint_allocates_nothing_however_many_there_are() {
    let now = Instant::now();
    for endpoints in [1, 10, 10_000] {
        let weights = vec![1.0; endpoints];
        let policies: [Arc<dyn Policy>; 4] = [
            Arc::new(WeightedRandom),
            Arc::new(WeightedP2c::balanced()),
            Arc::new(WeightedP2c::strict()),
            Arc::new(RoundRobin::default()),
        ];
        for policy in policies {
            let picker = Picker::new(&weights, policy);
            assert_eq!(allocations(|| assert!(picker.request(now).is_some())), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn balanced_call_allocates_nothing_of_its_own() {
    nacos_testkit::TimeLimit::for_test();
    let service = nacos_core::Service::new(
        ServiceKey::try_from("orders").expect("valid"),
        ["a", "b", "c"].map(|ip| Instance::new(ip, 1)).to_vec(),
        false,
    );
    let (_writer, services) = nacos_core::live(service);
    let connector = |_: Endpoint| ready(Ok::<_, BoxError>(ServiceConnection::new(Answers)));
    let mut balance = Balance::builder(connector).follow(services);
    // The first one waits for a connection, which takes an allocation.
    balance.call(Request::new(())).await.expect("answered");
    let mut context = Context::from_waker(Waker::noop());
    let calls = allocations(|| {
        let call = std::pin::pin!(balance.call(Request::new(())));
        assert!(matches!(call.poll(&mut context), Poll::Ready(Ok(_))));
    });
    assert_eq!(calls, 0);
}

/// A policy as users write one.
#[derive(Debug, Default)]
struct RoundRobin {
    next: AtomicUsize,
}

impl Policy for RoundRobin {
    fn pick<'a>(&self, candidates: &Candidates<'a>, _: &mut PickArgs<'_>) -> Option<Candidate<'a>> {
        candidates.iter_from(self.next.fetch_add(1, Relaxed)).next()
    }
}

/// A client that answers at once.
#[derive(Clone)]
struct Answers;

impl Service<Request<()>> for Answers {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Empty::new())))
    }
}
