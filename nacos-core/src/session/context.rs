//! The context of *connecting*: the moment, the claims that servers hold, and the output.
use std::time::Instant;

use super::{
    claims::Claims, ledger::Standing, lifetime::Lifetime, naming::key::NamingKey, output::Output,
};
use crate::key::{ConfigKey, ConfigPattern, ServiceKey};

/// The moment as *connecting* sees it, and the output for its effects and events.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) lifetime: Lifetime,
    pub(super) holdings: Holdings<'a>,
    pub(super) output: &'a mut Output,
}

/// The claims that servers hold, as far as they matter to the choice of a connection.
#[derive(Clone, Copy)]
pub(super) struct Holdings<'a> {
    pub(super) naming: &'a Claims<NamingKey>,
    pub(super) configs: &'a Claims<ConfigKey>,
    pub(super) patterns: &'a Claims<ConfigPattern>,
}

impl<'a> Holdings<'a> {
    /// Whether the server of the connection that serves holds anything.
    pub(super) fn are_some(self) -> bool {
        self.naming.are_held() || self.configs.are_held() || self.patterns.are_held()
    }

    /// The services of which something is claimed, each with whether the server agreed to it.
    pub(super) fn services(self) -> impl Iterator<Item = (&'a ServiceKey, bool)> {
        let claimed = self.naming.standings();
        claimed.map(|(key, standing)| (key.service(), standing == Standing::Held))
    }

    /// The same of documents.
    pub(super) fn documents(self) -> impl Iterator<Item = (&'a ConfigKey, bool)> {
        self.configs.standings().map(|(key, standing)| (key, standing == Standing::Held))
    }
}
