//! The builder of a client, whose options are checked when it connects.
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::{
    client::Client,
    connection,
    credentials::Credentials,
    env,
    error::{Error, ErrorKind},
    options::{self, ClientOptions},
    secret::Secret,
    session::ABOUT_LOGIN,
    state::SessionState,
    tasks,
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
    /// the same and cannot be meant for somebody else: `username` is no name for a variable. Our
    /// own names win over them in the same way. A variable that differs from a name of ours by one
    /// or two letters is warned about, and otherwise ignored: it may be meant for somebody else.
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
    /// [`connect_timeout`](Self::connect_timeout), within which a slow one is given ever more time,
    /// and within which files of certificates are read too, beside the runtime. The error's source
    /// names every address that was tried, and why it failed; or the address server, and why it has
    /// no list. [`ErrorKind::InvalidOption`] and [`ErrorKind::InvalidName`] before anything is sent.
    ///
    /// [`ErrorKind::Denied`] for a refused login, and where there are no credentials and the servers
    /// demand a login, which one request finds out. A server that has just started refuses a right
    /// password as it does a wrong one, so the login is tried again after 1, 2 and 4 s within the
    /// timeout, and the error names both causes. Servers that refuse the login and demand none are
    /// connected to: see [`Access::WithoutLogin`](crate::Access::WithoutLogin).
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
        let (options, certificates) =
            options::prepare(self.options.or(*self.environment), self.credentials)?;
        let deadline = Instant::now() + options.connect_timeout;
        let doing = format!("connect to {}", options.server_names());
        if let Some(certificates) = certificates {
            let reading = tasks::blocking(move || certificates.read());
            let Ok(Some(outcome)) = timeout_at(deadline, reading).await else {
                let why = "the certificates could not be read in time";
                return Err(Error::new(ErrorKind::Disconnected, &doing).because(why.to_owned()));
            };
            outcome?;
        }
        let asks_who = options.credentials.is_some();
        let client = Client::start(options)?;
        if !asks_who {
            // Somewhat earlier: that the answer is late is no reason not to be connected.
            client.knock(deadline - (deadline - Instant::now()) / 10);
        }
        let mut state = client.state();
        // A server that is starting refuses the right password, too: its tries are waited for.
        let settled = |state: &SessionState| match state {
            SessionState::Connecting { .. } => false,
            SessionState::Denied { .. } => state.is_refused(),
            _ => true,
        };
        let settled = timeout_at(deadline, state.wait_for(settled)).await;
        let (state, is_late) = match settled {
            Ok(settled) => (settled, false),
            Err(_) => (Some(client.state().get()), true),
        };
        let disconnected = |cause: &str| {
            // What HTTP was answered with has nothing to do with gRPC's port.
            let hint =
                if cause.starts_with(ABOUT_LOGIN) || client.knows_no_server() { "" } else { HINT };
            Error::new(ErrorKind::Disconnected, &doing).because(format!("{cause}{hint}"))
        };
        match state.as_deref() {
            Some(SessionState::Connected { .. }) => Ok(client),
            Some(SessionState::Denied { cause, .. }) => {
                Err(Error::new(ErrorKind::Denied, &doing).because(cause.to_string()))
            }
            Some(state) => match state.cause() {
                // A pass that has failed tells of every server, one under way of some.
                Some(cause) => Err(disconnected(cause)),
                None if is_late => {
                    let cause = client.explain().await;
                    Err(disconnected(cause.as_deref().unwrap_or(NOBODY)))
                }
                None => Err(disconnected(NOBODY)),
            },
            None => Err(disconnected(NOBODY)),
        }
    }

    /// Returns at once, and connects in the background: now, or when a server appears.
    ///
    /// Requests wait for a connection within their timeout; claims are made as soon as there is one.
    /// Files of certificates are read right here, so that what is wrong with them is said at once.
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

    /// Blocks while certificates are read.
    fn check(self) -> Result<connection::Options, Error> {
        options::check(self.options.or(*self.environment), self.credentials)
    }
}

/// What is often overlooked where no connection comes up.
const HINT: &str = "; a client talks to the main port + 1000 (gRPC), logs in at the main port, and \
     speaks TLS only if told to (`tls`)";
