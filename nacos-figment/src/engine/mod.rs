//! The one task of a configuration: collects the inputs, makes a candidate, commits or rejects it.
//!
//! ```text
//!   a document changed, a file is to be read again, a retry is due
//!        │ debounce (75 ms quiet, 750 ms at most)
//!        ▼
//!     collect ─▶ parse ─▶ merge ─▶ extract ─▶ validate ─▶ build ─▶ commit
//!        └─────────┴─────────┴─────────┴──────────┴─────────┴─▶ reject: the version in force stays
//! ```
//!
//! Changes are only hints to look. The engine reconciles the version in force with the newest
//! inputs, so nothing queues and nothing is lost. Only a rejected build is tried again without a
//! change.
mod candidate;
mod inspect;
mod resource;
mod runner;
mod spec;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::try_join_all;
use nacos_core::{ConfigKey, LiveWriter};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::Instrument;

use self::{candidate::Candidate, resource::BuildError, runner::Runner};
pub(crate) use self::{
    resource::{Resource, SliceResource},
    spec::{Handle, Spec, Variables, program_layer},
};
use crate::{
    hot::{Erased, ResourcePlace, RootWriter, downcast},
    input::{Fingerprint, Inputs},
    report::{DryRun, Freshness, Rejection, Stage, StageError, Status},
    telemetry::{Meter, TELL_EVERY},
    time::{backoff, sleep_until},
};

/// A request of a handle to the engine.
pub(crate) enum Command<T> {
    /// Adds a resource that was built for `value`, unless another value is in force by now.
    Add {
        resource: Arc<dyn Resource<T>>,
        value: Erased,
        built: Erased,
        added: oneshot::Sender<Option<ResourcePlace>>,
    },
    /// Reads everything again.
    Reload,
    /// Makes a candidate with another content of one document, and tells its outcome; none if the
    /// document is not imported.
    DryRun {
        document: ConfigKey,
        content: Arc<str>,
        outcome: oneshot::Sender<Option<Result<DryRun<T>, Rejection>>>,
    },
}

/// A place, as the engine knows it.
struct Placed<T> {
    resource: Arc<dyn Resource<T>>,
    hold: Weak<()>,
}

impl<T> Placed<T> {
    fn is_free(&self) -> bool {
        self.hold.strong_count() == 0
    }
}

/// How long to wait for more changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debounce {
    pub(crate) quiet: Duration,
    pub(crate) cap: Duration,
}

/// The state of the task.
struct Engine<T> {
    name: Arc<str>,
    inputs: Inputs,
    runner: Runner<T>,
    debounce: Debounce,
    commands: mpsc::Receiver<Command<T>>,
    root: RootWriter,
    status: LiveWriter<Status>,
    revision: LiveWriter<u64>,
    applied: Fingerprint,
    rejected: Option<Rejected>,
    resources: Vec<Placed<T>>,
    meter: Meter,
}

