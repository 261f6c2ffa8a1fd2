//! A network of hosts that do as they are told.
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use nacos_core::{Instance, LiveWriter, Service, ServiceKey, inspect::Tree};
use nacos_testkit::{TimeLimit, within};
use nacos_tower::{
    Balance, BoxError, Builder, Connect, Connection, Endpoint, SendError, SendRequest,
};
use tokio::sync::{oneshot, watch};

/// How a host treats connections and requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// Answers with its own address.
    Answers,
    /// Closes every connection, and refuses new ones.
    Down,
    /// Takes requests and answers none, until it does otherwise.
    Holds,
    /// Loses requests, but not the connection.
    Loses,
    /// Gives requests back unsent.
    Returns,
    /// Neither accepts nor refuses a connection.
    Silent,
    /// Answers that it cannot.
    Unavailable,
}

/// Cheap to clone. Hosts that were never told anything answer.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    hosts: Arc<Mutex<BTreeMap<String, Host>>>,
}

#[derive(Debug, Default)]
struct Host {
    manner: Option<Manner>,
    dials: usize,
    received: usize,
    open: Vec<Weak<watch::Sender<bool>>>,
    held: Vec<oneshot::Sender<()>>,
}

impl Network {
    /// Of a test that has a time limit from here on.
    pub(crate) fn new() -> Self {
        TimeLimit::for_test();
        Self { hosts: Arc::default() }
    }

    /// Tells a host what to do from now on. The requests that it holds are answered or lost, too.
    pub(crate) fn set(&self, address: &str, manner: Manner) {
        let mut hosts = self.hosts();
        let host = hosts.entry(address.to_owned()).or_default();
        host.manner = Some(manner);
        for held in host.held.drain(..) {
            if manner == Manner::Answers {
                let _gone = held.send(());
            }
        }
        if manner == Manner::Down {
            for open in host.open.drain(..).filter_map(|open| open.upgrade()) {
                open.send_replace(true);
            }
        }
    }

    pub(crate) fn dials(&self, address: &str) -> usize {
        self.hosts().get(address).map_or(0, |host| host.dials)
    }

    pub(crate) fn received(&self, address: &str) -> usize {
        self.hosts().get(address).map_or(0, |host| host.received)
    }

    /// Connections to a host that are not dropped yet.
    pub(crate) fn open(&self, address: &str) -> usize {
        let hosts = self.hosts();
        let open = hosts.get(address).into_iter().flat_map(|host| &host.open);
        open.filter(|open| open.strong_count() > 0).count()
    }

    pub(crate) fn connector(&self) -> impl Connect<Connection = Wire> + use<> {
        let network = self.clone();
        move |endpoint: Endpoint| {
            let network = network.clone();
            async move { network.dial(endpoint.address()).await }
        }
    }

    pub(crate) fn builder(&self) -> Builder<impl Connect<Connection = Wire> + use<>> {
        Balance::builder(self.connector())
    }

    /// A balancer over a set that the test writes.
    pub(crate) fn balance(&self, set: &[(&str, f64)]) -> (Set, Balance<Wire>) {
        let (set, services) = Set::new(service(set));
        (set, self.builder().follow(services))
    }

    async fn dial(&self, address: &str) -> Result<Wire, BoxError> {
        let manner = {
            let mut hosts = self.hosts();
            let host = hosts.entry(address.to_owned()).or_default();
            host.dials += 1;
            host.manner
        };
        match manner {
            Some(Manner::Down) => return Err("refused".into()),
            Some(Manner::Silent) => std::future::pending().await,
            _ => {}
        }
        let closed = Arc::new(watch::Sender::new(false));
        self.hosts().entry(address.to_owned()).or_default().open.push(Arc::downgrade(&closed));
        Ok(Wire { network: self.clone(), address: address.to_owned(), closed })
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    network: Network,
    address: String,
    closed: Arc<watch::Sender<bool>>,
}

impl Connection for Wire {
    fn is_open(&self) -> bool {
        !*self.closed.borrow()
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.closed.subscribe();
        async move {
            let _gone = closed.wait_for(|closed| *closed).await;
        }
    }
}

impl<B: Send + 'static> SendRequest<B> for Wire {
    type Body = Full<Bytes>;
    type Future = BoxFuture<'static, Result<Response<Full<Bytes>>, SendError<B>>>;

