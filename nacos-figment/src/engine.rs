//! The one task of a configuration: looks at what is known, makes a candidate, commits or rejects.
//!
//! ```text
//!   a document changed, a file is to be read again, a retry is due
//!        │ settle (75 ms quiet, 750 ms at most)
//!        ▼
//!     collect ─▶ parse ─▶ merge ─▶ extract ─▶ validate ─▶ build ─▶ commit
//!        └─────────┴─────────┴─────────┴──────────┴─────────┴─▶ reject: all stays as it is
//! ```
//!
//! Changes are only hints to look: what counts is what is known when it looks, so nothing queues and
//! nothing is lost. Only a rejected build is tried again by itself.
use std::{any::Any, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use nacos_core::LiveWriter;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::Instrument;

use crate::{
    hot::known,
    inputs::{Collected, Fingerprint, Inputs, at},
    maker::Maker,
    pipeline::Made,
    report::{Refusal, Rejection, Stage},
    resource::{Failure, Resource},
    root::{Part, Swap, Version},
    status::Status,
    telemetry::Meter,
};

/// What the handles of a configuration ask of its engine.
pub(crate) enum Command<T> {
    /// Takes in a resource that was built for `value`, unless another value is in force by now.
    Add {
        resource: Arc<dyn Resource<T>>,
        value: Arc<dyn Any + Send + Sync>,
        part: Part,
        added: oneshot::Sender<Option<usize>>,
    },
    /// Reads everything again.
    Reload,
}

/// How long to wait for more changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debounce {
    pub(crate) quiet: Duration,
    pub(crate) cap: Duration,
}

/// Everything that the task owns.
pub(crate) struct Engine<T> {
    pub(crate) name: Arc<str>,
    pub(crate) inputs: Inputs,
    pub(crate) maker: Maker<T>,
    pub(crate) debounce: Debounce,
    pub(crate) commands: mpsc::Receiver<Command<T>>,
    pub(crate) swap: Swap,
    pub(crate) status: LiveWriter<Status>,
    pub(crate) revision: LiveWriter<u64>,
    pub(crate) applied: Fingerprint,
    pub(crate) rejected: Option<Rejected>,
    pub(crate) resources: Vec<Arc<dyn Resource<T>>>,
    pub(crate) meter: Meter,
}

