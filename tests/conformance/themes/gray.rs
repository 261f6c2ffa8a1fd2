//! Gray versions of a document: for some addresses (beta), or for clients that carry a tag.
use std::rc::Rc;

use nacos_core::DocumentState;
use serde_json::{Value, json};

use crate::{
    check::{Check, Observation, Theme, check},
    client::setup,
    subject::Subject,
    trace::written,
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
    check!("tag that our connection has as its label", tag_of_label),
    check!("tag that our query has in its headers", tag_of_header),
    check!(
        "our client: gray tag of its `app_labels`, watched from before it has a version",
        watched_tag
    ),
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

async fn tag_of_label(subject: Rc<Subject>) -> Observation {
    let mut setup = setup();
    setup["labels"]["app_Vipserver-Tag"] = json!("blue");
    let wire = Wire::registered(subject.open.grpc_addr(), subject.token.clone(), &setup).await;
    wire.publish("tag-label", "formal").await;
    publish(&wire, "tag-label", "tag", json!({ "tag": "blue" })).await;
    eventually(async || tagged(&wire, "tag-label", "blue").await.code() == 200).await;
    version(&wire.ask("ConfigQueryRequest", document("tag-label")).await)
}

async fn tag_of_header(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("tag-header", "formal").await;
    publish(&wire, "tag-header", "tag", json!({ "tag": "blue" })).await;
    eventually(async || tagged(&wire, "tag-header", "blue").await.code() == 200).await;
    let headers = [("Vipserver-Tag", "blue")];
    version(&wire.ask_with("ConfigQueryRequest", document("tag-header"), &headers).await)
}

async fn watched_tag(subject: Rc<Subject>) -> Observation {
    let builder = subject.builder().app_labels("Vipserver-Tag=blue");
    let client = builder.connect().await.expect("the server is there");
    let configs = client.configs();
    configs.publish(written("tag-watched", "formal")).await.expect("published");
    let watch = configs.watch("tag-watched").expect("valid");
    let shown = |state: &DocumentState| state.document().map(|it| it.content.to_string());
    let mut live = watch.live();
    live.wait_for(|state| shown(state).as_deref() == Some("formal")).await.expect("a state");
    if let Err(error) = configs.publish(written("tag-watched", "tag").gray_tag("blue")).await {
        return format!("`ErrorKind::{:?}`", error.kind());
    }
    live.wait_for(|state| shown(state).as_deref() == Some("tag")).await.expect("a state");
    let state = watch.state();
    let gray = state.document().and_then(|it| it.gray().cloned());
    gray.map_or("the tag version, not marked".to_owned(), |it| {
        format!("the tag version, marked `{it}`")
    })
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
