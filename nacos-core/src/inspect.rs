//! Reports on a running client, for operators. A reader needs no knowledge of its parts.
//!
//! Each part of a program that is worth looking into implements [`Inspect`] and is added to the
//! client with [`Client::inspect`](crate::Client::inspect); code that shows reports, such as an
//! admin page, knows this module only. The producer of a report redacts it: no content, no secret.
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    connection::Connection,
    disconnect::Disconnect,
    error::{Error, ErrorKind},
    live::Live,
    session_stats::SessionStats,
    state::{Access, Denial, SessionState},
    storm::{PullMode, StormReport},
};

/// A part that can be looked into, and perhaps acted upon.
pub trait Inspect: Send + Sync {
    /// Its name: unique enough for people, lower case, stable.
    fn name(&self) -> String;

    /// A report of its state now. Quick, and never waits.
    fn report(&self) -> Tree;

    /// Does something by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for an action that this part does not know, which is the default.
    fn act(&self, action: &Action) -> Result<(), Error> {
        Err(unsupported(action, &self.name()))
    }

    /// Changes whenever a new report may differ; `None` if only looking again tells.
    fn changed(&self) -> Option<Live<u64>> {
        None
    }
}

fn unsupported(action: &Action, part: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("act {:?} on {part}", action.name))
}

/// Something to do, by name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Action {
    /// The name of the action.
    pub name: String,
    /// Its target, if the action needs one.
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

/// Writes an outline: one part a line, its own parts indented below it. The outline is for logs,
/// terminals and tests. Programs read the tree itself, or serialize it (feature `serde`).
///
/// ```
/// use nacos_core::inspect::Tree;
///
/// let state = Tree::branch([("name", Tree::from("connected"))]);
/// let tree = Tree::branch([("state", state), ("connects", Tree::from(2_u64))]);
/// assert_eq!(tree.to_string(), "state:\n  name: connected\nconnects: 2");
/// ```
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outline(f, 0)
    }
}

impl Tree {
    /// Where this does not fit on the line of its name, it begins on the next.
    fn is_leaf(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::Branch(parts) => parts.is_empty(),
            _ => true,
        }
    }

    fn outline(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let mut first = true;
        let mut line = |f: &mut fmt::Formatter<'_>| {
            let newline = if std::mem::take(&mut first) { "" } else { "\n" };
            write!(f, "{newline}{:1$}", "", 2 * depth)
        };
        match self {
            Self::Nothing => f.write_str("-"),
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            // One line stays one: the rest would look like parts.
            Self::Text(text) if text.contains(char::is_control) => {
                write!(f, "{}", text.escape_debug())
            }
            Self::Text(text) => f.write_str(text),
            Self::List(items) if items.is_empty() => f.write_str("none"),
            Self::List(items) => items.iter().try_for_each(|item| {
                line(f)?;
                f.write_str(if item.is_leaf() { "- " } else { "-\n" })?;
                item.outline(f, depth + 1)
            }),
            Self::Branch(parts) if parts.is_empty() => f.write_str("none"),
            Self::Branch(parts) => parts.iter().try_for_each(|(name, part)| {
                line(f)?;
                write!(f, "{name}:{}", if part.is_leaf() { " " } else { "\n" })?;
                part.outline(f, depth + 1)
            }),
        }
    }
}

/// As JSON has it: `null`, booleans, numbers, strings, arrays, and objects in the order of their
/// parts. With the feature `serde`.
#[cfg(feature = "serde")]
impl serde::Serialize for Tree {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_unit(),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Branch(parts) => {
                serializer.collect_map(parts.iter().map(|(name, part)| (name, part)))
            }
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
        let counts = connection.stats().get();
        let options = &connection.options;
        let servers = connection.servers().get();
        let servers = servers.iter().map(|server| Tree::Text(server.to_string()));
        let held = connection.held().map(|service| Tree::Text(service.to_string()));
        Tree::branch([
            ("state", state_tree(&state)),
            ("servers", Tree::List(servers.collect())),
            ("config_namespace", options.session.config_namespace.as_str().into()),
            ("naming_namespace", options.session.naming_namespace.as_str().into()),
            ("logs_in", options.access.credentials.is_some().into()),
            ("held_services", Tree::List(held.collect())),
            ("pulls", pulls_tree(&connection.storm().get())),
            ("stats", stats_tree(&counts)),
        ])
    }

    /// `freeze` and `thaw`: see [`Configs::freeze`](crate::Configs::freeze).
    fn act(&self, action: &Action) -> Result<(), Error> {
        let is_frozen = match &*action.name {
            "freeze" => true,
            "thaw" => false,
            _ => return Err(unsupported(action, &self.name())),
        };
        if let Some(connection) = self.connection.upgrade() {
            connection.freeze(is_frozen);
        }
        Ok(())
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
    if let SessionState::Connected { server, abilities, access, .. } = state {
        let access = match access {
            Access::Anonymous => "anonymous",
            Access::Granted => "granted",
            Access::WithoutLogin { cause } => {
                parts.push(("login_failed".to_owned(), (&**cause).into()));
                "without login"
            }
        };
        parts.push(("access".to_owned(), access.into()));
        parts.push(("server".to_owned(), (&**server).into()));
        let abilities = abilities.iter().map(|(name, on)| (name.as_str(), Tree::from(*on)));
        parts.push(("abilities".to_owned(), Tree::branch(abilities)));
    }
    if let SessionState::Denied { likely, .. } = state {
        let likely = match likely {
            Denial::NotReady => "not ready",
            Denial::Wrong => "wrong",
            Denial::Missing => "missing",
        };
        parts.push(("likely".to_owned(), likely.into()));
    }
    parts.extend(state.cause().map(|cause| ("cause".to_owned(), (&**cause).into())));
    Tree::Branch(parts)
}

