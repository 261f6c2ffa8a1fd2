//! An Aliyun access key (RAM), with which each request is signed.
use std::{fmt, path::PathBuf};

use super::{
    Credentials, Grant, GrantContext, GrantError, GrantFuture, SecretSource, fixed::READ_AGAIN,
    sign::Key,
};
use crate::secret::Secret;

/// An Aliyun access key and its secret, with which each request is signed: what servers with the
/// RAM plugin (such as MSE) want. Needs the feature `ram`.
///
/// Documents are signed by namespace and group, services by group and name. With a region the
/// signature is of version 4, otherwise of version 1.
///
/// ```
/// use nacos_core::{Client, credentials::AccessKey};
///
/// let key = AccessKey::new("LTAI5t", "s3cret").signature_region("cn-hangzhou");
/// let builder = Client::builder().with_credentials(key);
/// ```
///
/// Temporary keys (STS) come and go together with their token. Where something writes them to
/// files, use [`from_files`](Self::from_files). Where they have to be fetched, delegate to this
/// type:
///
/// ```
/// use std::time::Duration;
///
/// use nacos_core::credentials::{AccessKey, Credentials, GrantContext, GrantFuture};
/// # use nacos_core::credentials::GrantError;
///
/// #[derive(Debug)]
/// struct Role;
///
/// impl Credentials for Role {
///     fn grant<'a>(&'a self, context: &'a GrantContext) -> GrantFuture<'a> {
///         Box::pin(async move {
/// #            async fn fetch() -> Result<(String, String, String), String> { Err(String::new()) }
///             let (id, secret, token) = fetch().await.map_err(GrantError::unavailable)?;
///             let key = AccessKey::new(id, secret).security_token(token);
///             Ok(key.grant(context).await?.lifetime(Duration::from_secs(3600)))
///         })
///     }
/// }
/// ```
#[derive(Clone)]
pub struct AccessKey {
    id: SecretSource,
    secret: SecretSource,
    token: Option<SecretSource>,
    region: Option<String>,
}

impl AccessKey {
    /// This access key with this secret.
    pub fn new(id: impl Into<Secret>, secret: impl Into<Secret>) -> Self {
        Self::from_sources(SecretSource::Given(id.into()), SecretSource::Given(secret.into()))
    }

    /// The access key and the secret that stand in two files, read again every 30 s and when a
    /// server refuses a request.
    pub fn from_files(id: impl Into<PathBuf>, secret: impl Into<PathBuf>) -> Self {
        Self::from_sources(SecretSource::File(id.into()), SecretSource::File(secret.into()))
    }

    pub(crate) fn from_sources(id: SecretSource, secret: SecretSource) -> Self {
        Self { id, secret, token: None, region: None }
    }

    /// The token of a temporary key (STS).
    #[must_use]
    pub fn security_token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(SecretSource::Given(token.into()));
        self
    }

    /// The token of a temporary key (STS) that stands in a file, read again with the key.
    #[must_use]
    pub fn security_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = Some(SecretSource::File(path.into()));
        self
    }

    /// Signs with version 4, bound to this region.
    #[must_use]
    pub fn signature_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    pub(crate) fn with_security_token(mut self, token: Option<SecretSource>) -> Self {
        self.token = token;
        self
    }

    async fn read(&self) -> Result<Grant, GrantError> {
        let token = match &self.token {
            Some(token) => Some(token.read().await?),
            None => None,
        };
        let key = Key {
            id: self.id.read().await?,
            secret: self.secret.read().await?,
            token,
            region: self.region.clone(),
        };
        let sources = [&self.id, &self.secret].into_iter().chain(&self.token);
        let rotates = sources.into_iter().any(SecretSource::is_file);
        let grant = Grant::new().signed_with(key);
        Ok(if rotates { grant.lifetime(READ_AGAIN) } else { grant })
    }
}

impl Credentials for AccessKey {
    fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
        Box::pin(self.read())
    }
}

/// Shows the region only.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("region", &self.region).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nacos_testkit::TimeLimit;

    use super::*;
    use crate::transport::Dialer;

    fn context() -> GrantContext {
        GrantContext {
            servers: Vec::new(),
            dialer: Dialer::plain(),
            refused: false,
            context_path: "nacos".into(),
            within: std::time::Duration::from_secs(5),
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = AccessKey::new("hunter1", "hunter2").security_token("hunter3");
        assert!(!format!("{key:?}").contains("hunter"));
    }

    #[tokio::test]
    async fn key_in_memory_is_granted_for_ever_and_always_the_same() {
        TimeLimit::for_test();
        let key = AccessKey::new("ak", "sk");
        let first = key.grant(&context()).await.expect("granted");
        assert_eq!(first.expires_after(), None);
        assert!(first.is_same(&key.grant(&context()).await.expect("granted")));
    }

    #[tokio::test]
    async fn key_in_files_is_another_one_once_the_files_are() {
        TimeLimit::for_test();
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).expect("written");
        for name in ["ak", "sk", "sts"] {
            write(name, "1\n");
        }
        let key = AccessKey::from_files(path("ak"), path("sk")).security_token_file(path("sts"));
        for name in ["ak", "sk", "sts"] {
            let before = key.grant(&context()).await.expect("granted");
            assert!(before.is_same(&key.grant(&context()).await.expect("granted")));
            assert_eq!(before.expires_after(), Some(READ_AGAIN));
            write(name, "2\n");
            assert!(!before.is_same(&key.grant(&context()).await.expect("granted")), "{name}");
        }
    }
}
