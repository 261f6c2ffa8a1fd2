//! Runs the pipeline where it delays no other task.
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::candidate::Candidate;
use crate::{
    input::Collected,
    pipeline::{Cache, Outcome, PANICKED, Pipeline, Text},
    report::{Issue, Stage, StageError},
    tasks,
};

/// A pipeline and its cache.
pub(crate) struct Runner<T> {
    pipeline: Arc<Pipeline<T>>,
    cache: Cache,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Runner<T> {
    pub(crate) fn new(pipeline: Pipeline<T>) -> Self {
        Self { pipeline: Arc::new(pipeline), cache: Cache::default() }
    }

    /// Makes a candidate of `inputs`. Its resources are not built yet.
    pub(crate) async fn make(&mut self, inputs: Collected) -> Candidate<T> {
        let Outcome { merged, value } = match inputs.check() {
            Ok(()) => self.run(&inputs.texts).await,
            Err(error) => Outcome::failed(error),
        };
        Candidate { inputs, merged, value, resources: Vec::new() }
    }

    async fn run(&mut self, texts: &Arc<[Text]>) -> Outcome<T> {
        let bytes = |text: &Text| text.content.as_ref().map_or(0, |content| content.len());
        if texts.iter().map(bytes).sum::<usize>() <= INLINE {
            return self.pipeline.run(texts, &mut self.cache);
        }
        let pipeline = Arc::clone(&self.pipeline);
        let texts = Arc::clone(texts);
        let mut cache = std::mem::take(&mut self.cache);
        let ran = tasks::blocking(move || (pipeline.run(&texts, &mut cache), cache)).await;
        let Some((outcome, cache)) = ran else {
            return Outcome::failed(StageError::new(Stage::Extract, vec![Issue::new(PANICKED)]));
        };
        self.cache = cache;
        outcome
    }
}

/// Up to how many bytes are parsed on the task itself: about a millisecond.
const INLINE: usize = 64 * 1024;