fn stats_tree(stats: &SessionStats) -> Tree {
    Tree::branch([
        ("connects", stats.connects.into()),
        ("losses", stats.losses.into()),
        ("pushes", stats.pushes.into()),
        ("unreadable", stats.unreadable.into()),
        ("overtaken", stats.overtaken.into()),
        ("clock_steps", stats.clock_steps.into()),
        ("reasserted", stats.reasserted.into()),
        ("held", stats.held.into()),
        ("unresponsive", stats.unresponsive.into()),
        ("claims", stats.claims.into()),
        ("unsettled", stats.unsettled.into()),
        ("proxy", stats.proxy.as_deref().map_or(Tree::Nothing, Tree::from)),
        ("disconnects", Tree::List(stats.disconnects.iter().map(disconnect_tree).collect())),
        ("lag_ms", u64::try_from(stats.lag.as_millis()).unwrap_or(u64::MAX).into()),
    ])
}

fn pulls_tree(storm: &StormReport) -> Tree {
    let ms = |time: Duration| Tree::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let now = Instant::now().into_std();
    let since = match storm.mode {
        PullMode::Normal => Tree::Nothing,
        PullMode::ReadOnly { since }
        | PullMode::Recovering { since }
        | PullMode::Frozen { since } => ms(now.saturating_duration_since(since)),
    };
    let stagger = storm.staggered_until.map(|until| until.saturating_duration_since(now));
    let counts = &storm.counts;
    Tree::branch([
        ("mode", storm.mode.name().into()),
        ("mode_ms", since),
        ("is_alarming", storm.is_alarming.into()),
        ("watched", storm.watched.into()),
        ("waiting", storm.waiting.into()),
        ("under_way", storm.under_way.into()),
        ("tokens", tokens_at(storm, now).into()),
        ("capacity", storm.capacity.into()),
        ("refill", storm.refill.into()),
        ("stagger_ms", ms(stagger.unwrap_or_default())),
        ("start", counts.start.into()),
        ("push", counts.push.into()),
        ("audit", counts.audit.into()),
        ("throttled", counts.held.throttled.into()),
        ("staggered", counts.held.staggered.into()),
        ("held_read_only", counts.held.read_only.into()),
        ("held_frozen", counts.held.frozen.into()),
        ("timeouts", counts.timeouts.into()),
        ("overloads", counts.overloads.into()),
        ("staggers", counts.staggers.into()),
        ("read_only", counts.read_only.entered.into()),
        ("left_by_probe", counts.read_only.left_by_probe.into()),
        ("left_by_push", counts.read_only.left_by_push.into()),
        ("left_by_reconnect", counts.read_only.left_by_reconnect.into()),
        ("left_by_answer", counts.read_only.left_by_answer.into()),
        ("jittered", counts.jittered.into()),
    ])
}

/// The tokens that are left now: the report counts those of the last query.
fn tokens_at(storm: &StormReport, now: std::time::Instant) -> u64 {
    let seconds = now.saturating_duration_since(storm.at).as_secs();
    storm.tokens.saturating_add(storm.refill.saturating_mul(seconds)).min(storm.capacity)
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
        ("stream_silent_ms", ms(record.stream_silent)),
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

    fn example() -> Tree {
        let server = Tree::branch([("name", Tree::from("a:8848")), ("weight", Tree::Number(0.5))]);
        Tree::branch([
            ("state", Tree::from("connected")),
            ("since", Tree::Nothing),
            ("logs_in", Tree::from(true)),
            ("words", Tree::from("two\nlines")),
            ("empty", Tree::List(Vec::new())),
            ("servers", Tree::List(vec![server, Tree::from("b:8848")])),
        ])
    }

    #[test]
    fn outline_has_a_part_a_line() {
        let outline = "state: connected\nsince: -\nlogs_in: yes\nwords: two\\nlines\nempty: none\n\
                       servers:\n  -\n    name: a:8848\n    weight: 0.5\n  - b:8848";
        assert_eq!(example().to_string(), outline);
        assert_eq!(Tree::from(7_u64).to_string(), "7");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn tree_is_json_in_its_own_order() {
        let json = r#"{"state":"connected","since":null,"logs_in":true,"words":"two\nlines","empty":[],"servers":[{"name":"a:8848","weight":0.5},"b:8848"]}"#;
        assert_eq!(serde_json::to_string(&example()).expect("plain values"), json);
    }

    #[test]
    fn parts_are_found_by_name() {
        let tree = Tree::branch([("a", Tree::from(true)), ("b", "x".into())]);
        assert_eq!(tree.get("b"), Some(&Tree::Text("x".to_owned())));
        assert_eq!(tree.get("c"), None);
        assert_eq!(Tree::Nothing.get("a"), None);
    }
}
