//! Asks for the outcome of a publish that has not been made.
use std::{future::Future, sync::Arc};

use nacos_core::{ConfigKey, InvalidName};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::HotConfig;
use crate::{
    engine::Command,
    error::{Error, ErrorKind},
    report::DryRun,
};

impl<T: DeserializeOwned + Send + Sync + 'static> HotConfig<T> {
    /// The outcome of a publish of `content` as `document`, which this configuration imports, with
    /// all other inputs as they are now. Nothing is published, built, or changed. The content is
    /// what this client would read: no filter is asked, neither of a publish nor of a query.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rejected`] if the configuration would be rejected, with each issue and its
    /// place; [`ErrorKind::InvalidOption`] if `document` is none that is imported, and
    /// [`ErrorKind::Closed`] after a shutdown.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: one that has begun ends in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # server.publish("", "DEFAULT_GROUP", "orders.yaml", "rps: 100");
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// # use nacos_figment::{HotConfig, Import};
    /// # #[derive(serde::Deserialize)]
    /// # struct AppConfig { rps: u32 }
    /// let config: HotConfig<AppConfig> =
    ///     HotConfig::builder(&nacos).import(Import::data_id("orders.yaml")).start().await?;
    /// let outcome = config.dry_run("orders.yaml", "rps: 200").await?;
    /// assert_eq!(outcome.value.rps, 200);
    /// let error = config.dry_run("orders.yaml", "rps: many").await.unwrap_err();
    /// assert!(error.to_string().contains("rps"));
    /// # Ok(()) }
    /// ```
    pub fn dry_run<K>(
        &self,
        document: K,
        content: impl Into<Arc<str>>,
    ) -> impl Future<Output = Result<DryRun<T>, Error>> + Send
    where
        K: TryInto<ConfigKey>,
        InvalidName: From<K::Error>,
    {
        let key = document.try_into().map_err(InvalidName::from);
        let content = content.into();
        async move {
            let invalid = |doing: &str| Error::new(ErrorKind::InvalidOption, doing);
            let key = key.map_err(|error| invalid("try a document").because(error))?;
            let key = match (&self.engine.namespace, key.namespace()) {
                (Some(own), None) => key.in_namespace(own.clone()),
                _ => key,
            };
            let doing = format!("try {key}");
            let (outcome, answer) = oneshot::channel();
            let command = Command::DryRun { document: key, content, outcome };
            let closed = || Error::new(ErrorKind::Closed, &doing);
            self.engine.commands.send(command).await.map_err(|_| closed())?;
            match answer.await.map_err(|_| closed())? {
                Some(outcome) => {
                    outcome.map_err(|rejection| Error::rejected(&doing, Arc::new(rejection)))
                }
                None => Err(invalid(&doing).because("the configuration does not import it")),
            }
        }
    }
}
