//! Nacos servers by script.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use serde_json::{Value, json};

use super::*;
use crate::document::digest;

/// A cluster of Nacos servers, as far as a session can tell: what others do is everywhere at once,
/// what a connection claims goes with it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own, in any combination")]
pub(super) struct Server {
    /// Those that take no connections and answer nothing.
    pub(super) down: BTreeSet<String>,
    /// Where each connection leads.
    pub(super) hosts: HashMap<LinkId, String>,
    pub(super) logins_down: bool,
    /// Requests need a token.
    pub(super) guards: bool,
    /// Logins are refused until it is so.
    pub(super) users_loaded: bool,
    /// There is such a user at all.
    pub(super) knows_user: bool,
    pub(super) paused: bool,
    /// Answers what keeps a connection, and nothing else.
    pub(super) mute: bool,
    /// Leaves queries for documents unanswered.
    pub(super) withholds: bool,
    pub(super) additive: bool,
    pub(super) negotiates: bool,
    /// Announces that it has fuzzy watches, which it has.
    pub(super) has_patterns: bool,
    /// Takes no pattern that nobody watches yet.
    pub(super) is_full: bool,
    /// The differences that those who watch patterns are to be told.
    pub(super) syncs: Vec<Sync>,
    pub(super) black_holes: BTreeSet<LinkId>,
    pub(super) refused_service: Option<(String, i32)>,
    /// Addresses that an operator has disabled.
    pub(super) hidden: BTreeSet<String>,
    /// In place of every answer to a query of a service.
    pub(super) odd_check: Option<Payload>,
    /// It has denied to know connections whose sockets were open.
    pub(super) disowns: bool,
    pub(super) documents: HashMap<String, String>,
    /// The instances of other clients, by service.
    others: BTreeMap<String, BTreeSet<String>>,
    /// Services of which subscribers have to be told.
    pub(super) changed: BTreeSet<String>,
    pub(super) connections: BTreeMap<LinkId, Held>,
    /// The claims that were agreed to on each connection, also those that were forgotten since.
    pub(super) agreed: BTreeMap<LinkId, Held>,
    pub(super) registered_at: Vec<Instant>,
    pub(super) listened_at: Vec<Instant>,
    pub(super) counts: HashMap<String, usize>,
    /// The answer of the address server; `None` if it is empty.
    pub(super) list: Option<&'static str>,
    pub(super) time: i64,
    /// Whether its clock has not only gone on.
    pub(super) has_stepped: bool,
    /// How often an instance that was claimed was not there at all for a moment.
    pub(super) vanished: usize,
}

#[derive(Default)]
pub(super) struct Held {
    pub(super) instances: BTreeMap<String, BTreeMap<String, Instance>>,
    pub(super) subscriptions: BTreeSet<String>,
    pub(super) listens: BTreeSet<String>,
    pub(super) patterns: BTreeSet<String>,
}

/// The difference between what matches a pattern and what a client knows of that.
pub(super) struct Sync {
    pub(super) link: LinkId,
    pub(super) pattern: String,
    pub(super) changes: Vec<(String, bool)>,
    pub(super) initial: bool,
}

impl Server {
    pub(super) fn new(guards: bool) -> Self {
        Self {
            down: BTreeSet::new(),
            hosts: HashMap::new(),
            logins_down: false,
            guards,
            users_loaded: true,
            knows_user: true,
            paused: false,
            mute: false,
            withholds: false,
            additive: false,
            negotiates: true,
            has_patterns: true,
            is_full: false,
            syncs: Vec::new(),
            black_holes: BTreeSet::new(),
            refused_service: None,
            hidden: BTreeSet::new(),
            odd_check: None,
            disowns: false,
            documents: HashMap::new(),
            others: BTreeMap::new(),
            changed: BTreeSet::new(),
            connections: BTreeMap::new(),
            agreed: BTreeMap::new(),
            registered_at: Vec::new(),
            listened_at: Vec::new(),
            counts: HashMap::new(),
            list: Some("s"),
            time: 0,
            has_stepped: false,
            vanished: 0,
        }
    }

    pub(super) fn heal(&mut self) {
        self.come_up();
        self.logins_down = false;
        self.users_loaded = true;
        self.paused = false;
        self.mute = false;
        self.withholds = false;
        self.is_full = false;
        self.black_holes.clear();
        self.list = self.list.or(Some("t"));
    }

