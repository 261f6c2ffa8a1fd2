//! A session, its servers, and the time and the network between them.
use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{connection::views::Views, live::Live, state::Denial};

use super::{
    budget::Budget,
    digests::Record,
    faults::Faults,
    pulls::Law,
    server::{Server, Sync, error},
    *,
};

pub(super) enum Input {
    Dialled(LinkId, Result<Addresses, String>),
    Request(LinkId, CallId, Payload),
    Setup(LinkId),
    Answer(CallId, Result<Payload, CallError>),
    Push(LinkId, Payload),
    Login(Result<TokenLease, LoginFailure>),
    ServerList(Result<Vec<crate::server::Server>, String>),
}

/// A session, its server, and the time between them.
pub(super) struct World {
    began: Instant,
    pub(super) now: Instant,
    /// The trace of all that was done, if it is to be kept.
    pub(super) trace: Option<Vec<(Duration, String)>>,
    /// The record for the digests, if it is to be kept.
    pub(super) record: Option<Record>,
    pub(super) session: Session,
    pub(super) server: Server,
    pub(super) has_credentials: bool,
    /// Requests that were sent without a token.
    without_token: BTreeSet<CallId>,
    pub(super) faults: Faults,
    pub(super) dice: fastrand::Rng,
    /// The inputs that are on their way, by time and order.
    pub(super) queue: BinaryHeap<(std::cmp::Reverse<(Instant, u64)>, u64)>,
    pub(super) inputs: HashMap<u64, Input>,
    pub(super) sent: u64,
    /// The requests that a paused server has not looked at.
    backlog: VecDeque<(LinkId, CallId, Payload)>,
    pub(super) open: BTreeSet<LinkId>,
    pub(super) dials: usize,
    pub(super) dialled_at: Vec<Instant>,
    pub(super) logins: usize,
    pub(super) logged_in_at: Vec<Instant>,
    pub(super) budget: Budget,
    pub(super) law: Law,
    pub(super) locates: usize,
    pub(super) states: Vec<SessionState>,
    pub(super) documents: HashMap<ConfigKey, DocumentState>,
    pub(super) matched: BTreeMap<ConfigPattern, MatchedKeys>,
    /// The views of the services that are subscribed to, and the readers of each by grace.
    pub(super) views: Views,
    pub(super) readers: BTreeMap<(ServiceKey, Duration), Live<Service>>,
    /// Since when each of them has been held, on one connection.
    pub(super) held_since: BTreeMap<(ServiceKey, Duration), Instant>,
    pub(super) claims: HashMap<GuardId, ClaimState>,
    /// The services of which the session has found something to be lost, and whether for the first
    /// time.
    pub(super) lost: Vec<(String, bool)>,
    /// The claims of all guards, kept apart from the session.
    pub(super) wanted: BTreeMap<GuardId, (ClaimKey, Option<Instance>)>,
    /// Addresses that two guards of one service have claimed at the same time.
    pub(super) shared: HashSet<(ClaimKey, String)>,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self::among("s", seed, faults)
    }

    pub(super) fn among(servers: &str, seed: u64, faults: Faults) -> Self {
        let servers = crate::server::Server::parse_list(servers, 1000).expect("valid");
        Self::with(servers, None, seed, faults)
    }

    /// A session that reads where its servers are, among them `s`.
    pub(super) fn locating(seed: u64, faults: Faults) -> Self {
        Self::with(Vec::new(), Some(Duration::from_secs(30)), seed, faults)
    }

    pub(super) fn with(
        servers: Vec<crate::server::Server>,
        refresh: Option<Duration>,
        seed: u64,
        faults: Faults,
    ) -> Self {
        Self::governed(servers, refresh, seed, faults, PullOptions::new(format!("c{seed}")))
    }

    pub(super) fn governed(
        servers: Vec<crate::server::Server>,
        refresh: Option<Duration>,
        seed: u64,
        faults: Faults,
        pulls: PullOptions,
    ) -> Self {
        let now = Instant::now();
        let mut jitter = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let has_credentials = faults.denies_login || seed.is_multiple_of(3);
        let options = Options {
            config_namespace: "".parse().expect("valid"),
            naming_namespace: "".parse().expect("valid"),
            app: "simulated".to_owned(),
            labels: crate::labels::Labels::default(),
            client_id: "c0".to_owned(),
            has_credentials,
            keeps_rights: true,
            require_login: false,
            backoff_cap: Duration::from_secs(10),
            patience: Patience::DEFAULT,
            request_timeout: Duration::from_secs(10),
            refresh,
            pulls: pulls.clone(),
        };
        Self {
            began: now,
            now,
            trace: None,
            record: None,
            session: Session::new(now, servers, options, Box::new(move || jitter.f64())),
            server: Server::new(has_credentials),
            has_credentials,
            without_token: BTreeSet::new(),
            faults,
            dice: fastrand::Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            inputs: HashMap::new(),
            sent: 0,
            backlog: VecDeque::new(),
            open: BTreeSet::new(),
            dials: 0,
            dialled_at: Vec::new(),
            logins: 0,
            logged_in_at: Vec::new(),
            budget: Budget::default(),
            law: Law::new(now, pulls),
            locates: 0,
            states: Vec::new(),
            documents: HashMap::new(),
            matched: BTreeMap::new(),
            views: Views::new(None, None),
            readers: BTreeMap::new(),
            held_since: BTreeMap::new(),
            claims: HashMap::new(),
            lost: Vec::new(),
            wanted: BTreeMap::new(),
            shared: HashSet::new(),
        }
    }

    pub(super) fn register(&mut self, name: &str, guard: GuardId, instance: Instance) {
        self.claim(service(name, true), guard, Some(instance));
    }

    pub(super) fn subscribe(&mut self, name: &str, guard: GuardId) {
        let key = service(name, false);
        if let ClaimKey::Subscription(service) = &key {
            let grace = grace(guard);
            let (raw, view) = self.views.services.enter(service, grace);
            self.readers.insert((service.clone(), Duration::ZERO), raw);
            self.readers.insert((service.clone(), grace), view);
        }
        self.claim(key, guard, None);
    }

    pub(super) fn watch(&mut self, name: &str, guard: GuardId) {
        self.claim(document(name), guard, None);
    }

    pub(super) fn fuzzy_watch(&mut self, data_id: &str, guard: GuardId) {
        self.claim(pattern(data_id), guard, None);
    }

    pub(super) fn watch_later(&mut self, name: &str, guard: GuardId) {
        self.wanted.insert(guard, (document(name), None));
        self.session.commands().assert(document(name), guard, None);
    }

    pub(super) fn claim(&mut self, key: ClaimKey, guard: GuardId, instance: Option<Instance>) {
        if let Some(address) = instance.as_ref().map(Instance::address) {
            let is_rival = |(other, (its_key, its)): (&GuardId, &(ClaimKey, Option<Instance>))| {
                let its = its.as_ref().map(Instance::address);
                *other != guard && *its_key == key && its.as_ref() == Some(&address)
            };
            if self.wanted.iter().any(is_rival) {
                self.shared.insert((key.clone(), address));
            }
        }
        self.wanted.insert(guard, (key.clone(), instance.clone()));
        self.session.commands().assert(key, guard, instance.map(Arc::new));
        self.session.settle(self.now);
    }

    pub(super) fn withdraw(&mut self, key: &ClaimKey, guard: GuardId) {
        self.wanted.remove(&guard);
        self.session.commands().withdraw(key, guard);
        if let ClaimKey::Subscription(service) = key {
            self.views.services.leave(service, grace(guard));
        }
        if let ClaimKey::FuzzyWatch(pattern) = key
            && !self.wanted.values().any(|(other, _)| other == key)
        {
            self.matched.remove(pattern);
        }
        self.session.settle(self.now);
    }

    /// A change from outside, with a notice to every listener.
    pub(super) fn change_document(&mut self, name: &str, content: Option<String>) {
        let was_there = self.server.documents.contains_key(name);
        match content {
            Some(content) => drop(self.server.documents.insert(name.to_owned(), content)),
            None => drop(self.server.documents.remove(name)),
        }
        let exists = self.server.documents.contains_key(name);
        if was_there != exists {
            let change = if exists { "CONFIG_CHANGED" } else { "DELETE_CONFIG" };
            let body = json!({
                "requestId": "1", "groupKey": format!("{name}+DEFAULT_GROUP+public"), "changeType": change,
            });
            for link in self.server.watchers(name) {
                // In no particular order.
                let travel = Duration::from_micros(self.dice.u64(50..100_000));
                self.push_after(travel, link, "ConfigFuzzyWatchChangeNotifyRequest", &body);
            }
        }
        for link in self.server.listeners(name) {
            let notice = json!({"requestId": "1", "dataId": name, "group": "DEFAULT_GROUP"});
            self.push(link, "ConfigChangeNotifyRequest", &notice);
        }
        // r-nacos forgets who listens to a document when it is removed.
        if self.server.additive && !self.server.documents.contains_key(name) {
            for held in self.server.connections.values_mut() {
                held.listens.remove(name);
            }
        }
    }

    pub(super) fn push(&mut self, link: LinkId, kind: &str, body: &Value) {
        self.push_after(Duration::from_micros(100), link, kind, body);
    }

    fn push_after(&mut self, after: Duration, link: LinkId, kind: &str, body: &Value) {
        let payload = Payload::new(kind, serde_json::to_vec(body).expect("JSON"));
        self.later(after, Input::Push(link, payload));
    }

    /// Subscribers to a service that has changed are sent the list, in no particular order.
    fn notify(&mut self) {
        for name in std::mem::take(&mut self.server.changed) {
            let info = self.server.list(&name);
            for link in self.server.subscribers(&name) {
                let travel = Duration::from_micros(self.dice.u64(50..100_000));
                let list = json!({"requestId": "1", "serviceInfo": info});
                self.push_after(travel, link, "NotifySubscriberRequest", &list);
            }
        }
    }

    /// Those who watch a pattern are sent the difference, in batches in no particular order, and
    /// then the end, if they wait for one.
    fn sync(&mut self) {
        for Sync { link, pattern, changes, initial } in std::mem::take(&mut self.server.syncs) {
            let kind =
                if initial { "FUZZY_WATCH_INIT_NOTIFY" } else { "FUZZY_WATCH_DIFF_SYNC_NOTIFY" };
            let batches: Vec<_> = changes.chunks(2).collect();
            let mut last = Duration::ZERO;
            for (index, batch) in batches.iter().enumerate() {
                let context = |(name, exists): &(String, bool)| {
                    let change = if *exists { "ADD_CONFIG" } else { "DELETE_CONFIG" };
                    json!({"groupKey": format!("{name}+DEFAULT_GROUP+public"), "changedType": change})
                };
                let body = json!({
                    "requestId": "1", "groupKeyPattern": pattern, "syncType": kind,
                    "contexts": batch.iter().map(context).collect::<Vec<_>>(),
                    "totalBatch": batches.len(), "currentBatch": index + 1,
                });
                let travel = Duration::from_micros(self.dice.u64(50..100_000));
                last = last.max(travel);
                self.push_after(travel, link, "ConfigFuzzyWatchSyncRequest", &body);
            }
            if initial {
                let end = json!({
                    "requestId": "1", "groupKeyPattern": pattern,
                    "syncType": "FINISH_FUZZY_WATCH_INIT_NOTIFY", "totalBatch": 0, "currentBatch": 0,
                });
                let travel = last + Duration::from_micros(self.dice.u64(50..1000));
                self.push_after(travel, link, "ConfigFuzzyWatchSyncRequest", &end);
            }
        }
    }

    /// The connection that serves leads nowhere from now on.
    pub(super) fn lose_packets(&mut self) {
        self.server.black_holes.extend(self.session.serving_link());
    }

    /// The server that serves, if there is one, asks to be left, perhaps for one that it names.
    pub(super) fn reset(&mut self, redirect: &str) {
        if let Some(link) = self.session.serving_link() {
            let reset = json!({"requestId": "1", "serverIp": redirect, "serverPort": "8848"});
            self.push(link, "ConnectResetRequest", &reset);
        }
    }

    /// A user's request finds that the connection that serves takes none.
    pub(super) fn find_unusable(&mut self) {
        if let Some(link) = self.session.serving_link() {
            self.server.disowns = true;
            self.session.handle_unusable(self.now, link);
        }
    }

    /// The machine sleeps: every input that was on its way comes late, and all deadlines come at
    /// once.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.now += time;
        self.held_since.clear();
    }

    /// Every socket breaks.
    pub(super) fn lose_links(&mut self) {
        for link in std::mem::take(&mut self.open) {
            self.server.forget(link);
            self.session.handle_lost(self.now, link, "reset");
        }
    }

    /// Lets `time` pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        loop {
            self.perform();
            self.catch_up();
            self.notify();
            self.sync();
            steps += 1;
            assert!(steps < 200_000, "the session never comes to rest");
            let arrival = self.queue.peek().map(|(std::cmp::Reverse((at, _)), _)| *at);
            let timeout = self.session.poll_timeout(self.now);
            self.assert_within_bounds(timeout);
            self.assert_held_views();
            let grace = self.views.poll_timeout();
            let Some(next) =
                [arrival, timeout, grace].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            for service in self.views.handle_timeout(self.now).ask {
                self.session.commands().ask_again(&service);
                self.session.settle(self.now);
            }
            if arrival.is_some_and(|at| at <= self.now) {
                let (_, id) = self.queue.pop().expect("peeked");
                let input = self.inputs.remove(&id).expect("queued");
                self.arrive(input);
            } else {
                self.session.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    pub(super) fn perform(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match &event {
                Event::State(state) => {
                    if state.is_connected() {
                        self.held_since.clear();
                    }
                    self.states.push(state.clone());
                }
                Event::Document(key, state) => {
                    self.documents.insert(key.clone(), state.clone());
                }
                Event::Matches(pattern, matched) => {
                    self.assert_matches(pattern, matched);
                    self.matched.insert(pattern.clone(), matched.clone());
                }
                // A proxy that carries streams and calls apart looks like that.
                Event::Proxied { .. } => assert!(self.server.disowns, "there is no proxy"),
                Event::Ended { .. } => self.held_since.clear(),
                Event::Claim(guard, state) => {
                    if *state == ClaimState::Held {
                        self.assert_agreed(*guard);
                    }
                    self.claims.insert(*guard, state.clone());
                }
                Event::Lost { service, first } => {
                    self.lost.push((service.name().to_string(), *first));
                }
                Event::Serving(_)
                | Event::Confirmed(_)
                | Event::Service(..)
                | Event::Older { .. }
                | Event::Settled(..)
                | Event::Refused { .. }
                | Event::Unreadable { .. }
                | Event::Unresponsive { .. }
                | Event::Withheld { .. }
                | Event::Pulls { .. }
                | Event::Held(..) => {}
            }
            self.views.apply(self.now, event);
        }
        while let Some(effect) = self.session.poll_effect() {
            self.act(effect);
        }
    }

    pub(super) fn act(&mut self, effect: Effect) {
        let travel = Duration::from_micros(self.dice.u64(50..3000));
        self.budget.spend(self.now - self.began, &effect);
        let ends = matches!(effect, Effect::Close { .. });
        assert!(ends || !self.session.is_closed(), "{effect:?} after the end");
        self.assert_governed(&effect);
        if let Some(trace) = &mut self.trace {
            trace.push((self.now - self.began, name(&effect)));
        }
        if let Some(record) = &mut self.record {
            record.note(&effect);
        }
        match effect {
            Effect::Dial { link, server, within, .. } => {
                self.dials += 1;
                self.dialled_at.push(self.now);
                self.server.hosts.insert(link, server.host().to_owned());
                if self.server.is_down(link) || self.happens(self.faults.refused) {
                    self.later(travel, Input::Dialled(link, Err("refused".to_owned())));
                } else if self.happens(self.faults.silent) {
                    let within = within.each.min(within.all);
                    self.later(within, Input::Dialled(link, Err("silent".to_owned())));
                } else {
                    self.open.insert(link);
                    self.later(travel, Input::Dialled(link, Ok(Addresses::One)));
                }
            }
            Effect::Call { link, call, request, timeout, .. } => {
                if !self.session.has_token() {
                    self.without_token.insert(call);
                }
                // The driver's own deadline.
                self.later(timeout, Input::Answer(call, Err(CallError::Timeout)));
                if self.open.contains(&link) {
                    self.later(travel, Input::Request(link, call, request));
                }
            }
            Effect::OpenStream { link, .. } => self.later(travel, Input::Setup(link)),
            Effect::Close { link } => {
                self.open.remove(&link);
                self.server.forget(link);
            }
            Effect::Login { .. } => {
                self.logins += 1;
                self.logged_in_at.push(self.now);
                let outcome = if self.faults.denies_login {
                    Err(LoginFailure::Denied("no".to_owned()))
                } else if self.server.logins_down || self.happens(self.faults.refused) {
                    Err(LoginFailure::Unreachable("refused".to_owned()))
                } else if !self.server.users_loaded || !self.server.knows_user {
                    let why = "403".to_owned();
                    Err(LoginFailure::Refused { likely: Denial::NotReady, why })
                } else {
                    Ok(TokenLease { lifetime: Some(Duration::from_secs(20)), changed: true })
                };
                let travel = self.travel();
                self.later(travel, Input::Login(outcome));
            }
            Effect::FetchServerList => {
                self.locates += 1;
                let list = self.server.list;
                let outcome = match list {
                    _ if self.happens(self.faults.refused) => Err("refused".to_owned()),
                    None => Ok(Vec::new()),
                    Some(list) => Ok(crate::server::Server::parse_list(list, 1000).expect("valid")),
                };
                let travel = self.travel();
                self.later(travel, Input::ServerList(outcome));
            }
        }
    }

    pub(super) fn arrive(&mut self, input: Input) {
        match input {
            Input::Dialled(link, outcome) => self.session.handle_dialled(self.now, link, outcome),
            Input::Answer(call, answer) => self.session.handle_answer(self.now, call, answer),
            Input::Login(outcome) => {
                self.session.handle_login(self.now, Tried::named(1), outcome);
            }
            Input::ServerList(outcome) => self.session.handle_servers(self.now, outcome),
            Input::Push(link, _) if !self.open.contains(&link) => {}
            // Written pushes arrive once the network passes anything again.
            Input::Push(link, payload)
                if self.server.is_silent(link) || self.server.is_down(link) =>
            {
                self.later(Duration::from_millis(500), Input::Push(link, payload));
            }
            Input::Push(link, payload) => self.session.handle_push(self.now, link, &payload),
            Input::Setup(link) => {
                if self.open.contains(&link) && !self.server.is_silent(link) {
                    self.server.connections.entry(link).or_default();
                    if self.server.negotiates && !self.happens(self.faults.mute_setup) {
                        let ack = json!({"abilityTable": {"lock": true, "fuzzyWatch": self.server.has_patterns}});
                        let travel = self.travel();
                        self.push_after(travel, link, "SetupAckRequest", &ack);
                    }
                }
            }
            Input::Request(link, call, request) if self.server.paused => {
                self.backlog.push_back((link, call, request));
            }
            Input::Request(link, call, request) => self.answer(link, call, &request),
        }
    }

    /// A paused server goes on with what has come meanwhile, in that order.
    fn catch_up(&mut self) {
        while !self.server.paused
            && let Some((link, call, request)) = self.backlog.pop_front()
        {
            self.answer(link, call, &request);
        }
    }

    fn answer(&mut self, link: LinkId, call: CallId, request: &Payload) {
        if !self.open.contains(&link) || self.server.is_down(link) || self.server.is_silent(link) {
            return;
        }
        let without_token = self.without_token.remove(&call);
        let shakes_hands = request.kind() == "ServerCheckRequest";
        let odd = !shakes_hands && request.kind() != "HealthCheckRequest";
        let is_withheld = self.server.withholds && request.kind() == "ConfigQueryRequest";
        if odd && self.server.mute || is_withheld {
            return;
        }
        let answer = if !shakes_hands && self.happens(self.faults.not_sent) {
            Err(CallError::NotSent("the server leaves".to_owned()))
        } else if odd && self.happens(self.faults.odd_answer) {
            Ok(self.odd_answer())
        } else if odd && without_token && self.server.guards {
            Ok(error(403))
        } else {
            let answer = self.server.answer(self.now, link, request);
            if odd && self.happens(self.faults.unreadable) { self.unreadable() } else { Ok(answer) }
        };
        if self.happens(self.faults.lost_answer) {
            return;
        }
        let travel = self.travel();
        self.later(travel, Input::Answer(call, answer));
    }

    pub(super) fn later(&mut self, after: Duration, input: Input) {
        self.sent += 1;
        self.inputs.insert(self.sent, input);
        self.queue.push((std::cmp::Reverse((self.now + after, self.sent)), self.sent));
    }
}

/// Everything about it that matters to a server.
fn name(effect: &Effect) -> String {
    match effect {
        Effect::Call { link, call, request, .. } => {
            let body = String::from_utf8_lossy(request.json());
            format!("{link:?} {call:?} {} {body}", request.kind())
        }
        other => format!("{other:?}"),
    }
}

/// Which grace a guard chooses for what it subscribes to.
pub(super) fn grace(guard: GuardId) -> Duration {
    Duration::from_secs([0, 5, 30, 120][usize::try_from(guard.0).unwrap_or_default() % 4])
}
