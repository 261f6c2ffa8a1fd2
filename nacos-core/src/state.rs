//! The state of a client's session, as its user sees it.
use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Instant};

use crate::error::{Error, ErrorKind};

/// How a client stands with its servers. Read it through [`Client::state`](crate::Client::state).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SessionState {
    /// On the way to a server; also after a search in which one was only too slow for the time that
    /// it was given, of which the next search gives more.
    Connecting {
        /// How many searches for a connection have failed in a row.
        failed_searches: u32,
        /// Why the last one failed, or the last connection ended: every address and its cause.
        last_error: Option<Arc<str>>,
    },
    /// Registered with a server, and let in by it.
    Connected {
        /// The server, as it was named in the options.
        server: Arc<str>,
        /// Since when.
        since: Instant,
        /// The server's abilities beyond the basics; empty for r-nacos and servers before 2.3.
        abilities: Arc<BTreeMap<String, bool>>,
        /// How the server lets the client in.
        access: Access,
    },
    /// Between two searches, the last of which has failed.
    Backoff {
        /// When the next one begins.
        until: Instant,
        /// Why the last one failed: every address and its cause.
        cause: Arc<str>,
    },
    /// The servers do not let this client in. The client goes on trying by itself; what `likely` is
    /// the cause says how soon.
    Denied {
        /// The likely cause.
        likely: Denial,
        /// The servers' answers, what they may mean, and what helps.
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

    /// The reason why it is not connected, as an error; `None` if it is, or if no reason is known
    /// yet.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        match self {
            Self::Closed => Some(self.error_of("use the session")),
            _ => self.cause().map(|_| self.error_of("connect the session")),
        }
    }

    /// The error of an operation that has waited for a server, and waits no more in this state. If
    /// it is connected, the server has not answered in time.
    pub(crate) fn error_of(&self, doing: impl Display) -> Error {
        let kind = match self {
            Self::Connected { .. } => ErrorKind::Timeout,
            Self::Closed => ErrorKind::Closed,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Connecting { .. } | Self::Backoff { .. } => ErrorKind::Disconnected,
        };
        let error = Error::new(kind, doing);
        match self.cause() {
            Some(cause) => error.because(cause.to_string()),
            None => error,
        }
    }

    /// Whether it is connected although its login has failed: see [`Access::WithoutLogin`].
    #[must_use]
    pub fn is_without_login(&self) -> bool {
        matches!(self, Self::Connected { access: Access::WithoutLogin { .. }, .. })
    }

    /// Whether it is denied, and waiting for a few seconds is not likely to help.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Denied { likely: Denial::Wrong | Denial::Missing, .. })
    }

    /// Whether the last search has found no server, and none has been found since.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Backoff { .. } => true,
            Self::Connecting { failed_searches, .. } => *failed_searches > 0,
            Self::Connected { .. } | Self::Denied { .. } | Self::Closed => false,
        }
    }

    /// Whether waiting for a server does not help: the session is closed, or refused.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.is_refused() || matches!(self, Self::Closed)
    }

    /// The reason why it is not connected, as far as it is known.
    pub(crate) fn cause(&self) -> Option<&Arc<str>> {
        match self {
            Self::Connecting { last_error, .. } => last_error.as_ref(),
            Self::Backoff { cause, .. } | Self::Denied { cause, .. } => Some(cause),
            Self::Connected { .. } | Self::Closed => None,
        }
    }
}

/// How a server lets a client in: with credentials, or without.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Access {
    /// There are no credentials, and none were asked for yet.
    Anonymous,
    /// With what the credentials have granted: a token, a header, a signature.
    Granted,
    /// There are credentials, the login has failed, and the server lets this client in all the
    /// same: authentication is off there, as it is by default before Nacos 3.3, and the user is
    /// unknown, or the login reaches no server, as where a proxy exposes the gRPC port only.
    ///
    /// The client says so once, in a warning, and tries the login again: every minute if servers
    /// have refused it; if nobody has answered it, after half a second and then ever more rarely,
    /// up to every minute; at once when a request is refused for want of it. Requests carry no
    /// token meanwhile. The Java client behaves like this, too: a host that can answer in the place
    /// of a server, or keeps the login from one, is believed, as by every client of a server
    /// without authentication.
    /// Documents are read from a server that has not asked who reads them, and so cannot keep
    /// others from reading or writing them. Where that must not be, the option `require_login`
    /// ([`ClientBuilder::require_login`](crate::ClientBuilder::require_login)) forbids it; and TLS
    /// says who the server is, which a login never does.
    WithoutLogin {
        /// Why the last login did not succeed: the servers' answers and what they may mean,
        /// or why nobody has answered.
        cause: Arc<str>,
    },
}

/// The likely reason why servers do not let a client in.
///
/// They answer the same to a wrong password and, in the first seconds after their start, to a right
/// one: Java Nacos 3.x opens its port before it has read its users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Denial {
    /// The server is starting, and does not know its users yet. The login is tried again within
    /// seconds; requests wait for that within their timeout.
    ///
    /// A credential that has worked in this client is taken for right for a minute, anew with each
    /// connection that comes up, and tried again after 1, 2, 4, 5, 5 … s (± 20 %); one that never
    /// has is given three tries, after 1, 2 and 4 s. An unknown user of Nacos 2.3 counts as not
    /// read yet for 30 s.
    NotReady,
    /// The user or the password is wrong, or the user may not log in. The login is tried again as
    /// above, and once a minute after that; requests fail at once.
    Wrong,
    /// There are no credentials, and the servers demand a login. Whether they still do is asked
    /// once a minute; requests fail at once.
    Missing,
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
        /// Its message.
        message: Arc<str>,
        /// Whether the client will ask again by itself. If not, only a change of the claim or a
        /// reconnect makes it ask again.
        retrying: bool,
    },
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_state_is_one_error_whatever_was_being_done() {
        let cause: Arc<str> = "the server's words".into();
        let connecting = |last_error| SessionState::Connecting { failed_searches: 1, last_error };
        let states = [
            (connecting(None), ErrorKind::Disconnected, false),
            (connecting(Some(Arc::clone(&cause))), ErrorKind::Disconnected, true),
            (
                SessionState::Backoff { until: Instant::now(), cause: Arc::clone(&cause) },
                ErrorKind::Disconnected,
                true,
            ),
            (
                SessionState::Denied { likely: Denial::Wrong, cause: Arc::clone(&cause) },
                ErrorKind::Denied,
                true,
            ),
            (SessionState::Closed, ErrorKind::Closed, false),
        ];
        for (state, kind, has_cause) in states {
            let error = state.error_of("get orders");
            assert_eq!(error.kind(), kind, "{state:?}");
            assert_eq!(error.to_string(), format!("get orders: {kind}"));
            let source = error.source().map(ToString::to_string);
            assert_eq!(source.as_deref(), has_cause.then_some(&*cause), "{state:?}");
            // Nothing is known to be wrong with a session that has just begun to connect.
            let is_error = has_cause || state == SessionState::Closed;
            assert_eq!(state.error().map(|error| error.kind()), is_error.then_some(kind));
        }
    }
}