    fn send(&self, request: Request<B>) -> Self::Future {
        let mut hosts = self.network.hosts();
        let host = hosts.entry(self.address.clone()).or_default();
        if !self.is_open() || host.manner == Some(Manner::Returns) {
            return async { Err(SendError::unsent(request, "not open")) }.boxed();
        }
        host.received += 1;
        let answer = Response::new(Full::from(self.address.clone()));
        match host.manner {
            Some(Manner::Loses | Manner::Down) => async { Err(SendError::lost("reset")) }.boxed(),
            Some(Manner::Holds) => {
                let (held, answered) = oneshot::channel();
                host.held.push(held);
                async move {
                    match answered.await {
                        Ok(()) => Ok(answer),
                        Err(_) => Err(SendError::lost("reset")),
                    }
                }
                .boxed()
            }
            Some(Manner::Unavailable) => {
                let (mut parts, body) = answer.into_parts();
                parts.status = StatusCode::SERVICE_UNAVAILABLE;
                async { Ok(Response::from_parts(parts, body)) }.boxed()
            }
            _ => async { Ok(answer) }.boxed(),
        }
    }
}

/// The set of instances, as the test writes it.
#[derive(Debug)]
pub(crate) struct Set(LiveWriter<Service>);

impl Set {
    pub(crate) fn new(first: Service) -> (Self, nacos_core::Live<Service>) {
        let (writer, services) = nacos_core::live(first);
        (Self(writer), services)
    }

    pub(crate) fn publish(&self, set: &[(&str, f64)]) {
        self.0.publish(service(set));
    }

    pub(crate) fn publish_instances(&self, instances: Vec<Instance>) {
        self.0.publish(Service::new(key(), instances, false));
    }
}

/// Instances by ip and weight, all on port 1.
pub(crate) fn service(set: &[(&str, f64)]) -> Service {
    let instances = set.iter().map(|(ip, weight)| Instance::new(*ip, 1).with_weight(*weight));
    Service::new(key(), instances.collect(), false)
}

pub(crate) fn key() -> ServiceKey {
    ServiceKey::try_from("orders").expect("valid")
}

/// Waits until the report of a balancer satisfies a condition.
pub(crate) async fn until(balance: &Balance<Wire>, condition: impl Fn(&Tree) -> bool) {
    let part = balance.inspect();
    let mut changes = part.changed().expect("balancers tell");
    within(LONG, async {
        while !condition(&part.report()) {
            changes.changed().await.expect("the balancer lives");
        }
    })
    .await;
}

/// Waits until so many endpoints are connected.
pub(crate) async fn until_ready(balance: &Balance<Wire>, count: usize) {
    until(balance, |report| {
        states(report).iter().filter(|state| *state == "ready").count() == count
    })
    .await;
}

/// The states of the endpoints in a report.
pub(crate) fn states(report: &Tree) -> Vec<String> {
    let Some(Tree::List(endpoints)) = report.get("endpoints") else { return Vec::new() };
    endpoints
        .iter()
        .filter_map(|endpoint| match endpoint.get("state") {
            Some(Tree::Text(state)) => Some(state.clone()),
            _ => None,
        })
        .collect()
}

/// Far beyond what anything takes: reached only if it never comes.
const LONG: Duration = Duration::from_secs(600);

/// The body of an answer, as text.
pub(crate) async fn text<B: http_body::Body<Error: std::fmt::Debug>>(
    response: Response<B>,
) -> String {
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}
