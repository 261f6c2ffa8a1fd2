//! Recorded messages from and to real servers, against those that this module reads and writes.
//!
//! `tests/fixtures/wire` holds every payload of one scripted session with each of three servers.
use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{
    Answer, ErrorResponse, Failure, Payload, Request,
    config::{
        ConfigBatchListenRequest, ConfigChangeBatchListenResponse, ConfigPublishRequest,
        ConfigPublishResponse, ConfigQueryRequest, ConfigQueryResponse, ConfigRemoveRequest,
        ConfigRemoveResponse,
    },
    connection::{
        ConnectionSetupRequest, HealthCheckRequest, HealthCheckResponse, ServerCheckRequest,
        ServerCheckResponse,
    },
    decode,
    fuzzy::{
        ConfigFuzzyWatchRequest, ConfigFuzzyWatchResponse, NamingFuzzyWatchRequest,
        NamingFuzzyWatchResponse, WatchType,
    },
    naming::{
        BatchInstanceRequest, BatchInstanceResponse, InstanceRequest, InstanceResponse,
        PersistentInstanceRequest, QueryServiceResponse, ServiceListRequest, ServiceListResponse,
        ServiceQueryRequest, SubscribeServiceRequest, SubscribeServiceResponse,
    },
    push::{self, Push},
};
use crate::{
    instance::Instance,
    key::{ConfigKey, ConfigPattern, ServiceKey},
    labels::Labels,
};

const CAPTURES: [&str; 3] = ["nacos-2.3.2", "nacos-3.0.3", "r-nacos-0.8.8"];

/// One line of a capture.
struct Line {
    place: String,
    dir: String,
    kind: String,
    body: Value,
}

#[test]
fn every_answer_of_every_capture_is_read() {
    let mut read = 0;
    for line in lines().filter(|line| line.dir == "response") {
        let payload = payload(&line);
        let outcome = match line.kind.as_str() {
            "ConfigChangeBatchListenResponse" => {
                outcome::<ConfigChangeBatchListenResponse>(&payload)
            }
            "ConfigFuzzyWatchResponse" => outcome::<ConfigFuzzyWatchResponse>(&payload),
            "ConfigPublishResponse" => outcome::<ConfigPublishResponse>(&payload),
            "ConfigQueryResponse" => outcome::<ConfigQueryResponse>(&payload),
            "ConfigRemoveResponse" => outcome::<ConfigRemoveResponse>(&payload),
            "BatchInstanceResponse" => outcome::<BatchInstanceResponse>(&payload),
            // An error stands in place of any answer; which one does not matter.
            "HealthCheckResponse" | "ErrorResponse" => outcome::<HealthCheckResponse>(&payload),
            "InstanceResponse" => outcome::<InstanceResponse>(&payload),
            "NamingFuzzyWatchResponse" => outcome::<NamingFuzzyWatchResponse>(&payload),
            "QueryServiceResponse" => outcome::<QueryServiceResponse>(&payload),
            "ServerCheckResponse" => outcome::<ServerCheckResponse>(&payload),
            "ServiceListResponse" => outcome::<ServiceListResponse>(&payload),
            "SubscribeServiceResponse" => outcome::<SubscribeServiceResponse>(&payload),
            // 2.3.2 answers a request that only servers may send.
            "ServerLoaderInfoResponse" => continue,
            other => panic!("{}: the answer {other} has no type", line.place),
        };
        let expected =
            i32::try_from(line.body["resultCode"].as_i64().expect("a code")).expect("small");
        match outcome {
            Ok(()) => assert_eq!(expected, 200, "{}", line.place),
            Err(Failure::Answered(_)) => assert_ne!(expected, 200, "{}", line.place),
            Err(failure) => panic!("{}: {failure}", line.place),
        }
        read += 1;
    }
    assert!(read > 250, "only {read} answers were read");
}

#[test]
fn every_push_of_every_capture_is_read_and_acknowledged_as_it_was() {
    let mut pushes = 0;
    for capture in CAPTURES {
        let lines = capture_lines(capture);
        for line in lines.iter().filter(|line| line.dir == "push") {
            let payload = payload(line);
            let push =
                push::read(&payload).unwrap_or_else(|failure| panic!("{}: {failure}", line.place));
            assert!(!matches!(push, Push::Unknown), "{}: {} is unknown", line.place, line.kind);
            if let Push::Service { info, .. } = push {
                info.check().unwrap_or_else(|failure| panic!("{}: {failure}", line.place));
            }
            pushes += 1;
            let Some(id) = line.body["requestId"].as_str() else {
                assert_eq!(push::acknowledge(&payload), None, "{}", line.place);
                continue;
            };
            let ack =
                push::acknowledge(&payload).unwrap_or_else(|| panic!("{}: no ack", line.place));
            let captured = lines
                .iter()
                .find(|line| line.dir == "ack" && line.body["requestId"].as_str() == Some(id));
            if let Some(captured) = captured {
                assert_eq!(ack.kind(), captured.kind, "{}", line.place);
                let body: Value = serde_json::from_slice(ack.json()).expect("our own JSON");
                assert_eq!(body, captured.body, "{}", line.place);
            }
        }
    }
    assert!(pushes > 60, "only {pushes} pushes were read");
}

