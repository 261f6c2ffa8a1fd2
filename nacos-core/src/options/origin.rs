//! Where options come from, and what was not read as one: said in errors, and by nothing else.
use std::collections::{BTreeMap, BTreeSet};

use crate::error::clip;

/// See the [module documentation](self). Options that say the same are equal whatever it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct OptionOrigin {
    /// The variable that an option was read from, by the option's name.
    variables: BTreeMap<&'static str, String>,
    /// The variables that Kubernetes and Docker set for a service, by their names there.
    not_read: BTreeSet<String>,
}

impl OptionOrigin {
    /// Notes that `option` was read from `variable`.
    pub(crate) fn note(&mut self, option: &'static str, variable: &str) {
        self.variables.insert(option, variable.to_owned());
    }

    /// Notes that `name` was not read, because it is set for a service.
    pub(crate) fn note_not_read(&mut self, name: &str) {
        self.not_read.insert(name.to_owned());
    }

    /// The variable that `option` was read from, if it was read from one.
    pub(super) fn variable(&self, option: &str) -> Option<&str> {
        self.variables.get(option).map(String::as_str)
    }

    /// The variables that were not read, in words; empty if all were.
    pub(super) fn not_read(&self) -> String {
        if self.not_read.is_empty() {
            return String::new();
        }
        let names: Vec<_> = self.not_read.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        let names = clip(&names, MOST_SHOWN);
        format!("; not read was {names}, which Kubernetes and Docker set for a service")
    }

    /// This and `below`, of which those variables count whose option `is_used`.
    pub(super) fn over(mut self, below: Self, is_used: impl Fn(&str) -> bool) -> Self {
        let used = below.variables.into_iter().filter(|(option, _)| is_used(option));
        self.variables.extend(used);
        self.not_read.extend(below.not_read);
        self
    }
}

impl PartialEq for OptionOrigin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for OptionOrigin {}

/// How much of the names of what is not read is shown.
pub(super) const MOST_SHOWN: usize = 300;
