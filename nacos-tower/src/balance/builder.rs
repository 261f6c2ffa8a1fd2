//! From options to a running balancer.
use std::{sync::Arc, time::Duration};

use nacos_core::{Client, Error, InvalidName, Live, Service, ServiceKey, Subscription};
use tokio::time::Instant;

use super::{Balance, report::Report};
use crate::{
    control::Controller,
    endpoint::SetStats,
    pick::{EndpointSet, Policy, WeightedP2c},
    request::{Handle, ResponseTimeout},
    tasks,
    transport::Connect,
};

/// Options of a [`Balance`].
///
/// Made by [`Balance::builder`]. Nothing happens until one of the last three methods is called.
#[derive(Debug)]
#[must_use = "nothing is balanced until it is built"]
pub struct Builder<K> {
    connector: K,
    policy: Arc<dyn Policy>,
    connect_timeout: Duration,
    ready_timeout: Duration,
    response_timeout: ResponseTimeout,
}

impl<K: Connect> Builder<K> {
    pub(crate) fn new(connector: K) -> Self {
        Self {
            connector,
            policy: Arc::new(WeightedP2c::default()),
            connect_timeout: Duration::from_secs(1),
            ready_timeout: Duration::from_secs(2),
            response_timeout: ResponseTimeout::Default,
        }
    }

    /// Makes connections with another connector. The options stay.
    pub fn connector<L: Connect>(self, connector: L) -> Builder<L> {
        let Self { connector: _, policy, connect_timeout, ready_timeout, response_timeout } = self;
        Builder { connector, policy, connect_timeout, ready_timeout, response_timeout }
    }

    /// How endpoints are picked. [`WeightedP2c::balanced`] by default.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// How long an attempt to connect to an endpoint may take. 1 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a request waits for the first list of instances, or for a first connection to one.
    /// 2 s by default; with zero it never waits.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// How long each try of a request may take until its response begins.
    ///
    /// Without this call that is 30 s for requests without a [`Deadline`](crate::Deadline) of their
    /// own. `None` leaves it to those deadlines alone, and to connections, which must then notice
    /// by themselves when they are dead. Uploads that take longer, and calls whose response begins
    /// when their last message was sent, need that or a longer timeout.
    pub fn response_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.response_timeout = timeout.into().into();
        self
    }

    /// A balancer over the instances of a service, subscribed to for as long as it lives.
    ///
    /// Waits until the server has sent the list once, even if it is empty, but not for connections.
    ///
    /// # Errors
    ///
    /// As [`Subscription::ready`] has them: the name is invalid, the server refused or did not
    /// answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the subscription.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect<N>(
        self,
        client: &Client,
        service: N,
    ) -> impl Future<Output = Result<Balance<K::Connection>, Error>> + Send
    where
        N: TryInto<ServiceKey>,
        InvalidName: From<N::Error>,
    {
        self.connected(client, service.try_into().map_err(InvalidName::from))
    }

    /// Like [`connect`](Self::connect), but does not wait: requests do, for the ready timeout.
    ///
    /// # Errors
    ///
    /// The name is invalid.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect_lazy<N>(
        self,
        client: &Client,
        service: N,
    ) -> Result<Balance<K::Connection>, Error>
    where
        N: TryInto<ServiceKey>,
        InvalidName: From<N::Error>,
    {
        let subscription = client.naming().subscribe(service)?;
        Ok(self.subscribed(client, subscription))
    }

    /// A balancer over instances that come from anywhere. When the writer of `services` goes, the
    /// last list stays in use.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn follow(self, services: Live<Service>) -> Balance<K::Connection> {
        self.start(services, None)
    }

    async fn connected(
        self,
        client: &Client,
        service: Result<ServiceKey, InvalidName>,
    ) -> Result<Balance<K::Connection>, Error> {
        let subscription = client.naming().subscribe(service?)?.ready().await?;
        Ok(self.subscribed(client, subscription))
    }

    fn subscribed(self, client: &Client, source: Subscription) -> Balance<K::Connection> {
        let balance = self.start(source.live(), Some(source));
        client.inspect(&balance.inspect());
        balance
    }

    fn start(
        self,
        services: Live<Service>,
        source: Option<Subscription>,
    ) -> Balance<K::Connection> {
        let stats = SetStats::starting(Instant::now());
        let name = services.get().key.to_string();
        let span = tracing::info_span!(parent: None, "balance", service = %name);
        let (policy, ready_timeout) = (self.policy, self.ready_timeout);
        let set = EndpointSet::new(name.into(), policy, ready_timeout, Arc::new(stats));
        let set = Arc::new(set);
        let controller = Controller::new(self.connector, self.connect_timeout, Arc::clone(&set));
        let handle = Handle {
            report: Arc::new(Report::new(&set)),
            set,
            response_timeout: self.response_timeout,
            _controller: tasks::spawn(span, controller.run(services, source)),
        };
        Balance { handle: Arc::new(handle) }
    }
}