/// Every field that we send was sent in the capture, with a value of the same kind, in at least one
/// request of that type: what the three servers took from the capture, they take from us.
#[test]
fn what_we_send_has_the_form_of_what_the_servers_took() {
    let key = ConfigKey::try_from(("doc", "capture"))
        .expect("valid")
        .resolve(&"".parse().expect("valid"));
    let service = ServiceKey::try_from(("svc", "capture"))
        .expect("valid")
        .resolve(&"".parse().expect("valid"));
    let instance = Instance::new("127.0.0.1", 80).with_metadata("k", "v");
    let mut publish = ConfigPublishRequest::new(&key, "a: 1\n");
    publish.cas_md5 = Some("0");
    publish.addition_map.insert("type", "yaml");
    let pattern = ConfigPattern::try_from(("*", "capture")).expect("valid");
    let fuzzy_config = ConfigFuzzyWatchRequest::watch(&pattern, [], true);
    let fuzzy_naming = NamingFuzzyWatchRequest {
        namespace: "public",
        group_key_pattern: "public>>capture>>*",
        received_group_keys: vec![],
        watch_type: WatchType::CancelWatch,
        initializing: false,
        module: "naming",
    };
    let labels = Labels::default();
    let ours = [
        ServerCheckRequest::new().payload(),
        ConnectionSetupRequest::new("", "orders", &labels).payload(),
        HealthCheckRequest::new().payload(),
        ConfigQueryRequest::new(&key).payload(),
        publish.payload(),
        ConfigRemoveRequest::new(&key).payload(),
        ConfigBatchListenRequest::listen([(&key, "")]).payload(),
        ConfigBatchListenRequest::unlisten([&key]).payload(),
        InstanceRequest::register(&service, &instance).payload(),
        InstanceRequest::deregister(&service, &instance).payload(),
        BatchInstanceRequest::new(&service, [&instance]).payload(),
        PersistentInstanceRequest::register(&service, &instance).payload(),
        PersistentInstanceRequest::deregister(&service, &instance).payload(),
        SubscribeServiceRequest::new(&service, true).payload(),
        ServiceQueryRequest::new(&service).payload(),
        ServiceListRequest::new("public", "capture", 1, 10).payload(),
        fuzzy_config.payload(),
        fuzzy_naming.payload(),
    ];
    let captured: Vec<Line> =
        lines().filter(|line| line.dir == "request" || line.dir == "stream").collect();
    for payload in ours {
        let body: Value = serde_json::from_slice(payload.json()).expect("our own JSON");
        let mut fields = BTreeSet::new();
        let same_type = captured.iter().filter(|line| line.kind == payload.kind());
        same_type.for_each(|line| collect_fields("", &line.body, &mut fields));
        assert!(!fields.is_empty(), "no capture has a {}", payload.kind());
        let mut sent = BTreeSet::new();
        collect_fields("", &body, &mut sent);
        for field in sent {
            // Labels and `module` are ours to choose; every server takes any.
            let free = field.starts_with(".labels") || field.starts_with(".module");
            assert!(free || fields.contains(&field), "{}: {field} was never taken", payload.kind());
        }
    }
}

#[test]
fn a_payload_survives_its_own_encoding() {
    use prost::Message;

    for line in lines() {
        let payload = payload(&line);
        let decoded = Payload::decode(payload.encode_to_vec().as_slice()).expect("our own bytes");
        assert_eq!(decoded, payload, "{}", line.place);
    }
}

fn outcome<A: Answer>(payload: &Payload) -> Result<(), Failure> {
    decode::<A>(payload).map(drop)
}

fn payload(line: &Line) -> Payload {
    assert!(!ErrorResponse::TYPE.is_empty());
    Payload::new(&line.kind, serde_json::to_vec(&line.body).expect("JSON"))
}

/// `.path:kind` of every field; the elements of a list have one path.
fn collect_fields(path: &str, value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            // Keys of free maps are data, not fields.
            let free = [
                ".metadata",
                ".abilityTable",
                ".headers",
                ".instance.metadata",
                ".instances.metadata",
            ];
            if free.contains(&path) {
                fields.insert(format!("{path}:map"));
                return;
            }
            for (key, value) in map {
                collect_fields(&format!("{path}.{key}"), value, fields);
            }
        }
        Value::Array(values) => {
            fields.insert(format!("{path}:list"));
            for value in values {
                collect_fields(path, value, fields);
            }
        }
        Value::String(_) => drop(fields.insert(format!("{path}:text"))),
        Value::Number(_) => drop(fields.insert(format!("{path}:number"))),
        Value::Bool(_) => drop(fields.insert(format!("{path}:flag"))),
        Value::Null => {}
    }
}

fn lines() -> impl Iterator<Item = Line> {
    CAPTURES.into_iter().flat_map(capture_lines)
}

fn capture_lines(capture: &str) -> Vec<Line> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wire");
    let text = fs::read_to_string(folder.join(format!("{capture}.jsonl"))).expect("a capture");
    let parsed = text.lines().enumerate().map(|(number, line)| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Line {
            place: format!("{capture}:{}", number + 1),
            dir: text("dir"),
            kind: text("type"),
            body: line["body"].clone(),
        }
    });
    parsed.collect()
}
