//! Fuzzy watches: which documents match a pattern, over the bare wire and with our client.
use std::rc::Rc;

use nacos_core::KeyChange;
use serde_json::{Value, json};

use crate::{
    capture::Capture,
    check::{Check, Observation, Theme, check},
    subject::Subject,
    trace::{group, written},
    wire::{Answer, Wire},
};

pub(crate) const THEME: Theme = Theme { title: "Fuzzy watches of documents", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("fuzzy watch, answered", answered)
        .captured(|capture| capture.answer("fuzzy watch of configs", 1).said()),
    check!("first list of a fuzzy watch", first_list).captured(|capture| {
        let pushes = capture.pushes("fuzzy watch of configs", SYNC);
        listed(pushes.iter().map(|push| &push.body))
    }),
    check!("new document, told to a fuzzy watch", new_document)
        .captured(|capture| captured_change(capture, 0)),
    check!("removed document, told to a fuzzy watch", removed_document)
        .captured(|capture| captured_change(capture, 1)),
    check!("our client: documents by pattern, then a new one and a removal", watched),
];

const SYNC: &str = "ConfigFuzzyWatchSyncRequest";
const CHANGE: &str = "ConfigFuzzyWatchChangeNotifyRequest";

async fn watch(wire: &Wire, prefix: &str) -> Answer {
    let pattern = format!("public>>{}>>{prefix}*", group());
    let body = json!({
        "groupKeyPattern": pattern, "receivedGroupKeys": [], "watchType": "WATCH",
        "initializing": true, "module": "config",
    });
    wire.ask("ConfigFuzzyWatchRequest", body).await
}

async fn answered(subject: Rc<Subject>) -> Observation {
    watch(&Wire::to(&subject).await, "fuzzy-answered").await.said()
}

async fn first_list(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.publish("fuzzy-listed", "x").await;
    if watch(&wire, "fuzzy-listed").await.code() != 200 {
        return NONE.to_owned();
    }
    let mut pushes = Vec::new();
    loop {
        let push = wire.push(SYNC).await;
        let is_end = push["syncType"] == FINISH;
        pushes.push(push);
        if is_end {
            return listed(pushes.iter());
        }
    }
}

fn listed<'a>(pushes: impl Iterator<Item = &'a Value>) -> Observation {
    let told = |push: &Value| {
        let (kind, total) = (push["syncType"].as_str().unwrap_or_default(), &push["totalBatch"]);
        let keys = push["contexts"].as_array().map_or("none", |_| "a list");
        format!("`{kind}` of {total}, keys: {keys}")
    };
    let told: Vec<_> = pushes.map(told).collect();
    if told.is_empty() { NONE.to_owned() } else { told.join("; ") }
}

async fn new_document(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    if watch(&wire, "fuzzy-new").await.code() != 200 {
        return NONE.to_owned();
    }
    while wire.push(SYNC).await["syncType"] != FINISH {}
    wire.publish("fuzzy-new", "x").await;
    changed(&wire.push(CHANGE).await)
}

async fn removed_document(subject: Rc<Subject>) -> Observation {
    let mut wire = Wire::to(&subject).await;
    wire.publish("fuzzy-removed", "x").await;
    if watch(&wire, "fuzzy-removed").await.code() != 200 {
        return NONE.to_owned();
    }
    while wire.push(SYNC).await["syncType"] != FINISH {}
    wire.remove("fuzzy-removed").await;
    changed(&wire.push(CHANGE).await)
}

fn captured_change(capture: &Capture, number: usize) -> Observation {
    let pushes = capture.pushes("fuzzy watch of configs", CHANGE);
    pushes.get(number).map_or_else(|| NONE.to_owned(), |push| changed(&push.body))
}

fn changed(push: &Value) -> Observation {
    format!("`{}`", push["changeType"].as_str().unwrap_or_default())
}

async fn watched(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    let publish = async |name| configs.publish(written(name, "x")).await.expect("published");
    publish("fuzzy-ours-1").await.visible().await.expect("it shows");
    let watch = configs.fuzzy_watch("fuzzy-ours-*").expect("valid").ready().await;
    let mut watch = match watch {
        Ok(watch) => watch,
        Err(error) => return format!("`ErrorKind::{:?}`", error.kind()),
    };
    let mut told = vec![words(&watch.changes().await.expect("a set"))];
    publish("fuzzy-ours-2").await;
    told.push(words(&watch.changes().await.expect("news")));
    configs.remove("fuzzy-ours-1").await.expect("removed");
    told.push(words(&watch.changes().await.expect("news")));
    told.join(", then ")
}

fn words(changes: &[KeyChange]) -> String {
    let added = changes.iter().filter(|it| matches!(it, KeyChange::Added(_))).count();
    format!("{added} added and {} removed", changes.len() - added)
}

const FINISH: &str = "FINISH_FUZZY_WATCH_INIT_NOTIFY";
const NONE: &str = "no fuzzy watches";
