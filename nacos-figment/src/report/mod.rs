//! The reasons why a configuration was rejected: the fault and its place, but never a value.
mod dry_run;
mod position;
pub(crate) mod redact;
mod status;

use std::{fmt, sync::Arc};

pub(crate) use self::status::Doubt;
pub use self::{
    dry_run::DryRun,
    position::Position,
    status::{Freshness, StaleDocument, Status},
};

/// A configuration that was not taken. The one before it stays in force.
///
/// Names keys, documents, lines and columns; never what stands there. `Display` is the whole
/// report, in lines.
///
/// ```
/// # use nacos_figment::Rejection;
/// fn log(rejection: &Rejection) {
///     for issue in &rejection.issues {
///         eprintln!("{:?}: {issue}", rejection.stage);
///     }
/// }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rejection {
    /// The generation that stays in force; 0 if there is none yet.
    pub kept: u64,
    /// The stage at which it failed.
    pub stage: Stage,
    /// How often this very configuration was tried.
    pub attempts: u32,
    /// The first fifty issues.
    pub issues: Vec<Issue>,
    /// How many more issues there are.
    pub omitted: usize,
    /// The files and documents that the rejected configuration was made of.
    pub sources: Vec<Source>,
}

impl Rejection {
    pub(crate) fn new(kept: u64, error: StageError, sources: Vec<Source>) -> Self {
        let StageError { stage, mut issues } = error;
        let omitted = issues.len().saturating_sub(MAX_ISSUES);
        issues.truncate(MAX_ISSUES);
        Self { kept, stage, attempts: 1, issues, omitted, sources }
    }

    /// Whether the same configuration is tried again by itself.
    ///
    /// Only resources that could not be built are: everything else waits for a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.stage == Stage::Build
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kept {
            0 => f.write_str("configuration rejected")?,
            kept => write!(f, "configuration rejected; generation {kept} stays in force")?,
        }
        let class = if self.is_transient() { "transient" } else { "permanent" };
        write!(f, "\n  {}, {class}, attempt {}", self.stage, self.attempts)?;
        for (index, issue) in self.issues.iter().enumerate() {
            write!(f, "\n  {}. {issue}", index + 1)?;
        }
        if self.omitted > 0 {
            write!(f, "\n  and {} more", self.omitted)?;
        }
        for source in &self.sources {
            write!(f, "\n  read: {source}")?;
        }
        Ok(())
    }
}

/// The steps that make a configuration, in order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Stage {
    /// Getting hold of the documents and files.
    Collect,
    /// Reading their text.
    Parse,
    /// Making the target type of them.
    Extract,
    /// Checking it.
    Validate,
    /// Building the resources that depend on it.
    Build,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Parse => "parse",
            Self::Extract => "extract",
            Self::Validate => "validate",
            Self::Build => "build",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Issue {
    /// The problem, in a few words.
    pub what: String,
    /// The key that it is about, with dots; empty for the whole document.
    pub key: String,
    /// Where it stands, if that is known.
    pub place: Option<Place>,
    /// A hint that may help.
    pub hint: Option<&'static str>,
}

impl Issue {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), key: String::new(), place: None, hint: None }
    }

    pub(crate) fn key<K: AsRef<str>>(mut self, path: &[K]) -> Self {
        self.key = path.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".");
        self
    }

    /// Sets the position; [`in_source`](Self::in_source) adds the document.
    pub(crate) fn at(mut self, position: Option<Position>) -> Self {
        self.place = position.map(|at| Place { source: "".into(), position: Some(at) });
        self
    }

    pub(crate) fn in_source(mut self, source: &Arc<str>) -> Self {
        let position = self.place.and_then(|place| place.position);
        self.place = Some(Place { source: Arc::clone(source), position });
        self
    }

    pub(crate) fn hint(mut self, hint: Option<&'static str>) -> Self {
        self.hint = hint;
        self
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if let Some(place) = &self.place {
            write!(f, ", in {place}")?;
        }
        if let Some(hint) = self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// Where something stands.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// The document (`nacos://namespace/group/dataId@md5`), file or environment variable.
    pub source: Arc<str>,
    /// The line and column in it.
    pub position: Option<Position>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        match self.position {
            Some(position) => write!(f, " {position}"),
            None => Ok(()),
        }
    }
}

/// A document or file that a configuration is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// Its name: `nacos://namespace/group/dataId`, or the path of a file.
    pub name: Arc<str>,
    /// The MD5 of its content; `None` if it does not exist.
    pub md5: Option<Arc<str>>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.md5 {
            Some(md5) => write!(f, "{}@{md5}", self.name),
            None => write!(f, "{} (absent)", self.name),
        }
    }
}

/// A stage that failed, and why. The engine makes a [`Rejection`] of it.
#[derive(Debug)]
pub(crate) struct StageError {
    pub(crate) stage: Stage,
    pub(crate) issues: Vec<Issue>,
}

impl StageError {
    pub(crate) fn new(stage: Stage, issues: Vec<Issue>) -> Self {
        Self { stage, issues }
    }
}

const MAX_ISSUES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_names_document_line_and_column() {
        let issue = Issue::new("expected u16, found string")
            .key(&["server", "port"])
            .at(Position::new(12, 9))
            .in_source(&"nacos://prod/G/orders.yaml@5d41".into());
        let error = StageError::new(Stage::Extract, vec![issue; 51]);
        let report = Rejection::new(41, error, Vec::new()).to_string();
        assert!(report.starts_with("configuration rejected; generation 41 stays in force"));
        assert!(report.contains(
            "1. `server.port`: expected u16, found string, \
             in nacos://prod/G/orders.yaml@5d41 line 12 column 9"
        ));
        assert!(report.ends_with("and 1 more"));
    }
}
