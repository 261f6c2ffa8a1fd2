//! From texts to a checked value: parse, merge, extract, validate. No I/O, no time, and no state
//! but a cache of what was parsed.
mod keys;
mod layer;
mod merged;
mod parse;
mod positions;
mod violations;

use std::{
    error::Error as StdError,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::de::DeserializeOwned;

#[cfg(test)]
pub(crate) use self::keys::Nested;
pub use self::{keys::Keys, violations::Violations};
pub(crate) use self::{
    keys::nest,
    layer::{Layer, locate, merge},
    merged::Merged,
    parse::{Cache, Text, layers_of},
};
use crate::report::{Issue, Stage, StageError, redact};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

pub(crate) type Check<T> = Box<dyn Fn(&T) -> Result<(), BoxError> + Send + Sync>;

/// How texts become a value. The same for every change of a configuration.
pub(crate) struct Pipeline<T> {
    pub(crate) keys: Keys,
    /// The layers below all texts.
    pub(crate) below: Vec<Arc<Layer>>,
    /// The layers above all texts.
    pub(crate) above: Vec<Arc<Layer>>,
    pub(crate) checks: Vec<Check<T>>,
}

/// The layers of some texts, merged, and the value that they make, or why they make none.
pub(crate) struct Outcome<T> {
    /// Without a layer if the texts could not be parsed.
    pub(crate) merged: Merged,
    pub(crate) value: Result<Arc<T>, StageError>,
}

impl<T> Outcome<T> {
    /// There are no layers, because of this.
    pub(crate) fn failed(error: StageError) -> Self {
        Self { merged: Merged::default(), value: Err(error) }
    }
}

impl<T: DeserializeOwned> Pipeline<T> {
    /// Makes a value of `texts`, which are in order: each overrides those before it.
    pub(crate) fn run(&self, texts: &[Text], cache: &mut Cache) -> Outcome<T> {
        let layers = match layers_of(texts, self.keys, cache) {
            Ok(layers) => layers,
            Err(error) => return Outcome::failed(error),
        };
        let layers = self.below.iter().cloned().chain(layers).chain(self.above.iter().cloned());
        let merged = Merged::new(layers.collect());
        let value = merged.extract().and_then(|value| {
            self.validate(&value, &merged)?;
            Ok(Arc::new(value))
        });
        Outcome { merged, value }
    }

    fn validate(&self, value: &T, merged: &Merged) -> Result<(), StageError> {
        let mut issues = Vec::new();
        for check in &self.checks {
            match catch_panic(|| check(value)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => issues.extend(violations(&error, merged)),
                Err(panicked) => issues.push(panicked),
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(StageError::new(Stage::Validate, issues)) }
    }
}

fn violations(error: &BoxError, merged: &Merged) -> Vec<Issue> {
    let dict = merged.dict();
    let Some(violations) = error.downcast_ref::<Violations>() else {
        return vec![Issue::new(redact::error_text(&**error, [&dict]))];
    };
    let secrets = redact::secrets_in(&dict);
    let issue = |(key, what): (&str, &str)| {
        let path: Vec<&str> = key.split('.').collect();
        let place = locate(&merged.layers, &path);
        Issue { place, ..Issue::new(redact::without(what, &secrets)).key(&path) }
    };
    violations.iter().map(issue).collect()
}

/// Runs code of a user. A panic in it becomes an issue like any other, without its message: that
/// may hold values.
pub(crate) fn catch_panic<R>(run: impl FnOnce() -> R) -> Result<R, Issue> {
    // Nothing is looked at again that a panic may have left half-done.
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Issue::new(PANICKED))
}

/// All that is told of a panic in code of a user.
pub(crate) const PANICKED: &str = "the code panicked";

#[cfg(test)]
mod tests;
