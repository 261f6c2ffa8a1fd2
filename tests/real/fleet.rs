//! Clusters of three nodes, one of each product for all tests, and what a test asks of a node.
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nacos_core::{Client, ClientBuilder, Instance, Publish, SessionState};
use serde_json::Value;
use servers::{Cluster, ErrorKind, JavaNacos, Product, RNacos, Request, Running};
use tokio::task::block_in_place;

use crate::common::{connect, covered, eventually, within};

/// Three nodes that share their data; a test may do to them what it likes.
#[derive(Debug)]
pub(crate) struct Fleet {
    cluster: Cluster,
}

/// Runs `test` on the cluster of each product, one test at a time.
pub(crate) fn on_each_fleet(test: &impl AsyncFn(&mut Fleet)) {
    for product in covered() {
        on_fleet(product, test);
    }
}

/// Runs `test` on the cluster of one product, which is started for the first test that wants it.
pub(crate) fn on_fleet(product: Product, test: &impl AsyncFn(&mut Fleet)) {
    static FLEETS: [Mutex<Option<Fleet>>; 2] = [Mutex::new(None), Mutex::new(None)];
    let place = match product {
        Product::RNacos => &FLEETS[0],
        Product::JavaNacos => &FLEETS[1],
    };
    // A test that failed has taken its cluster along, so nothing is left behind a poisoned lock.
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    let mut fleet = place.take().map_or_else(|| Fleet::start(product), Fleet::healed);
    within(LIMIT, test(&mut fleet));
    *place = Some(fleet);
}

/// Runs `test` on a cluster of one product that demands a login; user and password are `nacos`.
pub(crate) fn on_guarded_fleet(
    product: Product,
    token_ttl_secs: u32,
    test: &impl AsyncFn(&mut Fleet),
) {
    let cluster = match product {
        Product::RNacos => {
            let options = RNacos::builder().credentials("nacos", "nacos");
            options.token_ttl_secs(token_ttl_secs).start_cluster(3)
        }
        Product::JavaNacos => {
            let options = JavaNacos::builder().authentication();
            options.token_ttl_secs(token_ttl_secs).start_cluster(3)
        }
    };
    let mut fleet = Fleet { cluster: cluster.expect("the nodes start and agree") };
    within(LIMIT, test(&mut fleet));
}

impl Fleet {
    fn start(product: Product) -> Self {
        let began = Instant::now();
        let cluster = match product {
            Product::RNacos => RNacos::builder().start_cluster(3),
            // The instances of a client of a node that dies are kept by the others for this long,
            // three minutes otherwise; nodes confirm each other's clients every 5 s.
            Product::JavaNacos => {
                let options =
                    JavaNacos::builder().property("nacos.naming.client.expired.time", "15000");
                options.start_cluster(3)
            }
        };
        let cluster = cluster.expect("the nodes start and agree");
        println!("three nodes of {product} usable after {:?}", began.elapsed());
        Self { cluster }
    }

    /// As it was before the last test: all nodes run and agree.
    fn healed(mut self) -> Self {
        for node in self.cluster.nodes_mut() {
            match node.resume() {
                Err(error) if error.kind() == ErrorKind::NotRunning => {
                    node.restart().expect("it comes back");
                }
                outcome => outcome.expect("it runs"),
            }
        }
        self.cluster.settle().expect("the nodes agree again");
        self
    }

    pub(crate) fn product(&self) -> Product {
        self.cluster.nodes()[0].product()
    }

    pub(crate) fn addr(&self, node: usize) -> SocketAddr {
        self.cluster.nodes()[node].addr()
    }

