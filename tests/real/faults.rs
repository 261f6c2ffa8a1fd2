//! What a server can do to its clients: die, freeze, come late.
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use nacos_core::{
    ClaimState, Client, DocumentState, ErrorKind, Instance, Live, Publish, Service, SessionState,
    SessionStats,
};
use servers::{Product, Running};
use tokio::{
    net::{TcpListener, TcpStream},
    task::block_in_place,
    time::timeout,
};

use crate::common::{
    Server, connect, document_becomes, eventually, on_each, soon, started, within,
};

/// Runs `test` on a server of each product that it may break, one test at a time.
fn on_a_server_of_its_own(test: &(impl AsyncFn(&mut Running) + Sync)) {
    static PLACES: [Mutex<Option<Running>>; 2] = [Mutex::new(None), Mutex::new(None)];
    on_each(|product| {
        let place = match product {
            Product::RNacos => &PLACES[0],
            Product::JavaNacos => &PLACES[1],
        };
        // A test that failed has taken its server along, so nothing is left behind a poisoned lock.
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = place.take().unwrap_or_else(|| started(product));
        within(LIMIT, test(&mut running));
        *place = Some(running);
    });
}

fn client_of(running: &Running) -> nacos_core::ClientBuilder {
    Server { addr: running.addr() }.builder()
}

async fn publish(nacos: &Client, name: &str, content: &str) {
    nacos.configs().publish(Publish::new(name, content).expect("valid")).await.expect("published");
}

#[test]
fn killed_and_restarted_server_has_everything_back() {
    on_a_server_of_its_own(&async |running: &mut Running| {
        let nacos = connect(&client_of(running)).await;
        let guard =
            nacos.naming().register("phoenix", Instance::new("127.0.0.1", 1)).expect("valid");
        let guard = guard.ready().await.expect("registered");
        let watch =
            nacos.configs().watch("phoenix").expect("valid").ready().await.expect("an answer");
        publish(&nacos, "phoenix", "alive").await;
        soon("the first content", document_becomes(&watch, Some("alive"))).await;
        block_in_place(|| {
            running.kill().expect("killed");
            running.restart().expect("it comes back");
        });
        let mut stats = nacos.stats();
        let back = stats.wait_for(|stats| stats.connects == 2);
        soon("another connection", back).await.expect("the client lives");
        let mut claim = guard.claim();
        let held = claim.wait_for(|state| *state == ClaimState::Held);
        soon("the registration", held).await.expect("the client lives");
        let listed = eventually(async || {
            nacos.naming().query("phoenix").await.expect("an answer").instances.len() == 1
        });
        soon("the instance", listed).await;
        publish(&nacos, "phoenix", "risen").await;
        soon("what came after", document_becomes(&watch, Some("risen"))).await;
    });
}

#[test]
fn consumers_lose_no_call_while_the_only_server_is_killed_and_comes_back() {
    on_a_server_of_its_own(&async |running: &mut Running| {
        // Two providers that live all the time, each with a client of its own.
        let mut providers = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("bound").port();
            let nacos = connect(&client_of(running)).await;
            let guard = nacos.naming().register("lasting", Instance::new("127.0.0.1", port));
            let guard = guard.expect("valid").ready().await.expect("registered");
            let accepts = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
            providers.push((nacos, guard, accepts));
        }
        let nacos = connect(&client_of(running)).await;
        let orders = nacos.naming().subscribe("lasting").expect("valid").ready().await;
        let orders = orders.expect("an answer");
        let is_whole = |service: &Service| service.instances.len() == 2 && !service.held;
        soon("both providers", orders.live().wait_for(is_whole)).await.expect("it lives");
        let made = Arc::new(AtomicU32::new(0));
        let calls = call_without_end(orders.live(), orders.raw(), Arc::clone(&made));
        let calls = tokio::spawn(calls);
        for round in 1..=RESTARTS {
            block_in_place(|| {
                running.kill().expect("killed");
                running.restart().expect("it comes back");
            });
            for client in providers.iter().map(|(client, ..)| client).chain([&nacos]) {
                let mut stats = client.stats();
                let is_back = |stats: &SessionStats| stats.connects > round && stats.unsettled == 0;
                soon("every claim", stats.wait_for(is_back)).await.expect("the client lives");
            }
            soon("both providers", orders.raw().wait_for(is_whole)).await.expect("it lives");
            soon("both providers", orders.live().wait_for(is_whole)).await.expect("it lives");
            // Longer than a push takes.
            let enough = made.load(Ordering::Relaxed) + 75;
            soon("calls", eventually(async || made.load(Ordering::Relaxed) > enough)).await;
        }
        // They end with the subscription.
        drop(orders);
        let calls = calls.await.expect("no panic");
        println!("{}: {calls:?} in {RESTARTS} restarts", running.product());
        assert_eq!(calls.lost, 0, "{calls:?}");
        for (_, _, accepts) in providers {
            accepts.abort();
        }
    });
}

