//! Which documents a configuration is made of, and in which order they override each other.
use nacos_core::{ConfigKey, DataId, Group, InvalidName, Namespace};

use crate::format::Format;

/// One or more documents of the server, by name.
///
/// [`Import::app`] stands for all documents of an application, in the order of Spring Cloud
/// Alibaba: `orders`, then `orders.yaml`, then `orders-prod.yaml` for each profile.
/// [`Import::data_id`] stands for one. A document that does not exist is an empty layer, unless it
/// is [`required`](Self::required).
///
/// The order of the calls does not count: [`shared`](Self::shared) documents are overridden by
/// other single ones, and those by the application's own. Names are checked when they are used.
///
/// ```
/// use nacos_figment::Import;
///
/// let own = Import::app("orders").ext("yaml").group("ORDER_GROUP").profile("prod").required();
/// let common = Import::data_id("common.yaml").group("PLATFORM_GROUP").shared();
/// ```
#[derive(Clone, Debug)]
#[must_use = "documents are followed once the import is given to a builder"]
pub struct Import {
    name: String,
    app: bool,
    rank: Rank,
    group: Option<String>,
    namespace: Option<String>,
    ext: Option<String>,
    profiles: Vec<String>,
    format: Option<Format>,
    required: bool,
    allow_empty: bool,
}

/// Which imports override which: later ones the earlier ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    Shared,
    Single,
    App,
}

impl Import {
    /// The documents of the application `name`.
    pub fn app(name: impl Into<String>) -> Self {
        Self::new(name.into(), Rank::App)
    }

    /// The document `data_id`.
    pub fn data_id(data_id: impl Into<String>) -> Self {
        Self::new(data_id.into(), Rank::Single)
    }

    fn new(name: String, rank: Rank) -> Self {
        Self {
            name,
            app: rank == Rank::App,
            rank,
            group: None,
            namespace: None,
            ext: None,
            profiles: Vec::new(),
            format: None,
            required: false,
            allow_empty: false,
        }
    }

    /// Sets the group; `DEFAULT_GROUP` without it.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Sets the namespace, by id; the client's own without it.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets the ending of an application's documents, such as `yaml`, without a dot. It is also
    /// the format of those without an ending.
    pub fn ext(mut self, ext: impl Into<String>) -> Self {
        self.ext = Some(ext.into());
        self
    }

