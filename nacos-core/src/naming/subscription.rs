//! A service under subscription.
use std::{fmt, sync::Arc, time::Duration};

use crate::{
    connection::ClaimGuard,
    error::Error,
    key::ServiceKey,
    live::Live,
    service::{Change, Service},
    state::ClaimState,
};

/// A service that is subscribed to for as long as this lives.
///
/// After every reconnect the whole list is asked for again and compared, so no change is missed.
/// Dropping it ends the subscription; [`live`](Self::live) readers keep the last view and end.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use nacos_core::Instance;
///
/// let mut orders = nacos.naming().subscribe("orders")?.ready().await?;
/// assert!(orders.service().instances.is_empty());
///
/// let _guard = nacos.naming().register("orders", Instance::new("127.0.0.1", 8080))?;
/// let change = orders.changed().await.ok_or("the client was shut down")?;
/// assert_eq!(change.added[0].address(), "127.0.0.1:8080");
/// # Ok(()) }
/// ```
#[must_use = "the subscription ends as soon as this is dropped"]
pub struct Subscription {
    claim: ClaimGuard,
    /// The service as the server lists it.
    raw: Live<Service>,
    view: Live<Service>,
    /// The view that the last difference led to.
    seen: Arc<Service>,
}

impl Subscription {
    pub(super) fn new(claim: ClaimGuard, raw: Live<Service>, view: Live<Service>) -> Self {
        let seen = view.get();
        Self { claim, raw, view, seen }
    }

    /// How long an empty list is doubted after a lost connection. Default: 30 s.
    ///
    /// A client that subscribes again before the providers are back, as after a restart of the only
    /// server, is told of no instance though all of them live. So from the loss of a connection
    /// until 30 s after another serves, an empty list does not replace one that was not: the last
    /// instances stay, marked as [held](Service::held), until the server lists some again. A list
    /// of which nothing is [callable](Service::callable) counts as empty: an instance that an
    /// operator has taken out of service may be the first to be back. When the grace is over, the
    /// server is asked once more, and its answer counts. Another connection begins the grace anew,
    /// up to three times the grace in all; time without a connection does not count. At any other
    /// time an empty list is shown at once: the last instance has deregistered.
    ///
    /// Subscriptions of one service may each have another grace. Readers that
    /// [`live`](Self::live) has handed out before end, or keep the former grace.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// use std::time::Duration;
    ///
    /// let patient = nacos.naming().subscribe("orders")?.with_grace(Duration::from_secs(120));
    /// let literal = nacos.naming().subscribe("orders")?.without_grace().ready().await?;
    /// assert!(!literal.service().held && patient.raw().get().instances.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn with_grace(mut self, grace: Duration) -> Self {
        if let Some(view) = self.claim.regrace(grace) {
            self.view = view;
        }
        self
    }

    /// Shows every list as the server sends it: no [grace](Self::with_grace).
    pub fn without_grace(self) -> Self {
        self.with_grace(Duration::ZERO)
    }

    /// Waits until the server has sent the service for the first time. That first list is no
    /// [change](Self::changed).
    ///
    /// # Errors
    ///
    /// The server refused, or did not answer within the request timeout; the subscription is over
    /// then. To keep it, wait for [`changed`](Self::changed) instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the subscription.
    pub async fn ready(mut self) -> Result<Self, Error> {
        let doing = format!("subscribe to {}", self.seen.key);
        self.claim.settled(&doing, &mut self.view, |service| service.known).await?;
        self.seen = self.view.get();
        Ok(self)
    }

    /// Which service.
    #[must_use]
    pub fn key(&self) -> &ServiceKey {
        &self.seen.key
    }

    /// The service as it is now.
    #[must_use]
    pub fn service(&self) -> Arc<Service> {
        self.view.get()
    }

    /// Waits until the service differs from what the last call returned, and says in what; `None`
    /// once the client is shut down.
    ///
    /// The first call after [`Naming::subscribe`](crate::Naming::subscribe) reports every instance
    /// as added; after [`ready`](Self::ready) only later changes are reported. A service that
    /// becomes known without instances is reported as an empty change.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<Change> {
        let seen = Arc::clone(&self.seen);
        let service = self.view.wait_for(|service| !service.lists_the_same(&seen)).await?;
        let change = service.since(&self.seen);
        self.seen = service;
        Some(change)
    }

    /// A reader of the view that keeps neither the subscription nor the client alive.
    #[must_use]
    pub fn live(&self) -> Live<Service> {
        self.view.clone()
    }

    /// A reader of what the server lists, whatever the [grace](Self::with_grace).
    #[must_use]
    pub fn raw(&self) -> Live<Service> {
        self.raw.clone()
    }

    /// How much the server knows of this subscription.
    #[must_use]
    pub fn claim(&self) -> Live<ClaimState> {
        self.claim.state()
    }
}

/// Shows which service, and how many instances it has.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.view.get();
        f.debug_struct("Subscription")
            .field("service", &format_args!("{}", service.key))
            .field("known", &service.known)
            .field("instances", &service.instances.len())
            .field("claim", &self.claim.state().get())
            .finish_non_exhaustive()
    }
}
