//! All that a configuration is made from, beside its documents, and how its engine starts.
use std::{ffi::OsString, sync::Arc, time::Duration};

use figment::{Profile, Provider};
use nacos_core::{Client, Live, Namespace, inspect::Inspect, live};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, time::timeout};

use super::{Command, Debounce, Engine, inspect::ConfigInspect, runner::Runner};
use crate::{
    error::{Error, ErrorKind},
    hot::{Hot, KeepAlive, Root},
    input::{Inputs, LoadError, LocalFile, WatchedDocument, env},
    pipeline::{BoxError, Check, Keys, Layer, Pipeline},
    report::{Freshness, Status, redact::redacted},
    tasks,
    telemetry::Meter,
};

/// The options of a configuration, beside its documents.
pub(crate) struct Spec<T> {
    pub(crate) name: Option<String>,
    pub(crate) files: Vec<LocalFile>,
    pub(crate) variables: Option<Variables>,
    pub(crate) defaults: Vec<ProgramLayer>,
    pub(crate) values: Vec<ProgramLayer>,
    pub(crate) checks: Vec<Check<T>>,
    pub(crate) keys: Keys,
    pub(crate) debounce: Debounce,
    pub(crate) start_timeout: Duration,
}

/// A layer of values from the program, or the error of their serialisation.
pub(crate) type ProgramLayer = Result<Arc<Layer>, Box<figment::Error>>;

/// Variables under a prefix: those of the process, or given ones.
pub(crate) struct Variables {
    pub(crate) prefix: String,
    pub(crate) given: Option<Vec<(OsString, OsString)>>,
}

pub(crate) fn program_layer(name: &str, values: &impl Provider) -> ProgramLayer {
    let dict = values.data()?.remove(&Profile::Default).unwrap_or_default();
    Ok(Arc::new(Layer::program(name, dict)))
}

impl<T> Default for Spec<T> {
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

impl<T: DeserializeOwned + Send + Sync + 'static> Spec<T> {
    /// Starts an engine on `documents`.
    pub(crate) async fn start(
        mut self,
        documents: Vec<WatchedDocument>,
        client: Option<Client>,
    ) -> Result<Handle<T>, Error> {
        let name: Arc<str> = self.label().into();
        let doing = self.doing();
        let mut runner = Runner::new(self.pipeline(&doing)?);
        let mut inputs = Inputs::new(self.files, documents);
        inputs.read_files().await;
        wait_for(&mut inputs, self.start_timeout, &doing, client.as_ref()).await?;
        let collected = inputs.collect();
        let (applied, freshness) = (collected.fingerprint(), collected.freshness.clone());
        let first = runner.make(collected).await.into_version(0);
        let first = first.map_err(|rejection| Error::rejected(&doing, Arc::new(rejection)))?;
        let generation = first.generation;
        let (root, writer) = Root::new(first);
        let span = tracing::info_span!(parent: None, "configuration", %name);
        span.in_scope(|| freshness.log_since(&Freshness::Confirmed));
        let (status, statuses) = live(Status { generation, freshness, rejection: None });
        let (revision, revisions) = live(0);
        let (sender, commands) = mpsc::channel(COMMANDS);
        let inspect: Arc<dyn Inspect> = Arc::new(ConfigInspect {
            name: Arc::clone(&name),
            root: Arc::clone(&root),
            status: statuses.clone(),
            revision: revisions,
            commands: sender.clone(),
        });
        let engine = Engine {
            meter: Meter::new(Arc::clone(&name)),
            name,
            inputs,
            runner,
            debounce: self.debounce,
            commands,
            root: writer,
            status,
            revision,
            applied,
            rejected: None,
            resources: Vec::new(),
        };
        let task = tasks::spawn(span, engine.run());
        if let Some(client) = &client {
            client.inspect(&inspect);
        }
        let namespace = client.as_ref().map(|client| client.config_namespace().clone());
        let keep_alive = KeepAlive { _client: client, _engine: task, _inspect: inspect };
        let hot = Hot::whole(root, Some(Arc::new(keep_alive)));
        Ok(Handle { hot, status: statuses, commands: sender, namespace })
    }

    fn pipeline(&mut self, doing: &str) -> Result<Pipeline<T>, Error> {
        let invalid = |error: BoxError| Error::new(ErrorKind::InvalidOption, doing).because(error);
        let layers = |layers: Vec<ProgramLayer>| layers.into_iter().collect::<Result<Vec<_>, _>>();
        let serialized = |error: Box<_>| invalid(redacted(*error).into());
        let mut above = Vec::new();
        if let Some(Variables { prefix, given }) = self.variables.take() {
            let variables = given.unwrap_or_else(|| env::read(&prefix));
            let layer = env::layer(&prefix, variables);
            above.push(layer.map_err(|issue| invalid(issue.to_string().into()))?);
        }
        above.extend(layers(std::mem::take(&mut self.values)).map_err(serialized)?);
        let below = layers(std::mem::take(&mut self.defaults)).map_err(serialized)?;
        let checks = std::mem::take(&mut self.checks);
        Ok(Pipeline { keys: self.keys, below, above, checks })
    }

    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("local")
    }

    /// The action that errors name.
    pub(crate) fn doing(&self) -> String {
        format!("start the configuration `{}`", self.label())
    }
}

/// Waits until every document is known, for `longest` at most.
async fn wait_for(
    inputs: &mut Inputs,
    longest: Duration,
    doing: &str,
    client: Option<&Client>,
) -> Result<(), Error> {
    let failed = timeout(longest, inputs.all_known()).await;
    match failed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(LoadError::Closed)) => Err(Error::new(ErrorKind::Closed, doing)),
        Ok(Err(LoadError::Unreachable(stale))) => {
            let error = Error::new(ErrorKind::Unreachable, format!("{doing}: {stale}"));
            Err(error.because_of(stale.source))
        }
        Err(_elapsed) => {
            // Each with its own cause: the error has room for the source of one.
            let unknown = inputs.unknown().map(|document| match document.stale() {
                Some(stale) => format!("{stale} ({})", stale.cause),
                None => document.name().to_owned(),
            });
            let unknown = unknown.collect::<Vec<_>>();
            let doing = format!("{doing}: {}", unknown.join(", "));
            let error = Error::new(ErrorKind::Timeout, doing);
            if let Some(stale) = inputs.unknown().find_map(WatchedDocument::stale) {
                return Err(error.because_of(Arc::clone(&stale.source)));
            }
            let of_session = client.and_then(|client| client.state().get().error());
            Err(match of_session {
                Some(source) => error.because(source),
                None => error,
            })
        }
    }
}

/// The ends of an engine that stay with the user.
pub(crate) struct Handle<T: 'static> {
    pub(crate) hot: Hot<T>,
    pub(crate) status: Live<Status>,
    pub(crate) commands: mpsc::Sender<Command<T>>,
    /// The client's own, of documents that name none; a test may do without a client.
    pub(crate) namespace: Option<Namespace>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            hot: self.hot.clone(),
            status: self.status.clone(),
            commands: self.commands.clone(),
            namespace: self.namespace.clone(),
        }
    }
}

const QUIET: Duration = Duration::from_millis(75);
const CAP: Duration = Duration::from_millis(750);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Rarely more than one at a time, and senders wait.
const COMMANDS: usize = 8;
