//! Listening to documents, over the bare wire and with our watches.
use std::rc::Rc;

use nacos_core::{DocumentState, Watch};
use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    subject::Subject,
    trace::written,
    wire::{Answer, Wire, document, with},
};

pub(crate) const THEME: Theme = Theme { title: "Listening to documents", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("listening to a missing document", to_nothing)
        .captured(|capture| changed(&capture.answer("config: listen to a missing document", 0))),
    check!("listening to three: changed, missing, equal", three)
        .captured(|capture| changed(&capture.answers(BATCH).pop().expect("an answer"))),
    check!("listening without any digest to what is missing", without_digest),
    check!("namespace in a notice, after a listen with a blank one", tenant_blank).captured(
        |capture| {
            let step = "config: first publish, and the notice of it";
            tenant(&capture.pushes(step, NOTICE)[0].body)
        },
    ),
    check!("namespace in a notice, after listens with a blank one and `public`", tenant_public),
    check!("the same content again", same_content).captured(|capture| {
        heard(!capture.pushes("config: the same content again", NOTICE).is_empty())
    }),
    check!("removal, heard by a listener", removal).captured(|capture| {
        heard(!capture.pushes("config: remove, and remove again", NOTICE).is_empty())
    }),
    check!("return of a removed document, heard by a listener from before", re_creation),
    check!("change after the end of listening", stopped)
        .captured(|capture| heard(!capture.pushes("config: stop listening", NOTICE).is_empty())),
    check!("our client: watch from before the first publish to a return", watch),
];

const BATCH: &str = "config: batch listen, three documents, one changed, one missing, one equal";
const NOTICE: &str = "ConfigChangeNotifyRequest";

async fn to_nothing(subject: Rc<Subject>) -> Observation {
    changed(&Wire::to(&subject).await.listen("listened-nothing", "").await)
}

async fn three(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("three-equal", "x").await;
    wire.publish("three-changed", "x").await;
    let context = |name: &str, md5: &str| with(&document(name), json!({ "md5": md5 }));
    let contexts = [
        context("three-equal", &nacos_core::digest("x")),
        context("three-changed", "stale"),
        context("three-nowhere", ""),
    ];
    let body = json!({ "listen": true, "configListenContexts": contexts });
    changed(&wire.ask("ConfigBatchListenRequest", body).await)
}

async fn without_digest(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let context = with(&document("listened-undigested"), json!({ "md5": Value::Null }));
    let body = json!({ "listen": true, "configListenContexts": [context] });
    changed(&wire.ask("ConfigBatchListenRequest", body).await)
}

fn changed(answer: &Answer) -> Observation {
    answer.granted();
    match answer.field("changedConfigs").as_array().map_or(0, Vec::len) {
        0 => "nothing has changed".to_owned(),
        1 => "one has changed".to_owned(),
        number => format!("{number} have changed"),
    }
}

async fn tenant_blank(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.listen("tenant-blank", "").await.granted();
    wire.publish("tenant-blank", "x").await;
    tenant(&wire.push(NOTICE).await)
}

async fn tenant_public(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.listen("tenant-both", "").await.granted();
    let context = json!({ "tenant": "public", "md5": "" });
    let contexts = [with(&document("tenant-both"), context)];
    let body = json!({ "listen": true, "configListenContexts": contexts });
    wire.ask("ConfigBatchListenRequest", body).await.granted();
    wire.publish("tenant-both", "x").await;
    tenant(&wire.push(NOTICE).await)
}

fn tenant(notice: &Value) -> Observation {
    match notice["tenant"].as_str() {
        Some(tenant) => format!("`\"{tenant}\"`"),
        None => "left out".to_owned(),
    }
}

async fn same_content(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.publish("same", "x").await;
    wire.listen("same", &nacos_core::digest("x")).await.granted();
    wire.ask("ConfigPublishRequest", with(&document("same"), json!({ "content": "x" })))
        .await
        .granted();
    heard_before_sentinel(&mut wire, "same").await
}

async fn removal(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.publish("removal", "x").await;
    wire.listen("removal", &nacos_core::digest("x")).await.granted();
    wire.remove("removal").await;
    heard_before_sentinel(&mut wire, "removal").await
}

async fn re_creation(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.publish("phoenix", "x").await;
    wire.listen("phoenix", &nacos_core::digest("x")).await.granted();
    wire.remove("phoenix").await;
    assert_eq!(wire.push(NOTICE).await["dataId"], "phoenix", "the removal");
    wire.publish("phoenix", "y").await;
    heard_before_sentinel(&mut wire, "phoenix").await
}

async fn stopped(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.listen("stopped", "").await.granted();
    let context = with(&document("stopped"), json!({ "md5": "" }));
    let body = json!({ "listen": false, "configListenContexts": [context] });
    wire.ask("ConfigBatchListenRequest", body).await.granted();
    wire.publish("stopped", "x").await;
    heard_before_sentinel(&mut wire, "stopped").await
}

/// Whether there is a notice of the document before that of another one, published after it.
async fn heard_before_sentinel(wire: &mut Wire, data_id: &str) -> Observation {
    let sentinel = format!("{data_id}-sentinel");
    wire.listen(&sentinel, "").await.granted();
    wire.publish(&sentinel, "x").await;
    let mut was_heard = false;
    loop {
        let notice = wire.push(NOTICE).await;
        if notice["dataId"] == sentinel.as_str() {
            return heard(was_heard);
        }
        was_heard |= notice["dataId"] == data_id;
    }
}

fn heard(was_heard: bool) -> Observation {
    if was_heard { "a notice" } else { "no notice" }.to_owned()
}

async fn watch(subject: Rc<Subject>) -> Observation {
    let (reader, writer) = (subject.client().await, subject.client().await);
    let watch = reader.configs().watch("watched").expect("valid").ready().await.expect("an answer");
    assert_eq!(*watch.state(), DocumentState::Absent);
    let publish = async |content: &str| {
        let publish = written("watched", content);
        writer.configs().publish(publish).await.expect("published");
        becomes(&watch, Some(content)).await;
    };
    publish("1").await;
    publish("2").await;
    writer.configs().remove("watched").await.expect("removed");
    becomes(&watch, None).await;
    publish("3").await;
    "absent, published, changed, absent, published".to_owned()
}

/// Waits until the watched document has this content, or is absent.
async fn becomes(watch: &Watch, content: Option<&str>) {
    let expected = |state: &DocumentState| match (state, content) {
        (DocumentState::Present(document), Some(content)) => *document.content == *content,
        (DocumentState::Absent, None) => true,
        _ => false,
    };
    watch.live().wait_for(expected).await.expect("the client lives");
}
