//! The witness: what real servers said in a recorded session, the testkit says, too.
//!
//! The client's side of each capture is replayed over a real socket, at the recorded times of a
//! paused clock, and every answer, push and end of a stream is compared with the recorded one. The
//! comparison leaves out what cannot be equal: identifiers, times, measured loads, and the order of
//! sets. The health checks that the real servers made of persistent instances are made by the
//! replay, with the recorded result: 3.0.3 was asked in the middle of them.

mod client;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use client::{Client, Down, Failure, http};
use nacos_testkit::{Behaviour, Server};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

#[tokio::test(start_paused = true)]
async fn nacos_2_says_what_the_captured_server_said() {
    replay("nacos-2.3.2", Behaviour::Nacos2_3).await;
}

#[tokio::test(start_paused = true)]
async fn nacos_3_says_what_the_captured_server_said() {
    replay("nacos-3.0.3", Behaviour::Nacos3_0).await;
}

#[tokio::test(start_paused = true)]
async fn r_nacos_says_what_the_captured_server_said() {
    replay("r-nacos-0.8.8", Behaviour::RNacos).await;
}

async fn replay(name: &str, behaviour: Behaviour) {
    let known = known_differences(name);
    println!("{name}: lines that the testkit answers otherwise: {known:?}");

    let lines = read(name);
    let mut replay = Replay::begin(behaviour).await;
    for index in 0..lines.len() {
        replay.line(&lines, index).await;
    }
    replay.nothing_is_left().await;

    let expected = lines.iter().filter(|line| line.is_the_servers()).count();
    assert_eq!(replay.compared.len(), expected, "every line of the server is compared");
    let different: BTreeSet<usize> = replay.different.keys().copied().collect();
    for (number, difference) in &replay.different {
        println!("{name}:{number}: {difference}");
    }
    assert_eq!(different, known, "the lines of {name} that differ");
}

#[derive(Debug, Deserialize)]
struct Line {
    step: String,
    ms: u64,
    conn: String,
    dir: Dir,
    #[serde(rename = "type")]
    message_type: String,
    headers: HashMap<String, String>,
    body: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Dir {
    Ack,
    End,
    Http,
    Push,
    Request,
    Response,
    RpcError,
    Stream,
}

impl Line {
    fn is_the_servers(&self) -> bool {
        match self.dir {
            Dir::Http | Dir::Push | Dir::Response | Dir::RpcError => true,
            Dir::End => !self.is_closed_by_the_client(),
            Dir::Ack | Dir::Request | Dir::Stream => false,
        }
    }

    fn is_closed_by_the_client(&self) -> bool {
        self.dir == Dir::End && self.message_type.contains("Channel closed!")
    }
}

fn read(name: &str) -> Vec<Line> {
    let line = |line| serde_json::from_str(line).expect("a capture is JSON, line by line");
    fixture(&format!("{name}.jsonl")).lines().map(line).collect()
}

/// Lines that the testkit does not reproduce, by number from 1. They may only become fewer: one of
/// them that matches fails the test.
fn known_differences(name: &str) -> BTreeSet<usize> {
    let text = fixture("known-differences.txt");
    let mine = text.lines().filter_map(|line| line.strip_prefix(name));
    let number = |line: &str| line.split_whitespace().next()?.parse().ok();
    mine.map(|line| number(line).expect("a number after the name")).collect()
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wire");
    std::fs::read_to_string(folder.join(name)).expect("the captures stand in the repository")
}

struct Replay {
    server: Server,
    begun: Instant,
    token: String,
    clients: HashMap<String, Client>,
    connection_ids: HashMap<String, String>,
    /// The request ids of pushes: recorded, and now.
    request_ids: HashMap<String, Value>,
    compared: BTreeSet<usize>,
    different: BTreeMap<usize, String>,
}

impl Replay {
    async fn begin(behaviour: Behaviour) -> Self {
        let builder = Server::builder().behaviour(behaviour).credentials("nacos", "nacos");
        let server = client::start(builder.observed_timing()).await;
        let login = http(
            server.addr(),
            "POST",
            "/nacos/v1/auth/users/login?username=nacos",
            "password=nacos",
        );
        let (status, body) = login.await.expect("the server answers");
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).expect("the login answers JSON");
        let token = body["accessToken"].as_str().expect("a token").to_owned();
        Self {
            server,
            begun: Instant::now(),
            token,
            clients: HashMap::new(),
            connection_ids: HashMap::new(),
            request_ids: HashMap::new(),
            compared: BTreeSet::new(),
            different: BTreeMap::new(),
        }
    }

