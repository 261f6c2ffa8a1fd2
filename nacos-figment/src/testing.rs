//! A configuration whose documents a test writes itself: no server, no socket.
use nacos_core::{ConfigKey, Document, DocumentState, LiveWriter, live};
use nacos_testkit::{TimeLimit, within};
use serde::de::DeserializeOwned;

use crate::{
    config::HotConfig,
    engine::Spec,
    error::Error,
    format::Format,
    input::{Imported, WatchedDocument},
    pipeline::Text,
    report::{Source, Status},
};

/// Documents in the hand of a test, in the order in which they override each other.
pub(crate) struct Documents {
    writers: Vec<LiveWriter<DocumentState>>,
}

impl Documents {
    /// Documents that are watched: each by its data id and first content; one that begins with `!`
    /// is required. The test has a time limit from here on.
    pub(crate) fn new(documents: &[(&str, Option<&str>)]) -> (Self, Vec<WatchedDocument>) {
        TimeLimit::for_test();
        let mut writers = Vec::new();
        let mut watched = Vec::new();
        for (data_id, content) in documents {
            let (writer, state) = live(state_of(*content));
            let name = data_id.trim_start_matches('!');
            let imported = Imported {
                key: ConfigKey::try_from((name, "G")).expect("valid"),
                format: Format::of_name(name),
                required: name != *data_id,
                allow_empty: false,
            };
            writers.push(writer);
            watched.push(WatchedDocument::new(imported, state, None));
        }
        (Self { writers }, watched)
    }

    pub(crate) fn publish(&self, index: usize, content: &str) {
        self.set(index, state_of(Some(content)));
    }

    pub(crate) fn set(&self, index: usize, state: DocumentState) {
        self.writers[index].publish(state);
    }
}

fn state_of(content: Option<&str>) -> DocumentState {
    match content {
        Some(content) => DocumentState::Present(Document::new(content, "text")),
        None => DocumentState::Absent,
    }
}

/// Starts `spec` on `documents`.
pub(crate) async fn start<T: DeserializeOwned + Send + Sync + 'static>(
    spec: Spec<T>,
    documents: &[(&str, Option<&str>)],
) -> Result<(Documents, HotConfig<T>), Error> {
    let (documents, watched) = Documents::new(documents);
    Ok((documents, HotConfig::new(spec.start(watched, None).await?)))
}

/// Waits for a status that satisfies `condition`.
pub(crate) async fn status<T: DeserializeOwned + Send + Sync + 'static>(
    config: &HotConfig<T>,
    condition: impl FnMut(&Status) -> bool,
) -> Status {
    let mut status = config.status();
    let status = within(LONG, status.wait_for(condition)).await;
    (*status.expect("the engine lives")).clone()
}

/// Texts by name, for the pipeline alone.
pub(crate) fn texts(texts: &[(&str, &str)]) -> Vec<Text> {
    let text = |(name, content): &(&str, &str)| Text {
        source: Source {
            name: format!("nacos://public/G/{name}").into(),
            md5: Some(nacos_core::digest(content).into()),
        },
        content: Some((*content).into()),
        format: Format::of_name(name),
        content_type: None,
        must_not_be_empty: false,
    };
    texts.iter().map(text).collect()
}

/// More than any retry takes.
const LONG: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
