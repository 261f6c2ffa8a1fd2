//! Why something is not to be had, in words for its reader.
use std::sync::Arc;

use crate::{error::ErrorKind, wire::Refusal};

/// Why something is not to be had.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) kind: ErrorKind,
    pub(super) text: Arc<str>,
}

/// Why requests carry no token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoToken<'a> {
    /// There are no credentials.
    NoCredentials,
    /// The login has failed, for this reason.
    LoginFailed(&'a str),
}

impl NoToken<'_> {
    /// The refusal as its caller is told it: one that demands a login says why there is none.
    pub(crate) fn explain(self, refusal: Refusal) -> Refusal {
        if !refusal.demands_login() {
            return refusal;
        }
        let said = &refusal.message;
        let message = match self {
            Self::NoCredentials => format!("{said}; {DEMANDED}"),
            Self::LoginFailed(cause) => format!("{said}; {LOGIN_FAILED}: {cause}"),
        };
        Refusal { message, ..refusal }
    }
}

/// Begins a cause that is about the login, not about a connection.
pub(crate) const ABOUT_LOGIN: &str = "login: ";
/// Names the cause of a failed login beside the refusal of a request that lacks one.
const LOGIN_FAILED: &str = "the login has failed";
/// Why a client without credentials is refused, and what helps.
pub(super) const DEMANDED: &str = "this server demands a login, and there are no credentials: set \
     `username` and `password` (NACOS_USERNAME, NACOS_PASSWORD), or `access_token` \
     (NACOS_ACCESS_TOKEN), or what else nacos_core::credentials lists; if it demands none, a rule \
     there, or of a proxy, refuses this client";
