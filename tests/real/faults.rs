//! What a server can do to its clients: die, freeze, come late.
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nacos_core::{ClaimState, Client, DocumentState, ErrorKind, Instance, Publish, SessionState};
use servers::{Product, Running};
use tokio::{task::block_in_place, time::timeout};

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
        let mut vitals = nacos.vitals();
        let back = vitals.wait_for(|vitals| vitals.connects == 2);
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

/// A restart of a Java server on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(400);
