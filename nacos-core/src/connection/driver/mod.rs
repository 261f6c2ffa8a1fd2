//! The task of a client: feeds the session what happens, and does what it asks for.
//!
//! It runs no user code but the log's subscriber, the recorder of metrics and wakers, and waits for
//! nobody. It ends when the session is closed, or is ended when the last handle goes, whichever
//! comes first. The session's requests run side by side in one set of futures; ending the task
//! drops them all, and with them every socket.
mod act;
mod leaving;
mod log;
mod meters;
mod report;
mod server_list;

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::coop::consume_budget,
    time::Instant,
};

use self::leaving::Leaving;
use self::log::SessionLog;
use self::meters::Meters;
use self::report::JobReport;
use super::{
    Options, ShutdownReport,
    access::Options as AccessOptions,
    current::{Current, CurrentLink, Users},
    inbox::{Close, FromDisk, Inbox, Loss, Notices, Wanted, Wish, is_same, push_awaited},
    views::{Expired, GraceOutcome, Views},
};
use crate::{
    credentials::Grant,
    live::LiveWriter,
    room::Map,
    server::Server,
    server_list::ServerList,
    session::{ClaimKey, Commands, Event, GuardId, LinkId, Revision, Session},
    session_stats::SessionStats,
    state::{ClaimState, SessionState},
    storm::StormReport,
    tasks::Task,
    time::sleep_until,
    transport::{self, Http2Link, Reached},
};

/// Where the driver shows what it knows of the session itself.
pub(super) struct Readers {
    pub(super) current: watch::Sender<Current>,
    pub(super) state: LiveWriter<SessionState>,
    pub(super) stats: LiveWriter<SessionStats>,
    pub(super) servers: LiveWriter<Vec<Server>>,
    pub(super) storm: LiveWriter<StormReport>,
}

/// See the [module documentation](self).
pub(super) struct Driver {
    /// In a box: it is most of what a driver is, which moves on its way to its task.
    session: Box<Session>,
    inbox: Inbox,
    readers: Readers,
    views: Arc<Views>,
    guards: Map<GuardId, LiveWriter<ClaimState>>,
    /// Callers that wait for a withdrawal.
    leaving: Leaving,
    links: BTreeMap<LinkId, Open>,
    jobs: FuturesUnordered<Job>,
    serving: Option<LinkId>,
    grant: Option<Arc<Grant>>,
    refusals: u64,
    /// How many logins in a row nobody has answered.
    slow_logins: u32,
    log: SessionLog,
    closing: Option<Closing>,
    meters: Meters,
    dedicated_thread: bool,
    /// Where the list of servers is read, if options do not give it.
    server_list: Option<ServerList>,

    transport: transport::Options,
    access: AccessOptions,
    /// One place, taken while the credentials are asked.
    asking: Arc<Semaphore>,
}

