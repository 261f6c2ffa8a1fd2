//! A client that knows all nodes of a cluster and claims something of each kind.
use std::{
    convert::Infallible,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nacos_core::{Client, Instance, Publish, Registration, Subscription, Watch};
use servers::Product;

use crate::{
    common::{connect, document_becomes, soon},
    fleet::{ALL, Fleet, publish},
};

/// A client, and one guard of each kind: an instance and a document of its name, and another
/// service.
pub(crate) struct Traveller {
    pub(crate) nacos: Client,
    pub(crate) name: &'static str,
    pub(crate) registration: Registration,
    product: Product,
    subscription: Subscription,
    watch: Watch,
}

impl Traveller {
    /// Connects to any node, and returns once all nodes know its instance.
    pub(crate) async fn board(fleet: &Fleet, name: &'static str) -> Self {
        let nacos = connect(&fleet.builder().app(name)).await;
        let registration =
            nacos.naming().register(name, Instance::new("127.0.0.1", 1)).expect("valid");
        let registration = registration.ready().await.expect("registered");
        let subscription = nacos.naming().subscribe(beacon(name).as_str()).expect("valid");
        let subscription = subscription.ready().await.expect("an answer");
        let watch = nacos.configs().watch(name).expect("valid").ready().await.expect("an answer");
        fleet.list(&ALL, name, 1).await;
        Self { nacos, name, registration, product: fleet.product(), subscription, watch }
    }

    /// Notes that something is done to its node.
    pub(crate) fn begin(&self, what: &str) -> Instant {
        println!("{} on {}: {what}", self.name, self.product);
        Instant::now()
    }

    pub(crate) fn say(&self, what: &str, began: Instant) {
        println!("{} on {}: {what} after {:?}", self.name, self.product, began.elapsed());
    }

    /// Whether a connection serves that holds every claim.
    pub(crate) fn is_held(&self) -> bool {
        self.nacos.state().get().is_connected() && self.nacos.stats().get().unsettled == 0
    }

    /// Waits until that many connections were made, and the last one holds every claim.
    pub(crate) async fn arrive(&self, connects: u64, began: Instant) {
        let mut stats = self.nacos.stats();
        let connected = stats.wait_for(|stats| stats.connects >= connects);
        soon("a connection", connected).await.expect("the client lives");
        self.say("connected", began);
        let held = stats.wait_for(|stats| stats.unsettled == 0);
        soon("every claim held", held).await.expect("the client lives");
        self.say("every claim held", began);
    }

    /// Waits until what `witness`, on another node, changes is seen here.
    pub(crate) async fn follow(&self, witness: &Client, content: &str, began: Instant) {
        let document = async {
            soon("a publish elsewhere", publish(witness, self.name, content)).await;
            self.say("document published elsewhere", began);
            soon("the document", document_becomes(&self.watch, Some(content))).await;
            self.say("document followed", began);
        };
        let service = async {
            let beacon = beacon(self.name);
            let guard = witness
                .naming()
                .register(beacon.as_str(), Instance::new("127.0.0.1", 2))
                .expect("valid");
            let mut seen = self.subscription.live();
            let came = seen.wait_for(|service| service.instances.len() == 1);
            soon("the other service", came).await.expect("the client lives");
            self.say("service followed", began);
            drop(guard);
            let left = seen.wait_for(|service| service.instances.is_empty());
            if tokio::time::timeout(PATIENCE, left).await.is_err() {
                // One of three faults: it was not withdrawn, the nodes differ, or a push was lost.
                let [here, there] = [&self.nacos, witness].map(Client::naming);
                let listed = (here.query(&*beacon).await, there.query(&*beacon).await);
                panic!("{beacon} never ended; here and there: {listed:?}");
            }
        };
        tokio::join!(document, service);
    }

    /// Asks and publishes, several at a time, and counts; panics at the first that fails.
    ///
    /// Not the same document: Java Nacos refuses to read what is just being written (400,
    /// "requested file is being modified").
    pub(crate) async fn call_without_end(&self, calls: &AtomicU32) -> Infallible {
        let ask = async || loop {
            self.nacos.configs().get(self.name).await.expect("an answer").expect("is there");
            self.nacos.naming().query(self.name).await.expect("an answer");
            calls.fetch_add(2, Ordering::Relaxed);
        };
        let tell = async || loop {
            let publish = Publish::new("written-meanwhile", "1").expect("valid");
            self.nacos.configs().publish(publish).await.expect("published");
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let (never, ..) = tokio::join!(ask(), ask(), ask(), tell());
        never
    }
}

/// A removal is pushed half a second later.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service that a traveller subscribes to.
fn beacon(name: &str) -> String {
    format!("{name}-beacon")
}
