//! The configuration service: documents are read, published, removed and watched.
mod fuzzy_watch;
mod get;
mod list;
mod publish;
mod published;
mod update;
mod watch;

use std::{fmt, sync::Arc};

pub use self::{
    fuzzy_watch::FuzzyWatch,
    get::Get,
    list::{DocumentPage, ListedDocument, Search},
    publish::Publish,
    published::{Condition, Published, Visibility},
    update::Updated,
    watch::Watch,
};
use crate::{
    connection::{Connection, Repeat},
    error::{Doing, Error},
    key::{ConfigKey, ConfigPattern, InvalidName},
    live::Live,
    storm::StormReport,
    wire::config::ConfigRemoveRequest,
};

/// The configuration service, through one client. Cheap to clone.
#[derive(Clone)]
pub struct Configs {
    connection: Arc<Connection>,
}

impl Configs {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    /// Reads a document; `None` if the server has none under `key`.
    ///
    /// Goes to the server each time, unless an operator has put a file in its place
    /// ([`override_dir`](crate::ClientBuilder::override_dir)); [`watch`](Self::watch) is for values
    /// that are read often.
    /// Java servers show a document up to some 90 ms after its publish was answered; one that is
    /// just being replaced ("requested file is being modified") is asked for again within the
    /// timeout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName) before anything is sent, and
    /// whatever keeps the server from answering within the request timeout;
    /// [`ErrorKind::Filter`](crate::ErrorKind::Filter) or
    /// [`ErrorKind::FilterUnavailable`](crate::ErrorKind::FilterUnavailable) if a
    /// [filter](crate::filter) failed, each of which may take its
    /// [`filter_timeout`](crate::ClientBuilder::filter_timeout) beyond that. "There is none" is not
    /// an error.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the call is given up. Nothing is sent before the value is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// assert!(nacos.configs().get("orders.yaml").await?.is_none());
    ///
    /// nacos.configs().publish(nacos_core::Publish::new("orders.yaml", "limit: 7")?).await?;
    /// let document = nacos.configs().get("orders.yaml").await?.ok_or("it was just published")?;
    /// assert_eq!(&*document.content, "limit: 7");
    /// # Ok(()) }
    /// ```
    pub fn get<K>(&self, key: K) -> Get
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        Get::new(Arc::clone(&self.connection), self.resolve(key))
    }

    /// Removes a document. Removing one that does not exist succeeds.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish); never sent twice either.
    ///
    /// # Cancel safety
    ///
    /// Once polled, a dropped call may or may not have removed it.
    pub async fn remove<K>(&self, key: K) -> Result<(), Error>
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        let key = self.resolve(key)?;
        let request = ConfigRemoveRequest::new(&key);
        match self.connection.call(Doing("remove", &key), &request, Repeat::IfUnsent).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal.into_error(Doing("remove", &key))),
        }
    }

    /// Watches a document from now on, whether it exists or not.
    ///
    /// Returns at once; the first state is [`Pending`](crate::DocumentState::Pending).
    /// [`Watch::ready`] waits for more. Several watches of one document cost the server one listen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName).
    pub fn watch<K>(&self, key: K) -> Result<Watch, Error>
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        Ok(Watch::new(&self.connection, self.resolve(key)?))
    }

    /// Watches from now on which documents match a pattern: which there are, and when one comes or
    /// goes. Servers have that since 3.0: see [`FuzzyWatch`].
    ///
    /// Returns at once, with a set that is
    /// [`Pending`](crate::Completeness::Pending); [`FuzzyWatch::ready`] waits for the whole one.
    /// Several watches of one pattern cost the server one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName): the pattern has a `*` elsewhere
    /// than at an end, or a character that no name has.
    pub fn fuzzy_watch<P>(&self, pattern: P) -> Result<FuzzyWatch, Error>
    where
        P: TryInto<ConfigPattern>,
        InvalidName: From<P::Error>,
    {
        let pattern: ConfigPattern = pattern.try_into().map_err(InvalidName::from)?;
        self.connection.mention(pattern.namespace());
        let own = &self.connection.options.session.config_namespace;
        Ok(FuzzyWatch::new(&self.connection, pattern.resolve(own)))
    }

    /// How this client governs its pulls, which are the queries for watched documents: how many it
    /// may make, which wait and for what, and whether it makes any.
    #[must_use]
    pub fn storm(&self) -> Live<StormReport> {
        self.connection.storm()
    }

    /// Stops all pulls of this client, until [`thaw`](Self::thaw): for an operator who wants no
    /// client to follow what is being published. Watches keep what they show; a new one of a
    /// document that nobody has watched shows nothing. Pushes, and what listens find, are noted.
    ///
    /// Publishing, removing and [`get`](Self::get) go on, and so do listens: by them the server
    /// knows that there is a watch. A freeze that lasts for more than 60 s is an alarm in log and
    /// metric. It belongs to this client, and ends with it.
    ///
    /// Returns at once; [`storm`](Self::storm) shows when it is done.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// nacos.configs().freeze();
    /// let frozen = |report: &nacos_core::StormReport| report.mode.name() == "frozen";
    /// nacos.configs().storm().wait_for(frozen).await;
    /// nacos.configs().thaw();
    /// # Ok(()) }
    /// ```
    pub fn freeze(&self) {
        self.connection.freeze(true);
    }

    /// Lets pulls go on that [`freeze`](Self::freeze) has stopped: what may have changed meanwhile
    /// is asked for, as fast as there are tokens.
    pub fn thaw(&self) {
        self.connection.freeze(false);
    }

    fn resolve<K>(&self, key: K) -> Result<ConfigKey, Error>
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        let key: ConfigKey = key.try_into().map_err(InvalidName::from)?;
        self.connection.mention(key.namespace());
        Ok(key.resolve(&self.connection.options.session.config_namespace))
    }
}

impl fmt::Debug for Configs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = &self.connection.options.session.config_namespace;
        f.debug_struct("Configs").field("namespace", namespace).finish_non_exhaustive()
    }
}
