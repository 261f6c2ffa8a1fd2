//! The connection that all handles of a client share: requests go out here, claims are handed to
//! the driver.
pub(crate) mod access;
mod call;
mod claim_guard;
mod current;
mod disk_reads;
mod driver;
pub(crate) mod filtering;
mod inbox;
mod loader;
mod main_port;
mod namespaces;
mod overrides;
mod saver;
mod shutdown;
pub(crate) mod views;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{
    sync::{oneshot, watch},
    time::{Duration, Instant, timeout, timeout_at},
};

pub use self::shutdown::ShutdownReport;
pub(crate) use self::{
    call::{Abilities, Repeat},
    claim_guard::ClaimGuard,
    disk_reads::PATIENCE,
    views::GRACE,
};
use self::{
    current::Current,
    disk_reads::DiskReads,
    driver::Driver,
    filtering::Filtering,
    inbox::{FromDisk, Outbox, Part, inbox},
    loader::Loader,
    namespaces::{Look, Mentioned},
    overrides::Overrides,
    saver::Saver,
    views::Views,
};
use crate::{
    document::DocumentState,
    error::{Error, ErrorKind},
    filter::{Filters, Named, Place},
    freshness::Freshness,
    instance::Instance,
    key::{ConfigKey, ConfigPattern, Namespace, ServiceKey},
    live::{Live, live},
    matched_keys::MatchedKeys,
    server::Server,
    server_list::ServerList,
    service::Service,
    session::{self, ClaimKey, GuardId},
    session_stats::SessionStats,
    snapshot::{OverrideDir, SnapshotDir, Word},
    start_policy::StartPolicy,
    state::{ClaimState, SessionState},
    storm::StormReport,
    tasks::{self, Task},
    transport,
};

/// The options of a connection, by the part that uses them.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Empty if their list is read.
    pub(crate) servers: Vec<Server>,
    pub(crate) server_list: Option<ServerList>,
    pub(crate) session: session::Options,
    pub(crate) transport: transport::Options,
    pub(crate) access: access::Options,
    /// Characters of an instance's metadata.
    pub(crate) max_metadata: usize,
    /// Bytes of a publish as it travels.
    pub(crate) max_publish: usize,
    /// The server is asked whether it lists the namespaces, once for each.
    pub(crate) checks_namespaces: bool,
    /// The session has a thread of its own.
    pub(crate) dedicated_thread: bool,
    /// Where documents are kept.
    pub(crate) snapshots: Option<SnapshotDir>,
    /// Where an operator's files are that win over the server.
    pub(crate) overrides: Option<OverrideDir>,
    /// Where watches take their first state from, unless they say so themselves.
    pub(crate) start_policy: StartPolicy,
    /// None without any.
    pub(crate) filters: Option<Filters>,
    /// For each of them and each document.
    pub(crate) filter_timeout: Duration,
}

impl Options {
    /// With these filters between documents and servers. The files of an operator are what the
    /// program sees then, and so never cipher text.
    pub(crate) fn with_filters(mut self, filters: Vec<Named>) -> Self {
        self.filters = Filters::new(filters, self.filter_timeout);
        if self.filters.is_some() {
            self.overrides = self.overrides.map(OverrideDir::in_clear_text);
        }
        self
    }