    async fn line(&mut self, lines: &[Line], index: usize) {
        let line = &lines[index];
        match line.dir {
            Dir::Request => self.request(lines, index).await,
            Dir::Response | Dir::RpcError => {} // compared with its request
            Dir::Stream => {
                self.at(line).await;
                let client = self.client(&line.conn).await;
                if !client.is_open() {
                    client.open().await;
                }
                client.send(&line.message_type, &line.body);
            }
            Dir::Push => {
                if line.message_type == "ConnectResetRequest" {
                    self.operate(lines, index).await;
                }
                self.push(index, line).await;
            }
            Dir::Ack => {
                let mut body = line.body.clone();
                let recorded = body["requestId"].as_str().expect("an ack names its push");
                body["requestId"] = self.request_ids[recorded].clone();
                self.client(&line.conn).await.send(&line.message_type, &body);
            }
            Dir::End if line.is_closed_by_the_client() => {
                self.at(line).await;
                self.clients.remove(&line.conn);
            }
            Dir::End => self.end(index, line).await,
            Dir::Http if self.compared.contains(&(index + 1)) => {} // done with the push it led to
            Dir::Http => {
                self.at(line).await;
                self.http(index, line).await;
            }
        }
    }

    async fn request(&mut self, lines: &[Line], index: usize) {
        let line = &lines[index];
        let answers = |other: &Line| matches!(other.dir, Dir::Response | Dir::RpcError);
        let mut later = lines.iter().enumerate().skip(index);
        let (answered, answer) = later
            .find(|(_, other)| other.conn == line.conn && answers(other))
            .expect("every request was answered");
        if line.message_type == "ServiceQueryRequest" {
            self.check_health(&answer.body);
        }
        self.at(line).await;
        // The server takes as long as it took: what it does afterwards counts from there.
        self.server.delay(Duration::from_millis(answer.ms - line.ms));
        let headers = self.headers(line);
        let body = inflated(&line.body).to_string();
        let client = self.client(&line.conn).await;
        let result = client.call_with(&line.message_type, &headers, body).await;
        match (answer.dir, result) {
            (Dir::RpcError, Err(failure)) => self.rpc_error(answered, answer, &failure),
            (Dir::Response, Ok((message_type, body))) => {
                if let Some(id) = body["connectionId"].as_str() {
                    self.connection_ids.insert(line.conn.clone(), id.to_owned());
                }
                self.compare(answered, answer, &message_type, &body);
            }
            (_, other) => self.note(answered, format!("{answer:?}\n instead: {other:?}")),
        }
    }

    /// The health check of the real server, which found what its next answer shows.
    fn check_health(&self, answer: &Value) {
        let info = &answer["serviceInfo"];
        let name = |key: &str| info[key].as_str().unwrap_or_default();
        for host in info["hosts"].as_array().into_iter().flatten() {
            if host["ephemeral"] == json!(false) {
                let ip = host["ip"].as_str().unwrap_or_default();
                let port = host["port"].as_u64().and_then(|port| port.try_into().ok());
                let address = (ip, port.expect("a port"));
                let healthy = host["healthy"] == json!(true);
                self.server.set_health("", name("groupName"), name("name"), address, healthy);
            }
        }
    }

    fn headers(&self, line: &Line) -> HashMap<String, String> {
        let mut headers = line.headers.clone();
        if let Some(token) = headers.get_mut("accessToken") {
            *token = if line.step == "bad token" { "bad".to_owned() } else { self.token.clone() };
        }
        headers
    }

    fn rpc_error(&mut self, index: usize, line: &Line, failure: &Failure) {
        let right = match line.message_type.as_str() {
            // The recorded client read this out of `RST_STREAM` with code 8.
            "StatusCode.CANCELLED" => *failure == Failure::Reset(8),
            "StatusCode.RESOURCE_EXHAUSTED" => match failure {
                // The number after it is the length, which depends on the token.
                Failure::Status { code, message } => {
                    let recorded = line.body["details"].as_str().unwrap_or_default();
                    let known = |text: &str| text.split(": ").next().map(str::to_owned);
                    code == "8" && known(message) == known(recorded)
                }
                _ => false,
            },
            _ => false,
        };
        self.note(index, if right { String::new() } else { format!("{line:?} != {failure:?}") });
    }

    async fn push(&mut self, index: usize, line: &Line) {
        let client = self.client(&line.conn).await;
        let Ok(down) = timeout(PATIENCE, client.next()).await else {
            return self.note(index, format!("{line:?} never came"));
        };
        match down {
            Down::Push { message_type, body } => {
                if let Some(recorded) = line.body["requestId"].as_str() {
                    self.request_ids.insert(recorded.to_owned(), body["requestId"].clone());
                }
                self.compare(index, line, &message_type, &body);
            }
            end @ Down::End(_) => self.note(index, format!("{line:?} != {end:?}")),
        }
    }

