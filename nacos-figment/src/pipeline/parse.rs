//! Texts and their layers, with a cache of those that did not change.
use std::sync::Arc;

use super::{
    catch_panic,
    keys::{Keys, nest},
    layer::Layer,
};
use crate::{
    format::{Content, Format},
    report::{Issue, Source, Stage, StageError},
};

/// The text of a file or document at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) source: Source,
    /// `None` if it does not exist.
    pub(crate) content: Option<Arc<str>>,
    /// The format, where an option or the name tells it. Otherwise the content type does.
    pub(crate) format: Option<Format>,
    pub(crate) content_type: Option<Arc<str>>,
    /// Whether it must not be empty.
    pub(crate) must_not_be_empty: bool,
}

/// The result of the last parse of each text, by its index.
#[derive(Default)]
pub(crate) struct Cache {
    parsed: Vec<Option<Parsed>>,
}

struct Parsed {
    md5: Arc<str>,
    format: Format,
    layer: Result<Option<Arc<Layer>>, Box<Issue>>,
}

/// The layers of all texts that are not empty.
pub(crate) fn layers_of(
    texts: &[Text],
    keys: Keys,
    cache: &mut Cache,
) -> Result<Vec<Arc<Layer>>, StageError> {
    cache.parsed.resize_with(texts.len(), || None);
    let mut layers = Vec::new();
    let mut issues = Vec::new();
    for (text, parsed) in texts.iter().zip(&mut cache.parsed) {
        match parse(text, keys, parsed) {
            Ok(layer) => layers.extend(layer),
            Err(issue) => issues.push(*issue),
        }
    }
    if issues.is_empty() { Ok(layers) } else { Err(StageError::new(Stage::Parse, issues)) }
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
        let parsed = catch_panic(|| read(content, format, keys, &name));
        parsed.unwrap_or_else(|panicked| Err(Box::new(panicked.in_source(&name))))
    };
    *cache = Some(Parsed { md5: Arc::clone(md5), format, layer: layer.clone() });
    match layer {
        Ok(None) if text.must_not_be_empty => {
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
        let Content::Table(entries) = root.content else { return Ok(None) };
        nest(entries, root.at, keys).map(Some)
    };
    let nested = read().map_err(|issue: Box<Issue>| Box::new(issue.in_source(name)))?;
    Ok(nested.map(|nested| Arc::new(Layer::text(Arc::clone(name), nested))))
}

const UNKNOWN_FORMAT: &str = "set it with `format`, or enable the feature of that format";