    /// Where to connect to, in words.
    pub(crate) fn server_names(&self) -> String {
        match &self.server_list {
            Some(list) => list.source.to_string(),
            None => self.servers.iter().map(Server::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The session of one client. Its driver ends when this is dropped, and with it every socket.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) options: Options,
    outbox: Outbox,
    current: watch::Receiver<Current>,
    state: Live<SessionState>,
    stats: Live<SessionStats>,
    servers: Live<Vec<Server>>,
    storm: Live<StormReport>,
    views: Arc<Views>,
    /// None if nobody wants to know whether servers list the namespaces of keys.
    mentioned: Option<Arc<Mentioned>>,
    /// None if nothing is written to any disk.
    pub(crate) saver: Option<Saver>,
    /// None if no disk is read.
    loader: Option<Loader>,
    /// Those for which requests wait.
    pub(crate) disk_reads: DiskReads,
    guards: AtomicU64,
    /// It has been said that a server may ignore conditions.
    warned_of_conditions: AtomicBool,
    _driver: Task<()>,
}

impl Connection {
    /// Starts the session, on the ambient runtime or on a thread of its own.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub(crate) fn start(options: Options) -> Result<Arc<Self>, Error> {
        let (outbox, inbox) = inbox();
        let connecting = SessionState::Connecting { failed_searches: 0, last_error: None };
        let (current, readers) = watch::channel(Current::new(connecting.clone()));
        let (state_writer, state) = live(connecting);
        let (counts_writer, counts) = live(SessionStats::default());
        let (servers_writer, servers) = live(options.servers.clone());
        let (storm_writer, storm) = live(StormReport::none(Instant::now().into_std()));
        let saver = options.snapshots.clone().map(Saver::new);
        let place = if options.dedicated_thread { Place::Beside } else { Place::Here };
        let filtering = options.filters.clone().map(|filters| Filtering::new(filters, place));
        let views = Arc::new(Views::new(saver.clone(), filtering.clone()));
        let driver = Driver::new(
            &options,
            inbox,
            driver::Readers {
                current,
                state: state_writer,
                stats: counts_writer,
                servers: servers_writer,
                storm: storm_writer,
            },
            Arc::clone(&views),
        );
        let look = Look::new(&options, readers.clone(), servers.clone());
        let mentioned = look.as_ref().map(Look::mentioned);
        let loader = Loader::new(saver.clone(), options.overrides.clone());
        let (saving, loading) = (saver.clone(), loader.clone());
        let (read, shown, overrides) =
            (outbox.clone(), Arc::clone(&views), options.overrides.clone());
        // On the session's runtime, in tasks that end with it.
        let running = async move {
            let _look = look.map(|look| tasks::spawn(look.run()));
            let _looking = overrides.map(|directory| {
                tasks::spawn(Overrides::default().run(directory, shown, read.clone()))
            });
            let _filtering = filtering.map(|it| tasks::spawn(it.run(read.clone())));
            let _loading = loading.map(|loader| tasks::spawn(loader.run(read)));
            let writing = saving.clone().map(|saver| tasks::spawn(saver.run()));
            driver.run().await;
            if let (Some(saver), Some(_writing)) = (saving, writing) {
                // Snapshots that are late are no reason to stay.
                let _ = timeout(LAST_WRITES, saver.drained()).await;
            }
        };
        // A root: the span in which a client happens to be made may be over long before it.
        let span = tracing::info_span!(parent: None, "nacos", app = %options.session.app);
        let driver = if options.dedicated_thread {
            tasks::spawn_on_thread("nacos", span, running).map_err(|error| {
                Error::new(ErrorKind::InvalidOption, "give the session a thread").because(error)
            })?
        } else {
            tasks::spawn_in(span, running)
        };
        Ok(Arc::new(Self {
            options,
            outbox,
            current: readers,
            state,
            stats: counts,
            servers,
            storm,
            views,
            mentioned,
            saver,
            loader,
            disk_reads: DiskReads::new(),
            guards: AtomicU64::new(0),
            warned_of_conditions: AtomicBool::new(false),
            _driver: driver,
        }))
    }

    pub(crate) fn state(&self) -> Live<SessionState> {
        self.state.clone()
    }

    pub(crate) fn stats(&self) -> Live<SessionStats> {
        self.stats.clone()
    }

    /// The servers as they are known now.
    pub(crate) fn servers(&self) -> Live<Vec<Server>> {
        self.servers.clone()
    }

    /// How the pulls of documents are governed.
    pub(crate) fn storm(&self) -> Live<StormReport> {
        self.storm.clone()
    }

    /// An operator stops all pulls of documents, or lets them go on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.outbox.freeze(is_frozen);
    }

    /// A key names this namespace: whether the server lists it is asked once, beside everything
    /// else.
    pub(crate) fn mention(&self, namespace: Option<&Namespace>) {
        if let (Some(mentioned), Some(namespace)) = (&self.mentioned, namespace) {
            mentioned.add(namespace);
        }
    }

    /// Watches a document until the guard returned is dropped. Reads its state, and how sure that
    /// is.
    pub(crate) fn watch(
        self: &Arc<Self>,
        key: &ConfigKey,
        policy: StartPolicy,
    ) -> (ClaimGuard, Live<DocumentState>, Live<Freshness>) {
        let policy = policy.within(self.options.session.request_timeout);
        let now = Instant::now().into_std();
        let (state, freshness) = self.views.documents.enter(now, key, policy);
        let (guard, claim) = (self.next_guard(), ClaimKey::Listen(key.clone()));
        let (writer, standing) = live(ClaimState::Pending);
        let (loader, asks) = (self.loader.as_ref(), policy.asks());
        let loader = loader.filter(|loader| loader.concerns(policy));
        let (mut kept, mut disk) = (None, None);
        match (asks, loader.is_some()) {
            (true, true) => {
                let (unread, reader) = live(());
                disk = Some(reader);
                self.outbox.claim_later(guard, claim.clone(), writer, unread);
            }
            (true, false) => self.outbox.claim(guard, claim.clone(), None, writer),
            (false, _) => kept = Some(writer),
        }
        match loader {
            Some(loader) => loader.load(guard, key.clone(), policy),
            // Without a disk there is nothing.
            None if !asks => {
                let found = FromDisk { snapshot: Part::Nothing, ..FromDisk::default() };
                self.outbox.read(guard, claim.clone(), found);
            }
            None => {}
        }
        let guard = ClaimGuard::new(Arc::clone(self), claim, guard, standing);
        (guard.with_start(policy, kept, disk), state, freshness)
    }