    pub(super) fn step_clock(&mut self, by: i64) {
        self.time += by;
        self.has_stepped = true;
    }

    /// All servers at once.
    pub(super) fn go_down(&mut self) {
        self.down.extend(["s", "t"].map(str::to_owned));
        self.restart_next_id();
    }

    pub(super) fn come_up(&mut self) {
        self.down.clear();
    }

    /// One server alone, which forgets nothing meanwhile.
    pub(super) fn toggle(&mut self, host: &str) {
        if !self.down.remove(host) {
            self.down.insert(host.to_owned());
        }
    }

    pub(super) fn is_down(&self, link: LinkId) -> bool {
        self.hosts.get(&link).is_some_and(|host| self.down.contains(host))
    }

    /// All connection state is forgotten, while the sockets stay open.
    pub(super) fn restart_next_id(&mut self) {
        let held = self.connections.values();
        self.changed.extend(held.flat_map(|held| held.instances.keys().cloned()));
        self.connections.clear();
        self.disowns = true;
    }

    /// Nobody is told that this service has been forgotten.
    pub(super) fn lose(&mut self, service: &str) {
        self.changed.insert(service.to_owned());
        for held in self.connections.values_mut() {
            // A publication with a disabled instance stays: nobody is shown that one, so nobody
            // misses it.
            let visible = |held: &BTreeMap<_, Instance>| held.values().all(|it| it.enabled);
            if held.instances.get(service).is_some_and(visible) {
                held.instances.remove(service);
            }
        }
    }

    pub(super) fn registrations(&self) -> usize {
        self.requests("InstanceRequest") + self.requests("BatchInstanceRequest")
    }

    /// Somebody else comes to a service, or leaves it.
    pub(super) fn change_others(&mut self, service: &str, ip: &str) {
        let others = self.others.entry(service.to_owned()).or_default();
        if !others.remove(ip) {
            others.insert(ip.to_owned());
        }
        self.changed.insert(service.to_owned());
    }

    /// The addresses of a service that the server shows to any client.
    pub(super) fn shown(&self, name: &str) -> BTreeSet<String> {
        let all = self.connections.values().filter_map(|held| held.instances.get(name));
        let enabled = all.flat_map(BTreeMap::values).filter(|instance| instance.enabled);
        let others = self.others.get(name).into_iter().flatten().map(|ip| format!("{ip}:1"));
        let addresses = enabled.map(Instance::address).chain(others);
        addresses.filter(|address| !self.hidden.contains(address)).collect()
    }

    /// The same as it travels. Until the clock is stepped, no two lists have the same time.
    pub(super) fn list(&mut self, name: &str) -> Value {
        self.time += 1;
        let host = |address: &String| {
            let (ip, port) = address.rsplit_once(':').expect("an address");
            json!({"ip": ip, "port": port.parse::<u16>().expect("a port"), "weight": 99.0})
        };
        let hosts: Vec<_> = self.shown(name).iter().map(host).collect();
        json!({"name": name, "groupName": "DEFAULT_GROUP", "hosts": hosts, "lastRefTime": self.time})
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        if let Some(held) = self.connections.remove(&link) {
            self.changed.extend(held.instances.keys().cloned());
            let others: BTreeSet<_> =
                self.connections.values().flat_map(|other| other.instances.keys()).collect();
            self.vanished += held.instances.keys().filter(|name| !others.contains(name)).count();
        }
    }

    pub(super) fn is_silent(&self, link: LinkId) -> bool {
        self.paused || self.black_holes.contains(&link)
    }

    pub(super) fn subscribers(&self, name: &str) -> Vec<LinkId> {
        let subscribed =
            self.connections.iter().filter(|(_, held)| held.subscriptions.contains(name));
        subscribed.map(|(link, _)| *link).collect()
    }

    pub(super) fn listeners(&self, name: &str) -> Vec<LinkId> {
        let listening = self.connections.iter().filter(|(_, held)| held.listens.contains(name));
        listening.map(|(link, _)| *link).collect()
    }

    pub(super) fn held_addresses(&self, name: &str) -> Vec<String> {
        let held = self.connections.values().filter_map(|held| held.instances.get(name));
        held.flat_map(|instances| instances.keys().cloned()).collect()
    }

