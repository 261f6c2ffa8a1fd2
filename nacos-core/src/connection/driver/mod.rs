//! The task of a client: feeds the session what happens, and does what it asks for.
//!
//! It runs no user code but the log's subscriber, the recorder of metrics and wakers, and waits for
//! nobody. It ends when the session is closed, or is ended when the last handle goes, whichever
//! comes first. What it sends for the session runs side by side in one set of futures; ending the
//! task drops them all, and with them every socket.
mod act;
mod chronicle;
mod locate;
mod meters;
mod report;
mod show;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Mutex, oneshot, watch},
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

use self::chronicle::{Chronicle, Seldom, WARNING_EVERY};
use self::locate::Located;
use self::meters::Meters;
use self::report::Report;
use super::{
    Options, Services, ShutdownReport,
    access::Options as AccessOptions,
    inbox::{Close, Inbox, Loss, Notices, Wanted, Wish, is_same, push_awaited},
};
use crate::{
    credentials::Grant,
    document::DocumentState,
    key::ConfigKey,
    live::LiveWriter,
    server::Server,
    session::{ClaimKey, Event, GuardId, LinkId, Session},
    state::{ClaimState, SessionState},
    store::Store,
    tasks::Task,
    transport::{self, Link},
    vitals::Vitals,
};

/// What users' requests go over.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) serving: Option<Serving>,
    pub(super) state: SessionState,
    /// Something is due or under way that may let in who was refused.
    pub(super) renewing: bool,
    /// How often a token has been reported as refused.
    pub(super) refusals: u64,
}

/// What users' requests on one connection have in common. As many hold it as there are of them.
#[derive(Default)]
pub(super) struct Users {
    answered: AtomicBool,
}

impl Users {
    /// One of them was answered.
    pub(super) fn answered(&self) {
        // Mostly it is known already, and a load costs the other cores nothing.
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    /// Whether one was since this was last asked.
    fn take_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed) && self.answered.swap(false, Ordering::Relaxed)
    }
}

/// The connection that serves.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) id: LinkId,
    pub(super) link: Link,
    /// Keeps the connection, for as long as it is held, when another serves.
    pub(super) users: Arc<Users>,
    /// What requests carry; nothing if nobody logs in. The same one for as long as it is the same.
    pub(super) grant: Option<Arc<Grant>>,
    /// As it was named in the options, or in the list.
    pub(super) server: Arc<str>,
    pub(super) abilities: Arc<BTreeMap<String, bool>>,
    /// [`Current::refusals`] when this was handed out.
    pub(super) refusals: u64,
}

/// Where the driver shows what it knows.
pub(super) struct Views {
    pub(super) current: watch::Sender<Current>,
    pub(super) state: LiveWriter<SessionState>,
    pub(super) vitals: LiveWriter<Vitals>,
    pub(super) servers: LiveWriter<Vec<Server>>,
    pub(super) documents: Arc<Store<ConfigKey, DocumentState>>,
    pub(super) services: Arc<Services>,
}

/// See the [module documentation](self).
pub(super) struct Driver {
    session: Session,
    inbox: Inbox,
    views: Views,
    guards: HashMap<GuardId, LiveWriter<ClaimState>>,
    /// Who waits for a withdrawal; dropping a sender is the message.
    leaving: HashMap<ClaimKey, Vec<oneshot::Sender<()>>>,
    links: HashMap<LinkId, Open>,
    jobs: FuturesUnordered<Job>,
    serving: Option<LinkId>,
    grant: Option<Arc<Grant>>,
    refusals: u64,
    /// How many logins in a row nobody has answered.
    slow_logins: u32,
    vitals: Vitals,
    chronicle: Chronicle,
    /// What may happen to each of thousands, said once a minute: registrations that were lost,
    losses: Seldom,
    /// claims that were refused,
    refused: Seldom,
    /// documents that are not to be had,
    withheld: Seldom,
    /// messages that could not be read,
    skipped: Seldom,
    /// lists that were overtaken,
    overtaken: Seldom,
    /// clocks that stepped back,
    stepped: Seldom,
    /// views that are held, and those that are not any more,
    holds: Seldom,
    gone: Seldom,
    /// proxies that are in the way,
    proxies: Seldom,
    /// connections that were replaced.
    moves: Seldom,
    closing: Option<Closing>,
    meters: Meters,
    located: Located,

