//! The pipeline, run where it delays nobody.
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::{
    inputs::Collected,
    pipeline::{Cache, Made, Pipeline, Text},
    report::{Issue, Refusal, Stage},
    tasks,
};

/// A pipeline and what it remembers.
pub(crate) struct Maker<T> {
    pub(crate) pipeline: Arc<Pipeline<T>>,
    pub(crate) cache: Cache,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Maker<T> {
    pub(crate) async fn make(&mut self, collected: &Collected) -> Result<Made<T>, Refusal> {
        collected.check()?;
        let bytes = |text: &Text| text.content.as_ref().map_or(0, |content| content.len());
        if collected.texts.iter().map(bytes).sum::<usize>() <= INLINE {
            return self.pipeline.run(&collected.texts, &mut self.cache);
        }
        let pipeline = Arc::clone(&self.pipeline);
        let texts = Arc::clone(&collected.texts);
        let mut cache = std::mem::take(&mut self.cache);
        let made = tasks::blocking(move || (pipeline.run(&texts, &mut cache), cache)).await;
        let (value, cache) = made
            .ok_or_else(|| Refusal::new(Stage::Extract, vec![Issue::new("the code panicked")]))?;
        self.cache = cache;
        value
    }
}

/// Up to how many bytes are parsed on the task itself: about a millisecond.
const INLINE: usize = 64 * 1024;