    pub(super) fn requests(&self, kind: &str) -> usize {
        self.counts.get(kind).copied().unwrap_or_default()
    }

    pub(super) fn answer(&mut self, now: Instant, link: LinkId, request: &Payload) -> Payload {
        *self.counts.entry(request.kind().to_owned()).or_default() += 1;
        let body: Value = serde_json::from_slice(request.json()).expect("our own JSON");
        if request.kind() == "ServerCheckRequest" {
            let check = json!({"supportAbilityNegotiation": self.negotiates});
            return ok("ServerCheckResponse", check);
        }
        let additive = self.additive;
        let odd_check = self.odd_check.clone();
        let Some(held) = self.connections.get_mut(&link) else { return error(301) };
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let name = text("serviceName");
        if let Some((refused, code)) = &self.refused_service
            && *refused == name
        {
            return error(*code);
        }
        if request.kind() == "ConfigFuzzyWatchRequest" {
            assert!(self.has_patterns && self.negotiates, "nobody said that it could do that");
            let name = text("groupKeyPattern");
            let is_new = body["watchType"] == json!("WATCH") && !held.patterns.contains(&name);
            if self.is_full && is_new {
                return error(50310);
            }
        }
        held.claim(additive, request.kind(), &body);
        self.agreed.entry(link).or_default().claim(additive, request.kind(), &body);
        if matches!(request.kind(), "InstanceRequest" | "BatchInstanceRequest") {
            self.registered_at.push(now);
            self.changed.insert(name.clone());
        }
        if request.kind() == "ConfigBatchListenRequest" {
            self.listened_at.push(now);
        }
        match request.kind() {
            "HealthCheckRequest" => ok("HealthCheckResponse", json!({})),
            "ServiceQueryRequest" => odd_check.unwrap_or_else(|| {
                ok("QueryServiceResponse", json!({"serviceInfo": self.list(&name)}))
            }),
            "InstanceRequest" => ok("InstanceResponse", json!({"type": text("type")})),
            "BatchInstanceRequest" => {
                let kind = if additive { "registerInstance" } else { "batchRegisterInstance" };
                ok("BatchInstanceResponse", json!({"type": kind}))
            }
            "SubscribeServiceRequest" => {
                ok("SubscribeServiceResponse", json!({"serviceInfo": self.list(&name)}))
            }
            "ConfigBatchListenRequest" => {
                let mut changed = Vec::new();
                for context in body["configListenContexts"].as_array().expect("a list") {
                    let data_id = context["dataId"].as_str().expect("a name").to_owned();
                    if body["listen"] == json!(true) {
                        let md5 = self
                            .documents
                            .get(&data_id)
                            .map(|content| digest(content))
                            .unwrap_or_default();
                        if context["md5"] != json!(md5) {
                            changed.push(json!({"dataId": data_id, "group": "DEFAULT_GROUP"}));
                        }
                    }
                }
                ok("ConfigChangeBatchListenResponse", json!({"changedConfigs": changed}))
            }
            "ConfigFuzzyWatchRequest" => {
                if body["watchType"] == json!("WATCH") {
                    self.sync(link, &body);
                }
                ok("ConfigFuzzyWatchResponse", json!({}))
            }
            "ConfigQueryRequest" => {
                let Some(content) = self.documents.get(&text("dataId")) else {
                    let absent = json!({"resultCode": 500, "errorCode": 300, "message": "config data not exist"});
                    return Payload::new(
                        "ConfigQueryResponse",
                        serde_json::to_vec(&absent).expect("JSON"),
                    );
                };
                let found =
                    json!({"content": content, "md5": digest(content), "contentType": "text"});
                ok("ConfigQueryResponse", found)
            }
            other => panic!("{other} is not part of the script"),
        }
    }
}

impl Server {
    /// A client that watches a pattern is to be told how its keys differ from those there are.
    fn sync(&mut self, link: LinkId, body: &Value) {
        let pattern = body["groupKeyPattern"].as_str().expect("a pattern").to_owned();
        let known = body["receivedGroupKeys"].as_array().expect("a list");
        let known: BTreeSet<_> = known.iter().filter_map(Value::as_str).map(name_of).collect();
        let matching: BTreeSet<_> = self.matching(&pattern).into_iter().collect();
        let gone = known.difference(&matching).map(|name| (name.clone(), false));
        let came = matching.difference(&known).map(|name| (name.clone(), true));
        let changes = came.chain(gone).collect();
        let initial = body["initializing"] == json!(true);
        self.syncs.push(Sync { link, pattern, changes, initial });
    }

