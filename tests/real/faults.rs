//! Servers that die, freeze, and come late.
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nacos_core::{
    ClaimState, Client, DocumentState, ErrorKind, Instance, Live, Publish, Registration, Service,
    SessionState, SessionStats, Subscription,
};
use nacos_testkit::proxy::{Command, FaultProxy};
use servers::{Product, Running};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, block_in_place},
    time::{MissedTickBehavior, timeout},
};

use crate::common::{
    Server, connect, document_becomes, eventually, on_each, soon, started, within,
};

/// Runs `test` on a server of each product that it may break, one test at a time.
pub(crate) fn on_a_server_of_its_own(test: &(impl AsyncFn(&mut Running) + Sync)) {
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

pub(crate) fn client_of(running: &Running) -> nacos_core::ClientBuilder {
    Server { addr: running.addr() }.builder()
}

pub(crate) async fn publish(nacos: &Client, name: &str, content: &str) {
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
        let server = Server { addr: running.addr() };
        let providers = Provider::start_two(server, "lasting").await;
        let mut consumer = Consumer::start(server, "lasting").await;
        for round in 1..=RESTARTS {
            block_in_place(|| {
                running.kill().expect("killed");
                running.restart().expect("it comes back");
            });
            let clients = providers.iter().map(|provider| &provider.nacos);
            for client in clients.chain([&consumer.nacos]) {
                let mut stats = client.stats();
                let is_back = |stats: &SessionStats| stats.connects > round && stats.unsettled == 0;
                soon("every claim", stats.wait_for(is_back)).await.expect("the client lives");
            }
            consumer.sees_both().await;
            consumer.calls_on().await;
        }
        let calls = consumer.calls_on().await;
        println!("{}: {calls:?} in {RESTARTS} restarts", running.product());
        assert_eq!(calls.lost, 0, "{calls:?}");
    });
}

/// Which client a server sees first after its restart is its own affair. Here it is the consumer,
/// whose providers are kept away for as long as it takes to miss them.
#[test]
fn consumer_that_is_back_long_before_the_providers_loses_no_call() {
    on_a_server_of_its_own(&async |running: &mut Running| {
        let proxy = FaultProxy::nacos(running.addr()).await.expect("ports on loopback");
        let _providers = Provider::start_two(Server { addr: proxy.addr() }, "missed").await;
        let mut consumer = Consumer::start(Server { addr: running.addr() }, "missed").await;
        // Their connections end with the server, and they find no other way to it.
        proxy.apply(Command::refuse()).expect("ports can always be closed");
        block_in_place(|| {
            running.kill().expect("killed");
            running.restart().expect("it comes back");
        });
        let is_empty = |service: &Service| service.known && service.instances.is_empty();
        let is_held = |service: &Service| service.held && service.instances.len() == 2;
        soon("the empty list", consumer.listed.live().wait_for(is_empty)).await.expect("it lives");
        soon("the grace", consumer.shown.live().wait_for(is_held)).await.expect("it lives");
        let began = *consumer.calls.borrow();
        let ended = consumer.calls_on().await;
        // All of these calls have needed it, then.
        assert!(is_empty(&consumer.listed.service()) && is_held(&consumer.shown.service()));
        let mut stats = consumer.nacos.stats();
        let is_told = stats.wait_for(|stats| stats.held == 1);
        soon("word of the grace", is_told).await.expect("the client lives");
        proxy.apply(Command::accept()).expect("the ports are reserved");
        consumer.sees_both().await;
        let is_over = stats.wait_for(|stats| stats.held == 0);
        soon("the end of the grace", is_over).await.expect("the client lives");
        let calls = consumer.calls_on().await;
        let needed = ended.lost_without_grace - began.lost_without_grace;
        println!("{}: {calls:?}, {needed} while nobody could be back", running.product());
        assert_eq!(calls.lost, 0, "{calls:?}");
        assert!(needed >= ENOUGH, "{began:?}, {ended:?}");
    });
}

/// Somebody who can be called all the time, whatever the servers say, with a client of its own.
struct Provider {
    nacos: Client,
    _registration: Registration,
    _accepts: JoinSet<()>,
}

impl Provider {
    async fn start_two(server: Server, name: &str) -> [Self; 2] {
        [Self::start(server, name).await, Self::start(server, name).await]
    }

    async fn start(server: Server, name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let nacos = connect(&server.builder()).await;
        let registration = nacos.naming().register(name, Instance::new("127.0.0.1", port));
        let registration = registration.expect("valid").ready().await.expect("registered");
        let mut accepts = JoinSet::new();
        accepts.spawn(async move { while listener.accept().await.is_ok() {} });
        Self { nacos, _registration: registration, _accepts: accepts }
    }
}

/// Calls two providers without end, and each time twice: as it is shown them, and as a server lists
/// them.
struct Consumer {
    nacos: Client,
    shown: Subscription,
    /// Without grace.
    listed: Subscription,
    calls: watch::Receiver<Calls>,
    _calling: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    /// In either way.
    made: u32,
    lost: u32,
    lost_without_grace: u32,
}

impl Consumer {
    async fn start(server: Server, name: &str) -> Self {
        let nacos = connect(&server.builder()).await;
        let shown = nacos.naming().subscribe(name).expect("valid");
        let listed = nacos.naming().subscribe(name).expect("valid").without_grace();
        let (made, calls) = watch::channel(Calls::default());
        let consumer = Self { nacos, shown, listed, calls, _calling: JoinSet::new() };
        consumer.sees_both().await;
        let mut calling = JoinSet::new();
        calling.spawn(call_without_end(consumer.shown.live(), consumer.listed.live(), made));
        Self { _calling: calling, ..consumer }
    }

    /// Waits until a server lists both providers, and nothing is doubted.
    async fn sees_both(&self) {
        let is_whole = |service: &Service| service.instances.len() == 2 && !service.held;
        for view in [&self.listed, &self.shown] {
            soon("both providers", view.live().wait_for(is_whole)).await.expect("it lives");
        }
    }

    /// Waits for that many calls from now on, which takes longer than a push. Gives all there were.
    async fn calls_on(&mut self) -> Calls {
        let made = self.calls.borrow().made;
        let enough = self.calls.wait_for(|calls| calls.made > made + ENOUGH);
        *soon("calls", enough).await.expect("they never end")
    }
}

/// Fifty times a second, until it is aborted. Takes any instance, and tries no second one.
async fn call_without_end(
    shown: Live<Service>,
    listed: Live<Service>,
    calls: watch::Sender<Calls>,
) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    // Calls that were late are not made at once, when they would say nothing.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0.. {
        pace.tick().await;
        let lost = !is_answered(&shown.get(), turn).await;
        let lost_without_grace = !is_answered(&listed.get(), turn).await;
        calls.send_modify(|calls| {
            calls.made += 1;
            calls.lost += u32::from(lost);
            calls.lost_without_grace += u32::from(lost_without_grace);
        });
    }
}

async fn is_answered(service: &Service, turn: usize) -> bool {
    let callable: Vec<_> = service.callable().collect();
    match callable.get(turn % callable.len().max(1)) {
        Some(instance) => TcpStream::connect(instance.address()).await.is_ok(),
        None => false,
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
/// Calls of a second and a half.
const ENOUGH: u32 = 75;
/// Five of six lost calls before empty lists were doubted.
const RESTARTS: u64 = 4;

/// A restart of a Java server on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(400);
