//! Gives a session any inputs in any order: it does not panic, and it keeps its promises.
//!
//! Where the simulation asks whether a session heals once its servers are well, this asks for what
//! must hold while nothing is well at all.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::*;
use crate::{
    call_error::CallError,
    fuzzed::{captures::Captures, input::Input},
    instance::Instance,
    key::{ConfigKey, ConfigPattern, ServiceKey},
    state::Denial,
};

/// One life of a session, as `data` will have it.
pub(crate) fn live_through(data: &[u8]) {
    let mut life = Life::new(data);
    let mut input = Input::new(data);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        life.step(&mut input);
        life.check();
    }
    life.end();
}

struct Life {
    session: Session,
    /// Most inputs are those of a well server.
    calm: bool,
    captures: &'static Captures,
    now: Instant,
    /// Every connection that was ever dialled.
    dialled: Vec<LinkId>,
    open: BTreeSet<LinkId>,
    streams: BTreeSet<LinkId>,
    /// The requests on connections that are open.
    calls: BTreeMap<CallId, (LinkId, String)>,
    last_call: Option<CallId>,
    logins: usize,
    locates: usize,
    guards: u64,
    held: Vec<(ClaimKey, GuardId)>,
    closed: bool,
}

/// A new token for so many seconds.
fn lease(seconds: u64) -> TokenLease {
    TokenLease { lifetime: Some(Duration::from_secs(seconds)), changed: true }
}

