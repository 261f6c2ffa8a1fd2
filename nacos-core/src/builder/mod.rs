//! The builder of a client, whose options are checked when it connects.
mod setters;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    client::Client,
    connection,
    credentials::Credentials,
    env,
    error::{Error, ErrorKind},
    filter::{ConfigFilter, Named},
    options::{self, ClientOptions},
    secret::Secret,
    session::ABOUT_LOGIN,
    snapshot::SnapshotDir,
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
    /// The options of the environment: those set on the builder win.
    environment: Box<ClientOptions>,
    /// Given as themselves: they need no options.
    credentials: Option<Arc<dyn Credentials>>,
    /// In the order in which they were given.
    filters: Vec<Named>,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            options: ClientOptions::default(),
            environment: Box::default(),
            credentials: None,
            filters: Vec::new(),
        }
    }

    /// Reads the environment: the variable of each option is listed at [`ClientOptions`]. Empty
    /// ones count as unset, and what is set on the builder afterwards wins, also over what is meant
    /// in its place: see [`ClientOptions::or`].
    ///
    /// Of the names by which the Java and Go clients are configured those are read too that mean
    /// the same and cannot be meant for another program: `username` is no name for a variable. Our
    /// own names win over them in the same way. A variable that differs from a name of ours by one
    /// or two letters is warned about, and otherwise ignored: it may be meant for another program.
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

    /// Pulls no faster than fits a large fleet on few servers: 100 watched documents at once and 10
    /// a second ([`pull_burst`](Self::pull_burst), [`pull_rate`](Self::pull_rate)), and within 30 s
    /// after a mass event ([`pull_stagger`](Self::pull_stagger)). A value may be old for that long.
    ///
    /// ```
    /// let builder = nacos_core::Client::builder().strict();
    /// ```
    pub fn strict(self) -> Self {
        self.pull_burst(100).pull_rate(10).pull_stagger(Duration::from_secs(30))
    }

    /// Sets the credentials, in place of those that any option names: one of
    /// [`credentials`](crate::credentials), or your own.
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

    /// Adds a filter, through which documents pass before they are published and after they were
    /// read: see [`filter`](crate::filter). Of several, the first one is nearest to the program.
    ///
    /// ```
    /// use nacos_core::{Client, filter::ConfigFilter};
    ///
    /// /// Changes nothing.
    /// #[derive(Debug)]
    /// struct Idle;
    ///
    /// impl ConfigFilter for Idle {}
    ///
    /// let builder = Client::builder().with_config_filter(Idle);
    /// ```
    pub fn with_config_filter(mut self, filter: impl ConfigFilter) -> Self {
        self.filters.push(Named::new(filter));
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
    /// no list; and it names `connect_lazy` if there are snapshots to start with.
    /// [`ErrorKind::InvalidOption`] and [`ErrorKind::InvalidName`] before anything is
    /// sent.
    ///
    /// [`ErrorKind::Denied`] for a refused login, and where there are no credentials and the
    /// servers demand a login, which one request finds out. A server that has just started refuses
    /// a right password as it does a wrong one, and some servers say the same of a failure, so the
    /// login is tried again after 1, 2 and 4 s within the timeout, and the error names both causes.
    /// Servers that demand no login are connected to without one that was refused, or reached
    /// nobody: see [`Access::WithoutLogin`](crate::Access::WithoutLogin).
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
        let options = options.with_filters(self.filters);
        let deadline = Instant::now() + options.transport.connect_timeout;
        let doing = format!("connect to {}", options.server_names());
        if let Some(certificates) = certificates {
            let reading = tasks::blocking(move || certificates.read());
            let Ok(Some(outcome)) = timeout_at(deadline, reading).await else {
                let why = "the certificates could not be read in time";
                return Err(Error::new(ErrorKind::Disconnected, &doing).because(why.to_owned()));
            };
            outcome?;
        }
        let asks_who = options.access.credentials.is_some();
        let snapshots = options.snapshots.clone();
        let client = Client::start(options)?;
        if !asks_who {
            // Somewhat earlier: that the answer is late is no reason not to be connected.
            client.knock(deadline - (deadline - Instant::now()) / 10);
        }
        // A server that is starting refuses the right password, too: its tries are waited for.
        let (state, is_late) = match timeout_at(deadline, client.settled()).await {
            Ok(state) => (state, false),
            Err(_) => (SessionState::clone(&client.state().get()), true),
        };
        if state.is_connected() {
            return Ok(client);
        }
        let kept = on_disk(snapshots).await;
        let disconnected = |cause: &str| {
            // A login that failed over HTTP has nothing to do with gRPC's port.
            let hint =
                if cause.starts_with(ABOUT_LOGIN) || client.knows_no_server() { "" } else { HINT };
            Error::new(ErrorKind::Disconnected, &doing).because(format!("{cause}{hint}{kept}"))
        };
        match &state {
            SessionState::Denied { .. } => Err(state.error_of(&doing)),
            state => match state.cause() {
                // A search that has failed tells of every server, one under way of some.
                Some(cause) => Err(disconnected(cause)),
                None if is_late => {
                    let cause = client.explain().await;
                    Err(disconnected(cause.as_deref().unwrap_or(NOBODY)))
                }
                None => Err(disconnected(NOBODY)),
            },
        }
    }

    /// Returns at once, and connects in the background: now, or when a server appears.
    ///
    /// Requests wait for a connection within their timeout; claims are made as soon as there is
    /// one. Watched documents start from their snapshots as [`start_policy`](Self::start_policy)
    /// says, also while no server is in sight. Files of certificates are read right here, so that
    /// what is wrong with them is said at once.
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
        let options = options::check(self.options.or(*self.environment), self.credentials)?;
        Ok(options.with_filters(self.filters))
    }
}

impl Client {
    /// Begins a client with nothing but defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Begins a client with what the `NACOS_*` variables of the environment say.
    ///
    /// Options set on the builder afterwards win. See [`ClientBuilder::from_env`] for the names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`](crate::ErrorKind::InvalidOption) for a value that cannot be
    /// read.
    pub fn from_env() -> Result<ClientBuilder, Error> {
        ClientBuilder::from_env()
    }
}

/// A start without a server, where the disk allows one.
async fn on_disk(snapshots: Option<SnapshotDir>) -> &'static str {
    let Some(snapshots) = snapshots else { return "" };
    let looking = tasks::blocking(move || snapshots.count(1).unwrap_or_default());
    match timeout(LOOK, looking).await {
        Ok(Some(1..)) => SNAPSHOTS,
        _ => "",
    }
}

/// For a disk, when everything else has been waited for already.
const LOOK: Duration = Duration::from_millis(250);
const SNAPSHOTS: &str =
    "; there are snapshots of documents on disk: `connect_lazy` starts with them";
/// The usual oversights where no connection comes up.
const HINT: &str = "; a client talks to the main port + 1000 (gRPC), logs in at the main port, and \
     speaks TLS only if told to (`tls`)";
const NOBODY: &str = "no server answered in time";
