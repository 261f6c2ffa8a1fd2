//! Looking into a running client: what operators ask for, without knowing what there is.
//!
//! Each part of a program that is worth looking into implements [`Inspect`] and is added to the
//! client with [`Client::inspect`](crate::Client::inspect); whoever shows reports, such as an admin
//! page, knows this module only. Whoever produces a report redacts it: no content, no secret.
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    connection::Connection,
    error::{Error, ErrorKind},
    live::Live,
    state::SessionState,
    vitals::{Disconnect, Vitals},
};

/// A part that can be looked into, and perhaps acted upon.
pub trait Inspect: Send + Sync {
    /// Its name: unique enough for people, lower case, stable.
    fn name(&self) -> String;

    /// What it looks like now. Quick, and never waits.
    fn report(&self) -> Tree;

    /// Does something by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for an action that this part does not know, which is the default.
    fn act(&self, action: &Action) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Unsupported, format!("act {:?} on {}", action.name, self.name())))
    }

    /// Changes whenever a new report may differ; `None` if only looking again tells.
    fn changed(&self) -> Option<Live<u64>> {
        None
    }
}

/// Something to do, by name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Action {
    /// What.
    pub name: String,
    /// To what, if the action wants to know.
    pub argument: Option<String>,
}

impl Action {
    /// The action `name`, without an argument.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), argument: None }
    }

    /// Adds the argument.
    #[must_use]
    pub fn with_argument(mut self, argument: impl Into<String>) -> Self {
        self.argument = Some(argument.into());
        self
    }
}

/// A report: values by name, and values in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tree {
    /// Nothing to say.
    Nothing,
    /// Yes or no.
    Flag(bool),
    /// A count.
    Count(u64),
    /// A number.
    Number(f64),
    /// Words.
    Text(String),
    /// Several of a kind.
    List(Vec<Tree>),
    /// Parts by name, in the order in which they are to be shown.
    Branch(Vec<(String, Tree)>),
}

impl Tree {
    /// A branch of `parts`.
    pub fn branch<N: Into<String>>(parts: impl IntoIterator<Item = (N, Tree)>) -> Self {
        Self::Branch(parts.into_iter().map(|(name, part)| (name.into(), part)).collect())
    }

    /// The part called `name`, if this is a branch that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tree> {
        match self {
            Self::Branch(parts) => {
                parts.iter().find(|(part, _)| part == name).map(|(_, tree)| tree)
            }
            _ => None,
        }
    }
}

impl From<bool> for Tree {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Tree {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Tree {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The session's own report.
pub(crate) struct SessionInspect {
    // Weak: what is looked at must not be kept alive by being looked at.
    connection: Weak<Connection>,
}

impl SessionInspect {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        Self { connection: Arc::downgrade(connection) }
    }
}

impl Inspect for SessionInspect {
    fn name(&self) -> String {
        "session".to_owned()
    }

    fn report(&self) -> Tree {
        let Some(connection) = self.connection.upgrade() else { return Tree::Nothing };
        let state = connection.state().get();
        let vitals = connection.vitals().get();
        let options = &connection.options;
        let servers = connection.servers().get();
        let servers = servers.iter().map(|server| Tree::Text(server.to_string()));
        let held = connection.held().map(|service| Tree::Text(service.to_string()));
        Tree::branch([
            ("state", state_tree(&state)),
            ("servers", Tree::List(servers.collect())),
            ("config_namespace", options.config_namespace.as_str().into()),
            ("naming_namespace", options.naming_namespace.as_str().into()),
            ("logs_in", options.credentials.is_some().into()),
            ("held_services", Tree::List(held.collect())),
            ("vitals", vitals_tree(&vitals)),
        ])
    }
}

impl fmt::Debug for SessionInspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionInspect")
    }
}

fn state_tree(state: &SessionState) -> Tree {
    let name = match state {
        SessionState::Connecting { .. } => "connecting",
        SessionState::Connected { .. } => "connected",
        SessionState::Backoff { .. } => "backoff",
        SessionState::Denied { .. } => "denied",
        SessionState::Closed => "closed",
    };
    let mut parts = vec![("name".to_owned(), Tree::from(name))];
    if let SessionState::Connected { server, abilities, .. } = state {
        parts.push(("server".to_owned(), (&**server).into()));
        let abilities = abilities.iter().map(|(name, on)| (name.as_str(), Tree::from(*on)));
        parts.push(("abilities".to_owned(), Tree::branch(abilities)));
    }
    parts.extend(state.cause().map(|cause| ("cause".to_owned(), (&**cause).into())));
    Tree::Branch(parts)
}

fn vitals_tree(vitals: &Vitals) -> Tree {
    Tree::branch([
        ("connects", vitals.connects.into()),
        ("losses", vitals.losses.into()),
        ("pushes", vitals.pushes.into()),
        ("unreadable", vitals.unreadable.into()),
        ("overtaken", vitals.overtaken.into()),
        ("clock_steps", vitals.clock_steps.into()),
        ("reasserted", vitals.reasserted.into()),
        ("held", vitals.held.into()),
        ("unresponsive", vitals.unresponsive.into()),
        ("claims", vitals.claims.into()),
        ("unsettled", vitals.unsettled.into()),
        ("disconnects", Tree::List(vitals.disconnects.iter().map(disconnect_tree).collect())),
        ("lag_ms", u64::try_from(vitals.lag.as_millis()).unwrap_or(u64::MAX).into()),
    ])
}

fn disconnect_tree(record: &Disconnect) -> Tree {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into();
    let ago = Instant::now().into_std().saturating_duration_since(record.at);
    Tree::branch([
        ("server", (&*record.server).into()),
        ("reason", record.reason.into()),
        ("cause", (&*record.cause).into()),
        ("ago_ms", ms(ago)),
        ("served_ms", ms(record.served)),
        ("silent_ms", ms(record.silent)),
        ("round_trip_ms", record.round_trip.map_or(Tree::Nothing, ms)),
        ("stall_ms", ms(record.stall)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_action_is_unsupported() {
        struct Part;
        impl Inspect for Part {
            fn name(&self) -> String {
                "part".to_owned()
            }
            fn report(&self) -> Tree {
                Tree::Nothing
            }
        }
        let error = Part.act(&Action::new("explode").with_argument("now")).expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn parts_are_found_by_name() {
        let tree = Tree::branch([("a", Tree::from(true)), ("b", "x".into())]);
        assert_eq!(tree.get("b"), Some(&Tree::Text("x".to_owned())));
        assert_eq!(tree.get("c"), None);
        assert_eq!(Tree::Nothing.get("a"), None);
    }
}
