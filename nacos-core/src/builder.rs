//! The builder of a client, whose options are checked when it connects.
use std::sync::Arc;

use crate::{
    client::Client,
    connection,
    credentials::Credentials,
    env,
    error::{Error, ErrorKind},
    options::{self, ClientOptions},
    secret::Secret,
    state::SessionState,
};

/// Options of a [`Client`]. Setters cannot fail; everything is checked by
/// [`connect`](Self::connect) or [`connect_lazy`](Self::connect_lazy).
///
/// ```no_run
/// # async fn example() -> Result<(), nacos_core::Error> {
/// use nacos_core::Client;
///
/// let nacos = Client::builder()
///     .server_addr("10.0.0.1:8848,10.0.0.2:8848")
///     .namespace("staging")
///     .credentials("orders", std::env::args().nth(1).unwrap_or_default())
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it connects"]
pub struct ClientBuilder {
    pub(crate) options: ClientOptions,
    /// What the environment says: whatever is set on the builder wins.
    environment: Box<ClientOptions>,
    /// Given as themselves: they need no options.
    credentials: Option<Arc<dyn Credentials>>,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self { options: ClientOptions::default(), environment: Box::default(), credentials: None }
    }

    /// Reads the environment: the variable of each option is listed at [`ClientOptions`]. Empty
    /// ones count as unset, and what is set on the builder afterwards wins, also over what is meant
    /// in its place: see [`ClientOptions::or`].
    ///
    /// Of the names by which the Java and Go clients are configured those are read too that mean
    /// the same and cannot be meant for somebody else: `username` is no name for a variable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] names the variable that cannot be read; never its value, which
    /// may be a secret in the wrong place.
    pub fn from_env() -> Result<Self, Error> {
        Ok(Self { environment: Box::new(env::read()?), ..Self::new() })
    }

    /// Sets what `options` says, and leaves the rest as it is.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use nacos_core::{Client, ClientOptions};
    ///
    /// let file = r#"{ "server-addr": "10.0.0.1:8848", "connect-timeout": "2s" }"#;
    /// let options: ClientOptions = serde_json::from_str(file)?;
    /// let builder = Client::builder().options(options).app("orders");
    /// # Ok(()) }
    /// ```
    pub fn options(self, options: ClientOptions) -> Self {
        Self { options: options.or(self.options), ..self }
    }

    /// The user to log in, and the password, which goes nowhere but into the body of the login. For
    /// everything else that servers may want see [`with_credentials`](Self::with_credentials).
    pub fn credentials(self, username: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.username(username).password(password)
    }

    /// Whoever says what requests have to carry, in place of what any option says about that: one
    /// of [`credentials`](crate::credentials), or your own.
    ///
    /// ```
    /// use nacos_core::{Client, credentials::StaticToken};
    ///
    /// let builder = Client::builder().with_credentials(StaticToken::new("eyJhbGciOi"));
    /// ```
    pub fn with_credentials(mut self, credentials: impl Credentials) -> Self {
        self.credentials = Some(Arc::new(credentials));
        self
    }

    /// Connects, logs in, and returns once a server has registered the connection.
    ///
    /// # Errors
    ///
    /// Fails fast: as soon as every server has refused, or after
    /// [`connect_timeout`](Self::connect_timeout). The error's source names every address that was
    /// tried, and why it failed; or the address server, and why it has no list. [`ErrorKind::Denied`] for a wrong password,
    /// [`ErrorKind::InvalidOption`] and [`ErrorKind::InvalidName`] before anything is sent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime; only [`connect_lazy`](Self::connect_lazy) with
    /// [`dedicated_thread`](Self::dedicated_thread) needs none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn connect(self) -> Result<Client, Error> {
        let options = self.check()?;
        let within = options.connect_timeout;
        let servers = options.server_names();
        let client = Client::start(options)?;
        let mut state = client.state();
        let settled = |state: &SessionState| !matches!(state, SessionState::Connecting { .. });
        let doing = format!("connect to {servers}");
        let state = tokio::time::timeout(within, state.wait_for(settled)).await;
        let disconnected = |cause: Option<String>| {
            let cause = cause.unwrap_or_else(|| "no server answered in time".to_owned());
            let hint = "a client talks to the main port + 1000 (gRPC), logs in at the main port, \
                        and speaks TLS only if told to (`tls`)";
            Error::new(ErrorKind::Disconnected, &doing).because(format!("{cause}; {hint}"))
        };
        match state.as_ref().map(Option::as_deref) {
            Ok(Some(SessionState::Connected { .. })) => Ok(client),
            Ok(Some(SessionState::Denied { cause })) => {
                Err(Error::new(ErrorKind::Denied, &doing).because(cause.to_string()))
            }
            Ok(Some(state)) => Err(disconnected(state.cause().map(ToString::to_string))),
            Ok(None) => Err(disconnected(None)),
            Err(_) => Err(disconnected(client.state().get().cause().map(ToString::to_string))),
        }
    }

    /// Returns at once, and connects in the background: now, or when a server appears.
    ///
    /// Requests wait for a connection within their timeout; claims are made as soon as there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] and [`ErrorKind::InvalidName`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime; with [`dedicated_thread`](Self::dedicated_thread) it needs none.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        Client::start(self.check()?)
    }

    fn check(self) -> Result<connection::Options, Error> {
        options::check(self.options.or(*self.environment), self.credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::StaticToken;

    #[test]
    fn own_credentials_take_the_place_of_what_options_say_right_or_wrong() {
        let builder = ClientBuilder::new().server_addr("a");
        for builder in [
            builder.clone().username("nobody knows the password"),
            builder.clone().username("nacos").access_token("a"),
            builder.access_key("only half of it"),
        ] {
            assert!(builder.clone().check().is_err());
            let checked = builder.with_credentials(StaticToken::new("a")).check().expect("valid");
            assert!(format!("{:?}", checked.credentials).contains("StaticToken"));
        }
    }
}
