//! The options of a client, checked when it connects.
use std::{fmt, time::Duration};

use crate::{
    client::{Client, LONGEST},
    connection,
    credentials::Credentials,
    env,
    error::{Error, ErrorKind},
    key::{InvalidName, Namespace},
    server::Server,
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
#[derive(Clone)]
#[must_use = "nothing happens until it connects"]
pub struct ClientBuilder {
    server_addr: Option<String>,
    namespace: Option<String>,
    config_namespace: Option<String>,
    naming_namespace: Option<String>,
    username: Option<String>,
    password: Option<String>,
    app: Option<String>,
    grpc_port_offset: u16,
    receive_limit: usize,
    connect_timeout: Duration,
    request_timeout: Duration,
    backoff_cap: Duration,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            server_addr: None,
            namespace: None,
            config_namespace: None,
            naming_namespace: None,
            username: None,
            password: None,
            app: None,
            grpc_port_offset: GRPC_PORT_OFFSET,
            receive_limit: RECEIVE_LIMIT,
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            backoff_cap: BACKOFF_CAP,
        }
    }

    /// Reads these variables of the environment, each of which is the builder's option of the same
    /// name: `NACOS_SERVER_ADDR`, `NACOS_NAMESPACE`, `NACOS_CONFIG_NAMESPACE`,
    /// `NACOS_NAMING_NAMESPACE`, `NACOS_USERNAME`, `NACOS_PASSWORD`, `NACOS_APP`,
    /// `NACOS_GRPC_PORT_OFFSET`, `NACOS_RECEIVE_LIMIT` (bytes), `NACOS_CONNECT_TIMEOUT_MS`,
    /// `NACOS_REQUEST_TIMEOUT_MS`, `NACOS_BACKOFF_CAP_MS`. Empty ones count as unset.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] names the variable that cannot be read; never its value, which
    /// may be a secret in the wrong place.
    pub fn from_env() -> Result<Self, Error> {
        env::read(Self::new())
    }

    /// The servers: `host[:port]`, several separated by `,` or `;`. The port is the main (HTTP)
    /// one, 8848 if it is left out; an IPv6 address stands in brackets. Required.
    pub fn server_addr(mut self, addresses: impl Into<String>) -> Self {
        self.server_addr = Some(addresses.into());
        self
    }

    /// The namespace (its id, not its display name) of documents and services. Default: the
    /// default namespace, also spelled `public`.
    pub fn namespace(mut self, id: impl Into<String>) -> Self {
        self.namespace = Some(id.into());
        self
    }

    /// The namespace of documents, if it is another than that of services.
    pub fn config_namespace(mut self, id: impl Into<String>) -> Self {
        self.config_namespace = Some(id.into());
        self
    }

    /// The namespace of services, if it is another than that of documents.
    pub fn naming_namespace(mut self, id: impl Into<String>) -> Self {
        self.naming_namespace = Some(id.into());
        self
    }

    /// The user to log in, and the password, which goes nowhere but into the body of the login.
    pub fn credentials(self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.username(username).password(password)
    }

    /// The user to log in; needs a [`password`](Self::password).
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password; needs a [`username`](Self::username).
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The application's name, shown in consoles. Default: `unknown`.
    pub fn app(mut self, name: impl Into<String>) -> Self {
        self.app = Some(name.into());
        self
    }

    /// How far the gRPC port lies above the main port. Default: 1000.
    pub fn grpc_port_offset(mut self, offset: u16) -> Self {
        self.grpc_port_offset = offset;
        self
    }

    /// The largest message that is read, in bytes. A larger one costs itself, not the session.
    /// Default: 64 MiB.
    pub fn receive_limit(mut self, bytes: usize) -> Self {
        self.receive_limit = bytes;
        self
    }

    /// How long [`connect`](Self::connect) tries, all servers together. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// For one request, waiting for a connection and repetitions included. Default: 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The longest delay between two attempts to connect, in an outage of more than a minute.
    /// Default: 10 s; at least 250 ms.
    pub fn backoff_cap(mut self, cap: Duration) -> Self {
        self.backoff_cap = cap;
        self
    }

    /// Connects, logs in, and returns once a server has registered the connection.
    ///
    /// # Errors
    ///
    /// Fails fast: as soon as every server has refused, or after
    /// [`connect_timeout`](Self::connect_timeout). The error's source names every address that was
    /// tried, and why it failed. [`ErrorKind::Denied`] for a wrong password,
    /// [`ErrorKind::InvalidOption`] and [`ErrorKind::InvalidName`] before anything is sent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn connect(self) -> Result<Client, Error> {
        let within = self.connect_timeout.min(LONGEST);
        let options = self.check()?;
        let servers = server_names(&options.servers);
        let client = Client::start(options);
        let mut state = client.state();
        let settled = |state: &SessionState| !matches!(state, SessionState::Connecting { .. });
        let doing = format!("connect to {servers}");
        let state = tokio::time::timeout(within, state.wait_for(settled)).await;
        let disconnected = |cause: Option<String>| {
            let cause = cause.unwrap_or_else(|| "no server answered in time".to_owned());
            let hint =
                "a client talks to the main port + 1000 (gRPC), and logs in at the main port";
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
    /// Outside of a tokio runtime.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        Ok(Client::start(self.check()?))
    }

    fn check(self) -> Result<connection::Options, Error> {
        let invalid = |option: &str, why: String| {
            Error::new(ErrorKind::InvalidOption, format!("read the option `{option}`")).because(why)
        };
        let addresses = self.server_addr.unwrap_or_default();
        let servers = Server::parse_list(&addresses, self.grpc_port_offset)
            .map_err(|why| invalid("server_addr", why))?;
        if servers.is_empty() {
            return Err(invalid("server_addr", "no server is named".to_owned()));
        }
        let credentials = match (self.username, self.password) {
            (None, None) => None,
            (Some(username), Some(password)) => Some(Credentials::new(username, password)),
            (Some(_), None) => {
                return Err(invalid("password", "there is a user without one".to_owned()));
            }
            (None, Some(_)) => {
                return Err(invalid("username", "there is a password without one".to_owned()));
            }
        };
        let namespace = |own: Option<String>, common: &Option<String>| {
            let id = own.as_ref().or(common.as_ref()).map_or("", String::as_str);
            Namespace::parse(id).map_err(|invalid: InvalidName| {
                Error::new(ErrorKind::InvalidName, "read the namespace").because(invalid)
            })
        };
        let config_namespace = namespace(self.config_namespace, &self.namespace)?;
        let naming_namespace = namespace(self.naming_namespace, &self.namespace)?;
        if config_namespace != naming_namespace {
            tracing::warn!(
                %config_namespace,
                %naming_namespace,
                "documents and services are in different namespaces"
            );
        }
        Ok(connection::Options {
            servers,
            config_namespace,
            naming_namespace,
            credentials,
            app: self.app.unwrap_or_else(|| "unknown".to_owned()),
            receive_limit: self.receive_limit,
            request_timeout: self.request_timeout.min(LONGEST),
            // Below that, a server that is gone would be asked in a hot loop.
            backoff_cap: self.backoff_cap.clamp(MIN_BACKOFF_CAP, LONGEST),
        })
    }
}