    /// The documents that match a pattern as it travels.
    pub(super) fn matching(&self, sent: &str) -> Vec<String> {
        let data_id = sent.rsplit(">>").next().expect("a pattern");
        let pattern = ConfigPattern::try_from(data_id).expect("valid");
        let is_match =
            |name: &&String| pattern.matches(&ConfigKey::try_from(name.as_str()).expect("valid"));
        self.documents.keys().filter(is_match).cloned().collect()
    }

    /// The connections with a pattern that matches the document.
    pub(super) fn watchers(&self, name: &str) -> Vec<LinkId> {
        let watches = |held: &Held| {
            held.patterns.iter().any(|sent| {
                let data_id = sent.rsplit(">>").next().expect("a pattern");
                let pattern = ConfigPattern::try_from(data_id).expect("valid");
                pattern.matches(&ConfigKey::try_from(name).expect("valid"))
            })
        };
        self.connections.iter().filter(|(_, held)| watches(held)).map(|(link, _)| *link).collect()
    }
}

/// The data id in the text form of a key.
fn name_of(group_key: &str) -> String {
    group_key.split('+').next().unwrap_or_default().to_owned()
}

impl Held {
    /// Does what a request asks for.
    pub(super) fn claim(&mut self, additive: bool, kind: &str, body: &Value) {
        let name = body["serviceName"].as_str().unwrap_or_default().to_owned();
        match kind {
            "InstanceRequest" => {
                let instance = instance(&body["instance"]);
                let service = self.instances.entry(name).or_default();
                let leaves = body["type"] == json!("deregisterInstance");
                if !additive {
                    service.clear();
                } else if leaves {
                    service.remove(&instance.address());
                }
                if !leaves {
                    add(service, instance);
                }
            }
            "BatchInstanceRequest" => {
                let service = self.instances.entry(name).or_default();
                if !additive {
                    service.clear();
                }
                for value in body["instances"].as_array().expect("a list") {
                    add(service, instance(value));
                }
            }
            "SubscribeServiceRequest" if body["subscribe"] == json!(true) => {
                self.subscriptions.insert(name);
            }
            "SubscribeServiceRequest" => drop(self.subscriptions.remove(&name)),
            "ConfigFuzzyWatchRequest" => {
                let pattern = body["groupKeyPattern"].as_str().expect("a pattern").to_owned();
                if body["watchType"] == json!("WATCH") {
                    self.patterns.insert(pattern);
                } else {
                    self.patterns.remove(&pattern);
                }
            }
            "ConfigBatchListenRequest" => {
                for context in body["configListenContexts"].as_array().expect("a list") {
                    let data_id = context["dataId"].as_str().expect("a name").to_owned();
                    if body["listen"] == json!(true) {
                        self.listens.insert(data_id);
                    } else {
                        self.listens.remove(&data_id);
                    }
                }
            }
            _ => {}
        }
    }
}

/// As r-nacos adds; a server that replaces has nothing there to be merged with.
pub(super) fn add(service: &mut BTreeMap<String, Instance>, mut instance: Instance) {
    if let Some(held) = service.get(&instance.address()) {
        if (instance.weight - 1.0).abs() < f64::EPSILON {
            instance.weight = held.weight;
        }
        instance.enabled &= held.enabled;
    }
    service.insert(instance.address(), instance);
}

pub(super) fn instance(value: &Value) -> Instance {
    let port = u16::try_from(value["port"].as_u64().expect("a port")).expect("a port");
    Instance::new(value["ip"].as_str().expect("an ip"), port)
        .with_weight(value["weight"].as_f64().expect("a weight"))
        .with_enabled(value["enabled"].as_bool().expect("a flag"))
        .with_healthy(value["healthy"].as_bool().expect("a flag"))
}

pub(super) fn ok(kind: &str, mut body: Value) -> Payload {
    body["resultCode"] = json!(200);
    Payload::new(kind, serde_json::to_vec(&body).expect("JSON"))
}

pub(super) fn error(code: i32) -> Payload {
    let body = json!({"resultCode": 500, "errorCode": code, "message": "no"});
    Payload::new("ErrorResponse", serde_json::to_vec(&body).expect("JSON"))
}