impl Life {
    fn new(data: &[u8]) -> Self {
        let now = Instant::now();
        let locates = data.get(2).is_some_and(|byte| byte % 2 == 0);
        let options = Options {
            config_namespace: "".parse().expect("valid"),
            naming_namespace: "".parse().expect("valid"),
            app: "fuzzed".to_owned(),
            labels: crate::labels::Labels::default(),
            client_id: "fuzzed".to_owned(),
            has_credentials: data.first().is_some_and(|byte| byte % 3 == 0),
            keeps_rights: true,
            require_login: data.first().is_some_and(|byte| byte % 2 == 0),
            backoff_cap: CAP,
            patience: Patience::DEFAULT,
            request_timeout: Duration::from_secs(10),
            refresh: locates.then_some(Duration::from_secs(30)),
            pulls: PullOptions::new("c0"),
        };
        let mut dice = fastrand::Rng::with_seed(data.len() as u64);
        let servers = if locates { Vec::new() } else { list("a,b,c") };
        Self {
            session: Session::new(now, servers, options, Box::new(move || dice.f64())),
            calm: data.get(1).is_some_and(|byte| byte % 4 > 0),
            captures: Captures::all(),
            now,
            dialled: Vec::new(),
            open: BTreeSet::new(),
            streams: BTreeSet::new(),
            calls: BTreeMap::new(),
            last_call: None,
            logins: 0,
            locates: 0,
            guards: 0,
            held: Vec::new(),
            closed: false,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let now = self.now;
        let mut what = input.below(25);
        if self.calm && matches!(what, 4 | 11..=13 | 15..=17 | 23..) && input.byte() >= 20 {
            what = AGREE;
        }
        match what {
            // Time, exactly, late, and far too late: a machine that slept.
            0..=2 => self.wait(),
            3 => self.pass(Duration::from_millis(input.number() % 10_000)),
            4 => self.pass(Duration::from_secs(input.number() % 1_000_000)),
            // A server that does as it should.
            AGREE..=10 => self.agree(input),
            11 => {
                let link = self.any_link(input);
                let outcome = match input.byte() {
                    ..64 => Ok(Addresses::One),
                    64..128 => Ok(Addresses::More),
                    _ => Err("refused".to_owned()),
                };
                self.session.handle_dialled(now, link, outcome);
            }
            12..=13 => {
                let call = self.any_call(input);
                let answer = self.any_answer(input);
                self.session.handle_answer(now, call, answer);
            }
            14 => {
                let link = self.any_link(input);
                let payload = self.captures.payload(input);
                if input.byte() < 30 {
                    self.session.handle_unreadable(now, link, &payload, "too large");
                } else {
                    self.session.handle_push(now, link, &payload);
                }
            }
            15 => {
                let link = self.any_link(input);
                self.session.handle_lost(now, link, "lost");
            }
            16 => {
                let link = self.any_link(input);
                self.session.handle_heard(link, now);
                self.session.handle_unusable(now, link);
            }
            17 => {
                let ttl = Duration::from_secs(input.number());
                let likely = if input.byte() < 128 { Denial::NotReady } else { Denial::Wrong };
                let tried = Tried::named(u64::from(input.byte() % 3));
                let outcome = match input.below(6) {
                    5 => Err(LoginFailure::Refused { likely, why: "no".to_owned() }),
                    0 => Err(LoginFailure::Denied("no".to_owned())),
                    1 => Err(LoginFailure::UnknownUser("no".to_owned())),
                    2 => Err(LoginFailure::Unreachable("no".to_owned())),
                    3 => Ok(TokenLease { lifetime: None, changed: false }),
                    _ => Ok(TokenLease { lifetime: Some(ttl), changed: true }),
                };
                if self.logins > 0 {
                    self.logins -= 1;
                    self.session.handle_login(now, tried, outcome);
                }
            }
            18..=20 => self.claim(input),
            21 if !self.held.is_empty() => {
                let (key, guard) = self.held.swap_remove(input.below(self.held.len()));
                self.session.commands().withdraw(&key, guard);
                // A second time changes nothing.
                self.session.commands().withdraw(&key, guard);
                self.session.settle(now);
            }
            22 => {
                if input.byte() < 128 {
                    self.session.commands().knock(now + Duration::from_secs(input.number() % 10));
                }
                self.session.handle_denied(now);
                self.session.commands().refetch(&document(input));
                self.session.settle(now);
            }
            24 if self.locates > 0 => {
                self.locates -= 1;
                let outcome = match input.below(4) {
                    0 => Err("refused".to_owned()),
                    1 => Ok(Vec::new()),
                    _ => Ok(list(input.one_of(&LISTS))),
                };
                self.session.handle_servers(now, outcome);
            }
            // Rarely, so that most lives are long.
            23 if input.byte() < 20 => {
                self.session.commands().close(now + Duration::from_secs(input.number() % 30));
                self.session.settle(now);
            }
            _ => {}
        }
    }

    /// Does what it is asked to, and sees that it may be asked.
    fn check(&mut self) {
        // First, as the driver does: what came to serve may be closed by the same input.
        while let Some(event) = self.session.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            if let Event::Serving(Some(link)) = event {
                assert!(self.open.contains(&link), "{link:?} serves, and is closed");
            }
        }
        let mut effects = 0;
        while let Some(effect) = self.session.poll_effect() {
            effects += 1;
            assert!(effects < 5000, "one input has no end of effects");
            assert!(!self.closed, "{effect:?} after the end");
            match effect {
                Effect::Dial { link, .. } => {
                    assert!(!self.dialled.contains(&link), "{link:?} is used twice");
                    self.dialled.push(link);
                    self.open.insert(link);
                }
                Effect::Call { link, call, request, timeout, .. } => {
                    assert!(self.open.contains(&link), "a call on {link:?}, which is closed");
                    assert!(self.last_call < Some(call), "{call:?} is used twice");
                    assert!(timeout > Duration::ZERO);
                    self.last_call = Some(call);
                    self.calls.insert(call, (link, request.kind().to_owned()));
                }
                Effect::OpenStream { link, .. } => {
                    assert!(self.open.contains(&link), "a stream on {link:?}, which is closed");
                    assert!(self.streams.insert(link), "a second stream on {link:?}");
                }
                Effect::Close { link } => {
                    assert!(self.open.remove(&link), "{link:?} is closed twice");
                    self.calls.retain(|_, (on, _)| *on != link);
                }
                Effect::Login { .. } => self.logins += 1,
                Effect::FetchServerList => self.locates += 1,
            }
        }
        assert!(self.logins <= 1, "two logins at once");
        assert!(self.locates <= 1, "two questions for the servers at once");
        // Those of the session's own, and listens and handshakes beside them.
        assert!(self.calls.len() < 1000, "{} calls at once", self.calls.len());
        // One that serves, those that retire, and one for each server that was listed meanwhile.
        assert!(self.open.len() <= 3 + 5, "{} connections for five servers", self.open.len());
        self.closed = self.session.is_closed();
        self.check_timeout();
    }

