//! Single steps of the session: one thing happens, and what follows is looked at.
//!
//! Where the simulation beside this module asks whether any history ends well, each test here
//! names one history and the promise that it once broke.
mod claims;
mod closing;
mod endings;
mod listens;
mod lists;
mod logins;
mod moves;
mod pulls;
mod registrations;
mod search;
mod servers;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use nacos_testkit::TimeLimit;
use serde_json::{Value, json};

use super::{connecting::authentication::admission, *};
use crate::{
    call_error::CallError,
    document::DocumentState,
    error::ErrorKind,
    instance::Instance,
    key::{ConfigKey, ServiceKey},
    state::ClaimState,
    wire::{DENIED, SERVER_ERROR},
};

/// A session with servers that take it at once, and leave every other request to the test.
struct Stage {
    /// Ends a test on whose clock time does not go on.
    _limit: TimeLimit,
    session: Session,
    now: Instant,
    /// The hosts, of one letter each, that refuse connections.
    down: &'static str,
    /// The hosts to which dialling takes for ever.
    silent: &'static str,
    /// How long servers take for their part of the handshake.
    check_takes: Duration,
    ack_takes: Duration,
    /// How they name connections in the next checks; after that, not at all.
    names: VecDeque<&'static str>,
    /// The steps that servers will take, each with its moment.
    taking: Vec<(Instant, Taking)>,
    dialled: Vec<String>,
    /// The connection from whose address the last one that was dialled leads away.
    other_than: Option<LinkId>,
    /// Of every server that is dialled.
    addresses: Addresses,
    login_under_way: bool,
    logins: usize,
    /// Whether servers let in who has a token only, where they are asked about that.
    demands_login: bool,
    /// How often they were asked.
    questions: usize,
    /// How often the list of servers was asked for.
    locates: usize,
    /// The requests that were not answered yet, without those of handshakes.
    calls: Vec<Sent>,
    /// When each was sent, where that matters.
    asked: HashMap<CallId, Instant>,
    events: Vec<Event>,
}

/// A message of a server that accepts a connection.
enum Taking {
    Check(CallId),
    Question(CallId),
    Ack(LinkId),
}

struct Sent {
    link: LinkId,
    call: CallId,
    request: Payload,
}

impl Sent {
    fn body(&self) -> Value {
        serde_json::from_slice(self.request.json()).expect("our own JSON")
    }
}

impl Stage {
    fn new(servers: &str, has_credentials: bool, jitter: f64) -> Self {
        Self::with(servers, has_credentials, jitter, None)
    }

    /// A session that has to ask where the servers are.
    fn locating(has_credentials: bool) -> Self {
        Self::with("", has_credentials, 0.5, Some(30 * SECOND))
    }

    fn with(servers: &str, has_credentials: bool, jitter: f64, refresh: Option<Duration>) -> Self {
        Self::governed(servers, has_credentials, jitter, refresh, PullOptions::new("c0"))
    }

    fn governed(
        servers: &str,
        has_credentials: bool,
        jitter: f64,
        refresh: Option<Duration>,
        pulls: PullOptions,
    ) -> Self {
        let now = Instant::now();
        let options = Options {
            config_namespace: "".parse().expect("valid"),
            naming_namespace: "".parse().expect("valid"),
            app: "steps".to_owned(),
            labels: crate::labels::Labels::default(),
            client_id: "c0".to_owned(),
            has_credentials,
            keeps_rights: true,
            require_login: false,
            backoff_cap: CAP,
            patience: Patience::DEFAULT,
            request_timeout: Duration::from_secs(10),
            refresh,
            pulls,
        };
        let servers = Server::parse_list(servers, 1000).expect("valid");
        Self {
            _limit: TimeLimit::start(),
            now,
            session: Session::new(now, servers, options, Box::new(move || jitter)),
            down: "",
            silent: "",
            check_takes: Duration::ZERO,
            ack_takes: Duration::ZERO,
            addresses: Addresses::One,
            names: VecDeque::new(),
            taking: Vec::new(),
            dialled: Vec::new(),
            other_than: None,
            login_under_way: false,
            logins: 0,
            demands_login: false,
            questions: 0,
            locates: 0,
            calls: Vec::new(),
            asked: HashMap::new(),
            events: Vec::new(),
        }
    }