/// A connection of the session's, from the moment it is dialled.
enum Open {
    /// Dialling ends when this is dropped.
    Dialling { _owner: oneshot::Sender<()> },
    /// The task does the connection's work, and ends with this.
    Up {
        link: Http2Link,
        work: Task<()>,
        reached: Reached,
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

type Job = Pin<Box<dyn Future<Output = JobReport> + Send>>;

impl Driver {
    pub(super) fn new(
        options: &Options,
        inbox: Inbox,
        readers: Readers,
        views: Arc<Views>,
    ) -> Self {
        let jitter = Box::new(fastrand::f64);
        Self {
            session: Box::new(Session::new(
                now(),
                options.servers.clone(),
                options.session.clone(),
                jitter,
            )),
            inbox,
            readers,
            views,
            guards: Map::new(),
            leaving: Leaving::default(),
            links: BTreeMap::new(),
            jobs: FuturesUnordered::new(),
            serving: None,
            grant: None,
            refusals: 0,
            slow_logins: 0,
            log: SessionLog::default(),
            closing: None,
            meters: Meters::new(),
            dedicated_thread: options.dedicated_thread,
            server_list: options.server_list.clone(),
            transport: options.transport.clone(),
            access: options.access.clone(),
            asking: Arc::new(Semaphore::new(1)),
        }
    }

    /// Ends when the session is closed. Aborting it is safe: a closed socket withdraws everything.
    pub(super) async fn run(mut self) {
        self.meters.share.state(&self.readers.state.get());
        self.session.handle_timeout(now());
        loop {
            // However busy servers keep this task, others get their turn, and it can be ended.
            consume_budget().await;
            self.sync_activity();
            self.perform();
            if self.session.is_closed() {
                return self.end().await;
            }
            let held = self.views.poll_timeout();
            let timeout = self.session.poll_timeout(now()).into_iter().chain(held).min();
            tokio::select! {
                () = self.inbox.filled() => self.handle_commands(),
                Some(report) = self.jobs.next(), if !self.jobs.is_empty() => self.handle_report(report),
                () = sleep_until(timeout.map(Instant::from_std)) => {}
            }
            // In every case: when this task was kept from running, all branches are ready
            // afterwards.
            if let Some(due) = timeout.filter(|due| *due <= now()) {
                let lag = self.meters.late(due, now());
                self.log.late(lag, self.dedicated_thread);
                // Users' requests may have heard from the server since.
                self.sync_activity();
                self.end_graces();
                self.session.handle_timeout(now());
            }
        }
    }

    /// Takes in what handles want: many at once, so that claims made together are sent together.
    fn handle_commands(&mut self) {
        let (notices, wishes) = self.inbox.take(WISHES_AT_ONCE);
        let Notices {
            losses,
            unanswered,
            refused,
            knock,
            unreadable,
            questions,
            overrides,
            passed,
            close,
            freeze,
        } = notices;
        // An answer that came before counts before.
        self.sync_activity();
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
                self.session.handle_denied(now());
            }
            self.show_current();
            self.forget(grant);
        }
        for (key, by) in overrides {
            self.views.documents.overridden(&key, by);
        }
        for (key, passed) in passed {
            for passed in passed {
                self.views.documents.passed(now(), &key, passed);
            }
        }
        for _ in 0..unreadable {
            self.meters.unreadable();
        }
        let Self { session, guards, leaving, serving, views, .. } = self;
        let claims = session.handle_commands(now(), |commands| {
            if let Some(until) = knock {
                commands.knock(until.into_std());
            }
            if let Some(is_frozen) = freeze {
                commands.freeze(now(), is_frozen);
            }
            for (guard, wish) in wishes {
                // Without a connection nothing is held anywhere: dropping `done` says so.
                if let Some((key, revision, done)) = take_wish(commands, guards, views, guard, wish)
                    && serving.is_some()
                {
                    leaving.wait(key, revision, done);
                }
            }
            close.as_ref().map_or(0, |close| commands.close(close.deadline.into_std()))
        });
        if let Some(Close { waiting, .. }) = close {
            let since = Instant::now();
            let begun = Closing { since, waiting: Vec::new(), claims };
            let closing = self.closing.get_or_insert(begun);
            for done in waiting {
                drop(push_awaited(&mut closing.waiting, done, oneshot::Sender::is_closed));
            }
        }
        for told in questions {
            // The caller may have stopped waiting.
            let _ = told.send(self.session.waits_for());
        }
    }

    /// Does everything that the session asks for, and shows everything that it has to show.
    fn perform(&mut self) {
        // No request carries a grant that was refused for good, even where no login is demanded.
        let mut moved = false;
        if !self.session.has_token() && self.grant.is_some() {
            let former = self.grant.take();
            self.forget(former);
            moved = true;
        }
        while let Some(event) = self.session.poll_event() {
            moved |= matches!(event, Event::Serving(_) | Event::State(_));
            self.show(event);
        }
        {
            let current = self.readers.current.borrow();
            moved |= current.renewing != self.session.is_renewing();
            moved |= current.tries_soon != self.session.tries_soon();
            moved |= current.unadmitted.is_some() != self.session.tries_without_token();
        }
        // After all of them: a connection is never shown with the abilities of another.
        if moved {
            self.show_current();
        }
        while let Some(effect) = self.session.poll_effect() {
            self.act(effect);
        }
        let Meters { stats, share, .. } = &mut self.meters;
        stats.claims = self.session.remaining();
        stats.unsettled = self.session.unsettled();
        stats.unresponsive = self.session.is_unresponsive();
        stats.held = self.views.held();
        share.counts(stats.claims, stats.unsettled, stats.held);
        share.overridden(self.views.documents.count_overridden());
        self.readers.stats.publish_if_changed(stats.clone());
        let storm = self.session.storm();
        self.meters.pulls(&storm);
        self.readers.storm.publish_if_changed(storm);
    }

    /// Shows an event to those who observe the session: the meters, the log, the readers.
    fn show(&mut self, mut event: Event) {
        let now = now();
        self.meters.observe(now, &mut event, self.closing.is_some());
        self.log.observe(now, &event, &self.meters.stats);
        self.follow(&event);
        for (service, turn) in self.views.apply(now, event) {
            self.log.turned(now, &service, turn);
        }
    }