    fn check_timeout(&self) {
        let timeout = self.session.poll_timeout(self.now);
        if self.closed {
            assert_eq!(timeout, None, "a timeout after the end");
            assert!(self.open.is_empty(), "a socket after the end");
            return;
        }
        let Some(timeout) = timeout else {
            return assert!(self.locates > 0, "nothing will ever happen again");
        };
        if self.session.serving_link().is_none() {
            let delay = timeout.saturating_duration_since(self.now);
            assert!(delay <= CAP, "nobody serves, and nobody is looked for within {delay:?}");
        }
    }

    /// Until what the session waits for.
    fn wait(&mut self) {
        if let Some(at) = self.session.poll_timeout(self.now) {
            self.pass(at.saturating_duration_since(self.now));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..10 {
            self.session.handle_timeout(self.now);
            self.check();
            if self.session.poll_timeout(self.now).is_none_or(|next| next > self.now) {
                return;
            }
        }
        panic!("a hot loop: {:?} is due for ever", self.session);
    }

    /// The oldest thing that was asked for is done.
    fn agree(&mut self, input: &mut Input<'_>) {
        let waiting = self.open.iter().find(|link| {
            self.session
                .connecting
                .links()
                .all()
                .get(link)
                .is_some_and(|it| matches!(it.phase, connecting::link::Phase::Dialling { .. }))
        });
        if let Some(&link) = waiting {
            return self.session.handle_dialled(self.now, link, Ok(Addresses::One));
        }
        let setting_up = self.streams.iter().find(|link| {
            self.session
                .connecting
                .links()
                .all()
                .get(link)
                .is_some_and(|it| matches!(it.phase, connecting::link::Phase::SettingUp { .. }))
        });
        if let Some(&link) = setting_up {
            let able: &[u8] = br#"{"abilityTable":{"fuzzyWatch":true}}"#;
            let able = if input.byte() < 128 { able } else { b"{}" };
            let ack = Payload::new("SetupAckRequest", able.to_vec());
            return self.session.handle_push(self.now, link, &ack);
        }
        if self.logins > 0 {
            self.logins -= 1;
            return self.session.handle_login(self.now, Tried::named(1), Ok(lease(60)));
        }
        if self.locates > 0 {
            self.locates -= 1;
            return self.session.handle_servers(self.now, Ok(list("a,b,c")));
        }
        let Some((call, (_, kind))) = self.calls.pop_first() else { return };
        let kind = kind.as_str();
        let name = input.one_of(&NAMES);
        let document = json!({"dataId": name, "group": "DEFAULT_GROUP"});
        let hosts = json!([{"ip": "i0", "port": 1}]);
        let service = json!({"name": name, "groupName": "DEFAULT_GROUP", "hosts": hosts});
        let mut answer = match kind {
            "ServerCheckRequest" => json!({"supportAbilityNegotiation": input.byte() < 128}),
            "BatchInstanceRequest" if input.byte() < 128 => {
                json!({"type": "batchRegisterInstance"})
            }
            "SubscribeServiceRequest" | "ServiceQueryRequest" => json!({"serviceInfo": service}),
            "ConfigBatchListenRequest" => json!({"changedConfigs": [document]}),
            "ConfigQueryRequest" => json!({"content": name, "md5": name}),
            _ => json!({}),
        };
        answer["resultCode"] = json!(200);
        let kind = match kind {
            "ServiceQueryRequest" => "QueryServiceResponse".to_owned(),
            "ConfigBatchListenRequest" => "ConfigChangeBatchListenResponse".to_owned(),
            kind => kind.replace("Request", "Response"),
        };
        let answer = Payload::new(&kind, serde_json::to_vec(&answer).expect("JSON"));
        self.session.handle_answer(self.now, call, Ok(answer));
    }

    fn claim(&mut self, input: &mut Input<'_>) {
        self.guards += 1;
        let guard = GuardId(self.guards);
        let (key, instance) = match input.below(4) {
            3 => (ClaimKey::FuzzyWatch(pattern(input)), None),
            0 => (ClaimKey::Listen(document(input)), None),
            1 => (ClaimKey::Subscription(service(input)), None),
            _ => {
                let instance = Instance::new(input.one_of(&["i0", "i1", "i2"]), 1)
                    .with_weight(f64::from(input.byte() % 3))
                    .with_enabled(input.byte() < 200);
                (ClaimKey::Instances(service(input)), Some(instance))
            }
        };
        self.session.commands().assert(key.clone(), guard, instance.map(Arc::new));
        if input.byte() < 200 {
            self.session.settle(self.now);
        }
        self.held.push((key, guard));
    }

    /// One that there was, or never was.
    fn any_link(&self, input: &mut Input<'_>) -> LinkId {
        if input.byte() < 10 || self.dialled.is_empty() {
            return LinkId(input.number());
        }
        // Mostly one of the newest.
        let newest = self.dialled.len().saturating_sub(4);
        self.dialled[newest + input.below(self.dialled.len() - newest)]
    }

    fn any_call(&mut self, input: &mut Input<'_>) -> CallId {
        let known: Vec<CallId> = self.calls.keys().copied().collect();
        if input.byte() < 10 || known.is_empty() {
            return CallId(input.number());
        }
        let call = known[input.below(known.len())];
        // Sometimes it is answered twice.
        if input.byte() < 200 {
            self.calls.remove(&call);
        }
        call
    }

    fn any_answer(&self, input: &mut Input<'_>) -> Result<Payload, CallError> {
        let why = "fuzzed".to_owned();
        match input.below(12) {
            0 => Err(CallError::NotSent(why)),
            1 => Err(CallError::Lost(why)),
            2 => Err(CallError::Timeout),
            3 => Err(CallError::Status { code: u32::from(input.byte()), message: why }),
            4 => Err(CallError::Unreadable(why)),
            5..=6 => {
                let code =
                    input.one_of(&[300, 301, 302, 400, 403, 404, 409, 500, 501, 502, 503, -401, 0]);
                let body = json!({"resultCode": 500, "errorCode": code, "message": "no"});
                Ok(Payload::new("ErrorResponse", serde_json::to_vec(&body).expect("JSON")))
            }
            7 => Err(CallError::Unsigned("it was not signed in time")),
            _ => Ok(self.captures.payload(input)),
        }
    }

    /// However it was treated, it closes by its deadline and does nothing after.
    fn end(&mut self) {
        self.session.commands().close(self.now + Duration::from_secs(5));
        self.session.settle(self.now);
        self.check();
        for _ in 0..500 {
            if self.closed {
                break;
            }
            self.wait();
        }
        assert!(self.closed, "it does not close: {:?}", self.session);
        let link = self.dialled.last().copied().unwrap_or(LinkId(0));
        self.session.handle_timeout(self.now);
        self.session.handle_lost(self.now, link, "late");
        self.session.handle_dialled(self.now, link, Ok(Addresses::One));
        self.session.handle_servers(self.now, Ok(list("d")));
        self.session.handle_login(self.now, Tried::named(1), Ok(lease(1)));
        self.session.handle_push(
            self.now,
            link,
            &Payload::new("ConnectResetRequest", b"{}".to_vec()),
        );
        self.session.settle(self.now);
        self.check();
    }
}

fn list(servers: &str) -> Vec<Server> {
    Server::parse_list(servers, 1000).expect("valid")
}

fn service(input: &mut Input<'_>) -> ServiceKey {
    let namespace = input.one_of(&["", "", "", "elsewhere"]);
    let key = ServiceKey::try_from(input.one_of(&NAMES)).expect("valid");
    key.resolve(&namespace.parse().expect("valid"))
}

/// That of the captures among them.
fn pattern(input: &mut Input<'_>) -> ConfigPattern {
    let pattern = (input.one_of(&["*", "n*", "*1"]), input.one_of(&["capture", "*"]));
    let pattern = ConfigPattern::try_from(pattern).expect("valid");
    pattern.resolve(&"".parse().expect("valid"))
}

fn document(input: &mut Input<'_>) -> ConfigKey {
    let key = ConfigKey::try_from(input.one_of(&NAMES)).expect("valid");
    key.resolve(&"".parse().expect("valid"))
}

/// Those of the captures among them.
const NAMES: [&str; 4] = ["n0", "n1", "svc", "doc"];
const LISTS: [&str; 4] = ["a", "a,b,c", "c,d", "d,e"];
const CAP: Duration = Duration::from_secs(10);
const STEPS: usize = 2000;
/// A step in which a server does as it should.
const AGREE: usize = 5;

#[cfg(test)]
mod tests {
    #[test]
    fn no_history_is_a_panic_a_hot_loop_or_an_action_after_the_end() {
        crate::fuzzed::cases::for_any_input(4000, super::live_through);
    }
}
