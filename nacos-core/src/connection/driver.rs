//! The task of a client: feeds the session what happens, and does what it asks for.
//!
//! It runs no user code, waits for nobody, and ends when the session is closed or the last handle
//! is gone, whichever comes first. What it sends for the session runs side by side in one set of
//! futures; ending the task drops them all, and with them every socket.
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::coop::consume_budget,
    time::{Duration, Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Options,
    login::{Token, log_in},
};
use crate::{
    credentials::Credentials,
    document::DocumentState,
    instance::Instance,
    key::{ConfigKey, ServiceKey},
    live::LiveWriter,
    server::Server,
    service::Service,
    session::{self, Action, CallId, ClaimKey, Event, GuardId, LinkId, LoginFailure, Session},
    state::{ClaimState, SessionState},
    store::Store,
    tasks::{self, Task},
    transport::{CallError, Headers, Link, Pushes, dial},
    vitals::Vitals,
    wire::Payload,
};

/// What handles ask of the driver.
pub(super) enum Command {
    Assert {
        key: ClaimKey,
        guard: GuardId,
        instance: Option<Instance>,
        /// Where the guard reads.
        state: LiveWriter<ClaimState>,
    },
    Withdraw {
        key: ClaimKey,
        guard: GuardId,
        /// Told once the server has agreed.
        done: Option<oneshot::Sender<()>>,
    },
    Refetch(ConfigKey),
    /// This connection takes no requests any more.
    Unusable(LinkId),
    /// The server refused the token in these headers.
    TokenRefused(Option<Arc<Headers>>),
    Close {
        deadline: Instant,
        done: oneshot::Sender<ShutdownReport>,
    },
}

/// What users' requests go over.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) serving: Option<Serving>,
    pub(super) state: SessionState,
    /// A login is due or under way that may bring another token.
    pub(super) renewing: bool,
    /// How often a token has been reported as refused.
    pub(super) refusals: u64,
}

/// The connection that serves.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) id: LinkId,
    pub(super) link: Link,
    /// Those that carry the token; none if nobody logs in.
    pub(super) headers: Option<Arc<Headers>>,
    pub(super) abilities: Arc<BTreeMap<String, bool>>,
    /// [`Current::refusals`] when this was handed out.
    pub(super) refusals: u64,
}

/// Where the driver shows what it knows.
pub(super) struct Views {
    pub(super) current: watch::Sender<Current>,
    pub(super) state: LiveWriter<SessionState>,
    pub(super) vitals: LiveWriter<Vitals>,
    pub(super) documents: Arc<Store<ConfigKey, DocumentState>>,
    pub(super) services: Arc<Store<ServiceKey, Service>>,
}

/// How a shutdown went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Claims that the server acknowledged as withdrawn.
    pub withdrawn: usize,
    /// Claims that were not acknowledged in time; closing the connection withdrew them too.
    pub unacknowledged: usize,
}

/// See the [module documentation](self).
pub(super) struct Driver {
    session: Session,
    inbox: mpsc::UnboundedReceiver<Command>,
    views: Views,
    guards: HashMap<GuardId, LiveWriter<ClaimState>>,
    /// Who waits for a withdrawal; dropping a sender is the message.
    leaving: HashMap<ClaimKey, Vec<oneshot::Sender<()>>>,
    links: HashMap<LinkId, Open>,
    jobs: FuturesUnordered<Job>,
    serving: Option<LinkId>,
    headers: Option<Arc<Headers>>,
    refusals: u64,
    vitals: Vitals,
    closing: Option<Closing>,

    servers: Vec<Server>,
    credentials: Option<Credentials>,
    receive_limit: usize,
}

/// A connection of the session's, from the moment it is dialled.
enum Open {
    Dialling,
    /// The task does the connection's work, and ends with this.
    Up {
        link: Link,
        _work: Task<()>,
    },
}

/// A shutdown under way.
struct Closing {
    waiting: Vec<oneshot::Sender<ShutdownReport>>,
    claims: usize,
}

type Job = Pin<Box<dyn Future<Output = Report> + Send>>;

