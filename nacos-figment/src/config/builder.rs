//! The builder of a configuration.
use std::{ffi::OsString, fmt, time::Duration};

use figment::providers::Serialized;
use nacos_core::Client;
use serde::{Serialize, de::DeserializeOwned};

use super::HotConfig;
use crate::{
    engine::{Debounce, Spec, Variables, program_layer},
    error::{Error, ErrorKind},
    input::{Import, LocalFile, WatchedDocument, expand},
    pipeline::{BoxError, Keys},
};

/// Builds a configuration from its layers and checks.
///
/// Layers override each other in this order, whatever the order of the calls: defaults, files,
/// documents (as [`Import`] tells), the environment, single values. Tables are merged key by key,
/// everything else is replaced, lists too. Nothing is checked before [`start`](Self::start).
#[must_use = "nothing is read until `start`"]
pub struct HotConfigBuilder<T> {
    client: Client,
    imports: Vec<Import>,
    poll_when_refused: bool,
    spec: Spec<T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> HotConfigBuilder<T> {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            imports: Vec::new(),
            poll_when_refused: false,
            spec: Spec::default(),
        }
    }

    /// Sets the name in logs, metrics and admin pages. Without it, that of the last import.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.spec.name = Some(name.into());
        self
    }

    /// Adds defaults: the lowest layer. Usually a `T`, but any part of one will do.
    pub fn defaults(mut self, defaults: impl Serialize) -> Self {
        self.spec.defaults.push(program_layer("the defaults", &Serialized::defaults(defaults)));
        self
    }

    /// Adds a local file, over those added before. It need not exist unless it is
    /// [`required`](LocalFile::required).
    pub fn file(mut self, file: impl Into<LocalFile>) -> Self {
        self.spec.files.push(file.into());
        self
    }

    /// Adds documents of the server.
    pub fn import(mut self, import: Import) -> Self {
        self.imports.push(import);
        self
    }

    /// Asks every 30 s (± 20 %) for documents that the server lets this client read, but not listen
    /// to: see [`Watch::poll_when_refused`](nacos_core::Watch::poll_when_refused). Without it such
    /// a document ends [`start`](Self::start) with an error that names the missing right.
    pub fn poll_when_refused(mut self) -> Self {
        self.poll_when_refused = true;
        self
    }

    /// Lets variables of the environment override everything below: `ORDERS__DB__MAX_CONNECTIONS`
    /// is `max_connections` inside `db`, for the prefix `ORDERS`.
    ///
    /// Two underscores nest, one belongs to the name, and names are taken in lower case. Values are
    /// text, and become the type that the target asks for; a value that begins with `[` or `{` and
    /// is JSON is read as JSON. [`start`](Self::start) reads the environment, once.
    pub fn env(mut self, prefix: impl Into<String>) -> Self {
        self.spec.variables = Some(Variables { prefix: prefix.into(), given: None });
        self
    }

    /// As [`env`](Self::env), with these variables in place of those of the process: for tests, and
    /// for those who keep their variables elsewhere.
    pub fn env_from<N, V>(
        mut self,
        prefix: impl Into<String>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let given = Some(variables.collect());
        self.spec.variables = Some(Variables { prefix: prefix.into(), given });
        self
    }

    /// Sets a single key, with dots, over everything else: for command lines.
    pub fn set(mut self, key: &str, value: impl Serialize) -> Self {
        self.spec.values.push(program_layer(
            &format!("the value set for {key}"),
            &Serialized::default(key, value),
        ));
        self
    }

    /// Adds a check: a configuration that fails it is rejected.
    ///
    /// Runs on every new configuration, so it should be quick; a panic counts as a failure.
    /// [`Violations`](crate::Violations) name several problems with their keys, any other error
    /// does as well. Operators read its text.
    ///
    /// ```
    /// # struct AppConfig { rps: u32 }
    /// impl AppConfig {
    ///     fn check(&self) -> Result<(), &'static str> {
    ///         if self.rps == 0 { Err("`rps` must not be zero") } else { Ok(()) }
    ///     }
    /// }
    /// ```
    pub fn validate<E>(
        mut self,
        check: impl Fn(&T) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.spec.checks.push(Box::new(move |value: &T| check(value).map_err(E::into)));
        self
    }

    /// Sets how keys of files and documents are read.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.spec.keys = keys;
        self
    }

    /// Sets how long to wait for more changes, so that documents that are published together are
    /// applied together: until nothing changed for `quiet`, and `cap` at most. 75 and 750 ms
    /// without it. With a single document nothing is waited for.
    pub fn debounce(mut self, quiet: Duration, cap: Duration) -> Self {
        self.spec.debounce = Debounce { quiet, cap };
        self
    }

    /// Sets how long [`start`](Self::start) waits for the documents; 10 s without it.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.spec.start_timeout = timeout;
        self
    }

    /// Reads everything, and follows the documents from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rejected`] if what was read is no valid configuration: the error names key,
    /// document, line and column. [`ErrorKind::Timeout`] and [`ErrorKind::Unreachable`] if it is
    /// not known of all documents whether they exist: "there is none" is only ever the server's
    /// word; and for one that is encrypted, required or not.
    /// [`ErrorKind::InvalidOption`] before anything is sent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends all watches.
    pub fn start(self) -> impl Future<Output = Result<HotConfig<T>, Error>> + Send {
        self.started()
    }

    async fn started(self) -> Result<HotConfig<T>, Error> {
        let mut spec = self.spec;
        if spec.name.is_none() {
            spec.name = self.imports.last().map(|import| import.name().to_owned());
        }
        let doing = spec.doing();
        let invalid = |error| Error::new(ErrorKind::InvalidOption, &doing).because(error);
        let mut documents = Vec::new();
        for imported in expand(&self.imports, self.client.config_namespace())
            .map_err(|error| invalid(BoxError::from(error)))?
        {
            let watch = self.client.configs().watch(imported.key.clone());
            let mut watch = watch.map_err(|error| invalid(error.into()))?;
            if self.poll_when_refused {
                watch = watch.poll_when_refused();
            }
            documents.push(WatchedDocument::new(imported, watch.live(), Some(watch)));
        }
        Ok(HotConfig::new(spec.start(documents, Some(self.client)).await?))
    }
}

impl<T> fmt::Debug for HotConfigBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotConfigBuilder")
            .field("name", &self.spec.name)
            .field("files", &self.spec.files)
            .field("imports", &self.imports)
            .finish_non_exhaustive()
    }
}