const NOBODY: &str = "no server answered in time";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credentials::StaticToken, locator::Source};

    /// A builder made from an environment of exactly these.
    fn in_environment(variables: &[(&str, &str)]) -> ClientBuilder {
        let environment = Box::new(env::of(variables).expect("readable"));
        ClientBuilder { environment, ..ClientBuilder::new() }
    }

    fn checked(builder: ClientBuilder) -> connection::Options {
        builder.check().unwrap_or_else(|error| panic!("{error:?}"))
    }

    #[test]
    fn servers_named_in_code_beat_those_of_the_environment() {
        let environment = in_environment(&[
            ("NACOS_ENDPOINT", "http://jmenv/list"),
            ("NACOS_ENDPOINT_QUERY", "token=t"),
        ]);
        let options = checked(environment.clone().server_addr("a:1"));
        assert_eq!((options.server_names().as_str(), options.locator.is_none()), ("a:1", true));
        let options = checked(environment.clone().server_dns("nacos"));
        assert!(matches!(options.locator.expect("a name").source, Source::Name(_)));
        let options = checked(environment);
        assert!(matches!(options.locator.expect("an endpoint").source, Source::Endpoint(_)));
        let options = checked(in_environment(&[("NACOS_SERVER_ADDR", "b:1")]).server_addr("a:1"));
        assert_eq!(options.server_names(), "a:1");
    }

    #[test]
    fn namespace_in_code_beats_every_namespace_of_the_environment() {
        let environment = in_environment(&[
            ("NACOS_SERVER_ADDR", "a"),
            ("NACOS_CONFIG_NAMESPACE", "prod"),
            ("ALIBABA_ALIWARE_NAMESPACE", "theirs"),
        ]);
        let namespaces = |builder: ClientBuilder| {
            let options = checked(builder);
            let text = |namespace: &crate::Namespace| namespace.as_str().to_owned();
            (text(&options.config_namespace), text(&options.naming_namespace))
        };
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(namespaces(environment.clone()), pair("prod", "theirs"));
        assert_eq!(namespaces(environment.clone().namespace("dev")), pair("dev", "dev"));
        assert_eq!(namespaces(environment.naming_namespace("dev")), pair("prod", "dev"));
    }

    #[test]
    fn credentials_in_code_beat_those_of_another_kind_in_the_environment() {
        let environment = in_environment(&[
            ("NACOS_SERVER_ADDR", "a"),
            ("NACOS_ACCESS_TOKEN_FILE", "/token"),
            ("NACOS_APP", "orders"),
        ]);
        let options = checked(environment.clone().credentials("nacos", "nacos"));
        let who = format!("{:?}", options.credentials);
        assert!(who.contains("UserPassword"), "{who}");
        assert_eq!(options.app, "orders", "what is not contradicted stays");
        let who = format!("{:?}", checked(environment.access_token("t")).credentials);
        assert!(who.contains("StaticToken") && !who.contains("/token"), "{who}");
    }

    #[test]
    fn tls_switched_off_in_code_beats_all_that_the_environment_says_about_it() {
        let environment = in_environment(&[
            ("NACOS_SERVER_ADDR", "a"),
            ("nacos_remote_client_rpc_tls_enable", "true"),
            ("nacos_remote_client_rpc_tls_trustAll", "true"),
            ("NACOS_TLS_CA_FILE", "/there/is/no/such/file"),
        ]);
        assert!(environment.clone().check().is_err());
        let options = checked(environment.tls(false));
        assert!(!options.dialer.secures_grpc(&options.servers[0]));
    }

    #[test]
    fn options_of_a_file_stand_between_code_and_the_environment() {
        let file = r#"{"serverAddr": "file", "app": "file", "request-timeout": "3s"}"#;
        let file = serde_json::from_str(file).expect("readable");
        let builder = in_environment(&[
            ("NACOS_ENDPOINT", "jmenv"),
            ("NACOS_APP", "environment"),
            ("NACOS_SUSPECT_AFTER", "2s"),
        ]);
        let options = checked(builder.options(file).app("code"));
        assert_eq!((options.server_names().as_str(), options.app.as_str()), ("file:8848", "code"));
        assert_eq!(options.request_timeout, std::time::Duration::from_secs(3));
        assert_eq!(options.patience.suspect, std::time::Duration::from_secs(2));
    }

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
