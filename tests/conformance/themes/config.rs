//! Documents: read, published, removed, and how they are named.
use std::rc::Rc;

use nacos_core::ErrorKind;
use serde_json::json;

use crate::{
    check::{Check, Observation, Theme, check},
    subject::{Subject, connected},
    trace::{apart, group, written},
    wire::{Answer, Wire, document, eventually, with},
};

pub(crate) const THEME: Theme = Theme { title: "Documents", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("missing document", missing)
        .captured(|capture| capture.answer("config: missing", 0).said()),
    check!("our client: publish, read, remove", round_trip),
    check!("query right after a publish was answered", read_your_writes).captured(|capture| {
        let step = "config: publish, then query at once, until the new content shows";
        freshness(capture.answer(step, 1).field("content") == "v1")
    }),
    check!("empty content", empty).captured(|capture| {
        blank_said(&capture.answer(NON_ASCII, 1), &capture.answer(NON_ASCII, 3))
    }),
    check!("content of white space", white_space),
    check!("publish if unchanged, with the right digest", right_digest)
        .captured(|capture| capture.answer(CAS, 0).said()),
    check!("publish if unchanged, with a wrong digest", wrong_digest).captured(|capture| {
        cas_said(&capture.answer(CAS, 1), capture.answer(CAS, 2).field("content") == "a: 3\n")
    }),
    check!("publish if unchanged, where there is nothing", digest_of_nothing),
    check!("our client: conditional publish with the right digest", unchanged),
    check!("our client: conditional publish with a wrong digest", conflict),
    check!("type of a document published without one, which had one", kept_type).captured(
        |capture| {
            // 3.0.3 and 2.3.2 after the first conditional publish, r-nacos after the second.
            content_type(&capture.answer(CAS, 2))
        },
    ),
    check!("type that no server knows", unknown_type),
    check!("encrypted data key", data_key)
        .captured(|capture| key_said(&capture.answer("config: encrypted data key", 1))),
    check!("removal", removal).captured(|capture| capture.answer(REMOVE, 0).said()),
    check!("removal of what is not there", removal_of_nothing)
        .captured(|capture| capture.answer(REMOVE, 1).said()),
    check!("namespace spelled `public`, document in the blank one", spelled_public)
        .captured(|capture| found_said(&capture.answer("config: namespace spelled public", 0))),
    check!("namespace left blank, document in the one spelled `public`", left_blank),
    check!("namespace left out", left_out),
    check!("our client: namespaces spelled `public` and blank", our_spelling),
    check!("namespace that nobody created", unknown_namespace),
];

const CAS: &str = "config: publish with the right and the wrong md5 (CAS)";
const NON_ASCII: &str = "config: non-ASCII and empty content";
const REMOVE: &str = "config: remove, and remove again";

async fn missing(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    assert!(nacos.configs().get("never-published").await.expect("an answer").is_none());
    let wire = Wire::to(&subject).await;
    wire.ask("ConfigQueryRequest", document("never-published")).await.said()
}

async fn round_trip(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    let (configs, name, content) = (nacos.configs(), "round-trip.yaml", "a: grüße 你好 🦀");
    configs.publish(written(name, content)).await.expect("published");
    eventually(async || configs.get(name).await.expect("an answer").is_some()).await;
    let document = configs.get(name).await.expect("an answer").expect("is there");
    assert_eq!(*document.content, *content);
    assert_eq!(*document.md5, nacos_core::digest(content));
    configs.remove(name).await.expect("removed");
    eventually(async || configs.get(name).await.expect("an answer").is_none()).await;
    configs.remove(name).await.expect("removing nothing succeeds");
    format!("as published, type `{}`", document.content_type)
}

async fn read_your_writes(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let mut fresh = true;
    // One of five: on a busy machine, the query may come after the dump.
    for number in 0..5 {
        let name = format!("fresh-{number}");
        wire.publish_as(&name, json!({ "content": "v1" })).await;
        fresh &= wire.ask("ConfigQueryRequest", document(&name)).await.field("content") == "v1";
        wire.reads(&name, "v1").await;
    }
    freshness(fresh)
}

fn freshness(fresh: bool) -> Observation {
    if fresh { "the new content" } else { "the old content, for a while" }.to_owned()
}

async fn empty(subject: Rc<Subject>) -> Observation {
    blank(subject, "empty", "").await
}

async fn white_space(subject: Rc<Subject>) -> Observation {
    blank(subject, "white", " \n").await
}

async fn blank(subject: Rc<Subject>, name: &'static str, content: &'static str) -> Observation {
    let wire = Wire::to(&subject).await;
    let body = with(&document(name), json!({ "content": content }));
    let published = wire.ask("ConfigPublishRequest", body).await;
    blank_said(&published, &wire.ask("ConfigQueryRequest", document(name)).await)
}

fn blank_said(published: &Answer, query: &Answer) -> Observation {
    let found = if query.code() == 200 { "stored" } else { "not stored" };
    format!("{}, {found}", published.said())
}

async fn right_digest(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("cas-right", "a: 1\n").await;
    let body = json!({ "content": "a: 2\n", "casMd5": nacos_core::digest("a: 1\n") });
    wire.ask("ConfigPublishRequest", with(&document("cas-right"), body)).await.said()
}

async fn wrong_digest(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("cas-wrong", "a: 2\n").await;
    let body = json!({ "content": "a: 3\n", "casMd5": "00000000000000000000000000000000" });
    let said = wire.ask("ConfigPublishRequest", with(&document("cas-wrong"), body)).await;
    // A later publish shows what has become of it.
    wire.publish("cas-wrong-sentinel", "x").await;
    let now = wire.ask("ConfigQueryRequest", document("cas-wrong")).await;
    cas_said(&said, now.field("content") == "a: 3\n")
}

