//! Authentication: the trait of all credentials, and its implementations.
//!
//! | servers want | use | options |
//! | --- | --- | --- |
//! | nothing | nothing | none |
//! | a user | [`UserPassword`] | `username`, and `password` or `password_file` |
//! | a token that another program has obtained | [`StaticToken`] | `access_token` or `access_token_file` |
//! | an OIDC provider's token (3.2 and later) | [`OidcClient`] | `oidc_issuer`, `oidc_client_id`, … |
//! | a header that a proxy or a plugin looks at | [`IdentityHeader`] | `identity_key`, `identity_value` |
//! | requests signed with an Aliyun access key (RAM) | `AccessKey`, feature `ram` | `access_key`, `secret_key`, … |
//! | anything else | your own [`Credentials`] | [`with_credentials`](crate::ClientBuilder::with_credentials) |
//!
//! # Rotation
//!
//! Options whose name ends in `_file` are read again whenever they are needed: a password at each
//! login, an OIDC client's secret for each token, a token or a key every 30 s and whenever a
//! server refuses the one in use. So a secret that is replaced on disk is used without a restart.
//! Files hold the secret alone, in UTF-8, of at most 64 KiB; one line break at the end does not
//! count. They are read outside the session's task, so that a disk that hangs delays a renewal and
//! nothing else.
//!
//! # When servers refuse
//!
//! A login that is refused is tried again by itself: [`Denial`](crate::Denial) says how soon, and
//! what it is likely to mean. Tries are counted for each credential, not for the client: a password
//! that was replaced in its file and has never worked is a new one. Where servers demand no login,
//! one that was refused, or reached no server, stops the client only with `require_login`: see
//! [`Access`](crate::Access).
//!
//! For an [`OidcClient`] the login is the request to the provider. A token of it that servers
//! refuse is replaced, once a minute at most.
//!
//! No server issues a static token, a header or a signature, so the first refusal is that of a
//! request. A refused request fails with [`ErrorKind::Denied`](crate::ErrorKind). The credentials
//! are then asked again, once a minute at most, because their files may have changed. The claims of
//! guards are made again automatically: ever more rarely in the first minute of a connection, in
//! which a server may not know its users' rights yet, and every 30 to 60 s after that.
//!
//! # What is kept secret
//!
//! Passwords, tokens and keys are [`Secret`](crate::Secret)s: no `Debug`, log line or error shows
//! them, and their memory is overwritten when they are dropped. The bytes of a request belong to
//! the network stack once they are sent, and are not overwritten.
#[cfg(feature = "ram")]
mod access_key;
mod fixed;
mod grant;
mod headers;
mod oidc;
mod password;
#[cfg(feature = "ram")]
mod sign;
mod source;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

#[cfg(feature = "ram")]
pub use self::access_key::AccessKey;
pub use self::{
    fixed::{IdentityHeader, StaticToken},
    grant::{Grant, GrantError},
    headers::RequestHeaders,
    oidc::{OidcAuthMethod, OidcClient, OidcProvider},
    password::UserPassword,
};
pub(crate) use self::{grant::GrantFailure, source::SecretSource};
pub use crate::resource::Resource;
use crate::{server::Server, transport::Dialer};

/// The future that [`Credentials::grant`] returns.
pub type GrantFuture<'a> = Pin<Box<dyn Future<Output = Result<Grant, GrantError>> + Send + 'a>>;

/// The source of what requests have to carry so that servers let them in.
///
/// That is a [`Grant`]: fixed headers, such as the access token that a login brought, and
/// optionally a function that signs each request. The client asks for one before its first request,
/// again shortly before it expires, and again when a server refuses it: at most once a minute, and
/// once for all requests that were refused meanwhile.
///
/// Implement it for what this crate does not know, for example tokens that stand in a vault:
///
/// ```
/// use std::time::Duration;
///
/// use nacos_core::{
///     Client, Secret,
///     credentials::{Credentials, Grant, GrantContext, GrantError, GrantFuture},
/// };
///
/// #[derive(Debug)]
/// struct Vault {
///     path: String,
/// #    token: Secret,
/// }
///
/// impl Vault {
///     async fn read(&self) -> Result<(Secret, Duration), String> {
///         // Here stands a request to the vault.
/// #        assert_eq!(self.path, "nacos/orders");
/// #        Ok((self.token.clone(), Duration::from_secs(600)))
///     }
/// }
///
/// impl Credentials for Vault {
///     fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
///         Box::pin(async move {
///             let (token, lifetime) = self.read().await.map_err(GrantError::unavailable)?;
///             Ok(Grant::access_token(token).lifetime(lifetime))
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::builder().credentials("nacos", "secret").start().await?;
/// # let address = server.addr().to_string();
/// # let token = Secret::new(server.issue_token());
/// # let vault = Vault { path: "nacos/orders".to_owned(), token };
/// let nacos = Client::builder().server_addr(address).with_credentials(vault).connect().await?;
/// nacos.configs().publish(nacos_core::Publish::new("orders.yaml", "limit: 7")?).await?;
/// # Ok(()) }
/// ```
///
/// `Debug` is required because every type that holds credentials can be shown; an implementation
/// that keeps what is secret in [`Secret`](crate::Secret)s can derive it.
pub trait Credentials: fmt::Debug + Send + Sync + 'static {
    /// Logs in, or says what requests carry without that.
    ///
    /// Runs in a task of its own, for at most 30 s, one call at a time. A panic counts as
    /// [`GrantError::unavailable`].
    ///
    /// # Errors
    ///
    /// [`GrantError::denied`] if asking again would change nothing: requests then fail with
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied), and the client asks again after 1, 2 and
    /// 4 s, then once a minute. [`GrantError::refused`] if it may pass: meanwhile requests wait
    /// ([`Denial::NotReady`](crate::Denial)). After a grant, either is asked again after 1, 2, 4,
    /// 5, 5 … s for a minute. [`GrantError::unavailable`] otherwise: the client asks again soon,
    /// ever more slowly, and a former grant serves on. Either is shown in logs and errors: a
    /// message never quotes a secret.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client is, and at its deadline.
    fn grant<'a>(&'a self, context: &'a GrantContext) -> GrantFuture<'a>;
}

/// Facts that [`Credentials`] may need for a [`Grant`].
#[derive(Clone, Debug)]
pub struct GrantContext {
    /// In the order in which to ask them.
    pub(crate) servers: Vec<Server>,
    pub(crate) dialer: Dialer,
    pub(crate) refused: bool,
    /// Without slashes around it; empty for none.
    pub(crate) context_path: Arc<str>,
    /// For one server.
    pub(crate) within: Duration,
}

impl GrantContext {
    /// The main (HTTP) addresses of the servers, `host:port` each, in a random order: where to log
    /// in, for credentials that do that with Nacos itself.
    pub fn servers(&self) -> impl Iterator<Item = String> + '_ {
        self.servers.iter().map(Server::to_string)
    }

    /// The path below which servers answer HTTP: `/nacos` unless the option `context_path` says
    /// otherwise, empty if it is the root.
    #[must_use]
    pub fn context_path(&self) -> String {
        below(&self.context_path)
    }

    /// Whether this is asked because a server refused what was granted last: credentials that keep
    /// a copy of it throw it away.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused
    }
}

/// The path `context_path` with its slash, empty if it is the root.
pub(crate) fn below(context_path: &str) -> String {
    match context_path {
        "" => String::new(),
        path => format!("/{path}"),
    }
}