/// How a job ended.
enum Report {
    Dialled(LinkId, Result<(Link, Work), String>),
    Answered(CallId, Result<Payload, CallError>),
    StreamOpened(LinkId, Result<Pushes, CallError>),
    Pushed(LinkId, Pushes, Result<Payload, CallError>),
    Ended(LinkId, String),
    LoggedIn(Result<Token, LoginFailure>),
}

/// The work of a connection; ends with the reason for which the connection did.
type Work = Pin<Box<dyn Future<Output = String> + Send>>;

impl Driver {
    pub(super) fn new(
        options: &Options,
        inbox: mpsc::UnboundedReceiver<Command>,
        views: Views,
    ) -> Self {
        let session_options = session::Options {
            tenant: options.config_namespace.as_tenant().to_owned(),
            app: options.app.clone(),
            has_credentials: options.credentials.is_some(),
            backoff_cap: options.backoff_cap,
        };
        let jitter = Box::new(fastrand::f64);
        Self {
            session: Session::new(now(), options.servers.clone(), session_options, jitter),
            inbox,
            views,
            guards: HashMap::new(),
            leaving: HashMap::new(),
            links: HashMap::new(),
            jobs: FuturesUnordered::new(),
            serving: None,
            headers: None,
            refusals: 0,
            vitals: Vitals::default(),
            closing: None,
            servers: options.servers.clone(),
            credentials: options.credentials.clone(),
            receive_limit: options.receive_limit,
        }
    }

