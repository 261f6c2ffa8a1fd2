//! Formats: from a text to a tree with positions. Messages never quote the text.
mod json;
mod lines;
mod node;
mod properties;
#[cfg(feature = "toml")]
mod toml;
#[cfg(feature = "yaml")]
mod yaml;

use std::fmt;

use self::lines::Lines;
pub(crate) use self::{
    json::parse as parse_json,
    node::{Content, Node},
};
use crate::report::Issue;

/// The format of a document or file.
///
/// It follows from the ending of its name, or else from the type that it was published with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// JSON. A key that occurs twice is an error.
    Json,
    /// Java properties, in UTF-8. All values are text, until the target type asks otherwise.
    Properties,
    /// TOML. Dates are text.
    #[cfg(feature = "toml")]
    Toml,
    /// YAML: one document, no duplicate keys, within limits of depth and size. Numbers that would
    /// not be written back as they stand (`012`, `1.10`), and the words `yes`, `no`, `on` and
    /// `off`, are text until the target type asks otherwise.
    #[cfg(feature = "yaml")]
    Yaml,
}

impl Format {
    /// The format called `name`, be it an ending or a Nacos type; `None` for any other.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "json" => Self::Json,
            "properties" => Self::Properties,
            #[cfg(feature = "toml")]
            "toml" => Self::Toml,
            #[cfg(feature = "yaml")]
            "yaml" | "yml" => Self::Yaml,
            _ => return None,
        })
    }

    /// The format that the ending of `name` tells.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        name.rsplit_once('.').and_then(|(_, ending)| Self::from_name(ending))
    }

    /// The root table of `text`; `None` if there is nothing in it.
    pub(crate) fn parse(self, text: &str) -> Result<Option<Node>, Box<Issue>> {
        // Editors on Windows put it there, and no format has a use for it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        self.parse_root(text).map_err(|mut issue| {
            if text.trim_start().starts_with('<') {
                issue.hint = Some(HTML);
            }
            issue
        })
    }

    fn parse_root(self, text: &str) -> Result<Option<Node>, Box<Issue>> {
        let parsed = match self {
            _ if text.trim().is_empty() => None,
            Self::Json => Some(json::parse(text)?),
            Self::Properties => Some(properties::parse(text)?),
            #[cfg(feature = "toml")]
            Self::Toml => Some(toml::parse(text)?),
            #[cfg(feature = "yaml")]
            Self::Yaml => yaml::parse(text)?,
        };
        match parsed {
            Some(Node { content: Content::Table(entries), .. }) if entries.is_empty() => Ok(None),
            Some(Node { content: Content::Table(_), .. }) | None => Ok(parsed),
            Some(node) => Err(Box::new(Issue::new("the root must be a table").at(node.at))),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Properties => "properties",
            #[cfg(feature = "toml")]
            Self::Toml => "TOML",
            #[cfg(feature = "yaml")]
            Self::Yaml => "YAML",
        })
    }
}

const HTML: &str = "it looks like HTML: was a proxy's error page stored?";

#[cfg(test)]
mod tests;