/// Calls of a consumer that takes any instance that is listed, and tries no second one.
#[derive(Debug, Default)]
struct Calls {
    made: u32,
    lost: u32,
    /// How many found no instance in what the server listed then.
    lost_without_grace: u32,
}

/// Fifty calls a second, until the subscription ends.
async fn call_without_end(
    mut view: Live<Service>,
    raw: Live<Service>,
    made: Arc<AtomicU32>,
) -> Calls {
    let mut calls = Calls::default();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        while let Some(change) = view.changed().now_or_never() {
            if change.is_none() {
                return calls;
            }
        }
        let turn = usize::try_from(calls.made).expect("few");
        calls.made += 1;
        made.store(calls.made, Ordering::Relaxed);
        calls.lost_without_grace += u32::from(raw.get().callable().next().is_none());
        let service = view.get();
        let callable: Vec<_> = service.callable().collect();
        let answered = match callable.get(turn % callable.len().max(1)) {
            Some(instance) => TcpStream::connect(instance.address()).await.is_ok(),
            None => false,
        };
        calls.lost += u32::from(!answered);
    }
}

#[test]
fn client_that_was_there_before_the_server_finds_it() {
    on_a_server_of_its_own(&async |running: &mut Running| {
        block_in_place(|| running.stop().expect("stopped"));
        let nacos = client_of(running).connect_lazy().expect("valid options");
        let watch = nacos.configs().watch("early").expect("valid");
        let mut state = nacos.state();
        let nobody = state.wait_for(|state| matches!(state, SessionState::Backoff { .. }));
        soon("that nobody is there", nobody).await.expect("the client lives");
        block_in_place(|| running.restart().expect("it comes"));
        let mut document = watch.live();
        let answered = document.wait_for(|state| *state == DocumentState::Absent);
        soon("an answer", answered).await.expect("the client lives");
    });
}

#[test]
fn call_to_a_frozen_server_ends_by_itself() {
    on_a_server_of_its_own(&async |running: &mut Running| {
        let nacos = connect(&client_of(running).request_timeout(DEADLINE)).await;
        block_in_place(|| running.pause().expect("frozen"));
        let began = Instant::now();
        let outcome = timeout(3 * DEADLINE, nacos.configs().get("d")).await;
        let error = outcome.expect("it ends by itself").expect_err("nobody answers");
        println!("{}: {error} after {:?}", running.product(), began.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Disconnected), "{error:?}");
        assert!(error.is_retryable());
        block_in_place(|| running.resume().expect("resumed"));
        soon("an answer", eventually(async || nacos.configs().get("d").await.is_ok())).await;
    });
}

const DEADLINE: Duration = Duration::from_secs(4);
/// Five of six lost calls before empty lists were doubted.
const RESTARTS: u64 = 4;

/// A restart of a Java server on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(400);
