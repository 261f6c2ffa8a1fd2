//! A configuration that is not in force yet.
use std::sync::Arc;

use crate::{
    hot::{Erased, Version},
    input::Collected,
    pipeline::Merged,
    report::{Rejection, StageError},
};

/// The result of one consistent set of inputs: a value that may come into force, or the reason why
/// there is none. It is not published. [`Engine`](super::Engine) commits or rejects it.
pub(crate) struct Candidate<T> {
    /// The files and documents that it was made from, and the issues with those that are missing.
    pub(crate) inputs: Collected,
    /// All layers with their positions, and the tree that they make. Without a layer if an input is
    /// missing or cannot be parsed.
    pub(crate) merged: Merged,
    /// The value, or the stage that failed and its issues.
    pub(crate) value: Result<Arc<T>, StageError>,
    /// The resources built for this value, in the order in which they were registered.
    pub(crate) resources: Vec<Erased>,
}

impl<T: Send + Sync + 'static> Candidate<T> {
    /// The version that comes after `generation`; or why `generation` stays in force, 0 for none.
    pub(crate) fn into_version(self, generation: u64) -> Result<Version, Rejection> {
        let sources = self.inputs.sources();
        match self.value {
            Ok(value) => Ok(Version {
                generation: generation + 1,
                value,
                resources: self.resources,
                sources,
                layers: self.merged.layers,
            }),
            Err(error) => Err(Rejection::new(generation, error, sources.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{
        engine::Runner,
        hot::downcast,
        input::Inputs,
        pipeline::{Pipeline, locate},
        report::Stage,
        testing::Documents,
    };

    #[derive(Debug, Deserialize)]
    struct Config {
        n: u32,
    }

    async fn candidate(text: &str) -> Candidate<Config> {
        let (_documents, watched) =
            Documents::new(&[("a.json", Some(r#"{"n": 1}"#)), ("b.json", Some(text))]);
        let mut inputs = Inputs::new(Vec::new(), watched);
        let pipeline = Pipeline {
            keys: crate::Keys::default(),
            below: Vec::new(),
            above: Vec::new(),
            checks: vec![Box::new(
                |config: &Config| {
                    if config.n > 9 { Err("too large".into()) } else { Ok(()) }
                },
            )],
        };
        Runner::new(pipeline).make(inputs.collect()).await
    }

    fn place_of_n(candidate: &Candidate<Config>) -> String {
        let place = locate(&candidate.merged.layers, &["n"]).expect("it stands somewhere");
        place.to_string()
    }

    #[tokio::test]
    async fn candidate_becomes_the_version_after_the_one_in_force() {
        let candidate = candidate("{\n\"n\": 2}").await;
        assert!(place_of_n(&candidate).starts_with("nacos://G/b.json@"));
        assert!(place_of_n(&candidate).ends_with("line 2 column 6"));
        assert_eq!(candidate.merged.dict().len(), 1);
        let version = candidate.into_version(41).expect("valid");
        assert_eq!((version.generation, downcast::<Config>(&version.value).n), (42, 2));
        let names: Vec<_> = version.sources.iter().map(|source| &*source.name).collect();
        assert_eq!(names, ["nacos://G/a.json", "nacos://G/b.json"]);
        assert_eq!(version.layers.len(), 2);
    }

    /// Otherwise no report could say where a value that a check rejects stands.
    #[tokio::test]
    async fn candidate_that_is_not_valid_keeps_its_tree_and_becomes_a_rejection() {
        let candidate = candidate(r#"{"n": 10}"#).await;
        assert!(place_of_n(&candidate).starts_with("nacos://G/b.json@"));
        assert_eq!(candidate.merged.dict().len(), 1);
        let rejection = candidate.into_version(41).map(|_| ()).expect_err("too large");
        assert_eq!((rejection.kept, rejection.stage), (41, Stage::Validate));
        assert_eq!((rejection.issues.len(), rejection.sources.len()), (1, 2));
    }

    #[tokio::test]
    async fn candidate_of_a_text_that_cannot_be_parsed_has_no_layer() {
        let candidate = candidate("{").await;
        assert!(candidate.merged.layers.is_empty());
        let stage = candidate.value.as_ref().map(|_| ()).expect_err("broken").stage;
        assert_eq!(stage, Stage::Parse);
    }
}