    /// Adds the documents of a profile: they override those without one. Only for
    /// [`app`](Self::app).
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profiles.push(profile.into());
        self
    }

    /// Adds several profiles; the last one overrides the others.
    pub fn profiles<P: Into<String>>(self, profiles: impl IntoIterator<Item = P>) -> Self {
        profiles.into_iter().fold(self, Self::profile)
    }

    /// Marks documents that several applications share: all others override them.
    pub fn shared(mut self) -> Self {
        self.rank = Rank::Shared;
        self
    }

    /// Makes it an error if the document does not exist, or says nothing; of an application's
    /// documents, the one with the ending and without a profile (`orders.yaml`).
    ///
    /// To require a profile's document, import it with [`data_id`](Self::data_id).
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Lets a [`required`](Self::required) document say nothing. Without it, a document published
    /// blank by mistake is rejected instead of taking everything back.
    pub fn allow_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    /// Sets the format, if neither the name nor the published type tells.
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// The documents of this import, those that override others last.
    fn documents(&self, own: &Namespace) -> Result<Vec<Imported>, InvalidName> {
        let ending = self.ext.as_ref().map(|ext| format!(".{ext}")).unwrap_or_default();
        let mut names =
            vec![(self.name.clone(), self.required && (!self.app || ending.is_empty()))];
        if self.app && !ending.is_empty() {
            names.push((format!("{}{ending}", self.name), self.required));
        }
        if self.app {
            let profile = |profile| (format!("{}-{profile}{ending}", self.name), false);
            names.extend(self.profiles.iter().map(profile));
        }
        names.into_iter().map(|(name, required)| self.document(&name, required, own)).collect()
    }

    fn document(
        &self,
        data_id: &str,
        required: bool,
        own: &Namespace,
    ) -> Result<Imported, InvalidName> {
        let namespace = match &self.namespace {
            Some(namespace) => Namespace::parse(namespace)?,
            None => own.clone(),
        };
        let group = self.group.as_deref().map_or_else(|| Ok(Group::default()), Group::parse)?;
        let format = self.format.or_else(|| Format::of_name(data_id));
        Ok(Imported {
            key: ConfigKey::new(DataId::parse(data_id)?, group).in_namespace(namespace),
            format: format.or_else(|| self.ext.as_deref().and_then(Format::from_name)),
            required,
            allow_empty: self.allow_empty,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// One document to follow.
#[derive(Clone, Debug)]
pub(crate) struct Imported {
    pub(crate) key: ConfigKey,
    pub(crate) format: Option<Format>,
    pub(crate) required: bool,
    pub(crate) allow_empty: bool,
}

/// The documents of all `imports`, those that override others last. One that is named twice counts
/// where it is named last. `own` is the namespace of those that name none.
pub(crate) fn expand(imports: &[Import], own: &Namespace) -> Result<Vec<Imported>, InvalidName> {
    let mut ordered: Vec<&Import> = imports.iter().collect();
    ordered.sort_by_key(|import| import.rank);
    let mut documents: Vec<Imported> = Vec::new();
    for import in ordered {
        for document in import.documents(own)? {
            documents.retain(|other| other.key != document.key);
            documents.push(document);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(imports: &[Import]) -> Vec<String> {
        let documents = expand(imports, &Namespace::default()).expect("valid names");
        let name = |document: Imported| {
            let mark = if document.required { "!" } else { "" };
            format!("{mark}{}", document.key)
        };
        documents.into_iter().map(name).collect()
    }

    #[test]
    fn application_is_its_name_its_ending_and_its_profiles() {
        let import = Import::app("orders").ext("yaml").group("G").profiles(["eu", "prod"]);
        assert_eq!(
            names(&[import.required()]),
            [
                "public/G/orders",
                "!public/G/orders.yaml",
                "public/G/orders-eu.yaml",
                "public/G/orders-prod.yaml"
            ]
        );
        assert_eq!(names(&[Import::app("orders").required()]), ["!public/DEFAULT_GROUP/orders"]);
    }

    #[test]
    fn shared_documents_are_below_single_ones_and_those_below_the_application() {
        let imports = [
            Import::app("orders"),
            Import::data_id("b.json").namespace("other"),
            Import::app("common").ext("json").shared(),
            Import::data_id("a.json").profile("ignored").ext("json"),
        ];
        assert_eq!(
            names(&imports),
            [
                "public/DEFAULT_GROUP/common",
                "public/DEFAULT_GROUP/common.json",
                "other/DEFAULT_GROUP/b.json",
                "public/DEFAULT_GROUP/a.json",
                "public/DEFAULT_GROUP/orders"
            ]
        );
    }

    #[test]
    fn document_that_is_named_twice_counts_where_it_is_named_last() {
        let imports = ["a.json", "b.json", "a.json"].map(Import::data_id);
        assert_eq!(names(&imports), ["public/DEFAULT_GROUP/b.json", "public/DEFAULT_GROUP/a.json"]);
    }

    #[test]
    fn ending_of_an_application_is_the_format_of_its_bare_name() {
        let import = Import::app("orders").ext("json");
        let documents = expand(&[import], &Namespace::default()).expect("valid names");
        assert!(documents.iter().all(|document| document.format == Some(Format::Json)));
    }

    #[test]
    fn names_are_checked_when_they_are_used() {
        for import in [
            Import::data_id("a b"),
            Import::data_id("a").group("a b"),
            Import::data_id("a").namespace("a b"),
            Import::app("a").profile("b c"),
        ] {
            expand(&[import], &Namespace::default()).map(|_| ()).expect_err("invalid");
        }
    }
}
