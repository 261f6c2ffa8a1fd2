//! The front door: one client, one session.
use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::Configs,
    connection::{self, Connection, ShutdownReport},
    error::Error,
    inspect::{Inspect, SessionInspect},
    key::Namespace,
    live::Live,
    naming::Naming,
    session_stats::SessionStats,
    state::SessionState,
    time::LONGEST,
};

/// A Nacos client: one connection to one server at a time, for configuration and naming alike.
///
/// Cheap to clone; every clone is the same session. The session ends when the last client and the
/// last guard made by it are gone, which withdraws everything at once because the socket closes;
/// [`shutdown`](Self::shutdown) ends it politely, under all of them. [`Live`] readers do not keep
/// it. There is no global state: two clients in one process never meet.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let address = server.addr().to_string();
/// use nacos_core::Client;
///
/// let nacos = Client::builder().server_addr(address).connect().await?;
/// assert!(nacos.state().get().is_connected());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Arc<Connection>,
    inspected: Mutex<Vec<Weak<dyn Inspect>>>,
    /// Weak: the extension keeps the client, not the other way round.
    extension: Mutex<Weak<dyn Any + Send + Sync>>,
    /// Held here, so that the session's own report lives as long as the client.
    _session: Arc<SessionInspect>,
}

impl Client {
    pub(crate) fn start(options: connection::Options) -> Result<Self, Error> {
        let connection = Connection::start(options)?;
        let session = Arc::new(SessionInspect::new(&connection));
        let inspect: Arc<dyn Inspect> = session.clone();
        let inspected = Mutex::new(vec![Arc::downgrade(&inspect)]);
        Ok(Self {
            shared: Arc::new(Shared {
                connection,
                inspected,
                extension: Mutex::new(Weak::<()>::new()),
                _session: session,
            }),
        })
    }

    /// The configuration service.
    #[must_use]
    pub fn configs(&self) -> Configs {
        Configs::new(Arc::clone(&self.shared.connection))
    }

    /// The naming service.
    #[must_use]
    pub fn naming(&self) -> Naming {
        Naming::new(Arc::clone(&self.shared.connection))
    }

    /// How the client stands with its servers.
    #[must_use]
    pub fn state(&self) -> Live<SessionState> {
        self.shared.connection.state()
    }

    /// How the session is doing, in numbers.
    #[must_use]
    pub fn stats(&self) -> Live<SessionStats> {
        self.shared.connection.stats()
    }

    /// The namespace of documents whose key names none.
    #[must_use]
    pub fn config_namespace(&self) -> &Namespace {
        &self.shared.connection.options.session.config_namespace
    }

    /// The namespace of services whose key names none.
    #[must_use]
    pub fn naming_namespace(&self) -> &Namespace {
        &self.shared.connection.options.session.naming_namespace
    }

    /// Ends the session: withdraws every claim, waits for the server to acknowledge that, at most
    /// `within`, then closes the connection.
    ///
    /// All clones, guards and readers of the session end with it. A second call finds nothing to
    /// do.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the shutdown goes on by itself, for as long as a client or a guard lives.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        self.shared.connection.shut_down(Instant::now() + within.min(LONGEST)).await
    }

    /// Everything that can be looked into: the session itself, and what was added with
    /// [`inspect`](Self::inspect) and still lives.
    #[must_use]
    pub fn inspected(&self) -> Vec<Arc<dyn Inspect>> {
        self.inspectors().iter().filter_map(Weak::upgrade).collect()
    }

    /// Adds a part that can be looked into, for as long as it lives.
    pub fn inspect(&self, part: &Arc<dyn Inspect>) {
        let mut inspectors = self.inspectors();
        inspectors.retain(|part| part.strong_count() > 0);
        inspectors.push(Arc::downgrade(part));
    }

    /// See [`Connection::knock`].
    pub(crate) fn knock(&self, until: Instant) {
        self.shared.connection.knock(until);
    }

    /// See [`Connection::settled`].
    pub(crate) async fn settled(&self) -> SessionState {
        self.shared.connection.settled().await
    }

    /// Whether no server is known yet.
    pub(crate) fn knows_no_server(&self) -> bool {
        self.shared.connection.servers().get().is_empty()
    }

    /// The reason why it is not connected right now.
    pub(crate) async fn explain(&self) -> Option<String> {
        self.shared.connection.explain().await
    }

    /// The extension of this client, for as long as a caller keeps it; made by `make` if there is
    /// none. There is one slot: a module that extends a client puts all of it into one type. Says
    /// whether it is new.
    pub(crate) fn extension<T>(&self, make: impl FnOnce() -> T) -> (Arc<T>, bool)
    where
        T: Any + Send + Sync,
    {
        // A panic under the lock cannot leave the slot half-changed.
        let mut slot = self.shared.extension.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = slot.upgrade().and_then(|any| any.downcast().ok()) {
            return (present, false);
        }
        let shared = Arc::new(make());
        let weak: Weak<T> = Arc::downgrade(&shared);
        *slot = weak;
        (shared, true)
    }

    fn inspectors(&self) -> MutexGuard<'_, Vec<Weak<dyn Inspect>>> {
        // A panic under the lock cannot leave the list half-changed.
        self.shared.inspected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state().get();
        let mut debug = f.debug_struct("Client");
        match &*state {
            // Without its abilities: they are a list.
            SessionState::Connected { server, .. } => {
                debug.field("server", &format_args!("{server}"))
            }
            state => debug.field("state", state),
        };
        debug.finish_non_exhaustive()
    }
}
