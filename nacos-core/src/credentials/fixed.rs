//! Headers that stay as they are, or as a file says: tokens from elsewhere, and the servers' own.
use std::{path::PathBuf, time::Duration};

use super::{Credentials, Grant, GrantContext, GrantFuture, SecretSource};
use crate::secret::Secret;

/// A token that another program has obtained, given or in a file.
///
/// ```
/// use nacos_core::{Client, credentials::StaticToken};
///
/// let builder = Client::builder().with_credentials(StaticToken::from_file("/run/secrets/nacos"));
/// ```
#[derive(Clone, Debug)]
pub struct StaticToken {
    token: SecretSource,
}

impl StaticToken {
    /// This token, for as long as the client lives.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self { token: SecretSource::Given(token.into()) }
    }

    /// The token that stands in a file, read again every 30 s and when a server refuses it.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { token: SecretSource::File(path.into()) }
    }

    pub(crate) fn from_source(token: SecretSource) -> Self {
        Self { token }
    }
}

impl Credentials for StaticToken {
    fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
        Box::pin(async move {
            let grant = Grant::access_token(self.token.read().await?);
            Ok(if self.token.is_file() { grant.lifetime(READ_AGAIN) } else { grant })
        })
    }
}

/// A header of fixed name and value on every request, as servers send each other one
/// (`nacos.core.auth.server.identity.key`): for proxies and authentication plugins that look at it.
///
/// A server without such a plugin is not opened by its own header: Java Nacos up to 2.x accepts it
/// on its main port only, where this client does nothing but log in (seen: 2.3.2), and later ones
/// ask clients for a user all the same, as r-nacos does.
///
/// ```
/// use nacos_core::{Client, credentials::IdentityHeader};
///
/// let builder = Client::builder().with_credentials(IdentityHeader::new("serverIdentity", "s3cret"));
/// ```
#[derive(Clone, Debug)]
pub struct IdentityHeader {
    key: String,
    value: Secret,
}

impl IdentityHeader {
    /// The name of the header, in the very case in which the servers have it, and its value.
    pub fn new(key: impl Into<String>, value: impl Into<Secret>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

impl Credentials for IdentityHeader {
    fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
        let grant = Grant::new().header(self.key.clone(), self.value.clone());
        Box::pin(std::future::ready(Ok(grant)))
    }
}

/// How long what stands in a file is taken for what still stands there.
pub(super) const READ_AGAIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let shown =
            format!("{:?} {:?}", StaticToken::new("hunter2"), IdentityHeader::new("k", "hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
