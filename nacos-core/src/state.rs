//! The state of a client's session, as its user sees it.
use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::error::{Error, ErrorKind};

/// How a client stands with its servers. Read it through [`Client::state`](crate::Client::state).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SessionState {
    /// On the way to a server; also after a pass in which one was only too slow for the time that it
    /// was given, of which the next pass gives more.
    Connecting {
        /// How many passes over the servers have failed in a row.
        attempt: u32,
        /// Why the last one failed, or the last connection ended: every address and its cause.
        last_error: Option<Arc<str>>,
    },
    /// Registered with a server, and logged in if there are credentials.
    Connected {
        /// The server, as it was named in the options.
        server: Arc<str>,
        /// Since when.
        since: Instant,
        /// What the server can do beyond the basics; empty for r-nacos and servers before 2.3.
        abilities: Arc<BTreeMap<String, bool>>,
    },
    /// Between two attempts, the last of which has failed.
    Backoff {
        /// When the next one begins.
        until: Instant,
        /// Why the last one failed: every address and its cause.
        cause: Arc<str>,
    },
    /// The server refused the credentials. Tried again once a minute; a user that it does not know
    /// sooner, from a quarter of a second to a minute after: some servers read theirs late.
    Denied {
        /// What the server said.
        cause: Arc<str>,
    },
    /// The client was shut down.
    Closed,
}

impl SessionState {
    /// Whether requests can be answered right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// What keeps it from being connected, as an error; `None` if nothing does, or nothing is known
    /// of it yet.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let kind = match self {
            Self::Connected { .. } => return None,
            Self::Closed => return Some(Error::new(ErrorKind::Closed, "use the session")),
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Connecting { .. } | Self::Backoff { .. } => ErrorKind::Disconnected,
        };
        let cause = self.cause()?;
        Some(Error::new(kind, "connect the session").because(cause.to_string()))
    }

    /// What keeps it from being connected, as far as that is known.
    pub(crate) fn cause(&self) -> Option<&Arc<str>> {
        match self {
            Self::Connecting { last_error, .. } => last_error.as_ref(),
            Self::Backoff { cause, .. } | Self::Denied { cause } => Some(cause),
            Self::Connected { .. } | Self::Closed => None,
        }
    }
}

/// How much of a guard's claim the server knows.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClaimState {
    /// Not acknowledged yet, or not since the last reconnect.
    Pending,
    /// The server acknowledged exactly this claim on the current connection.
    Held,
    /// The server refused it.
    Refused {
        /// Its error code.
        code: i32,
        /// What it said.
        message: Arc<str>,
        /// Whether the client will ask again by itself. If not, only a change of the claim or a
        /// reconnect makes it ask again.
        retrying: bool,
    },
}
