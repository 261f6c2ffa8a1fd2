//! Why something is not to be had, in words for its reader.
use std::sync::Arc;

use crate::error::ErrorKind;

/// Why something is not to be had.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) kind: ErrorKind,
    pub(super) text: Arc<str>,
}

/// Begins a cause that is about the login, not about a connection.
pub(crate) const ABOUT_LOGIN: &str = "login: ";
/// Names the cause of a failed login beside the refusal of a request that lacks one.
pub(crate) const LOGIN_FAILED: &str = "the login has failed";
/// Why a client without credentials is refused, and what helps.
pub(crate) const DEMANDED: &str = "this server demands a login, and there are no credentials: set \
     `username` and `password` (NACOS_USERNAME, NACOS_PASSWORD), or `access_token` \
     (NACOS_ACCESS_TOKEN), or what else nacos_core::credentials lists; if it demands none, a rule \
     there, or of a proxy, refuses this client";
