//! All that a configuration is made of, and how it is set going.
use std::{ffi::OsString, sync::Arc, time::Duration};

use figment::{Profile, Provider};
use nacos_core::{Client, Live, live};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    config::HotConfig,
    engine::{Command, Debounce, Engine},
    env,
    error::{Error, ErrorKind},
    file::LocalFile,
    hot::Hot,
    inputs::{Followed, Inputs, Unknown, Unreachable},
    inspect::ConfigInspect,
    keys::Keys,
    layer::Layer,
    maker::Maker,
    pipeline::{BoxError, Cache, Check, Pipeline},
    redact::redacted,
    report::Rejection,
    root::{Owner, Root, Version},
    status::Status,
    tasks,
    telemetry::Meter,
};

/// What a builder collects, beside the documents.
pub(crate) struct Recipe<T> {
    pub(crate) name: Option<String>,
    pub(crate) files: Vec<LocalFile>,
    pub(crate) variables: Option<Variables>,
    pub(crate) defaults: Vec<Given>,
    pub(crate) values: Vec<Given>,
    pub(crate) checks: Vec<Check<T>>,
    pub(crate) keys: Keys,
    pub(crate) debounce: Debounce,
    pub(crate) start_timeout: Duration,
}

/// Values from the program: a layer, or why they are none.
pub(crate) type Given = Result<Arc<Layer>, Box<figment::Error>>;

/// Variables under a prefix: the process' own, or given ones.
pub(crate) struct Variables {
    pub(crate) prefix: String,
    pub(crate) given: Option<Vec<(OsString, OsString)>>,
}

pub(crate) fn given(name: &str, values: &impl Provider) -> Given {
    let dict = values.data()?.remove(&Profile::Default).unwrap_or_default();
    Ok(Arc::new(Layer::program(name, dict)))
}

impl<T> Default for Recipe<T> {
    fn default() -> Self {
        Self {
            name: None,
            files: Vec::new(),
            variables: None,
            defaults: Vec::new(),
            values: Vec::new(),
            checks: Vec::new(),
            keys: Keys::default(),
            debounce: Debounce { quiet: QUIET, cap: CAP },
            start_timeout: START_TIMEOUT,
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Recipe<T> {
    /// Starts on documents that somebody else follows.
    pub(crate) async fn start_on(
        mut self,
        documents: Vec<Followed>,
        client: Option<Client>,
    ) -> Result<HotConfig<T>, Error> {
        let name: Arc<str> = self.label().into();
        let doing = self.doing();
        let mut maker =
            Maker { pipeline: Arc::new(self.pipeline(&doing)?), cache: Cache::default() };
        let mut inputs = Inputs::new(self.files, documents);
        inputs.read_files().await;
        match timeout(self.start_timeout, inputs.known()).await {
            Ok(Ok(())) => {}
            Ok(Err(Unknown::Closed)) => return Err(Error::new(ErrorKind::Closed, doing)),
            Ok(Err(Unknown::Unreachable(document, Unreachable { why, cause }))) => {
                let doing = format!("{doing}: {document}: {why}");
                let error = Error::new(ErrorKind::Unreachable, doing);
                return Err(match inputs.error() {
                    Some(source) => error.because(source),
                    None => error.because(cause.to_string()),
                });
            }
            Err(_elapsed) => {
                let unknown = inputs.unknown().collect::<Vec<_>>().join(", ");
                let error = Error::new(ErrorKind::Timeout, format!("{doing}: {unknown}"));
                let session = || client.as_ref().and_then(|client| client.state().get().error());
                return Err(match inputs.error().or_else(session) {
                    Some(source) => error.because(source),
                    None => error,
                });
            }
        }
        let collected = inputs.collect();
        let sources = collected.sources();
        let made = maker.make(&collected).await.map_err(|refusal| {
            Error::rejected(&doing, Arc::new(Rejection::new(0, refusal, sources.to_vec())))
        })?;
        let (root, swap) = Root::new(Version {
            generation: 1,
            value: made.value,
            parts: Vec::new(),
            sources,
            layers: made.layers,
        });
        let freshness = collected.freshness;
        let (status, statuses) = live(Status { generation: 1, freshness, rejection: None });
        let (revision, revisions) = live(0);
        let (sender, commands) = mpsc::channel(COMMANDS);
        let span = tracing::info_span!(parent: None, "configuration", %name);
        let engine = tasks::spawn(
            span,
            Engine {
                meter: Meter::new(Arc::clone(&name)),
                name: Arc::clone(&name),
                inputs,
                maker,
                debounce: self.debounce,
                commands,
                swap,
                status,
                revision,
                applied: collected.fingerprint(),
                rejected: None,
                resources: Vec::new(),
            }
            .run(),
        );
        Ok(Handles { name, root, statuses, revisions, sender }.join(client, engine))
    }

    fn pipeline(&mut self, doing: &str) -> Result<Pipeline<T>, Error> {
        let invalid = |error: BoxError| Error::new(ErrorKind::InvalidOption, doing).because(error);
        let layers = |given: Vec<Given>| given.into_iter().collect::<Result<Vec<_>, _>>();
        let serialized = |error: Box<_>| invalid(redacted(*error).into());
        let mut above = Vec::new();
        if let Some(Variables { prefix, given }) = self.variables.take() {
            let variables = given.unwrap_or_else(|| env::read(&prefix));
            above.push(
                env::layer(&prefix, variables)
                    .map_err(|issue| invalid(issue.to_string().into()))?,
            );
        }
        above.extend(layers(std::mem::take(&mut self.values)).map_err(serialized)?);
        let below = layers(std::mem::take(&mut self.defaults)).map_err(serialized)?;
        let checks = std::mem::take(&mut self.checks);
        Ok(Pipeline { keys: self.keys, below, above, checks })
    }

    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("local")
    }

    /// What an error says that was being done.
    pub(crate) fn doing(&self) -> String {
        format!("start the configuration `{}`", self.label())
    }
}

/// The ends of an engine that stay with the user.
struct Handles<T> {
    name: Arc<str>,
    root: Arc<Root>,
    statuses: Live<Status>,
    revisions: Live<u64>,
    sender: mpsc::Sender<Command<T>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Handles<T> {
    fn join(self, client: Option<Client>, engine: tasks::Task) -> HotConfig<T> {
        let inspect: Arc<dyn nacos_core::inspect::Inspect> = Arc::new(ConfigInspect {
            name: self.name,
            root: Arc::clone(&self.root),
            status: self.statuses.clone(),
            revision: self.revisions,
            commands: self.sender.clone(),
        });
        if let Some(client) = &client {
            client.inspect(&inspect);
        }
        let owner = Owner { _client: client, _engine: engine, _inspect: inspect };
        HotConfig::new(Hot::whole(self.root, Some(Arc::new(owner))), self.statuses, self.sender)
    }
}

const QUIET: Duration = Duration::from_millis(75);
const CAP: Duration = Duration::from_millis(750);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Rarely more than one at a time, and who sends one waits.
const COMMANDS: usize = 8;
