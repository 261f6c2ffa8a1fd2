//! Options of a channel.
use std::time::Duration;

use http::HeaderValue;
use nacos_core::{Client, Error, InvalidName, Live, Service, ServiceKey};
use nacos_tower::{Balance, Builder, Policy, RetryLayer};
use tower_layer::Layer;

use super::{Channel, Connection, Connector};

/// Options of a [`Channel`].
///
/// Made by [`Channel::builder`]. Nothing happens until one of the last three methods is called.
#[derive(Debug)]
#[must_use = "nothing is connected until it is built"]
pub struct ChannelBuilder {
    balance: Builder<Connector>,
    connector: Connector,
    retry: RetryLayer,
}

impl ChannelBuilder {
    pub(super) fn new() -> Self {
        let connector = Connector::new().user_agent(HeaderValue::from_static(USER_AGENT));
        Self { balance: Balance::builder(connector.clone()), connector, retry: RetryLayer::new() }
    }

    /// How endpoints are picked. [`WeightedP2c::balanced`](crate::WeightedP2c::balanced) by
    /// default.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.balance = self.balance.policy(policy);
        self
    }

    /// How long an attempt to connect to an endpoint may take. 1 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.balance = self.balance.connect_timeout(timeout);
        self
    }

    /// How long a call waits for the first list of instances, or for a first connection to one.
    /// 2 s by default; with zero it never waits.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.balance = self.balance.ready_timeout(timeout);
        self
    }

    /// How long each try of a call may take until its response begins.
    ///
    /// Without this call that is 30 s for calls without a timeout of their own
    /// (`tonic::Request::set_timeout`); `None` leaves it to that timeout alone. Calls that stream
    /// their request, and whose response begins when that has ended, need one of the two.
    pub fn response_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.balance = self.balance.response_timeout(timeout);
        self
    }

    /// Tries [`Idempotent`](crate::Idempotent) calls once more for at most `percent` of them, and
    /// `reserve` more. 20 and 10 by default; zero and zero never try again.
    pub fn retry_budget(mut self, percent: u8, reserve: u16) -> Self {
        self.retry = RetryLayer::with_budget(percent, reserve);
        self
    }

    /// Pings endpoints that have been silent for this long while calls are under way, and closes
    /// the connection to one that does not answer within 20 s. Never by default.
    ///
    /// It finds endpoints that vanished without closing their connections before their calls time
    /// out. Many servers close connections on which they are pinged more often than they like: for
    /// gRPC's own implementations that is every five minutes, unless configured otherwise.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.connector = self.connector.keep_alive(interval);
        self
    }

    /// A channel to a service, subscribed to for as long as it or a clone of it lives.
    ///
    /// Waits until the server has sent the list of instances once, even if it is empty, but not
    /// for connections.
    ///
    /// # Errors
    ///
    /// The name is invalid, the server refused or did not answer in time.
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
    ) -> impl Future<Output = Result<Channel, Error>> + Send
    where
        N: TryInto<ServiceKey>,
        InvalidName: From<N::Error>,
    {
        let (balance, retry) = self.parts();
        let connecting = balance.connect(client, service);
        async move { Ok(channel(connecting.await?, &retry)) }
    }

    /// Like [`connect`](Self::connect), but does not wait: calls do, for the ready timeout.
    ///
    /// # Errors
    ///
    /// The name is invalid.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect_lazy<N>(self, client: &Client, service: N) -> Result<Channel, Error>
    where
        N: TryInto<ServiceKey>,
        InvalidName: From<N::Error>,
    {
        let (balance, retry) = self.parts();
        Ok(channel(balance.connect_lazy(client, service)?, &retry))
    }

    /// A channel to instances that come from anywhere.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn follow(self, services: Live<Service>) -> Channel {
        let (balance, retry) = self.parts();
        channel(balance.follow(services), &retry)
    }

    fn parts(self) -> (Builder<Connector>, RetryLayer) {
        (self.balance.connector(self.connector), self.retry)
    }
}

fn channel(balance: Balance<Connection>, retry: &RetryLayer) -> Channel {
    Channel::new_over(retry.layer(balance.clone()), balance)
}

const USER_AGENT: &str = concat!("nacos-tonic/", env!("CARGO_PKG_VERSION"));