    /// Notes which connection serves, and shows the state to readers and each guard its claim.
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Serving(link) => {
                self.serving = *link;
                if let Some(reached) = self.reached() {
                    reached.prove();
                }
                if link.is_none() {
                    self.leaving.clear();
                }
            }
            Event::State(state) => self.readers.state.publish(state.clone()),
            Event::Claim(guard, state) => {
                if let Some(writer) = self.guards.get(guard) {
                    writer.publish_if_changed(state.clone());
                }
            }
            Event::Settled(key, revision) => self.leaving.settled(key, *revision),
            Event::Unresponsive { .. } => {
                if let Some(reached) = self.reached() {
                    reached.doubt();
                }
            }
            _ => {}
        }
    }

    /// Where the connection that serves has led to.
    fn reached(&self) -> Option<&Reached> {
        match self.links.get(&self.serving?) {
            Some(Open::Up { reached, .. }) => Some(reached),
            _ => None,
        }
    }

    /// Looks at the views whose time has come.
    fn end_graces(&mut self) {
        let now = now();
        let Expired { ask, gone } = self.views.handle_timeout(now);
        self.session.handle_commands(now, |commands| {
            for service in &ask {
                commands.ask_again(service);
            }
        });
        for service in gone {
            self.log.turned(now, &service, GraceOutcome::Gone);
        }
    }

    /// Users' requests go over the connection that serves, once there is a token too.
    fn show_current(&mut self) {
        let state = (*self.readers.state.get()).clone();
        let (serving, unadmitted) = match self.current_link() {
            link if state.is_connected() => (link, None),
            link if self.session.tries_without_token() => (None, link),
            _ => (None, None),
        };
        self.readers.current.send_replace(Current {
            serving,
            unadmitted,
            state,
            renewing: self.session.is_renewing(),
            tries_soon: self.session.tries_soon(),
            refusals: self.refusals,
        });
    }

    /// The connection that serves, as users' requests need it.
    fn current_link(&self) -> Option<CurrentLink> {
        let id = self.serving?;
        let (server, abilities) = self.session.server().zip(self.session.abilities())?;
        let Some(Open::Up { link, users, .. }) = self.links.get(&id) else { return None };
        Some(CurrentLink {
            id,
            link: link.clone(),
            users: Arc::clone(users),
            grant: self.grant.clone(),
            server: Arc::clone(server),
            abilities: Arc::clone(abilities),
            refusals: self.refusals,
        })
    }

    /// Tells the session what users' requests have heard, and where some are still under way.
    fn sync_activity(&mut self) {
        for (id, open) in &self.links {
            let Open::Up { link, users, .. } = open else { continue };
            if self.serving == Some(*id) {
                self.session.handle_heard(*id, link.last_heard().into_std());
                if let Some(to) = users.take_let_in() {
                    self.session.handle_admitted(now(), *id, to);
                }
                let (answered, unanswered) = link.abandoned().take();
                if users.take_answered() || answered {
                    self.session.handle_answered(*id);
                } else if unanswered > 0 {
                    self.session.handle_unanswered(now(), *id, unanswered);
                }
            } else if Arc::strong_count(users) > 1 {
                self.session.handle_busy(now(), *id);
            }
        }
    }

    async fn end(mut self) {
        self.perform();
        self.views.close();
        let Some(Closing { since, waiting, claims }) = self.closing else { return };
        let withdrawn = Instant::now();
        // Jobs hold on to connections too.
        self.jobs.clear();
        for (_, open) in std::mem::take(&mut self.links) {
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
            // The caller may have stopped waiting.
            let _ = done.send(report.clone());
        }
    }
}

/// Gives the session a guard's wish. Returns the key and the sender of a withdrawal that somebody
/// waits for, and the revision that settles it.
fn take_wish(
    commands: &mut Commands<'_>,
    guards: &mut Map<GuardId, LiveWriter<ClaimState>>,
    views: &Views,
    guard: GuardId,
    Wish { key, wanted, refetch, polls, pull_jitter, disk, unread, .. }: Wish,
) -> Option<(ClaimKey, Revision, oneshot::Sender<()>)> {
    let remembered = match (&key, disk.map(|disk| *disk)) {
        (ClaimKey::Listen(document), Some(FromDisk { snapshot, overridden })) => {
            views.documents.read(now(), document, snapshot, overridden)
        }
        _ => None,
    };
    drop(unread);
    match wanted {
        Wanted::Nothing => {}
        Wanted::Assert { instance, state } => {
            guards.insert(guard, state);
            commands.assert(key.clone(), guard, instance);
            if let (ClaimKey::Listen(document), Some(content)) = (&key, remembered) {
                commands.remember(document, content);
            }
        }
        Wanted::Withdraw { done } => {
            guards.remove(&guard);
            let revision = commands.withdraw(&key, guard);
            return done.map(|done| (key, revision, done));
        }
    }
    let ClaimKey::Listen(document) = &key else { return None };
    if let Some(most) = pull_jitter {
        commands.pull_jitter(document, guard, most);
    }
    if polls {
        commands.poll_when_refused(document, guard);
    }
    if refetch {
        commands.refetch(document);
    }
    None
}

/// The session's clock: a paused runtime clock pauses it, too.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Wishes that are granted before anything is sent.
const WISHES_AT_ONCE: usize = 1024;