    fn connected(servers: &str) -> Self {
        let mut stage = Self::new(servers, false, 0.5);
        stage.begin();
        assert!(stage.session.can_send(stage.now));
        stage
    }

    fn begin(&mut self) {
        self.session.handle_timeout(self.now);
        self.perform();
    }

    /// The list of servers is asked for, and is this one.
    fn list(&mut self, servers: &str) {
        let list = Server::parse_list(servers, 1000).expect("valid");
        self.server_list(Ok(list));
    }

    fn server_list(&mut self, outcome: Result<Vec<Server>, String>) {
        while self.locates == 0 {
            self.answer_all(&ok("HealthCheckResponse"));
            self.wait();
        }
        self.answer_all(&ok("HealthCheckResponse"));
        self.locates = 0;
        self.session.handle_servers(self.now, outcome);
        self.perform();
    }

    fn log_in(&mut self) {
        self.perform();
        assert!(std::mem::take(&mut self.login_under_way), "nobody logs in");
        let lease = TokenLease { lifetime: Some(100 * SECOND), changed: true };
        self.session.handle_login(self.now, Tried::default(), Ok(lease));
        self.perform();
    }

    fn fail_login(&mut self) {
        if std::mem::take(&mut self.login_under_way) {
            let outcome = Err(LoginFailure::Unreachable("refused".to_owned()));
            self.session.handle_login(self.now, Tried::default(), outcome);
            self.perform();
        }
    }

    fn register(&mut self, guard: GuardId) {
        self.session.commands().assert(
            instances("orders"),
            guard,
            Some(Arc::new(Instance::new("10.0.0.1", 80))),
        );
        self.settle();
    }

    fn withdraw(&mut self, guard: GuardId) {
        self.events.clear();
        self.session.commands().withdraw(&instances("orders"), guard);
        self.settle();
    }

    fn close(&mut self) {
        self.session.commands().close(self.now + 25 * SECOND);
        self.settle();
    }

    /// The server that serves asks to be left.
    fn reset(&mut self) {
        self.reset_to(&json!({"requestId": "1"}));
    }

    fn reset_to(&mut self, body: &Value) {
        let link = self.serving();
        let reset = message("ConnectResetRequest", body);
        self.session.handle_push(self.now, link, &reset);
        self.perform();
    }

    fn settle(&mut self) {
        self.session.settle(self.now);
        self.perform();
    }