/// The inputs that were rejected last.
struct Rejected {
    fingerprint: Fingerprint,
    attempts: u32,
    /// When the same is tried again; `None` waits for a change.
    retry_at: Option<Instant>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Engine<T> {
    /// Runs until the client is shut down, or until the task is dropped with its last handle.
    async fn run(mut self) {
        let mut tell_at = Instant::now();
        loop {
            let retry_at = self.rejected.as_ref().and_then(|rejected| rejected.retry_at);
            tokio::select! {
                biased;
                // First: a caller waits for the answer.
                command = self.commands.recv() => match command {
                    Some(Command::Reload) => self.inputs.refresh().await,
                    Some(Command::Add { resource, value, built, added }) => {
                        // The caller may be gone; then the resource stays unused.
                        let _ = added.send(self.add(resource, &value, built));
                        continue;
                    }
                    Some(Command::DryRun { document, content, outcome }) => {
                        // The caller may be gone; then nobody wants to know.
                        if !outcome.is_closed() {
                            let _ = outcome.send(self.dry_run(&document, &content).await);
                        }
                    }
                    None => return,
                },
                alive = self.inputs.changed() => {
                    if !alive || !self.debounce().await {
                        return;
                    }
                }
                () = sleep_until(retry_at) => {}
                // A recorder that was installed meanwhile knows nothing of this configuration.
                () = sleep_until(Some(tell_at)) => {
                    self.meter.tell();
                    tell_at = Instant::now() + TELL_EVERY;
                    continue;
                }
            }
            let span = tracing::info_span!("configuration change", name = %self.name);
            while !self.reconcile().instrument(span.clone()).await {}
        }
    }

    /// Waits until nothing has changed for a while; `false` once the client is shut down.
    async fn debounce(&mut self) -> bool {
        if !self.inputs.may_change_together() {
            return true;
        }
        let cap = Instant::now() + self.debounce.cap;
        loop {
            let quiet = (Instant::now() + self.debounce.quiet).min(cap);
            tokio::select! {
                biased;
                // First, so that documents that never pause cannot delay a commit beyond the cap.
                () = sleep_until(Some(quiet)) => return true,
                alive = self.inputs.changed() => if !alive { return false },
            }
        }
    }

    /// Brings the newest inputs into force, or rejects them; `false` if they changed during a
    /// build.
    async fn reconcile(&mut self) -> bool {
        let inputs = self.inputs.collect();
        let fingerprint = inputs.fingerprint();
        if fingerprint == self.applied {
            self.rejected = None;
            self.report(inputs.freshness, None);
            return true;
        }
        if let Some(rejected) = &self.rejected
            && rejected.fingerprint == fingerprint
            && rejected.retry_at.is_none_or(|at| Instant::now() < at)
        {
            let rejection = self.status.get().rejection.clone();
            self.report(inputs.freshness, rejection);
            return true;
        }
        let mut candidate = self.runner.make(inputs).await;
        if !self.build(&mut candidate, &fingerprint).await {
            return false;
        }
        self.conclude(candidate, fingerprint);
        true
    }

    /// The outcome of the newest inputs with this content of `document`; none if that is not
    /// imported.
    async fn dry_run(
        &mut self,
        document: &ConfigKey,
        content: &Arc<str>,
    ) -> Option<Result<DryRun<T>, Rejection>> {
        let inputs = self.inputs.collect_with(document, content)?;
        let is_in_force = inputs.fingerprint() == self.applied;
        let mut candidate = self.runner.make(inputs).await;
        let rebuilt = self.rebuilt_by(&mut candidate);
        let in_force = self.root.current().generation;
        let version = candidate.into_version(in_force);
        Some(version.map(|version| DryRun {
            generation: if is_in_force { in_force } else { version.generation },
            value: version.value.downcast().expect("the engine makes values of one type"),
            rebuilt,
        }))
    }

    /// The names of the resources that the candidate, if it is valid, has built anew.
    fn rebuilt_by(&self, candidate: &mut Candidate<T>) -> Vec<Arc<str>> {
        let Some(differs) = self.differing(candidate) else { return Vec::new() };
        let resources = self.resources.iter().zip(differs).filter(|(_, differs)| *differs);
        resources.map(|(placed, _)| placed.resource.name().into()).collect()
    }

    /// Which resources depend on a part in which the candidate differs from the version in force:
    /// none that nobody can read. None if the candidate is not valid, or cannot be compared, which
    /// it then says.
    fn differing(&self, candidate: &mut Candidate<T>) -> Option<Vec<bool>> {
        let value = candidate.value.as_ref().ok()?;
        let current = self.root.current();
        let old = downcast::<T>(&current.value);
        let differs = |placed: &Placed<T>| {
            if placed.is_free() { Ok(false) } else { placed.resource.differs(old, value) }
        };
        match self.resources.iter().map(differs).collect() {
            Ok(differs) => Some(differs),
            Err(issue) => {
                candidate.value = Err(StageError::new(Stage::Build, vec![issue]));
                None
            }
        }
    }

    /// Builds the resources whose part of the configuration differs, at the same time; `false` if
    /// the inputs changed meanwhile.
    async fn build(&mut self, candidate: &mut Candidate<T>, fingerprint: &Fingerprint) -> bool {
        let Some(differs) = self.differing(candidate) else { return true };
        let Ok(value) = &candidate.value else { return true };
        let layers = &candidate.merged.layers;
        let current = self.root.current();
        let in_force = self.resources.iter().zip(&current.resources);
        let built = in_force.zip(differs).map(|((placed, in_force), differs)| {
            let resource = Arc::clone(&placed.resource);
            let building = differs.then(|| resource.build(value));
            // Nobody can read what stands in a free place.
            let in_force =
                if placed.is_free() { Arc::new(()) as Erased } else { Arc::clone(in_force) };
            async move {
                let Some(building) = building else { return Ok(in_force) };
                let failed = |error: BuildError| error.into_issue(resource.name(), layers);
                building.await.map_err(failed)
            }
        });
        let building = try_join_all(built);
        tokio::pin!(building);
        let mut alive = true;
        let built = loop {
            tokio::select! {
                biased;
                // First: a finished build needs no change to be waited for.
                built = &mut building => break built,
                // The build may be outdated; dropping it gives it up.
                changed = self.inputs.changed(), if alive => {
                    alive = changed;
                    if self.inputs.collect().fingerprint() != *fingerprint {
                        return false;
                    }
                }
            }
        };
        match built {
            Ok(resources) => candidate.resources = resources,
            Err(issue) => candidate.value = Err(StageError::new(Stage::Build, vec![issue])),
        }
        true
    }

    /// Commits the candidate, or rejects it.
    fn conclude(&mut self, candidate: Candidate<T>, fingerprint: Fingerprint) {
        let freshness = candidate.inputs.freshness.clone();
        // Not in the match, which would keep the last version until after the commit.
        let in_force = self.root.current().generation;
        match candidate.into_version(in_force) {
            Ok(version) => {
                let generation = self.root.commit(version);
                self.applied = fingerprint;
                self.rejected = None;
                self.meter.committed();
                tracing::info!(generation, "configuration applied");
                self.report(freshness, None);
            }
            Err(rejection) => {
                let rejection = self.reject(fingerprint, rejection);
                self.report(freshness, Some(Arc::new(rejection)));
            }
        }
    }

    fn reject(&mut self, fingerprint: Fingerprint, mut rejection: Rejection) -> Rejection {
        let before = self.rejected.take().filter(|before| before.fingerprint == fingerprint);
        let attempts = before.map_or(1, |before| before.attempts.saturating_add(1));
        rejection.attempts = attempts;
        let retry_at = rejection
            .is_transient()
            .then(|| Instant::now() + backoff(attempts, fastrand::f64()).max(SHORTEST_RETRY));
        self.rejected = Some(Rejected { fingerprint, attempts, retry_at });
        self.meter.rejected(rejection.stage);
        if attempts == 1 {
            let kept = rejection.kept;
            let first = rejection.issues.first().map(ToString::to_string).unwrap_or_default();
            let issues = rejection.issues.len() + rejection.omitted;
            tracing::warn!(kept, stage = %rejection.stage, issues, first, "configuration rejected");
        } else {
            tracing::debug!(attempts, "configuration still rejected");
        }
        rejection
    }

    fn report(&mut self, freshness: Freshness, rejection: Option<Arc<Rejection>>) {
        let generation = self.root.current().generation;
        self.meter.stands(rejection.is_some());
        freshness.log_since(&self.status.get().freshness);
        let changed = self.status.publish_if_changed(Status { generation, freshness, rejection });
        if changed {
            self.revision.publish(*self.revision.get() + 1);
        }
    }

    /// Adds a resource to the version in force, as the next generation; its place, unless another
    /// value is in force than the one that it was built for.
    fn add(
        &mut self,
        resource: Arc<dyn Resource<T>>,
        value: &Erased,
        built: Erased,
    ) -> Option<ResourcePlace> {
        let current = self.root.current();
        if !Arc::ptr_eq(&current.value, value) {
            return None;
        }
        let place = ResourcePlace {
            index: self.resources.iter().position(Placed::is_free).unwrap_or(self.resources.len()),
            hold: Arc::new(()),
        };
        let placed = Placed { resource, hold: Arc::downgrade(&place.hold) };
        let mut next = (*current).clone();
        // So that the writer drops the version in force, unless a reader has pinned it.
        drop(current);
        if place.index < self.resources.len() {
            (self.resources[place.index], next.resources[place.index]) = (placed, built);
        } else {
            self.resources.push(placed);
            next.resources.push(built);
        }
        let generation = self.root.commit(next);
        let status = (*self.status.get()).clone();
        self.status.publish(Status { generation, ..status });
        self.revision.publish(*self.revision.get() + 1);
        Some(place)
    }
}

/// The shortest delay before a rejected build is tried again.
const SHORTEST_RETRY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
