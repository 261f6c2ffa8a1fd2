//! The options of a session.
use std::time::Duration;

use super::{Patience, PullOptions};
use crate::{key::Namespace, labels::Labels, wire::Refusal};

/// The options of a session; its servers come apart.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The namespace of documents, which the setup message names.
    pub(crate) config_namespace: Namespace,
    /// The namespace of services.
    pub(crate) naming_namespace: Namespace,
    /// The application's name, shown in servers' consoles.
    pub(crate) app: String,
    /// By which servers choose gray versions of documents.
    pub(crate) labels: Labels,
    /// Names this client among those of its host.
    pub(crate) client_id: String,
    /// Whether there is somebody to log in.
    pub(crate) has_credentials: bool,
    /// Whether servers look up the rights of the user anew for each request, as with a token that
    /// they grant for a password. A key or a token from elsewhere may come with rights of its own.
    pub(crate) keeps_rights: bool,
    /// Whether a server that refuses the login is not to be used without one.
    pub(crate) require_login: bool,
    /// The longest delay between two searches for a server.
    pub(crate) backoff_cap: Duration,
    /// How long a server may be silent.
    pub(crate) patience: Patience,
    /// The longest that a user's request may take.
    pub(crate) request_timeout: Duration,
    /// How often the list of servers is read; `None` if it never changes.
    pub(crate) refresh: Option<Duration>,
    /// How the queries for watched documents are governed.
    pub(crate) pulls: PullOptions,
}

impl Options {
    /// Whether another login may let in what was refused so: a right that servers keep is not
    /// gained by one.
    pub(crate) fn is_about_login(&self, refusal: &Refusal) -> bool {
        refusal.demands_login() || refusal.says_forbidden() && !self.keeps_rights
    }
}
