//! The faults of the server's authentication, and whether it is on.
use std::time::Duration;

use http::StatusCode;

/// How authentication differs from what the server was built with.
#[derive(Debug, Default)]
pub(crate) struct Authentication {
    /// Whether requests need a token; as the server was built, unless this says otherwise.
    pub(crate) demands: Option<bool>,
    /// The users have not been read yet.
    pub(crate) knows_nobody: bool,
    /// The plugin that decides fails.
    pub(crate) crashes: bool,
    /// The answer to every login, in place of a server's.
    pub(crate) answer: Option<(StatusCode, String)>,
    /// How long each login takes.
    pub(crate) slow: Duration,
}
