//! Local files, as layers below the documents.
use std::{io, path::PathBuf, sync::Arc};

use crate::{format::Format, report::Issue};

/// A local file. Made from a path; one that does not exist is an empty layer unless it is
/// [`required`](Self::required).
///
/// Read when the configuration starts, and again on
/// [`HotConfig::reload`](crate::HotConfig::reload).
///
/// ```
/// use nacos_figment::{Format, LocalFile};
///
/// let file = LocalFile::new("config/defaults").format(Format::Json).required();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a file is read once it is given to a builder"]
pub struct LocalFile {
    pub(crate) path: PathBuf,
    pub(crate) format: Option<Format>,
    pub(crate) required: bool,
}

impl LocalFile {
    /// The file at `path`, relative to the working directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), format: None, required: false }
    }

    /// Sets the format, if the ending does not tell.
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Makes it an error if the file does not exist.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.path.display().to_string().into()
    }

    /// The content; `None` if there is no such file and none is needed. Blocks.
    pub(crate) fn read(&self) -> Result<Option<Arc<str>>, Issue> {
        let issue = |what: &str| Issue::new(what).in_source(&self.name());
        match std::fs::read(&self.path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.into())),
                Err(_) => Err(issue("the file is not UTF-8")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.required => Ok(None),
            Err(error) => Err(issue(&format!("the file cannot be read: {}", error.kind()))),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for LocalFile {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}