    /// A client that knows all nodes.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let all = ALL.map(|node| self.addr(node).to_string());
        Client::builder().server_addr(all.join(","))
    }

    /// A client that knows one node.
    pub(crate) fn builder_at(&self, node: usize) -> ClientBuilder {
        Client::builder().server_addr(self.addr(node).to_string())
    }

    /// The node that serves this client.
    pub(crate) fn home_of(&self, client: &Client) -> usize {
        let state = client.state().get();
        let SessionState::Connected { server, .. } = &*state else { panic!("{state:?}") };
        let is_home = |node: &usize| self.addr(*node).to_string() == **server;
        ALL.into_iter().find(is_home).expect("one of ours")
    }

    pub(crate) fn leads(&self, node: usize) -> bool {
        block_in_place(|| self.cluster.leader()) == Some(node)
    }

    /// Does something to one node, which may take a while.
    pub(crate) fn disturb(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut Running) -> Result<(), servers::Error>,
    ) {
        block_in_place(|| act(&mut self.cluster.nodes_mut()[node])).expect("done to the node");
    }

    /// Waits until all nodes agree.
    pub(crate) fn settle(&mut self) {
        block_in_place(|| self.cluster.settle()).expect("the nodes agree");
    }

    /// Asks one node over HTTP; nothing if it refuses.
    pub(crate) fn ask(&self, node: usize, request: &Request) -> Option<Value> {
        let answer = block_in_place(|| self.cluster.nodes()[node].ask(request)).ok()?;
        serde_json::from_str(answer.body()).ok().filter(|_| answer.is_ok())
    }

    /// This node's name for the connection of the client of that application.
    pub(crate) fn connection_of(&self, node: usize, app: &str) -> Option<String> {
        let all = self.ask(node, &Request::get("/nacos/v2/core/loader/current"))?;
        let is_ours = |connection: &&Value| {
            connection.pointer("/metaInfo/appName").is_some_and(|name| name == app)
        };
        let ours = all.as_object()?.values().find(is_ours)?;
        Some(ours.pointer("/metaInfo/connectionId")?.as_str()?.to_owned())
    }

    /// Tells this client to leave its node, for `redirect` if it is told where to go.
    pub(crate) fn send_away(&self, node: usize, connection: &str, redirect: Option<usize>) {
        let mut request =
            Request::get("/nacos/v2/core/loader/reloadClient").query("connectionId", connection);
        if let Some(other) = redirect {
            request = request.query("redirectAddress", &self.addr(other).to_string());
        }
        let answer = block_in_place(|| self.cluster.nodes()[node].ask(&request));
        let answer = answer.expect("an answer");
        assert!(answer.is_ok(), "{}", answer.body());
    }

    /// How many instances this node lists, duplicates included: unlike the client, it hides none.
    pub(crate) fn instances(&self, node: usize, service: &str) -> Option<usize> {
        let request = Request::get("/nacos/v1/ns/instance/list")
            .query("serviceName", service)
            .query("groupName", "DEFAULT_GROUP");
        let seen = self.ask(node, &request)?;
        seen.get("hosts")?.as_array().map(Vec::len)
    }

    /// Waits until these nodes list that many instances of a service.
    pub(crate) async fn list(&self, nodes: &[usize], service: &str, count: usize) {
        let listed = || nodes.iter().map(|node| self.instances(*node, service));
        let agree = eventually(async || listed().all(|listed| listed == Some(count)));
        if tokio::time::timeout(PATIENCE, agree).await.is_err() {
            let listed: Vec<_> = listed().collect();
            // A list may be older than what the clients have registered.
            let published = ALL.map(|node| self.published(node, service));
            let what = format_args!("{count} of {service} at {nodes:?} of {}", self.product());
            panic!("{what}: {listed:?}, the client of that name has {published:?}");
        }
    }

    /// Waits until what every node had to tell the others by now has arrived there: an instance
    /// that was registered behind it is seen everywhere.
    pub(crate) async fn quiet(&self, name: &str) {
        for node in ALL {
            let client = connect(&self.builder_at(node)).await;
            let service = format!("{name}-quiet-{node}");
            let guard = client
                .naming()
                .register(service.as_str(), Instance::new("127.0.0.1", 9))
                .expect("valid");
            let _guard = guard.ready().await.expect("registered");
            self.list(&ALL, &service, 1).await;
        }
    }

    /// The registrations of the client of that application, as this node has them. Java Nacos only.
    fn published(&self, node: usize, app: &str) -> Option<String> {
        let connection = self.connection_of(node, app)?;
        let request =
            Request::get("/nacos/v2/ns/client/publish/list").query("clientId", &connection);
        Some(self.ask(node, &request)?.get("data")?.to_string())
    }
}

/// Every node.
pub(crate) const ALL: [usize; 3] = [0, 1, 2];

/// The two nodes beside this one.
pub(crate) fn beside(node: usize) -> [usize; 2] {
    [(node + 1) % 3, (node + 2) % 3]
}

/// Publishes until a server takes it: there is none while a new leader is elected.
pub(crate) async fn publish(through: &Client, name: &str, content: &str) {
    eventually(async || {
        let publish = Publish::new(name, content).expect("valid");
        through.configs().publish(publish).await.is_ok()
    })
    .await;
}

/// For all nodes to list the same; Java Nacos forgets a dead node's instances after 20 s here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three restarts of a Java server, one after the other, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(400);