    /// Ends when the session is closed. Aborting it is safe: a closed socket withdraws everything.
    pub(super) async fn run(mut self) {
        self.session.handle_timeout(now());
        let mut commands = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            // However busy servers keep this task, others get their turn, and it can be ended.
            consume_budget().await;
            self.perform();
            if self.session.is_closed() {
                return self.end();
            }
            self.hear();
            let timeout = self.session.poll_timeout(now());
            tokio::select! {
                // Many at once, so that claims made together are sent together.
                received = self.inbox.recv_many(&mut commands, COMMANDS_AT_ONCE) => {
                    if received == 0 {
                        // Every handle and guard is gone.
                        return self.end();
                    }
                    for command in commands.drain(..) {
                        self.obey(command);
                    }
                    self.session.settle(now());
                }
                Some(report) = self.jobs.next(), if !self.jobs.is_empty() => self.take_in(report),
                () = until(timeout), if timeout.is_some() => {
                    // Users' requests may have heard from the server since.
                    self.hear();
                    self.session.handle_timeout(now());
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assert { key, guard, instance, state } => {
                self.guards.insert(guard, state);
                self.session.assert(key, guard, instance);
            }
            Command::Withdraw { key, guard, done } => {
                self.guards.remove(&guard);
                self.session.withdraw(&key, guard);
                // Without a connection nothing is held anywhere: dropping `done` says so.
                if let Some(done) = done.filter(|_| self.serving.is_some()) {
                    self.leaving.entry(key).or_default().push(done);
                }
            }
            Command::Refetch(key) => self.session.refetch(&key),
            Command::Unusable(link) => self.session.handle_unusable(now(), link),
            Command::TokenRefused(headers) => {
                self.refusals += 1;
                // One that has been replaced meanwhile needs no login.
                if headers == self.headers {
                    self.session.token_refused(now());
                }
                self.show_current();
            }
            Command::Close { deadline, done } => {
                if let Some(closing) = &mut self.closing {
                    closing.waiting.push(done);
                    return;
                }
                let claims = self.session.standings().count();
                self.closing = Some(Closing { waiting: vec![done], claims });
                self.session.close(deadline.into_std());
            }
        }
    }

    /// Does everything that the session asks for, and shows everything that it has to show.
    fn perform(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.show(event);
        }
        while let Some(action) = self.session.poll_action() {
            self.act(action);
        }
        self.vitals.claims = self.session.remaining();
        self.vitals.unsettled = self.session.unsettled();
        self.views.vitals.publish_if_changed(self.vitals.clone());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { link, server } => {
                self.links.insert(link, Open::Dialling);
                let limit = self.receive_limit;
                self.jobs.push(Box::pin(async move {
                    let opened = timeout(DIAL_TIMEOUT, open(&server, limit)).await;
                    let late = Err("no connection in time".to_owned());
                    Report::Dialled(link, opened.unwrap_or(late))
                }));
            }
            Action::Call { link, call, request, timeout: within } => {
                let Some(Open::Up { link, .. }) = self.links.get(&link) else {
                    let gone = Err(CallError::NotSent("the connection is closed".to_owned()));
                    self.jobs.push(Box::pin(std::future::ready(Report::Answered(call, gone))));
                    return;
                };
                let (link, headers) = (link.clone(), self.headers.clone());
                self.jobs.push(Box::pin(async move {
                    let answer = timeout(within, link.call(request, headers.as_deref())).await;
                    Report::Answered(call, answer.unwrap_or(Err(CallError::Timeout)))
                }));
            }
            Action::OpenStream { link: id, setup } => {
                if let Some(Open::Up { link, .. }) = self.links.get(&id) {
                    let link = link.clone();
                    self.jobs.push(Box::pin(async move {
                        let opened = timeout(DIAL_TIMEOUT, link.open_stream(setup)).await;
                        Report::StreamOpened(id, opened.unwrap_or(Err(CallError::Timeout)))
                    }));
                }
            }
            // Dropping it ends the task that does its work, and closes the socket.
            Action::Close { link } => drop(self.links.remove(&link)),
            Action::Login => {
                let credentials = self.credentials.clone();
                let mut servers = self.servers.clone();
                fastrand::shuffle(&mut servers);
                self.jobs.push(Box::pin(async move {
                    let outcome = match credentials {
                        Some(credentials) => log_in(servers, credentials).await,
                        None => Err(LoginFailure::Unreachable("there is no user".to_owned())),
                    };
                    Report::LoggedIn(outcome)
                }));
            }
        }
    }

    fn take_in(&mut self, report: Report) {
        let now = now();
        match report {
            Report::Dialled(id, outcome) => self.dialled(id, outcome),
            Report::Answered(call, answer) => {
                self.vitals.unreadable +=
                    u64::from(matches!(answer, Err(CallError::Unreadable(_))));
                self.session.handle_answer(now, call, answer);
            }
            Report::StreamOpened(id, Ok(pushes)) => self.read_on(id, pushes),
            Report::StreamOpened(id, Err(error)) => {
                self.session.handle_lost(now, id, &error.to_string());
            }
            Report::Pushed(id, pushes, outcome) if self.links.contains_key(&id) => match outcome {
                Ok(payload) => {
                    self.vitals.pushes += 1;
                    self.read_on(id, pushes);
                    self.session.handle_push(now, id, &payload);
                }
                Err(CallError::Unreadable(why)) => {
                    self.vitals.unreadable += 1;
                    warn!(why, "skipped a push");
                    self.read_on(id, pushes);
                }
                Err(error) => self.session.handle_lost(now, id, &error.to_string()),
            },
            // Closed meanwhile.
            Report::Pushed(..) => {}
            Report::Ended(id, why) => self.session.handle_lost(now, id, &why),
            Report::LoggedIn(outcome) => {
                let outcome = outcome.map(|token| {
                    let headers = Headers::from([("accessToken".to_owned(), token.text)]);
                    self.headers = Some(Arc::new(headers));
                    token.ttl
                });
                self.session.handle_login(now, outcome);
                self.show_current();
            }
        }
    }

    fn dialled(&mut self, id: LinkId, outcome: Result<(Link, Work), String>) {
        if !self.links.contains_key(&id) {
            // Closed meanwhile: dropping the outcome closes the socket.
            return;
        }
        let outcome = outcome.map(|(link, work)| {
            let (alive, ended) = oneshot::channel();
            // In a task of its own: nothing that the driver does can delay a health check's bytes.
            let work = tasks::spawn(async move {
                // The driver may have forgotten the connection, and then needs no reason.
                let _ = alive.send(work.await);
            });
            self.links.insert(id, Open::Up { link, _work: work });
            self.jobs.push(Box::pin(async move {
                let why = ended.await.unwrap_or_else(|_| "the connection was closed".to_owned());
                Report::Ended(id, why)
            }));
        });
        self.session.handle_dialled(now(), id, outcome);
    }

    fn read_on(&mut self, id: LinkId, mut pushes: Pushes) {
        self.jobs.push(Box::pin(async move {
            let push = pushes.next().await;
            Report::Pushed(id, pushes, push)
        }));
    }

    /// Tells the session what users' requests have heard.
    fn hear(&mut self) {
        if let Some(id) = self.serving
            && let Some(Open::Up { link, .. }) = self.links.get(&id)
        {
            self.session.handle_heard(id, link.last_heard().into_std());
        }
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Serving(link) => {
                self.vitals.connects += u64::from(link.is_some());
                self.vitals.losses += u64::from(link.is_none() && self.closing.is_none());
                self.serving = link;
                if link.is_none() {
                    self.leaving.clear();
                }
                self.show_current();
            }
            Event::State(state) => {
                log(&state);
                self.views.state.publish(state);
                self.show_current();
            }
            Event::Document(key, state) => self.views.documents.update(&key, |_| Some(state)),
            Event::Service(key, service) => self.views.services.update(&key, |before| {
                let service = service.sharing(before);
                (service != *before).then_some(service)
            }),
            Event::Claim(guard, state) => {
                if let Some(writer) = self.guards.get(&guard) {
                    writer.publish_if_changed(state);
                }
            }
            Event::Settled(key) => drop(self.leaving.remove(&key)),
        }
    }

    /// Users' requests go over the connection that serves, once there is a token too.
    fn show_current(&mut self) {
        let state = (*self.views.state.get()).clone();
        let serving = match (&state, self.serving) {
            (SessionState::Connected { abilities, .. }, Some(id)) => match self.links.get(&id) {
                Some(Open::Up { link, .. }) => Some(Serving {
                    id,
                    link: link.clone(),
                    headers: self.headers.clone(),
                    abilities: Arc::clone(abilities),
                    refusals: self.refusals,
                }),
                _ => None,
            },
            _ => None,
        };
        let renewing = self.session.is_renewing();
        self.views.current.send_replace(Current {
            serving,
            state,
            renewing,
            refusals: self.refusals,
        });
    }

    fn end(mut self) {
        self.perform();
        self.views.documents.close();
        self.views.services.close();
        if let Some(Closing { waiting, claims }) = self.closing {
            let unacknowledged = self.session.remaining().min(claims);
            let report = ShutdownReport { withdrawn: claims - unacknowledged, unacknowledged };
            for done in waiting {
                // Whoever asked may have stopped waiting.
                let _ = done.send(report.clone());
            }
        }
    }
}