fn cas_said(answer: &Answer, overwritten: bool) -> Observation {
    format!("{}, {}", answer.said(), if overwritten { "overwritten" } else { "not overwritten" })
}

async fn digest_of_nothing(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let body = json!({ "content": "x", "casMd5": "00000000000000000000000000000000" });
    wire.ask("ConfigPublishRequest", with(&document("cas-nothing"), body)).await.said()
}

async fn unchanged(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    let (configs, name) = (nacos.configs(), "unchanged");
    let content = async || configs.get(name).await.expect("an answer").map(|it| it.content);
    configs.publish(written(name, "1")).await.expect("published");
    eventually(async || content().await.is_some()).await;
    let known = configs.get(name).await.expect("an answer").expect("is there");
    let publish = written(name, "2").if_unchanged(&known);
    configs.publish(publish).await.expect("nobody has changed it");
    eventually(async || content().await.as_deref() == Some("2")).await;
    "published".to_owned()
}

async fn conflict(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    let configs = nacos.configs();
    configs.publish(written("conflict", "1")).await.expect("published");
    eventually(async || configs.get("conflict").await.expect("an answer").is_some()).await;
    let mut stale = configs.get("conflict").await.expect("an answer").expect("is there");
    stale.md5 = nacos_core::digest("something else").into();
    let publish = written("conflict", "2").if_unchanged(&stale);
    match configs.publish(publish).await {
        Ok(_) => "published: the condition is ignored".to_owned(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
            "`ErrorKind::Conflict`".to_owned()
        }
    }
}

async fn kept_type(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let fields = json!({ "content": "a: 1\n", "additionMap": { "type": "yaml" } });
    wire.publish_as("typed", fields).await;
    wire.reads("typed", "a: 1\n").await;
    wire.publish("typed", "a: 2\n").await;
    content_type(&wire.ask("ConfigQueryRequest", document("typed")).await)
}

async fn unknown_type(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish_as("poetry", json!({ "content": "x", "additionMap": { "type": "poetry" } })).await;
    wire.reads("poetry", "x").await;
    content_type(&wire.ask("ConfigQueryRequest", document("poetry")).await)
}

fn content_type(answer: &Answer) -> Observation {
    format!("`{}`", answer.field("contentType").as_str().unwrap_or("none"))
}

async fn data_key(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let addition = json!({ "encryptedDataKey": "thekey" });
    let fields = json!({ "content": "cipher", "additionMap": addition });
    wire.publish_as("cipher-aes-key", fields).await;
    wire.reads("cipher-aes-key", "cipher").await;
    key_said(&wire.ask("ConfigQueryRequest", document("cipher-aes-key")).await)
}

fn key_said(answer: &Answer) -> Observation {
    let kept = answer.field("encryptedDataKey") == "thekey";
    if kept { "kept" } else { "lost: the content cannot be read again" }.to_owned()
}

async fn removal(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("removed", "x").await;
    let said = wire.ask("ConfigRemoveRequest", document("removed")).await.said();
    eventually(async || wire.ask("ConfigQueryRequest", document("removed")).await.code() == 300)
        .await;
    said
}

async fn removal_of_nothing(subject: Rc<Subject>) -> Observation {
    Wire::to(&subject).await.ask("ConfigRemoveRequest", document("never-published")).await.said()
}

async fn spelled_public(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("spelled", "x").await;
    let spelled = with(&document("spelled"), json!({ "tenant": "public" }));
    found_said(&wire.ask("ConfigQueryRequest", spelled).await)
}

async fn left_blank(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let spelled = with(&document("left-blank"), json!({ "tenant": "public" }));
    let content = json!({ "content": "x" });
    wire.ask("ConfigPublishRequest", with(&spelled, content)).await.granted();
    eventually(async || wire.ask("ConfigQueryRequest", spelled.clone()).await.code() == 200).await;
    found_said(&wire.ask("ConfigQueryRequest", document("left-blank")).await)
}

async fn left_out(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("left-out", "x").await;
    let without = json!({ "dataId": "left-out", "group": group() });
    let answer = wire.ask("ConfigQueryRequest", without).await;
    match answer.code() {
        200 | 300 => found_said(&answer),
        // Where in our own request it is missing says nothing about the server.
        _ => match answer.said().split_once(" at line ") {
            Some((said, _)) => format!("{said}\""),
            None => answer.said(),
        },
    }
}

fn found_said(answer: &Answer) -> Observation {
    if answer.code() == 200 { "the same document" } else { "another place: not found" }.to_owned()
}

async fn our_spelling(subject: Rc<Subject>) -> Observation {
    let writer = connected(subject.builder().namespace("public")).await;
    let reader = connected(subject.builder().namespace("")).await;
    let name = apart("ours");
    writer.configs().publish(written(&name, "x")).await.expect("published");
    eventually(async || reader.configs().get(name.as_str()).await.expect("an answer").is_some())
        .await;
    "one place".to_owned()
}

async fn unknown_namespace(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let body = json!({ "dataId": "d", "group": group(), "tenant": apart("nobody-made-it") });
    let published = wire.ask("ConfigPublishRequest", with(&body, json!({ "content": "x" }))).await;
    if published.code() == 200 {
        eventually(async || {
            wire.ask("ConfigQueryRequest", body.clone()).await.field("content") == "x"
        })
        .await;
    }
    published.said()
}
