//! Gray versions of a document: for some addresses (beta), or for clients that carry a tag.
use std::rc::Rc;

use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    subject::Subject,
    wire::{Answer, Wire, document, eventually, with},
};

pub(crate) const THEME: Theme = Theme { title: "Gray versions", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("beta for our address, read by us", beta)
        .captured(|capture| version(&capture.answer("config: beta", 1))),
    check!("beta for another address, read by us", beta_for_others),
    check!("removal of the document, while there is a beta for us", beta_without_formal).captured(
        |capture| {
            let step = "config: remove, and remove again";
            version(&capture.answers(step).pop().expect("an answer"))
        },
    ),
    check!("tag that has a version, asked for by name", tag),
    check!("tag that has no version, asked for by name", missing_tag),
    check!("tag asked for by name, while there is a beta for us", tag_and_beta)
        .captured(|capture| version(&capture.answer("config: tag", 1))),
];

async fn beta(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("beta", "formal").await;
    publish(&wire, "beta", "beta", json!({ "betaIps": "127.0.0.1" })).await;
    eventually(async || content(&wire, "beta").await == "beta").await;
    version(&wire.ask("ConfigQueryRequest", document("beta")).await)
}

async fn beta_for_others(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("beta-others", "formal").await;
    publish(&wire, "beta-others", "beta", json!({ "betaIps": "10.9.8.7" })).await;
    wire.publish("beta-others-sentinel", "x").await;
    version(&wire.ask("ConfigQueryRequest", document("beta-others")).await)
}

async fn beta_without_formal(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("beta-alone", "formal").await;
    publish(&wire, "beta-alone", "beta", json!({ "betaIps": "127.0.0.1" })).await;
    eventually(async || content(&wire, "beta-alone").await == "beta").await;
    wire.ask("ConfigRemoveRequest", document("beta-alone")).await.granted();
    wire.publish("beta-alone-sentinel", "x").await;
    version(&wire.ask("ConfigQueryRequest", document("beta-alone")).await)
}

async fn tag(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("tag", "formal").await;
    publish(&wire, "tag", "tag", json!({ "tag": "blue" })).await;
    eventually(async || tagged(&wire, "tag", "blue").await.code() == 200).await;
    version(&tagged(&wire, "tag", "blue").await)
}

async fn missing_tag(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("tag-missing", "formal").await;
    version(&tagged(&wire, "tag-missing", "red").await)
}

async fn tag_and_beta(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("tag-beta", "formal").await;
    publish(&wire, "tag-beta", "beta", json!({ "betaIps": "127.0.0.1" })).await;
    publish(&wire, "tag-beta", "tag", json!({ "tag": "blue" })).await;
    // The beta version may be shown already, or still: the tag has to be there too.
    wire.publish("tag-beta-sentinel", "x").await;
    eventually(async || tagged(&wire, "tag-beta", "blue").await.code() == 200).await;
    version(&tagged(&wire, "tag-beta", "blue").await)
}

async fn publish(wire: &Wire, data_id: &str, content: &str, addition: Value) {
    wire.publish_as(data_id, json!({ "content": content, "additionMap": addition })).await;
}

async fn tagged(wire: &Wire, data_id: &str, tag: &str) -> Answer {
    wire.ask("ConfigQueryRequest", with(&document(data_id), json!({ "tag": tag }))).await
}

async fn content(wire: &Wire, data_id: &str) -> Value {
    wire.ask("ConfigQueryRequest", document(data_id)).await.field("content")
}

/// Which version came, and whether the answer says so.
fn version(answer: &Answer) -> Observation {
    if answer.code() != 200 {
        return answer.said();
    }
    let content = answer.field("content");
    let content = content.as_str().unwrap_or_default().trim_start_matches("a: ").trim_end();
    let beta = if answer.field("beta") == true { ", says `beta`" } else { "" };
    let tag = answer.field("tag");
    let tag = tag.as_str().map_or(String::new(), |tag| format!(", says tag `{tag}`"));
    format!("the {content} version{beta}{tag}")
}