/// What was rejected last.
pub(crate) struct Rejected {
    fingerprint: Fingerprint,
    attempts: u32,
    /// When the same is tried again; `None` waits for a change.
    retry_at: Option<Instant>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Engine<T> {
    /// Runs until the client is shut down, or until the task is dropped with its last handle.
    pub(crate) async fn run(mut self) {
        loop {
            let retry_at = self.rejected.as_ref().and_then(|rejected| rejected.retry_at);
            tokio::select! {
                biased;
                // First: somebody waits for the answer.
                command = self.commands.recv() => match command {
                    Some(Command::Reload) => self.inputs.refresh().await,
                    Some(Command::Add { resource, value, part, added }) => {
                        // Whoever asked may have gone; then the resource stays unused.
                        let _ = added.send(self.add(resource, &value, part));
                        continue;
                    }
                    None => return,
                },
                alive = self.inputs.changed() => {
                    if !alive || !self.settle().await {
                        return;
                    }
                }
                () = at(retry_at) => {}
            }
            let span = tracing::info_span!("configuration change", name = %self.name);
            while !self.look().instrument(span.clone()).await {}
        }
    }

    /// Waits until nothing has changed for a while; `false` once the client is shut down.
    async fn settle(&mut self) -> bool {
        if !self.inputs.may_change_together() {
            return true;
        }
        let cap = Instant::now() + self.debounce.cap;
        loop {
            let quiet = (Instant::now() + self.debounce.quiet).min(cap);
            tokio::select! {
                biased;
                // First, so that documents that never pause cannot delay a commit beyond the cap.
                () = at(Some(quiet)) => return true,
                alive = self.inputs.changed() => if !alive { return false },
            }
        }
    }

    /// Looks once at what is known; `false` if it changed while it was being built.
    async fn look(&mut self) -> bool {
        let collected = self.inputs.collect();
        let fingerprint = collected.fingerprint();
        if fingerprint == self.applied {
            self.rejected = None;
            self.report(&collected, None);
            return true;
        }
        if let Some(rejected) = &self.rejected
            && rejected.fingerprint == fingerprint
            && rejected.retry_at.is_none_or(|at| Instant::now() < at)
        {
            let rejection = self.status.get().rejection.clone();
            self.report(&collected, rejection);
            return true;
        }
        let built = match self.maker.make(&collected).await {
            Ok(made) => match self.build(&made, &fingerprint).await {
                Some(built) => built.map(|parts| (made, parts)),
                None => return false,
            },
            Err(refusal) => Err(refusal),
        };
        match built {
            Ok((made, parts)) => self.commit(&collected, fingerprint, made, parts),
            Err(refusal) => self.reject(&collected, fingerprint, refusal),
        }
        true
    }

    /// Builds the resources whose part of the configuration differs, at the same time. `None` if
    /// something else is to be built by now.
    async fn build(
        &mut self,
        made: &Made<T>,
        fingerprint: &Fingerprint,
    ) -> Option<Result<Vec<Part>, Refusal>> {
        let current = self.swap.current();
        let old = known::<T>(&current.value);
        let parts = self.resources.iter().zip(&current.parts).map(|(resource, part)| {
            let differs = resource.differs(old, &made.value);
            let building = matches!(differs, Ok(true)).then(|| resource.build(&made.value));
            let (resource, part) = (Arc::clone(resource), Arc::clone(part));
            async move {
                differs?;
                let Some(building) = building else { return Ok(part) };
                let failed = |failure: Failure| failure.into_issue(resource.name(), &made.layers);
                building.await.map_err(failed)
            }
        });
        let building = try_join_all(parts);
        tokio::pin!(building);
        let mut alive = true;
        loop {
            tokio::select! {
                biased;
                // First: what is built already needs no change to be waited for.
                built = &mut building => {
                    return Some(built.map_err(|issue| Refusal::new(Stage::Build, vec![issue])));
                }
                // What is being built may be outdated; dropping it gives it up.
                changed = self.inputs.changed(), if alive => {
                    alive = changed;
                    if self.inputs.collect().fingerprint() != *fingerprint {
                        return None;
                    }
                }
            }
        }
    }

    fn commit(
        &mut self,
        collected: &Collected,
        fingerprint: Fingerprint,
        made: Made<T>,
        parts: Vec<Part>,
    ) {
        let generation = self.swap.commit(|current| Version {
            generation: current.generation,
            value: made.value,
            parts,
            sources: collected.sources(),
            layers: made.layers,
        });
        self.applied = fingerprint;
        self.rejected = None;
        self.meter.committed();
        tracing::info!(generation, "configuration applied");
        self.report(collected, None);
    }

    fn reject(&mut self, collected: &Collected, fingerprint: Fingerprint, refusal: Refusal) {
        let before = self.rejected.take().filter(|before| before.fingerprint == fingerprint);
        let attempts = before.map_or(1, |before| before.attempts.saturating_add(1));
        let kept = self.swap.current().generation;
        let mut rejection = Rejection::new(kept, refusal, collected.sources().to_vec());
        rejection.attempts = attempts;
        let retry_at = rejection.is_transient().then(|| Instant::now() + pause(attempts));
        self.rejected = Some(Rejected { fingerprint, attempts, retry_at });
        self.meter.rejected(rejection.stage);
        if attempts == 1 {
            let first = rejection.issues.first().map(ToString::to_string).unwrap_or_default();
            let issues = rejection.issues.len() + rejection.omitted;
            tracing::warn!(kept, stage = %rejection.stage, issues, first, "configuration rejected");
        } else {
            tracing::debug!(attempts, "configuration still rejected");
        }
        self.report(collected, Some(Arc::new(rejection)));
    }

    fn report(&mut self, collected: &Collected, rejection: Option<Arc<Rejection>>) {
        let generation = self.swap.current().generation;
        let freshness = collected.freshness;
        self.meter.stands(rejection.is_some());
        let changed = self.status.publish_if_changed(Status { generation, freshness, rejection });
        if changed {
            self.revision.publish(*self.revision.get() + 1);
        }
    }

    /// Adds a resource to the version in force, as the next generation; its index, unless another
    /// value is in force than the one that it was built for.
    fn add(
        &mut self,
        resource: Arc<dyn Resource<T>>,
        value: &Arc<dyn Any + Send + Sync>,
        part: Part,
    ) -> Option<usize> {
        let current = self.swap.current();
        if !Arc::ptr_eq(&current.value, value) {
            return None;
        }
        let index = current.parts.len();
        drop(current);
        self.resources.push(resource);
        let generation = self.swap.commit(|current| {
            let mut next = current.clone();
            next.parts.push(part);
            next
        });
        let status = (*self.status.get()).clone();
        self.status.publish(Status { generation, ..status });
        self.revision.publish(*self.revision.get() + 1);
        Some(index)
    }
}

/// 1 s × 2ⁿ, at most 60 s, any part of it.
fn pause(attempts: u32) -> Duration {
    let longest = 1_000 << attempts.saturating_sub(1).min(6);
    Duration::from_millis(fastrand::u64(1..=longest.min(60_000)))
}

#[cfg(test)]
mod tests;