async fn open(server: &Server, receive_limit: usize) -> Result<(Link, Work), String> {
    let socket =
        dial(server.host(), server.grpc_port()).await.map_err(|error| error.to_string())?;
    match Link::open(socket, server, receive_limit).await {
        Ok((link, work)) => Ok((link, Box::pin(work))),
        Err(error) => Err(error.to_string()),
    }
}

fn log(state: &SessionState) {
    match state {
        SessionState::Connected { server, .. } => info!(%server, "connected"),
        SessionState::Denied { cause } => warn!(%cause, "access denied"),
        SessionState::Connecting { last_error: Some(cause), .. } => {
            debug!(%cause, "connecting again");
        }
        SessionState::Backoff { cause, .. } => debug!(%cause, "not connected"),
        SessionState::Connecting { .. } | SessionState::Closed => {}
    }
}

/// The session's clock: a paused one rules it too.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn until(time: Option<std::time::Instant>) {
    if let Some(time) = time {
        sleep_until(Instant::from_std(time)).await;
    }
}

impl Current {
    pub(super) fn new(state: SessionState) -> Self {
        Self { serving: None, state, renewing: false, refusals: 0 }
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Commands that are taken in before anything is sent.
const COMMANDS_AT_ONCE: usize = 1024;
/// For TCP and HTTP/2; the session's own deadline, which covers the server check too, is no longer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
