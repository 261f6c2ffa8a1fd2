//! One layer of a configuration: keys and values from one place, and where they stand in it.
use std::sync::Arc;

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{keys::Nested, positions::Positions};
use crate::report::Place;

/// The values of one document, one file, the environment or the program itself.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its name in reports.
    name: Arc<str>,
    origin: Origin,
    dict: Dict,
    positions: Positions,
}

#[derive(Debug)]
enum Origin {
    Program,
    Text,
    Variables { prefix: Box<str> },
}

impl Layer {
    pub(crate) fn text(name: Arc<str>, nested: Nested) -> Self {
        Self { name, origin: Origin::Text, dict: nested.dict, positions: nested.positions }
    }

    pub(crate) fn variables(prefix: &str, nested: Nested) -> Self {
        let origin = Origin::Variables { prefix: prefix.into() };
        let (dict, positions) = (nested.dict, nested.positions);
        Self { name: format!("the environment, {prefix}__*").into(), origin, dict, positions }
    }

    pub(crate) fn program(name: &str, dict: Dict) -> Self {
        Self { name: name.into(), origin: Origin::Program, dict, positions: Positions::default() }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn dict(&self) -> &Dict {
        &self.dict
    }

    /// Where `path` stands; `None` if this layer does not have it, or is no text.
    pub(crate) fn place<K: AsRef<str>>(&self, path: &[K]) -> Option<Place> {
        let positions = self.positions.find(path)?;
        Some(match &self.origin {
            Origin::Program => return None,
            Origin::Text => Place { source: Arc::clone(&self.name), position: positions.at },
            Origin::Variables { prefix } => {
                let name = path.iter().fold(prefix.to_string(), |name, key| {
                    name + "__" + &key.as_ref().to_uppercase()
                });
                Place { source: format!("environment variable {name}").into(), position: None }
            }
        })
    }
}

/// Where the value of `path` comes from: the highest layer that has it, or else the nearest table
/// around it.
pub(crate) fn locate<K: AsRef<str>>(layers: &[Arc<Layer>], path: &[K]) -> Option<Place> {
    (1..=path.len())
        .rev()
        .find_map(|length| layers.iter().rev().find_map(|layer| layer.place(&path[..length])))
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        // Nacos profiles are documents of their own, never profiles of figment.
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// `upper` over `lower`: tables are merged, everything else is replaced.
pub(crate) fn merge(mut lower: Dict, upper: Dict) -> Dict {
    for (key, value) in upper {
        let merged = match (lower.remove(&key), value) {
            (Some(Value::Dict(_, lower)), Value::Dict(_, upper)) => merge(lower, upper).into(),
            (_, value) => value,
        };
        lower.insert(key, merged);
    }
    lower
}