    async fn end(&mut self, index: usize, line: &Line) {
        let client = self.client(&line.conn).await;
        let recorded = match line.message_type.as_str() {
            "EOF" => Down::End(Some(("0".to_owned(), String::new()))),
            "StatusCode.CANCELLED close" => Down::End(Some(("1".to_owned(), "close".to_owned()))),
            other => panic!("an end of a new kind: {other}"),
        };
        let now = timeout(PATIENCE, client.next()).await;
        let same = now.as_ref() == Ok(&recorded);
        self.note(index, if same { String::new() } else { format!("{recorded:?} != {now:?}") });
    }

    /// Makes the call of the operator that leads to a push: it is recorded when it was answered,
    /// after the push.
    async fn operate(&mut self, lines: &[Line], index: usize) {
        let led_here = |line: &Line| line.dir == Dir::Http && line.body["answer"].is_string();
        let mut later = lines.iter().enumerate().skip(index);
        let found = later.find(|(_, line)| led_here(line));
        let (index, line) = found.expect("an operator has reset the connection");
        self.http(index, line).await;
    }

    async fn http(&mut self, index: usize, line: &Line) {
        let (method, path) = line.message_type.split_once(' ').expect("method and path");
        let path = path.replace("<id>", &self.connection_ids[&line.conn]);
        self.server.delay(Duration::ZERO);
        let answered = http(self.server.addr(), method, &path, "").await;
        let (status, text) = answered.expect("the server answers");
        let now = match status {
            200 => json!({ "answer": text }),
            status => json!({ "error": format!("HTTP Error {status}") }),
        };
        // After the number stands what Python calls it, sometimes.
        let recorded = match line.body["error"].as_str() {
            Some(error) => json!({ "error": error.split(':').next() }),
            None => line.body.clone(),
        };
        let same = match (recorded["answer"].as_str(), now["answer"].as_str()) {
            // Two texts, perhaps of JSON: the order of its keys means nothing.
            (Some(recorded), Some(now)) => recorded == now || parsed(recorded) == parsed(now),
            _ => recorded == now,
        };
        self.note(index, if same { String::new() } else { format!("{recorded} != {now}") });
    }

    fn compare(&mut self, index: usize, line: &Line, message_type: &str, body: &Value) {
        let (recorded, now) = (comparable(&inflated(&line.body)), comparable(body));
        let same = line.message_type == message_type && recorded == now;
        let difference = if same {
            String::new()
        } else {
            format!("{} {recorded}\n instead: {message_type} {now}", line.message_type)
        };
        self.note(index, difference);
    }

    fn note(&mut self, index: usize, difference: String) {
        self.compared.insert(index + 1);
        if !difference.is_empty() {
            self.different.insert(index + 1, difference);
        }
    }

    /// No client has got a push that was not recorded.
    async fn nothing_is_left(&mut self) {
        self.server.delay(Duration::ZERO);
        for (name, client) in &mut self.clients {
            if client.is_open() {
                let left = timeout(Duration::from_millis(1), client.next()).await;
                let left = left.ok().filter(|down| matches!(down, Down::Push { .. }));
                assert_eq!(left, None, "a push to {name} that was not recorded");
            }
        }
    }

    async fn at(&self, line: &Line) {
        sleep_until(self.begun + Duration::from_millis(line.ms)).await;
    }

    async fn client(&mut self, name: &str) -> &mut Client {
        // The recorded client, too, connected anew when its transport was gone.
        if self.clients.get(name).is_none_or(Client::is_closed) {
            let client = Client::connect(self.server.grpc_addr()).await;
            self.clients.insert(name.to_owned(), client.expect("the server listens"));
        }
        self.clients.get_mut(name).expect("it was put there")
    }
}

/// Big contents are recorded by their size; they were made of one letter.
fn inflated(body: &Value) -> Value {
    let mut body = body.clone();
    let size = body["content"]
        .as_str()
        .and_then(|text| text.strip_prefix('<')?.strip_suffix(" bytes>")?.parse().ok());
    if let Some(size) = size {
        body["content"] = Value::String("x".repeat(size));
    }
    body
}

/// A body without what is different every time, and with its sets in order.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let field = |(key, value): (&String, &Value)| {
                let value = match (key.as_str(), value) {
                    ("requestId", Value::String(id)) if id.parse::<u64>().is_ok() => json!("<id>"),
                    ("connectionId", Value::String(id)) => json!(id.split('_').count()),
                    // There, or not: a failure has 0.
                    ("lastModified" | "lastRefTime", Value::Number(n)) => json!(*n != 0.into()),
                    ("load" | "cpu", Value::String(_)) => json!("<measured>"),
                    ("content", Value::String(text)) if text.len() > 1000 => json!(text.len()),
                    _ => comparable(value),
                };
                (key.clone(), value)
            };
            Value::Object(object.iter().map(field).collect())
        }
        // Every list on this wire is a set.
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(comparable).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// How long a push may take that was recorded to come. Longer than any server stays silent.
const PATIENCE: Duration = Duration::from_secs(60);
