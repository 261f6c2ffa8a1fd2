//! The naming service: instances are registered, services are subscribed to, queried and listed.
mod advertise;
mod registration;
mod subscription;

use std::{fmt, sync::Arc};

pub(crate) use self::advertise::{AddressPolicy, AddressSource, local_ip_towards};
pub use self::{registration::Registration, subscription::Subscription};
use crate::{
    connection::{Connection, Repeat},
    error::{Doing, Error},
    instance::Instance,
    key::{Group, InvalidName, ServiceKey},
    service::Service,
    wire::naming::{PersistentInstanceRequest, ServiceListRequest, ServiceQueryRequest},
};

/// The naming service, through one client. Cheap to clone.
#[derive(Clone)]
pub struct Naming {
    connection: Arc<Connection>,
}

impl Naming {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    /// Registers an instance of a service from now on, and again after every reconnect.
    ///
    /// Returns at once; [`Registration::ready`] waits until the server knows it. A client may
    /// register any number of instances of a service; each guard stands for its own.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName), or
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) for an instance that cannot be called or
    /// that is not ephemeral.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// use nacos_core::Instance;
    ///
    /// let instance = Instance::new("127.0.0.1", 8080).with_weight(2.0);
    /// let registration = nacos.naming().register("orders", instance)?.ready().await?;
    /// assert_eq!(nacos.naming().query("orders").await?.instances.len(), 1);
    /// registration.deregister().await?;
    /// # Ok(()) }
    /// ```
    pub fn register<K>(&self, service: K, instance: Instance) -> Result<Registration, Error>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        let key = self.resolve(service)?;
        Registration::check(&instance, self.connection.options.max_metadata)?;
        let instance = Arc::new(instance);
        let claim = self.connection.register(key.clone(), Arc::clone(&instance));
        Ok(Registration::new(key, claim, instance))
    }

    /// Subscribes to a service from now on, whether it has instances or not.
    ///
    /// Returns at once, with a view that is not [known](Service::known) yet;
    /// [`Subscription::ready`] waits for more. Several subscriptions of one service cost the server
    /// one. An empty list after a lost connection is not believed at once: see
    /// [`Subscription::with_grace`].
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn subscribe<K>(&self, service: K) -> Result<Subscription, Error>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        let key = self.resolve(service)?;
        let (claim, raw, view) = self.connection.subscribe(key);
        Ok(Subscription::new(claim, raw, view))
    }

    /// Asks once for a service as it is now. One that the server does not know has no instances.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName), and whatever keeps the server from answering
    /// within the request timeout.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the call is given up.
    pub async fn query<K>(&self, service: K) -> Result<Service, Error>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        let key = self.resolve(service)?;
        let request = ServiceQueryRequest::new(&key);
        match self.connection.call(Doing("query", &key), &request, Repeat::Freely).await? {
            Ok(answer) => Ok(answer
                .service_info
                .into_service(key.clone())
                .unwrap_or_else(|| Service::new(key, Vec::new(), false))),
            Err(refusal) => Err(refusal.into_error(Doing("query", &key))),
        }
    }

    /// One page of the names of a group's services, in the client's namespace.
    ///
    /// Pages count from 1. The order is the server's own, and no page is stable while services
    /// come and go; a service whose instances have all gone is listed for up to a minute.
    ///
    /// # Errors
    ///
    /// Any error that keeps the server from answering within the request timeout.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the call is given up.
    pub async fn list(
        &self,
        group: &Group,
        page: u32,
        page_size: u32,
    ) -> Result<ServicePage, Error> {
        let namespace = self.connection.options.session.naming_namespace.as_str();
        let request = ServiceListRequest::new(namespace, group.as_str(), page, page_size);
        let doing = Doing("list the services of", group);
        match self.connection.call(&doing, &request, Repeat::Freely).await? {
            Ok(answer) => Ok(ServicePage { total: answer.count, names: answer.service_names }),
            Err(refusal) => Err(refusal.into_error(doing)),
        }
    }

    /// Registers an instance that stays until it is deregistered, whether its client is connected
    /// or not.
    ///
    /// A plain request, not a claim: it is neither redone nor withdrawn. A service has either
    /// ephemeral or persistent instances, decided by its first one.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the server has not announced that it can,
    /// as those before 2.3 and r-nacos do not: the error's source names the ability and the server,
    /// and nothing was sent. [`Refused`](crate::ErrorKind::Refused) if the service is ephemeral.
    ///
    /// # Cancel safety
    ///
    /// Once polled, a dropped call may or may not have registered.
    pub async fn register_persistent<K>(&self, service: K, instance: &Instance) -> Result<(), Error>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        let key = self.resolve(service)?;
        instance.check(self.connection.options.max_metadata)?;
        self.persistent(
            "register a persistent instance of",
            &key,
            &PersistentInstanceRequest::register(&key, instance),
        )
        .await
    }

    /// Removes a persistent instance. Removing one that is not there succeeds.
    ///
    /// # Errors
    ///
    /// As for [`register_persistent`](Self::register_persistent).
    ///
    /// # Cancel safety
    ///
    /// Once polled, a dropped call may or may not have deregistered.
    pub async fn deregister_persistent<K>(
        &self,
        service: K,
        instance: &Instance,
    ) -> Result<(), Error>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        let key = self.resolve(service)?;
        let request = PersistentInstanceRequest::deregister(&key, instance);
        self.persistent("deregister a persistent instance of", &key, &request).await
    }

    async fn persistent(
        &self,
        verb: &str,
        key: &ServiceKey,
        request: &PersistentInstanceRequest<'_>,
    ) -> Result<(), Error> {
        let doing = Doing(verb, key);
        // Keyed by address on the server: doing it twice is doing it once.
        match self.connection.call(&doing, request, Repeat::Freely).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal.into_error(doing)),
        }
    }

    fn resolve<K>(&self, service: K) -> Result<ServiceKey, Error>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        let key: ServiceKey = service.try_into().map_err(InvalidName::from)?;
        self.connection.mention(key.namespace());
        Ok(key.resolve(&self.connection.options.session.naming_namespace))
    }
}

/// One page of service names.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServicePage {
    /// How many services the group has in all.
    pub total: u64,
    /// The names on this page, without their group, as other clients chose them.
    pub names: Vec<String>,
}

impl fmt::Debug for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = &self.connection.options.session.naming_namespace;
        f.debug_struct("Naming").field("namespace", namespace).finish_non_exhaustive()
    }
}
