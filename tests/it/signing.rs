//! Requests signed with an Aliyun access key (RAM): which of them, and with what.
//!
//! The expected values are computed here from the rules of those signatures, not by the client.
use std::{
    collections::{HashMap, HashSet},
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use nacos_core::{
    Client, ClientBuilder, DocumentState, Group, Instance, Namespace, Publish, Secret, ServiceKey,
    credentials::AccessKey,
};
use nacos_testkit::Server;
use sha1::Sha1;
use sha2::Sha256;
use tokio::time::{Instant, sleep_until};

use crate::support::{becomes, builder, server, soon};

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn signature(key: &str, text: &str) -> String {
    STANDARD.encode(hmac::<Hmac<Sha1>>(key.as_bytes(), text))
}

/// The key of version 4; the day is that of any moment since the test began.
fn fourth(secret: &str, day: &str) -> String {
    let mut key = format!("aliyun_v4{secret}").into_bytes();
    for part in [day, "cn-hangzhou", "mse-nacos", "aliyun_v4_request"] {
        key = hmac::<Hmac<Sha256>>(&key, part);
    }
    STANDARD.encode(key)
}

/// The headers of the last request of this type.
fn headers(server: &Server, kind: &str) -> HashMap<String, String> {
    server.last_request(kind).unwrap_or_else(|| panic!("no {kind} was sent")).headers
}

fn names(headers: &HashMap<String, String>) -> HashSet<&str> {
    headers.keys().map(String::as_str).collect()
}

/// The time within `text`, which is now.
fn assert_now(millis: &str) {
    let at = UNIX_EPOCH + Duration::from_millis(millis.parse().expect("milliseconds"));
    let age = SystemTime::now().duration_since(at).unwrap_or_default();
    assert!(age < Duration::from_secs(600), "{age:?}");
}

/// Makes each kind of request that there is, the session's own among them.
async fn ask_for_everything(builder: ClientBuilder, server: &Server) -> Client {
    let client = builder.namespace("ns").connect().await.expect("connects");
    let watch = client.configs().watch(("watched", "G")).expect("valid");
    becomes(&mut watch.live(), |state| *state == DocumentState::Absent).await;
    server.publish("ns", "G", "watched", "1");
    becomes(&mut watch.live(), |state| matches!(state, DocumentState::Present(_))).await;
    let mut guards = Vec::new();
    for port in [80, 81] {
        let guard = client.naming().register("svc", Instance::new("10.0.0.1", port));
        guards.push(guard.expect("valid").ready().await.expect("registered"));
    }
    let seen = client.naming().subscribe(("seen", "G")).expect("valid").ready().await;
    drop(seen.expect("subscribed"));
    client.naming().query("asked").await.expect("answered");
    client.naming().list(&Group::default(), 1, 10).await.expect("answered");
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    client.configs().remove("d").await.expect("removed");
    drop(guards);
    soon(server.until(|server| server.instances("ns", "DEFAULT_GROUP", "svc").is_empty())).await;
    soon(server.until(|server| server.requests("HealthCheckRequest") > 0)).await;
    client
}

/// Checks every request on the server. `key` signs, `more` stands beside each signature.
fn assert_signed(server: &Server, key: &str, more: &[(&str, &str)]) {
    let also = |headers: &HashMap<String, String>, own: [&str; 3]| {
        let expected = own.into_iter().chain(more.iter().map(|(name, _)| *name));
        assert_eq!(names(headers), expected.collect::<HashSet<_>>());
        for (name, value) in more {
            assert_eq!(headers[*name], *value);
        }
    };
    for (kind, resource) in [
        ("ConfigBatchListenRequest", ""),
        ("ConfigQueryRequest", "ns+G+"),
        ("ConfigPublishRequest", "ns+DEFAULT_GROUP+"),
        ("ConfigRemoveRequest", "ns+DEFAULT_GROUP+"),
    ] {
        let headers = headers(server, kind);
        also(&headers, ["Spas-AccessKey", "Timestamp", "Spas-Signature"]);
        assert_eq!(headers["Spas-AccessKey"], "ak");
        assert_now(&headers["Timestamp"]);
        let text = format!("{resource}{}", headers["Timestamp"]);
        assert_eq!(headers["Spas-Signature"], signature(key, &text), "{kind}");
    }
    for (kind, service) in [
        ("InstanceRequest", "@@DEFAULT_GROUP@@svc"),
        ("BatchInstanceRequest", "@@DEFAULT_GROUP@@svc"),
        ("SubscribeServiceRequest", "@@G@@seen"),
        ("ServiceQueryRequest", "@@DEFAULT_GROUP@@asked"),
        ("ServiceListRequest", ""),
    ] {
        let headers = headers(server, kind);
        also(&headers, ["ak", "data", "signature"]);
        assert_eq!(headers["ak"], "ak");
        let data = &headers["data"];
        assert_now(data.strip_suffix(service).unwrap_or_else(|| panic!("{kind}: {data}")));
        assert_eq!(headers["signature"], signature(key, data), "{kind}");
    }
    for kind in ["ServerCheckRequest", "HealthCheckRequest"] {
        assert_eq!(headers(server, kind), HashMap::new());
    }
}

#[tokio::test(start_paused = true)]
async fn first_version_signs_every_request() {
    let server = server().await;
    let builder = builder(&server).access_key("ak").secret_key("sk");
    let _client = ask_for_everything(builder, &server).await;
    assert_signed(&server, "sk", &[]);
}

#[tokio::test(start_paused = true)]
async fn fourth_version_signs_every_request_with_a_key_of_the_day_and_region() {
    let server = server().await;
    let builder = builder(&server).with_credentials(
        AccessKey::new("ak", "sk").security_token("sts").signature_region("cn-hangzhou"),
    );
    let _client = ask_for_everything(builder, &server).await;
    let millis = headers(&server, "ConfigRemoveRequest")["Timestamp"].clone();
    let more = [("Spas-SecurityToken", "sts"), ("signatureVersion", "v4")];
    assert_signed(&server, &fourth("sk", &utc_day(&millis)), &more);
}

/// `yyyyMMdd`, counted day by day. A test that runs across midnight may fail; one in many years.
fn utc_day(millis: &str) -> String {
    let mut days = millis.parse::<u64>().expect("milliseconds") / 86_400_000;
    let (mut year, mut month, mut day) = (1970, 1, 1);
    while days > 0 {
        days -= 1;
        day += 1;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day > length {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
    format!("{year:04}{month:02}{day:02}")
}

#[tokio::test(start_paused = true)]
async fn default_namespace_is_not_signed() {
    let server = server().await;
    let client = builder(&server).with_credentials(AccessKey::new("ak", "sk")).connect().await;
    let client = client.expect("connects");
    client.configs().get("d").await.expect("answered");
    let sent = headers(&server, "ConfigQueryRequest");
    let text = format!("DEFAULT_GROUP+{}", sent["Timestamp"]);
    assert_eq!(sent["Spas-Signature"], signature("sk", &text));
    let key = ServiceKey::try_from("svc").expect("valid");
    let elsewhere = key.in_namespace(Namespace::parse("other").expect("valid"));
    client.naming().query(elsewhere).await.expect("answered");
    assert!(headers(&server, "ServiceQueryRequest")["data"].ends_with("@@DEFAULT_GROUP@@svc"));
}

#[tokio::test(start_paused = true)]
async fn key_that_is_replaced_on_disk_signs_within_half_a_minute_or_after_a_refusal() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let write = |generation: &str| {
        for name in ["ak", "sk"] {
            fs::write(path(name), format!("{name}{generation}\n")).expect("written");
        }
    };
    write("1");
    let key = AccessKey::from_files(path("ak"), path("sk"));
    let client = builder(&server).with_credentials(key).connect().await.expect("connects");
    let signs = |generation: &str| {
        let sent = headers(&server, "ConfigQueryRequest");
        let text = format!("DEFAULT_GROUP+{}", sent["Timestamp"]);
        sent["Spas-AccessKey"] == format!("ak{generation}")
            && sent["Spas-Signature"] == signature(&format!("sk{generation}"), &text)
    };
    client.configs().get("d").await.expect("answered");
    assert!(signs("1"));
    write("2");
    sleep_until(Instant::now() + Duration::from_secs(30)).await;
    client.configs().get("d").await.expect("answered");
    assert!(signs("2"));
    write("3");
    server.answer_next("ConfigQueryRequest", 403);
    client.configs().get("d").await.expect("asked again");
    assert!(signs("3"));
}

#[tokio::test(start_paused = true)]
async fn secret_key_is_never_sent() {
    let server = server().await;
    let secret = Secret::new("hunter2");
    let builder = builder(&server).access_key("ak").secret_key(secret);
    assert!(!format!("{builder:?}").contains("hunter2"));
    let client = builder.connect().await.expect("connects");
    client.configs().get("d").await.expect("answered");
    let sent = headers(&server, "ConfigQueryRequest");
    assert!(sent.values().all(|value| !value.contains("hunter2")));
}
