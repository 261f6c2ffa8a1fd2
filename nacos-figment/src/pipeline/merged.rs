//! All layers of a configuration, merged, and where each of their keys stands.
use std::sync::Arc;

use figment::{
    Figment, Profile, Provider,
    error::Kind,
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

use super::{
    catch_panic,
    layer::{Layer, locate},
};
use crate::report::{Issue, Stage, StageError, redact};

/// Layers, those that override others last, and their merged tree.
#[derive(Default)]
pub(crate) struct Merged {
    pub(crate) layers: Arc<[Arc<Layer>]>,
    figment: Figment,
}

impl Merged {
    pub(crate) fn new(layers: Arc<[Arc<Layer>]>) -> Self {
        let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(&**layer));
        Self { layers, figment }
    }

    /// The merged tree.
    pub(crate) fn dict(&self) -> Dict {
        let data = self.figment.data().ok();
        data.and_then(|mut data| data.remove(&Profile::Default)).unwrap_or_default()
    }

    /// The tree as a `T`: text becomes what the target type asks for.
    pub(crate) fn extract<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        let issues = match catch_panic(|| self.figment.extract_lossy::<T>().map_err(Box::new)) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => {
                let dict = self.dict();
                error.into_iter().map(|error| self.issue(&error, &dict)).collect()
            }
            Err(panicked) => vec![panicked],
        };
        Err(StageError::new(Stage::Extract, issues))
    }

    fn issue(&self, error: &figment::Error, dict: &Dict) -> Issue {
        let root = Value::from(dict.clone());
        let around = error.path.iter().try_fold(&root, |value, key| child(value, key));
        let mut path = error.path.clone();
        if let Kind::MissingField(field) = &error.kind {
            path.push(field.to_string());
        }
        let (what, hint) = redact::describe(&error.kind, around.or(Some(&root)));
        let what = redact::without(&what, &redact::secrets_in(dict));
        let place = locate(&self.layers, &path);
        Issue { place, ..Issue::new(what).key(&path).hint(hint) }
    }
}

fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Dict(_, dict) => dict.get(key),
        Value::Array(_, list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}
