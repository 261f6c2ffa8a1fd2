//! From texts to a checked value: parse, merge, extract, validate. No I/O, no time, no state but a
//! cache of what was parsed.
use std::{
    error::Error as StdError,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use figment::{
    Figment, Profile, Provider,
    error::Kind,
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

use crate::{
    format::Format,
    keys::{Keys, nest},
    layer::{Layer, locate},
    redact,
    report::{Issue, Refusal, Source, Stage},
    violation::Violations,
};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

pub(crate) type Check<T> = Box<dyn Fn(&T) -> Result<(), BoxError> + Send + Sync>;

/// What is done to texts, always the same.
pub(crate) struct Pipeline<T> {
    pub(crate) keys: Keys,
    /// The layers below all texts.
    pub(crate) below: Vec<Arc<Layer>>,
    /// The layers above all texts.
    pub(crate) above: Vec<Arc<Layer>>,
    pub(crate) checks: Vec<Check<T>>,
}

/// A value, and what it was made of.
pub(crate) struct Made<T> {
    pub(crate) value: Arc<T>,
    pub(crate) layers: Arc<[Arc<Layer>]>,
}

/// A text as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) source: Source,
    pub(crate) content: Option<Arc<str>>,
    /// What is known of the format beside the type that the server names.
    pub(crate) format: Option<Format>,
    pub(crate) content_type: Option<Arc<str>>,
    /// Whether it must not be empty.
    pub(crate) must_speak: bool,
}

/// What became of each text the last time, by its place among them.
#[derive(Default)]
pub(crate) struct Cache {
    parsed: Vec<Option<Parsed>>,
}

struct Parsed {
    md5: Arc<str>,
    format: Format,
    layer: Result<Option<Arc<Layer>>, Box<Issue>>,
}

impl<T: DeserializeOwned> Pipeline<T> {
    /// Makes a value of `texts`, which are in order: each overrides those before it.
    pub(crate) fn run(&self, texts: &[Text], cache: &mut Cache) -> Result<Made<T>, Refusal> {
        let layers = self.layers(texts, cache)?;
        let merged = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(&**layer));
        let value = extract(&merged, &layers)?;
        self.validate(&value, &merged, &layers)?;
        Ok(Made { value, layers: layers.into() })
    }

    fn layers(&self, texts: &[Text], cache: &mut Cache) -> Result<Vec<Arc<Layer>>, Refusal> {
        let texts = layers_of(texts, self.keys, cache)?;
        Ok(self.below.iter().cloned().chain(texts).chain(self.above.iter().cloned()).collect())
    }

    fn validate(&self, value: &T, merged: &Figment, layers: &[Arc<Layer>]) -> Result<(), Refusal> {
        let mut issues = Vec::new();
        for check in &self.checks {
            match guarded(|| check(value)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => issues.extend(violations(&error, &dict_of(merged), layers)),
                Err(panicked) => issues.push(panicked),
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(Refusal::new(Stage::Validate, issues)) }
    }
}

fn extract<T: DeserializeOwned>(
    merged: &Figment,
    layers: &[Arc<Layer>],
) -> Result<Arc<T>, Refusal> {
    let refuse = |issues| Refusal::new(Stage::Extract, issues);
    match guarded(|| merged.extract_lossy::<T>().map_err(Box::new)) {
        Ok(Ok(value)) => Ok(Arc::new(value)),
        Ok(Err(error)) => {
            let dict = dict_of(merged);
            Err(refuse(error.into_iter().map(|error| issue(&error, &dict, layers)).collect()))
        }
        Err(panicked) => Err(refuse(vec![panicked])),
    }
}

/// The layers of all texts that say something.
pub(crate) fn layers_of(
    texts: &[Text],
    keys: Keys,
    cache: &mut Cache,
) -> Result<Vec<Arc<Layer>>, Refusal> {
    cache.parsed.resize_with(texts.len(), || None);
    let mut layers = Vec::new();
    let mut issues = Vec::new();
    for (text, parsed) in texts.iter().zip(&mut cache.parsed) {
        match parse(text, keys, parsed) {
            Ok(layer) => layers.extend(layer),
            Err(issue) => issues.push(*issue),
        }
    }
    if issues.is_empty() { Ok(layers) } else { Err(Refusal::new(Stage::Parse, issues)) }
}

/// The layer of one text, from the cache if it is the same text. `None` if it is empty or absent.
fn parse(
    text: &Text,
    keys: Keys,
    cache: &mut Option<Parsed>,
) -> Result<Option<Arc<Layer>>, Box<Issue>> {
    let (Some(content), Some(md5)) = (&text.content, &text.source.md5) else { return Ok(None) };
    let name: Arc<str> = text.source.to_string().into();
    let of_type = || text.content_type.as_deref().and_then(Format::from_name);
    let Some(format) = text.format.or_else(of_type) else {
        let issue = Issue::new("its format is unknown: no ending tells, nor does its type");
        return Err(Box::new(issue.in_source(&name).hint(Some(UNKNOWN_FORMAT))));
    };
    let same = |parsed: &&Parsed| parsed.md5 == *md5 && parsed.format == format;
    let layer = if let Some(parsed) = cache.as_ref().filter(same) {
        parsed.layer.clone()
    } else {
        let parsed = guarded(|| read(content, format, keys, &name));
        parsed.unwrap_or_else(|panicked| Err(Box::new(panicked.in_source(&name))))
    };
    *cache = Some(Parsed { md5: Arc::clone(md5), format, layer: layer.clone() });
    match layer {
        Ok(None) if text.must_speak => {
            Err(Box::new(Issue::new("the document says nothing").in_source(&name)))
        }
        layer => layer,
    }
}

fn read(
    content: &str,
    format: Format,
    keys: Keys,
    name: &Arc<str>,
) -> Result<Option<Arc<Layer>>, Box<Issue>> {
    let read = || {
        let Some(root) = format.parse(content)? else { return Ok(None) };
        let crate::tree::Content::Table(entries) = root.content else { return Ok(None) };
        nest(entries, root.at, keys).map(Some)
    };
    let nested = read().map_err(|issue: Box<Issue>| Box::new(issue.in_source(name)))?;
    Ok(nested.map(|nested| Arc::new(Layer::text(Arc::clone(name), nested))))
}

fn issue(error: &figment::Error, dict: &Dict, layers: &[Arc<Layer>]) -> Issue {
    let root = Value::from(dict.clone());
    let around = error.path.iter().try_fold(&root, |value, key| child(value, key));
    let mut path = error.path.clone();
    if let Kind::MissingField(field) = &error.kind {
        path.push(field.to_string());
    }
    let (what, hint) = redact::describe(&error.kind, around.or(Some(&root)));
    let what = redact::without(&what, &redact::secrets_in(dict));
    let place = locate(layers, &path);
    Issue { place, ..Issue::new(what).key(&path).hint(hint) }
}

fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Dict(_, dict) => dict.get(key),
        Value::Array(_, list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

fn violations(error: &BoxError, dict: &Dict, layers: &[Arc<Layer>]) -> Vec<Issue> {
    let secrets = redact::secrets_in(dict);
    match error.downcast_ref::<Violations>() {
        Some(violations) => violations
            .iter()
            .map(|(key, what)| {
                let path: Vec<&str> = key.split('.').collect();
                let place = locate(layers, &path);
                Issue { place, ..Issue::new(redact::without(what, &secrets)).key(&path) }
            })
            .collect(),
        None => vec![Issue::new(redact::told(&**error, [dict]))],
    }
}

fn dict_of(figment: &Figment) -> Dict {
    let data = figment.data().ok();
    data.and_then(|mut data| data.remove(&Profile::Default)).unwrap_or_default()
}

/// Runs code that is not ours; a panic in it is an issue like any other. What it said is not
/// repeated: it may hold values.
pub(crate) fn guarded<R>(run: impl FnOnce() -> R) -> Result<R, Issue> {
    // Nothing is looked at again that a panic may have left half-done.
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Issue::new("the code panicked"))
}

const UNKNOWN_FORMAT: &str = "set it with `format`, or enable the feature of that format";

#[cfg(test)]
mod tests;