    /// Writes what a server has said of `key`, if anything is written.
    pub(crate) fn save(&self, key: &ConfigKey, word: Word) {
        if let Some(saver) = &self.saver {
            saver.save(key, word);
        }
    }

    /// Watches which documents match a pattern until the guard returned is dropped.
    pub(crate) fn fuzzy_watch(
        self: &Arc<Self>,
        pattern: &ConfigPattern,
    ) -> (ClaimGuard, Live<MatchedKeys>) {
        let matched = self.views.matches.enter(pattern);
        (self.claim(ClaimKey::FuzzyWatch(pattern.clone()), None), matched)
    }

    /// Subscribes to a service until the guard returned is dropped. Reads what the server lists,
    /// and that with the default grace.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        key: ServiceKey,
    ) -> (ClaimGuard, Live<Service>, Live<Service>) {
        let (raw, view) = self.views.services.enter(&key, GRACE);
        let claim = self.claim(ClaimKey::Subscription(key), None).with_grace(GRACE);
        (claim, raw, view)
    }

    /// The services of which a reader is shown the last instances, though the server lists none.
    pub(crate) fn held(&self) -> impl Iterator<Item = ServiceKey> {
        self.views.names_held().into_iter()
    }

    /// Registers an instance until the guard returned is dropped.
    pub(crate) fn register(
        self: &Arc<Self>,
        key: ServiceKey,
        instance: Arc<Instance>,
    ) -> ClaimGuard {
        self.claim(ClaimKey::Instances(key), Some(instance))
    }

    fn claim(self: &Arc<Self>, key: ClaimKey, instance: Option<Arc<Instance>>) -> ClaimGuard {
        let guard = self.next_guard();
        let (writer, state) = live(ClaimState::Pending);
        self.outbox.claim(guard, key.clone(), instance, writer);
        ClaimGuard::new(Arc::clone(self), key, guard, state)
    }

    fn next_guard(&self) -> GuardId {
        GuardId(self.guards.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets the session find out, before it counts as connected, whether it needs a login; until
    /// then at the latest.
    pub(crate) fn knock(&self, until: Instant) {
        self.outbox.knock(until);
    }

    /// Waits until it is known whether it connects, and returns how it stands then: not before a
    /// login that was refused has had those tries that come within seconds.
    pub(crate) async fn settled(&self) -> SessionState {
        let settled = |current: &Current| match &current.state {
            SessionState::Connecting { .. } => false,
            state @ SessionState::Denied { .. } => state.is_refused() && !current.tries_soon,
            _ => true,
        };
        match self.current.clone().wait_for(settled).await {
            Ok(current) => current.state.clone(),
            // Its runtime is gone.
            Err(_) => SessionState::Closed,
        }
    }

    /// Why the client is not connected right now, as far as the search under way has come.
    pub(crate) async fn explain(&self) -> Option<String> {
        let (told, why) = oneshot::channel();
        self.outbox.ask(told);
        // The driver answers at once, or is gone.
        why.await.ok().flatten()
    }

    /// Whether this is the first time that a condition may have been ignored.
    pub(crate) fn first_unknown_condition(&self) -> bool {
        !self.warned_of_conditions.swap(true, Ordering::Relaxed)
    }

    /// An answer to a user's request could not be read.
    pub(crate) fn unreadable(&self) {
        self.outbox.unreadable();
    }

    /// Withdraws everything and ends the session.
    pub(crate) async fn shut_down(&self, deadline: Instant) -> ShutdownReport {
        let (done, report) = oneshot::channel();
        self.outbox.close(deadline, done);
        // The driver answers at the deadline at the latest; none answers if it is closed already.
        let report = report.await.unwrap_or_default();
        if let Some(saver) = &self.saver {
            // The session is over; the disk may take what is left of the time.
            let _ = timeout_at(deadline.min(Instant::now() + LAST_WRITES), saver.drained()).await;
        }
        report
    }
}

impl Connection {
    /// The error for a request that has run out of time.
    pub(crate) fn nobody_answered(&self, doing: impl std::fmt::Display) -> Error {
        let state = self.state.get();
        let error = state.error_of(doing);
        match &*state {
            SessionState::Connected { server, .. } => {
                let mute = "it answers health checks, and none of the last requests";
                let mute = Some(mute).filter(|_| self.stats.get().unresponsive);
                let why = format!("{server} has not answered");
                let why = mute.map_or_else(|| why.clone(), |mute| format!("{why}: {mute}"));
                error.because(why)
            }
            SessionState::Backoff { until, cause } => {
                let left = until.saturating_duration_since(Instant::now().into_std());
                let why = format!("{cause}; next try in {left:.1?}");
                error.because(why)
            }
            _ => error,
        }
    }
}

/// For the snapshots that are not on the disk yet when the session ends.
const LAST_WRITES: Duration = Duration::from_secs(1);
