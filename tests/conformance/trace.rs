//! Where the suite writes, and what it has to remove again from a server that is not its own.
use std::sync::LazyLock;

use nacos_core::Publish;
use serde_json::{Value, json};
use servers::{Given, Journal, Place};

use crate::{
    http,
    subject::Subject,
    wire::{Wire, eventually, with},
};

/// The group of everything that is asked over the bare wire. That of the captures, so that a
/// message that names it is the same; on a given server, one of its own.
pub(crate) fn group() -> &'static str {
    Given::from_env().map_or(CAPTURED, Given::prefix)
}

/// The namespace of our clients: the default one; on a given server, one of their own.
pub(crate) fn namespace() -> &'static str {
    Given::from_env().map_or("", Given::prefix)
}

/// A name that no other client uses, for what a check puts elsewhere.
pub(crate) fn apart(name: &str) -> String {
    Given::from_env().map_or_else(|| name.to_owned(), |given| format!("{}-{name}", given.prefix()))
}

/// An observation, as it would be under the usual names.
pub(crate) fn usual(observed: &str) -> String {
    observed.replace(group(), CAPTURED)
}

/// A publish of one of our clients, in its own namespace or, under a name [`apart`], in the
/// default one.
pub(crate) fn written(name: &str, content: &str) -> Publish {
    for tenant in [namespace(), ""] {
        remember(tenant, "DEFAULT_GROUP", name);
    }
    Publish::new(name, content).expect("valid")
}

/// Notes what a request over the bare wire writes.
pub(crate) fn asked(kind: &str, body: &str) {
    if kind == "ConfigPublishRequest" {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        remember(text("tenant"), text("group"), text("dataId"));
    }
}

fn remember(tenant: &str, group: &str, data_id: &str) {
    if let Some(journal) = JOURNAL.as_ref() {
        let place = [tenant, group, data_id].map(str::to_owned);
        journal.note(place).expect("what is written can be noted");
    }
}

/// Of the server that is not ours, if there is one.
static JOURNAL: LazyLock<Option<Journal>> =
    LazyLock::new(|| Given::from_env().map(|given| Journal::of("conformance", given)));

/// Removes what runs before this one have left, because they were killed; returns how much there
/// was.
pub(crate) async fn remove_leftovers(subject: &Subject) -> usize {
    let mut removed = 0;
    for left in JOURNAL.as_ref().map(Journal::leftovers).unwrap_or_default() {
        removed += remove(subject, &left.prefix, &left.places).await;
        left.forget();
    }
    removed
}

/// Removes what this run has written; returns how much there was.
pub(crate) async fn remove_written(subject: &Subject) -> usize {
    let Some(journal) = JOURNAL.as_ref() else { return 0 };
    let removed = remove(subject, group(), &journal.places()).await;
    journal.forget();
    removed
}

/// Removes it, and waits until it is gone.
///
/// Services are not written: servers forget one that no client holds any more after a minute.
async fn remove(subject: &Subject, prefix: &str, written: &[Place]) -> usize {
    let wire = &Wire::to(subject).await;
    let mut removed = 0;
    for [tenant, group, data_id] in written {
        let document = json!({ "tenant": tenant, "group": group, "dataId": data_id });
        let is_there =
            async || wire.ask("ConfigQueryRequest", document.clone()).await.code() == 200;

        removed += usize::from(is_there().await);
        // Gray versions too: without the document they are not found, and still there.
        for tag in ["beta", "blue", "tag_blue"] {
            let version = with(&document, json!({ "tag": tag }));
            wire.ask("ConfigRemoveRequest", version).await;
        }
        if !subject.kind.has_v3() {
            end_beta(subject, tenant, group, data_id).await;
        }
        eventually(async || {
            wire.ask("ConfigRemoveRequest", document.clone()).await;
            !is_there().await
        })
        .await;
    }
    // Instances that outlive their connection; a check that failed may have left one.
    for (namespace, group, service, port) in [
        ("public", prefix, "op-persistent", 41),
        ("public", prefix, "op-mixed", 41),
        (prefix, "DEFAULT_GROUP", "lasting", 4242),
    ] {
        let instance = json!({
            "ip": "127.0.0.1", "port": port, "ephemeral": false, "clusterName": "DEFAULT",
        });
        let body = json!({
            "namespace": namespace, "groupName": group, "serviceName": service,
            "type": "deregisterInstance", "instance": instance,
        });
        // Refused where there is none, or where none can be.
        wire.ask("PersistentInstanceRequest", body).await;
    }
    removed
}

/// 2.x ends a beta over HTTP only, and keeps one whose document is gone. A server that has none
/// says so, and r-nacos takes it for a removal, which comes next anyway.
async fn end_beta(subject: &Subject, tenant: &str, group: &str, data_id: &str) {
    let mut parameters =
        vec![("beta", "true"), ("tenant", tenant), ("group", group), ("dataId", data_id)];
    parameters.extend(subject.token.as_deref().map(|token| ("accessToken", token)));
    http::ask(subject.open.addr(), "DELETE", "/nacos/v1/cs/configs", &parameters).await;
}

const CAPTURED: &str = "capture";

#[test]
fn whatever_a_check_publishes_is_remembered() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/themes");
    for file in std::fs::read_dir(folder).expect("the themes") {
        let path = file.expect("a theme").path();
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(!text.contains("Publish::new("), "{}: `trace::written` does it", path.display());
    }
}
