//! The violations that a validation found.
use std::{error::Error as StdError, fmt};

/// Everything that a validation found wrong, each with its key.
///
/// A validation may return any error; this one keeps several, and gets them their line and column.
/// Operators read its text: it must not contain secrets.
///
/// ```
/// use nacos_figment::Violations;
///
/// struct Limits { rps: u32, burst: u32 }
///
/// fn check(limits: &Limits) -> Result<(), Violations> {
///     let mut violations = Violations::new();
///     if limits.rps == 0 {
///         violations.add("limits.rps", "must not be zero");
///     }
///     if limits.burst < limits.rps {
///         violations.add("limits.burst", "must not be less than `limits.rps`");
///     }
///     violations.into_result()
/// }
///
/// assert!(check(&Limits { rps: 0, burst: 1 }).is_err());
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Violations {
    found: Vec<(String, String)>,
}

impl Violations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one: the key that it is about, with dots, and what is wrong.
    pub fn add(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.found.push((key.into(), what.into()));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `Ok` if there are none.
    ///
    /// # Errors
    ///
    /// Itself, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.found.iter().map(|(key, what)| (key.as_str(), what.as_str()))
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, what)) in self.iter().enumerate() {
            write!(f, "{}`{key}`: {what}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl StdError for Violations {}