    transport: transport::Options,
    access: AccessOptions,
    /// Held while the credentials are asked.
    asking: Arc<Mutex<()>>,
}

/// A connection of the session's, from the moment it is dialled.
enum Open {
    /// Whoever dials gives up when this is dropped.
    Dialling { _owner: oneshot::Sender<()> },
    /// The task does the connection's work, and ends with this.
    Up {
        link: Link,
        work: Task<()>,
        /// Held by each of users' requests on it, and by what they begin with while it serves.
        users: Arc<Users>,
    },
}

/// A shutdown under way.
struct Closing {
    since: Instant,
    waiting: Vec<oneshot::Sender<ShutdownReport>>,
    claims: usize,
}

type Job = Pin<Box<dyn Future<Output = Report> + Send>>;

impl Driver {
    pub(super) fn new(options: &Options, inbox: Inbox, views: Views) -> Self {
        let jitter = Box::new(fastrand::f64);
        Self {
            session: Session::new(now(), options.servers.clone(), options.session.clone(), jitter),
            inbox,
            views,
            guards: HashMap::new(),
            leaving: HashMap::new(),
            links: HashMap::new(),
            jobs: FuturesUnordered::new(),
            serving: None,
            grant: None,
            refusals: 0,
            slow_logins: 0,
            vitals: Vitals::default(),
            chronicle: Chronicle::new(),
            losses: Seldom::every(WARNING_EVERY),
            refused: Seldom::every(WARNING_EVERY),
            withheld: Seldom::every(WARNING_EVERY),
            skipped: Seldom::every(WARNING_EVERY),
            overtaken: Seldom::every(WARNING_EVERY),
            stepped: Seldom::every(WARNING_EVERY),
            holds: Seldom::every(WARNING_EVERY),
            gone: Seldom::every(WARNING_EVERY),
            proxies: Seldom::every(WARNING_EVERY),
            moves: Seldom::every(WARNING_EVERY),
            closing: None,
            meters: Meters::new(options.dedicated_thread),
            located: Located::new(options.locator.clone()),
            transport: options.transport.clone(),
            access: options.access.clone(),
            asking: Arc::default(),
        }
    }

    /// Ends when the session is closed. Aborting it is safe: a closed socket withdraws everything.
    pub(super) async fn run(mut self) {
        self.meters.share.state(&self.views.state.get());
        self.session.handle_timeout(now());
        loop {
            // However busy servers keep this task, others get their turn, and it can be ended.
            consume_budget().await;
            self.hear();
            self.perform();
            if self.session.is_closed() {
                return self.end().await;
            }
            let held = self.views.services.next_timeout();
            let timeout = self.session.poll_timeout(now()).into_iter().chain(held).min();
            tokio::select! {
                () = self.inbox.filled() => self.obey(),
                Some(report) = self.jobs.next(), if !self.jobs.is_empty() => self.take_in(report),
                () = until(timeout), if timeout.is_some() => {}
            }
            // Whatever came first: when this task was kept from running, everything is ready after.
            if let Some(due) = timeout.filter(|due| *due <= now()) {
                self.vitals.lag = self.meters.late(due, now());
                // Users' requests may have heard from the server since.
                self.hear();
                self.end_graces();
                self.session.handle_timeout(now());
            }
        }
    }

    /// Takes in what handles want: many at once, so that claims made together are sent together.
    fn obey(&mut self) {
        let (notices, wishes) = self.inbox.take(WISHES_AT_ONCE);
        let Notices { losses, unanswered, refused, knock, unread, questions, close } = notices;
        // An answer that came before counts before.
        self.hear();
        for (link, count) in unanswered {
            self.session.handle_unanswered(now(), link, count);
        }
        for (link, why) in losses {
            match why {
                Loss::Unusable => self.session.handle_unusable(now(), link),
                // One that has been replaced may have other requests under way.
                Loss::Ended(why) if self.serving == Some(link) => {
                    self.session.handle_lost(now(), link, &why);
                }
                Loss::Ended(_) => {}
            }
            self.perform();
        }
        for grant in refused {
            self.refusals += 1;
            // One that has been replaced meanwhile needs no login.
            if is_same(self.grant.as_ref(), grant.as_ref()) {
                self.session.token_refused(now());
                self.session.settle(now());
            }
            self.show_current();
        }
        if let Some(until) = knock {
            self.session.knock(until.into_std());
        }
        for _ in 0..unread {
            self.unread();
        }
        for (guard, wish) in wishes {
            self.take_wish(guard, wish);
        }
        for told in questions {
            // Whoever asked may have stopped waiting.
            let _ = told.send(self.session.waits_for());
        }
        if let Some(close) = close {
            self.close(close);
        }
        self.session.settle(now());
    }

