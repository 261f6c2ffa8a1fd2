//! Much at once: many documents, and large ones.
use std::rc::Rc;

use nacos_core::{ClaimState, DocumentState};
use serde_json::json;

use crate::{
    check::{Check, Observation, Theme, check},
    subject::{Subject, connected},
    trace::written,
    wire::{Answer, Wire, document, eventually, with},
};

pub(crate) const THEME: Theme = Theme { title: "Many and large", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("one request that listens to 3 001 documents", one_request),
    check!("our client: 3 001 documents watched", watched).alone(),
    check!("document of 1 MiB", one_mebibyte).captured(|capture| capture.answer(SIZES, 0).said()),
    check!("document of 5 MiB", five_mebibytes).captured(|capture| capture.answer(SIZES, 1).said()),
    check!("document of 12 MiB", twelve_mebibytes)
        .alone()
        .captured(|capture| capture.answer(SIZES, 2).said()),
    check!("our client: document of 1 MiB, watched", ours_watched),
    check!("our client: document of 12 MiB", ours).alone(),
    check!("our client: document of 12 MiB, without a larger `max_publish`", ours_over_limit),
];

const SIZES: &str = "config: sizes";

async fn one_request(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    let contexts: Vec<_> = (0..3001)
        .map(|n| with(&document(&format!("many-{n}")), json!({ "md5": "stale" })))
        .collect();
    let body = json!({ "listen": true, "configListenContexts": contexts });
    let answer = wire.ask("ConfigBatchListenRequest", body).await;
    let changed = answer.field("changedConfigs").as_array().map_or(0, Vec::len);
    format!("{}, {changed} have changed", answer.said())
}

async fn watched(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    let name = |n: usize| format!("watched-{n}");
    let watches: Vec<_> =
        (0..3001).map(|n| nacos.configs().watch(name(n).as_str()).expect("valid")).collect();
    for watch in &watches {
        let mut claim = watch.claim();
        claim.wait_for(|state| *state == ClaimState::Held).await.expect("listened to");
    }
    for n in [0, 1500, 3000] {
        let publish = written(&name(n), &name(n));
        nacos.configs().publish(publish).await.expect("published");
        let is_there = |state: &DocumentState| {
            state.document().is_some_and(|document| *document.content == *name(n))
        };
        watches[n].live().wait_for(is_there).await.expect("the client lives");
    }
    assert_eq!(nacos.stats().get().connects, 1, "one connection carries them all");
    "each change is seen".to_owned()
}

async fn one_mebibyte(subject: Rc<Subject>) -> Observation {
    sized(subject, 1).await
}

async fn five_mebibytes(subject: Rc<Subject>) -> Observation {
    sized(subject, 5).await
}

async fn twelve_mebibytes(subject: Rc<Subject>) -> Observation {
    sized(subject, 12).await
}

async fn sized(subject: Rc<Subject>, mebibytes: usize) -> Observation {
    let wire = Wire::to(&subject).await;
    let name = format!("size-{mebibytes}");
    let content = "x".repeat(mebibytes * 1024 * 1024);
    let body = with(&document(&name), json!({ "content": content }));
    let answer: Answer = wire.ask("ConfigPublishRequest", body).await;
    if answer.code() == 200 {
        wire.reads(&name, &content).await;
    }
    // In any case, the connection is as good as before.
    wire.ask("HealthCheckRequest", json!({})).await.granted();
    answer.said()
}

async fn ours_watched(subject: Rc<Subject>) -> Observation {
    let (reader, writer) = (subject.client().await, subject.client().await);
    let watch = reader.configs().watch("large").expect("valid").ready().await.expect("an answer");
    for filling in ["x", "y"] {
        let large = filling.repeat(1024 * 1024);
        let publish = written("large", large.as_str());
        writer.configs().publish(publish).await.expect("published");
        let whole = |state: &DocumentState| {
            state.document().is_some_and(|document| *document.content == *large)
        };
        watch.live().wait_for(whole).await.expect("the client lives");
    }
    assert_eq!(reader.stats().get().connects, 1, "the session lives");
    "each version is seen whole".to_owned()
}

async fn ours_over_limit(subject: Rc<Subject>) -> Observation {
    let nacos = subject.client().await;
    let huge = "x".repeat(12 * 1024 * 1024);
    let refused = nacos.configs().publish(written("over-limit", huge.as_str())).await;
    let kind = refused.expect_err("nothing is sent").kind();
    assert!(nacos.configs().get("over-limit").await.expect("an answer").is_none());
    format!("`ErrorKind::{kind:?}`")
}

async fn ours(subject: Rc<Subject>) -> Observation {
    let nacos = connected(subject.builder().max_publish(64 * 1024 * 1024)).await;
    let huge = "x".repeat(12 * 1024 * 1024);
    let published = nacos.configs().publish(written("huge", huge.as_str())).await;
    let observed = match published {
        Ok(_) => {
            let length = async || {
                let document = nacos.configs().get("huge").await.expect("an answer");
                document.map_or(0, |document| document.content.len())
            };
            eventually(async || length().await == huge.len()).await;
            "stored, and read back".to_owned()
        }
        Err(error) => format!("`ErrorKind::{:?}`", error.kind()),
    };
    assert_eq!(nacos.stats().get().connects, 1, "the session lives");
    observed
}
