//! Documents as a figment provider, for those who want nothing more.
use std::{fmt, sync::Arc};

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map},
};
use futures_util::future::try_join_all;
use nacos_core::{Client, Document};

use crate::{
    error::{Error, ErrorKind},
    input::{ENCRYPTED, Import, Imported, expand},
    pipeline::{Cache, Keys, Layer, Text, layers_of, locate, merge},
    report::{Issue, Place, Rejection, Source, Stage, StageError},
};

/// Documents of a server that can be fetched, and then used as a figment provider.
///
/// Not a provider itself: a provider is read at once, without waiting, and only once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # server.publish("", "DEFAULT_GROUP", "orders.json", r#"{"limits": {"rps": 100}}"#);
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use figment::{Figment, providers::Serialized};
/// use nacos_figment::{Import, NacosSource};
///
/// let source = NacosSource::new(&nacos).import(Import::data_id("orders.json"));
/// let rps: u32 = Figment::from(Serialized::default("limits.rps", 1))
///     .merge(source.fetch().await?)
///     .extract_inner("limits.rps")?;
/// assert_eq!(rps, 100);
/// # Ok(()) }
/// ```
///
/// ```compile_fail
/// fn merge(source: nacos_figment::NacosSource) -> figment::Figment {
///     figment::Figment::from(source)
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is fetched until `fetch`"]
pub struct NacosSource {
    client: Client,
    imports: Vec<Import>,
    keys: Keys,
}

impl NacosSource {
    /// No documents yet, of the server of `client`.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), imports: Vec::new(), keys: Keys::default() }
    }

    /// Adds documents; [`Import`] tells which override which.
    pub fn import(mut self, import: Import) -> Self {
        self.imports.push(import);
        self
    }

    /// Sets how keys are read.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Fetches and parses all documents, as they are now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rejected`] if a document cannot be read, or does not exist though it is
    /// required; [`ErrorKind::Unreachable`] with the client's error as source if it could not be
    /// asked for, and for one that is encrypted, required or not, because cipher text is no
    /// configuration; [`ErrorKind::InvalidOption`] before anything is sent.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the calls are given up.
    pub async fn fetch(&self) -> Result<NacosDocuments, Error> {
        let imported = expand(&self.imports, self.client.config_namespace())
            .map_err(|error| Error::new(ErrorKind::InvalidOption, DOING).because(error))?;
        let texts = try_join_all(imported.iter().map(async |imported| {
            let document = self.client.configs().get(imported.key.clone()).await.map_err(failed)?;
            if document.as_ref().is_some_and(Document::is_encrypted) {
                let doing = format!("{DOING}: nacos://{}", imported.key);
                return Err(Error::new(ErrorKind::Unreachable, doing).because(ENCRYPTED));
            }
            Ok(text(imported, document))
        }));
        let texts = texts.await?;
        let present = check(&imported, &texts);
        let layers = present.and_then(|()| layers_of(&texts, self.keys, &mut Cache::default()));
        let layers = layers.map_err(|error| {
            let sources = texts.iter().map(|text| text.source.clone()).collect();
            Error::rejected(DOING, Arc::new(Rejection::new(0, error, sources)))
        })?;
        Ok(NacosDocuments { layers: layers.into() })
    }
}

fn failed(error: nacos_core::Error) -> Error {
    let kind = match error.kind() {
        nacos_core::ErrorKind::Closed => ErrorKind::Closed,
        nacos_core::ErrorKind::Timeout => ErrorKind::Timeout,
        _ => ErrorKind::Unreachable,
    };
    Error::new(kind, DOING).because(error)
}

fn text(imported: &Imported, document: Option<Document>) -> Text {
    let md5 = document.as_ref().map(|document| Arc::clone(&document.md5));
    Text {
        source: Source { name: format!("nacos://{}", imported.key).into(), md5 },
        format: imported.format,
        content_type: document.as_ref().map(|document| Arc::clone(&document.content_type)),
        content: document.map(|document| document.content),
        must_not_be_empty: imported.required && !imported.allow_empty,
    }
}

fn check(imported: &[Imported], texts: &[Text]) -> Result<(), StageError> {
    let missing = imported
        .iter()
        .zip(texts)
        .filter(|(imported, text)| imported.required && text.content.is_none());
    let issue =
        |text: &Text| Issue::new("the document does not exist").in_source(&text.source.name);
    let issues: Vec<Issue> = missing.map(|(_, text)| issue(text)).collect();
    if issues.is_empty() { Ok(()) } else { Err(StageError::new(Stage::Collect, issues)) }
}

/// Documents as they were when they were fetched: a figment provider that never changes.
///
/// Its metadata names every document as `nacos://namespace/group/dataId@md5`, and errors that
/// figment reports for a key name its line and column. figment's errors also print the value that
/// they are about: [`redacted`](crate::redacted) takes it out.
///
/// All values are in figment's default profile: profiles of Nacos are documents of their own.
#[derive(Clone)]
pub struct NacosDocuments {
    layers: Arc<[Arc<Layer>]>,
}

impl Provider for NacosDocuments {
    fn metadata(&self) -> Metadata {
        let names: Vec<&str> = self.layers.iter().map(|layer| &**layer.name()).collect();
        let name = if names.is_empty() { "Nacos, no document".into() } else { names.join(", ") };
        let layers = Arc::clone(&self.layers);
        Metadata::named(name).interpolater(move |_, path| {
            let key = path.join(".");
            match locate(&layers, path) {
                Some(place) if layers.len() > 1 => format!("{key} @ {place}"),
                Some(Place { position: Some(at), .. }) => {
                    format!("{key} @ {}:{}", at.line, at.column)
                }
                _ => key,
            }
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dicts = self.layers.iter().map(|layer| layer.dict().clone());
        Ok(Profile::Default.collect(dicts.fold(Dict::new(), merge)))
    }
}

impl fmt::Debug for NacosDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.layers.iter().map(|layer| layer.name());
        f.debug_set().entries(names).finish()
    }
}

/// The action that errors name.
const DOING: &str = "fetch the configuration";
