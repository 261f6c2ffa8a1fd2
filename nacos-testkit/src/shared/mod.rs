//! The state that the handle, the tasks and the transports of one server share.

mod events;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tokio::{sync::watch, time::Instant};

pub(crate) use self::events::work_off;
use crate::{
    Behaviour,
    line::{Cut, Line},
    schedule::Schedule,
    state::{ConnectionKey, Event, Expected, Settled, State, StreamItem, Watched},
    timing::{Timing, later},
};

/// The options that a server was built with.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) behaviour: Behaviour,
    /// Whether everybody has to log in.
    pub(crate) authentication: bool,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) forget_on_stream_end: bool,
    /// The client that the provider beside the server grants tokens to.
    pub(crate) oidc: Option<OidcClient>,
    pub(crate) probe_silence: bool,
    pub(crate) reset_limit: Option<usize>,
    pub(crate) timing: Timing,
    pub(crate) token_ttl: Duration,
}

/// The one user there is.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The one machine client of the provider.
#[derive(Clone)]
pub(crate) struct OidcClient {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl std::fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The common part of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) addr: SocketAddr,
    pub(crate) schedule: Schedule,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    answer_delay: watch::Sender<Duration>,
    black_hole: AtomicBool,
    /// By how many milliseconds the clock has been stepped.
    stepped: AtomicI64,
    /// The lines of the HTTP port, which the state does not know.
    http_lines: Mutex<Vec<Weak<Line>>>,
    started: Instant,
    started_millis: i64,
}

impl Shared {
    pub(crate) fn new(plan: Plan, addr: SocketAddr) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            plan,
            addr,
            schedule: Schedule::default(),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            answer_delay: watch::Sender::new(Duration::ZERO),
            black_hole: AtomicBool::new(false),
            stepped: AtomicI64::new(0),
            http_lines: Mutex::default(),
            started: Instant::now(),
            started_millis: millis(since_1970),
        }
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        self.plan.behaviour
    }

    /// Milliseconds since 1970, by the clock of the runtime: they stand still while it is paused.
    pub(crate) fn now_millis(&self) -> i64 {
        let running = millis(Instant::now().duration_since(self.started));
        let stepped = self.stepped.load(Ordering::SeqCst);
        self.started_millis.saturating_add(running).saturating_add(stepped)
    }

    pub(crate) fn step_clock(&self, millis: i64) {
        let stepped = self.stepped.load(Ordering::SeqCst);
        self.stepped.store(stepped.saturating_add(millis), Ordering::SeqCst);
    }

    /// Looks at the state, without changing it.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&mut State) -> R) -> R {
        read(&mut self.lock())
    }

    /// Changes the state; tasks that wait for changes look again.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.changes.send_modify(|version| *version += 1);
        result
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a test that holds the lock must not hide the reason behind a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets events happen when their time has come: at once, unless the server takes its time.
    pub(crate) fn set_off(&self, events: Vec<Event>) {
        for event in events {
            self.after(self.natural_delay(&event), event);
        }
    }

    pub(crate) fn after(&self, delay: Duration, event: Event) {
        if delay.is_zero() {
            self.happen(event);
        } else {
            self.schedule.enter(later(delay), event);
        }
    }

    fn natural_delay(&self, event: &Event) -> Duration {
        let timing = &self.plan.timing;
        match event {
            Event::ConfigStored(_) => timing.config_dump,
            Event::Notice { .. } => timing.config_notice,
            Event::ServiceChanged(_) | Event::SubscriberDue { .. } => {
                timing.until_naming_push(Instant::now().duration_since(self.started))
            }
            Event::WatchStarted { watched: Watched::Services, .. } => timing.naming_watch,
            Event::WatchListed { watched: Watched::Services, .. } => timing.naming_watch_end,
            _ => Duration::ZERO,
        }
    }

    /// Sends a push and remembers to look for its acknowledgement.
    pub(crate) fn push(
        &self,
        state: &mut State,
        to: ConnectionKey,
        message_type: &str,
        fields: Map<String, Value>,
        expected: Expected,
    ) {
        if let Some((patience, event)) = state.push(to, message_type, fields, expected) {
            self.schedule.enter(later(patience), event);
        }
    }

    /// Does what an acknowledgement, or its absence, asks for.
    pub(crate) fn settle(&self, connection: ConnectionKey, settled: Settled) {
        match settled {
            Settled::Done => {}
            Settled::Eject => self.eject(connection),
            Settled::Later(delay, event) => self.after(delay, event),
            Settled::Next(event) => self.set_off(vec![event]),
        }
    }

    /// Closes a registered connection as the server does that finds it dead.
    pub(crate) fn eject(&self, key: ConnectionKey) {
        let java = self.behaviour().is_java();
        let events = self.change(|state| {
            if let Some(connection) = state.transports.connection(key) {
                let (code, message) = if java { (0, "") } else { (CANCELLED, "close") };
                connection.send(StreamItem::End { code, message });
            }
            let events = state.forget(key);
            // r-nacos leaves the transport open; what comes on it is unregistered.
            if java && let Some(transport) = state.transports.transport(key) {
                transport.closing.notify_one();
            }
            events
        });
        self.set_off(events);
    }

    /// Cuts every gRPC transport; what lived in its connection is gone when this returns.
    pub(crate) fn cut_connections(&self, how: Cut) {
        let events = self.change(|state| {
            let mut events = Vec::new();
            for key in state.transports.keys() {
                events.extend(state.forget(key));
                if let Some(transport) = state.transports.transport(key) {
                    transport.line.cut(how);
                }
                state.transports.closed(key);
            }
            events
        });
        self.set_off(events);
    }

    /// Forgets everything that a server loses when it restarts.
    pub(crate) fn forget_everything_but_documents(&self) {
        self.cut_connections(Cut::Close);
        for line in self.http_lines() {
            line.cut(Cut::Close);
        }
        self.schedule.clear();
        self.change(|state| state.tokens.expire());
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.answer_delay.send_replace(delay);
    }

    /// Waits as long as every answer has to; ends early when the delay is taken back.
    pub(crate) async fn delayed(&self) {
        let arrived = Instant::now();
        let mut delays = self.answer_delay.subscribe();
        loop {
            let waited = Instant::now().duration_since(arrived);
            let left = delays.borrow_and_update().saturating_sub(waited);
            if left.is_zero() {
                return;
            }
            let until = later(left);
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                // The sender lives in `self`: there is always another change to wait for.
                _ = delays.changed() => {}
            }
        }
    }

    pub(crate) fn set_black_hole(&self, on: bool) {
        self.black_hole.store(on, Ordering::SeqCst);
        self.read(|state| {
            for key in state.transports.keys() {
                if let Some(transport) = state.transports.transport(key) {
                    transport.line.stop(on);
                }
            }
        });
        for line in self.http_lines() {
            line.stop(on);
        }
    }

    pub(crate) fn is_black_hole(&self) -> bool {
        self.black_hole.load(Ordering::SeqCst)
    }

    pub(crate) fn http_line(&self, line: &Arc<Line>) {
        let mut lines = self.http_lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(line));
    }

    fn http_lines(&self) -> Vec<Arc<Line>> {
        let lines = self.http_lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(Weak::upgrade).collect()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The gRPC status of a stream that is given up.
const CANCELLED: u8 = 1;
