//! A configuration that follows its documents.
mod builder;
mod dry_run;

use std::{fmt, future::Future, sync::Arc};

use nacos_core::{Client, Live};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

pub use self::builder::HotConfigBuilder;
use crate::{
    engine::{Command, Handle, Resource, SliceResource},
    error::{Error, ErrorKind},
    hot::{Hot, downcast},
    report::{Rejection, Stage, StageError, Status},
};

/// A typed configuration, made of files, documents and the environment, that follows its documents.
///
/// A change is parsed, extracted, validated, and its resources are built, before anything is
/// swapped. A change that fails changes nothing, and is reported by [`status`](Self::status).
///
/// Cheap to clone. The one task behind it, and the client's session, live until the last clone and
/// the last [`Hot`] are gone, or until the client is shut down; the last value stays readable.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # server.publish("", "ORDER_GROUP", "orders.properties", "limits.rps=100");
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use nacos_figment::{Hot, HotConfig, Import};
///
/// #[derive(serde::Deserialize)]
/// struct AppConfig { limits: Limits }
/// #[derive(serde::Deserialize, PartialEq)]
/// struct Limits { rps: u32 }
///
/// let config: HotConfig<AppConfig> = HotConfig::builder(&nacos)
///     .file("config/application.toml")
///     .import(Import::app("orders").ext("properties").group("ORDER_GROUP").profile("prod"))
///     .env("ORDERS")
///     .start()
///     .await?;
/// let hot: Hot<AppConfig> = config.hot();
/// let limit = hot.load().limits.rps;
/// # assert_eq!(limit, 100);
///
/// let mut changes = hot.map(|config| &config.limits).changes();
/// # server.publish("", "ORDER_GROUP", "orders.properties", "limits.rps=200");
/// if let Some(change) = changes.next().await {
///     println!("from {} to {}", change.old.rps, change.new.rps);
/// }
/// # assert_eq!(hot.load().limits.rps, 200);
/// # Ok(()) }
/// ```
pub struct HotConfig<T: 'static> {
    engine: Handle<T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> HotConfig<T> {
    /// Begins a configuration that gets its documents from the server of `client`.
    pub fn builder(client: &Client) -> HotConfigBuilder<T> {
        HotConfigBuilder::new(client)
    }

    pub(crate) fn new(engine: Handle<T>) -> Self {
        Self { engine }
    }

    /// The whole configuration, always current.
    #[must_use]
    pub fn hot(&self) -> Hot<T> {
        self.engine.hot.clone()
    }

    /// How the configuration stands: which generation, how fresh, and what was rejected last.
    ///
    /// The reader keeps nothing alive.
    #[must_use]
    pub fn status(&self) -> Live<Status> {
        self.engine.status.clone()
    }

    /// Reads the files again and asks for the documents again, soon. A hint: several are one.
    pub fn reload(&self) {
        // Full: then it is busy, and looks again anyway. Closed: there is nothing to reload.
        let _ = self.engine.commands.try_send(Command::Reload);
    }

    /// Builds something from a part of the configuration, and again whenever that part changes.
    ///
    /// `slice` names the part; `build` gets a clone of it and may take ten seconds. A changed
    /// configuration is in force only when everything that depends on it is built, so a pinned
    /// version holds the configuration and the resources that belong together. If a build fails,
    /// the new configuration is rejected, and tried again after 1 s, 2 s, … 60 s; one that changes
    /// other parts only is not concerned. A former resource lives until the last
    /// [`Pinned`](crate::Pinned) of its versions is dropped.
    ///
    /// `build` must not hold a `Hot` or `HotConfig` of this configuration, which would keep itself
    /// alive; its part holds all that it needs. The message of its error is reported without the
    /// credentials of URLs; the rest of it is up to the build.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rejected`] if the first build fails, [`ErrorKind::Closed`] after a shutdown.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up what is being built.
    ///
    /// # Drop
    ///
    /// With the last [`Hot`] of the resource, and of its [parts](Hot::map), it is built no more: it
    /// can reject no configuration then, and its last value goes with the next version.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # server.publish("", "DEFAULT_GROUP", "orders.properties", "db.url=postgres://db");
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// # use nacos_figment::{Hot, HotConfig, Import};
    /// # #[derive(serde::Deserialize)]
    /// # struct AppConfig { db: Db }
    /// # #[derive(Clone, serde::Deserialize, PartialEq)]
    /// # struct Db { url: String }
    /// # struct Pool(String);
    /// # impl Pool {
    /// #     async fn connect(db: &Db) -> std::io::Result<Self> { Ok(Self(db.url.clone())) }
    /// # }
    /// # let config: HotConfig<AppConfig> =
    /// #     HotConfig::builder(&nacos).import(Import::data_id("orders.properties")).start().await?;
    /// let pool: Hot<Pool> =
    ///     config.resource("db", |c| &c.db, |db| async move { Pool::connect(&db).await }).await?;
    /// # assert_eq!(pool.load().0, "postgres://db");
    /// # Ok(()) }
    /// ```
    pub fn resource<S, R, E, F, Fut>(
        &self,
        name: &str,
        slice: impl for<'a> Fn(&'a T) -> &'a S + Send + Sync + 'static,
        build: F,
    ) -> impl Future<Output = Result<Hot<R>, Error>> + Send
    where
        S: Clone + PartialEq + Send + Sync + 'static,
        R: Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.build(Arc::new(SliceResource { name: name.into(), slice, build }))
    }

    async fn build<R: Send + Sync + 'static>(
        &self,
        resource: Arc<dyn Resource<T>>,
    ) -> Result<Hot<R>, Error> {
        let name = resource.name();
        let doing = format!("build the resource `{name}`");
        // Until nothing was committed while it was being built.
        loop {
            let version = self.engine.hot.version();
            let building = resource.build(downcast(&version.value));
            let built = building.await.map_err(|failure| {
                let issue = failure.into_issue(name, &version.layers);
                let error = StageError::new(Stage::Build, vec![issue]);
                let rejection = Rejection::new(version.generation, error, Vec::new());
                Error::rejected(&doing, Arc::new(rejection))
            })?;
            let (added, answer) = oneshot::channel();
            let resource = Arc::clone(&resource);
            let value = Arc::clone(&version.value);
            let closed = || Error::new(ErrorKind::Closed, &doing);
            let command = Command::Add { resource, value, built, added };
            self.engine.commands.send(command).await.map_err(|_| closed())?;
            if let Some(place) = answer.await.map_err(|_| closed())? {
                return Ok(Hot::resource(&self.engine.hot, place));
            }
        }
    }
}

impl<T> Clone for HotConfig<T> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone() }
    }
}

/// Shows how it stands, never the value.
impl<T> fmt::Debug for HotConfig<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.engine.status.get();
        let rejection = status.rejection.as_ref();
        f.debug_struct("HotConfig")
            .field("generation", &status.generation)
            .field("freshness", &format_args!("{}", status.freshness))
            .field("rejected", &rejection.map(|rejection| rejection.stage))
            .finish_non_exhaustive()
    }
}