    fn take_wish(&mut self, guard: GuardId, Wish { key, wanted, refetch, polls, .. }: Wish) {
        match wanted {
            Wanted::Nothing => {}
            Wanted::Assert { instance, state } => {
                self.guards.insert(guard, state);
                self.session.assert(key.clone(), guard, instance);
            }
            Wanted::Withdraw { done } => {
                self.guards.remove(&guard);
                self.session.withdraw(&key, guard);
                // Without a connection nothing is held anywhere: dropping `done` says so.
                if let Some(done) = done.filter(|_| self.serving.is_some()) {
                    push_awaited(self.leaving.entry(key).or_default(), done);
                }
                return;
            }
        }
        let ClaimKey::Listen(document) = &key else { return };
        if polls {
            self.session.poll_when_refused(document, guard);
        }
        if refetch {
            self.session.refetch(document);
        }
    }

    fn close(&mut self, Close { deadline, waiting }: Close) {
        if let Some(closing) = &mut self.closing {
            for done in waiting {
                push_awaited(&mut closing.waiting, done);
            }
            return;
        }
        let claims = self.session.standings().count();
        self.closing = Some(Closing { since: Instant::now(), waiting, claims });
        self.session.close(deadline.into_std());
    }

    /// Does everything that the session asks for, and shows everything that it has to show.
    fn perform(&mut self) {
        // What was refused for good is carried no further, also where nothing is demanded.
        if !self.session.has_token() {
            self.grant = None;
        }
        let mut moved = false;
        while let Some(event) = self.session.poll_event() {
            moved |= matches!(event, Event::Serving(_) | Event::State(_));
            self.show(event);
        }
        moved |= self.views.current.borrow().renewing != self.session.is_renewing();
        // After all of them: a connection is never shown with the abilities of another.
        if moved {
            self.show_current();
        }
        while let Some(action) = self.session.poll_action() {
            self.act(action);
        }
        self.vitals.claims = self.session.remaining();
        self.vitals.unsettled = self.session.unsettled();
        self.vitals.unresponsive = self.session.is_unresponsive();
        self.meters.share.claims(self.vitals.claims, self.vitals.unsettled);
        self.vitals.held = self.views.services.held();
        self.meters.share.held(self.vitals.held);
        self.views.vitals.publish_if_changed(self.vitals.clone());
    }

    /// Tells the session what users' requests have heard, and where some are still under way.
    fn hear(&mut self) {
        for (id, open) in &self.links {
            let Open::Up { link, users, .. } = open else { continue };
            if self.serving == Some(*id) {
                self.session.handle_heard(*id, link.last_heard().into_std());
                if users.take_answered() {
                    self.session.handle_answered(*id);
                }
            } else if Arc::strong_count(users) > 1 {
                self.session.handle_busy(now(), *id);
            }
        }
    }

    async fn end(mut self) {
        self.perform();
        self.views.documents.close();
        self.views.services.close();
        let Some(Closing { since, waiting, claims }) = self.closing else { return };
        let withdrawn = Instant::now();
        // Jobs hold on to connections too.
        self.jobs.clear();
        for (_, open) in self.links.drain() {
            if let Open::Up { work, .. } = open {
                work.end().await;
            }
        }
        let unacknowledged = self.session.remaining().min(claims);
        let report = ShutdownReport {
            withdrawn: claims - unacknowledged,
            unacknowledged,
            withdrawing: withdrawn - since,
            closing: Instant::now() - withdrawn,
        };
        for done in waiting {
            // Whoever asked may have stopped waiting.
            let _ = done.send(report.clone());
        }
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

/// Wishes that are granted before anything is sent.
const WISHES_AT_ONCE: usize = 1024;