    /// Lets `time` pass, without anything happening before its end.
    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.perform();
    }

    /// Lets time pass until the session has something to do.
    fn wait(&mut self) {
        let next = self.session.poll_timeout(self.now).expect("it is not closed");
        let next = self.taking.iter().map(|(at, _)| *at).fold(next, Instant::min);
        self.advance(next.saturating_duration_since(self.now));
    }

    /// Answers health checks until the session looks for what it registered.
    fn until_checked(&mut self) -> Sent {
        loop {
            self.wait();
            let is_check = |sent: &Sent| sent.request.kind() == "ServiceQueryRequest";
            if let Some(at) = self.calls.iter().position(is_check) {
                return self.calls.remove(at);
            }
            self.answer_all(&ok("HealthCheckResponse"));
        }
    }

    fn answer(&mut self, sent: &Sent, answer: &Result<Payload, CallError>) {
        self.session.handle_answer(self.now, sent.call, answer.clone());
        self.perform();
    }

    fn answer_all(&mut self, answer: &Result<Payload, CallError>) {
        for sent in std::mem::take(&mut self.calls) {
            self.answer(&sent, answer);
        }
    }

    fn perform(&mut self) {
        loop {
            self.act();
            let Some(at) = self.taking.iter().position(|(at, _)| *at <= self.now) else { break };
            match self.taking.remove(at).1 {
                Taking::Check(call) => {
                    let name = self.names.pop_front().unwrap_or_default();
                    let check = json!({
                        "resultCode": 200, "connectionId": name, "supportAbilityNegotiation": true,
                    });
                    let answer = Ok(message("ServerCheckResponse", &check));
                    self.session.handle_answer(self.now, call, answer);
                }
                Taking::Question(call) => {
                    let open = ok("QueryServiceResponse");
                    let answer = if self.demands_login { refused(DENIED) } else { open };
                    self.session.handle_answer(self.now, call, answer);
                }
                Taking::Ack(link) => {
                    let ack = message("SetupAckRequest", &json!({"abilityTable": {}}));
                    self.session.handle_push(self.now, link, &ack);
                }
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    fn act(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Dial { link, server, other_than, .. } => {
                    self.other_than = other_than;
                    self.dialled.push(server.host().to_owned());
                    let down = self.down.contains(server.host());
                    let outcome = if down { Err("refused".to_owned()) } else { Ok(self.addresses) };
                    if !self.silent.contains(server.host()) {
                        self.session.handle_dialled(self.now, link, outcome);
                    }
                }
                Effect::Call { call, request, .. } if request.kind() == "ServerCheckRequest" => {
                    self.taking.push((self.now + self.check_takes, Taking::Check(call)));
                }
                // Servers of these tests let everybody in, or nobody without a token.
                Effect::Call { call, request, .. } if asks_for_nobody(&request) => {
                    self.questions += 1;
                    self.taking.push((self.now, Taking::Question(call)));
                }
                Effect::OpenStream { link, .. } => {
                    self.taking.push((self.now + self.ack_takes, Taking::Ack(link)));
                }
                Effect::Call { link, call, request, .. } => {
                    self.calls.push(Sent { link, call, request });
                }
                Effect::Close { link } => self.calls.retain(|sent| sent.link != link),
                Effect::FetchServerList => self.locates += 1,
                Effect::Login { .. } => {
                    self.login_under_way = true;
                    self.logins += 1;
                }
            }
        }
    }

    fn serving(&self) -> LinkId {
        self.session.serving_link().expect("connected")
    }

    /// The state that `guard` was told last.
    fn claim(&self, guard: GuardId) -> Option<ClaimState> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Claim(told, state) if *told == guard => Some(state.clone()),
            _ => None,
        })
    }

    /// Whether the withdrawal is known to be done.
    fn is_settled(&self) -> bool {
        let key = instances("orders");
        self.events.iter().any(|event| matches!(event, Event::Settled(done, _) if *done == key))
    }
}

fn asks_for_nobody(request: &Payload) -> bool {
    let body = String::from_utf8_lossy(request.json());
    let names = |name| body.contains(name);
    match request.kind() {
        "ServiceQueryRequest" => names(admission::NO_CLUSTER),
        "ConfigQueryRequest" => names(admission::NOBODY),
        _ => false,
    }
}

fn instances(name: &str) -> ClaimKey {
    ClaimKey::Instances(service(name))
}

fn subscription(name: &str) -> ClaimKey {
    ClaimKey::Subscription(service(name))
}

fn listen(name: &str) -> ClaimKey {
    let key = ConfigKey::try_from(name).expect("valid");
    ClaimKey::Listen(key.resolve(&"".parse().expect("valid")))
}

fn service(name: &str) -> ServiceKey {
    ServiceKey::try_from(name).expect("valid").resolve(&"".parse().expect("valid"))
}

fn message(kind: &str, body: &Value) -> Payload {
    Payload::new(kind, serde_json::to_vec(body).expect("JSON"))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, among answers that are errors")]
fn ok(kind: &str) -> Result<Payload, CallError> {
    Ok(message(kind, &json!({"resultCode": 200})))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, among answers that are errors")]
fn refused(code: i32) -> Result<Payload, CallError> {
    let body = json!({"resultCode": 500, "errorCode": code, "message": "no"});
    Ok(message("ErrorResponse", &body))
}

const CAP: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