/// Shows every option but the user and the password.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("server_addr", &self.server_addr)
            .field("namespace", &self.namespace)
            .field("config_namespace", &self.config_namespace)
            .field("naming_namespace", &self.naming_namespace)
            .field("has_credentials", &self.username.is_some())
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

fn server_names(servers: &[Server]) -> String {
    servers.iter().map(Server::to_string).collect::<Vec<_>>().join(", ")
}

const MIN_BACKOFF_CAP: Duration = Duration::from_millis(250);
const BACKOFF_CAP: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const GRPC_PORT_OFFSET: u16 = 1000;
const RECEIVE_LIMIT: usize = 64 * 1024 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_options_are_refused_before_anything_is_sent() {
        let kind = |builder: ClientBuilder| builder.check().expect_err("invalid").kind();
        let builder = || ClientBuilder::new().server_addr("localhost");
        assert_eq!(kind(ClientBuilder::new()), ErrorKind::InvalidOption);
        assert_eq!(kind(ClientBuilder::new().server_addr("a b")), ErrorKind::InvalidOption);
        assert_eq!(kind(builder().username("nacos")), ErrorKind::InvalidOption);
        assert_eq!(kind(builder().password("secret")), ErrorKind::InvalidOption);
        assert_eq!(kind(builder().namespace("a b")), ErrorKind::InvalidName);
        assert!(builder().credentials("nacos", "secret").check().is_ok());
    }

    #[test]
    fn special_namespaces_beat_the_common_one() {
        let options = ClientBuilder::new()
            .server_addr("localhost")
            .namespace("common")
            .naming_namespace("services")
            .check()
            .expect("valid");
        assert_eq!(options.config_namespace.as_str(), "common");
        assert_eq!(options.naming_namespace.as_str(), "services");
    }

    #[test]
    fn hostile_durations_are_bounded() {
        for (given, cap) in [(Duration::ZERO, MIN_BACKOFF_CAP), (Duration::MAX, LONGEST)] {
            let builder = ClientBuilder::new().server_addr("localhost");
            let options = builder.backoff_cap(given).request_timeout(given).check();
            let options = options.expect("valid");
            assert_eq!(options.backoff_cap, cap);
            assert!(options.request_timeout <= LONGEST);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let builder = ClientBuilder::new().credentials("nacos", "hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
