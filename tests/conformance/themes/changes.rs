//! Documents that are changed: what is published with them, conditions, when it shows, lists.
use std::rc::Rc;

use nacos_core::{Condition, Configs, Document, ErrorKind, Group, Published, Search, Visibility};
use serde_json::{Value, json};
use servers::Kind;

use crate::{
    check::{Check, Needs, Observation, Theme, check},
    http,
    subject::Subject,
    trace::{apart, group, written},
    wire::{Wire, document, eventually, with},
};

pub(crate) const THEME: Theme = Theme { title: "Changing and listing documents", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("our client: published, and waited for until it is visible", visible),
    check!("our client: publish where there is nothing, and where there is something", absent),
    check!("our client: ten updates, one after the other", updates),
    check!("our client: four clients update one document at once", rivals),
    check!("our client: byte order mark, NUL and other control characters", odd_content),
    check!("our client: beta version for another address", beta),
    check!("publish of a tag's version if unchanged, with a wrong digest", wrong_tag_digest),
    check!("application and labels, after a publish without them", kept_labels).needs(Needs::Own),
    check!("description, after a publish without it", kept_description).needs(Needs::Own),
    check!("our client: documents listed, two a page", listed),
    check!("our client: documents found by a part of their name", found),
    check!("our client: documents found by a label", labelled),
];

async fn visible(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    for content in ["1", "2", "3"] {
        let published = configs.publish(written("visible", content)).await.expect("published");
        shows(&published).await;
        let document = configs.get("visible").await.expect("an answer").expect("is there");
        assert_eq!(*document.content, *content);
    }
    "read back at once".to_owned()
}

async fn shows(published: &Published) {
    assert_eq!(published.visible().await.expect("answers"), Visibility::Visible);
}

async fn absent(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    match configs.publish(written("absent", "1").if_absent()).await {
        Ok(published) => {
            shows(&published).await;
            let again = configs.publish(written("absent", "2").if_absent()).await;
            format!("published, then `ErrorKind::{:?}`", again.expect_err("it is there").kind())
        }
        Err(error) => format!("`ErrorKind::{:?}`", error.kind()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as `update` wants it")]
fn one_more(old: Option<&Document>) -> Option<String> {
    let number: u32 = old.map_or(0, |old| old.content.parse().expect("a number"));
    Some((number + 1).to_string())
}

async fn count(configs: &Configs, name: &str) -> String {
    let document = configs.get(name).await.expect("an answer").expect("is there");
    document.content.to_string()
}

async fn updates(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    shows(&configs.publish(written("updates", "0")).await.expect("published")).await;
    let mut conditions = Vec::new();
    for _ in 0..10 {
        let updated = configs.update("updates", one_more).await.expect("updated");
        conditions.push(updated.condition);
        if conditions.len() == 10 {
            shows(&updated.published.expect("it was published")).await;
        }
    }
    conditions.dedup();
    let [condition] = conditions.as_slice() else { panic!("{conditions:?}") };
    format!("{}, condition {}", count(&configs, "updates").await, said(*condition))
}

fn said(condition: Condition) -> &'static str {
    if condition == Condition::Honoured { "honoured" } else { "unknown" }
}

async fn rivals(subject: Rc<Subject>) -> Observation {
    let first = subject.client().await;
    shows(&first.configs().publish(written("rivals", "0")).await.expect("published")).await;
    let mut clients = vec![first];
    for _ in 0..3 {
        clients.push(subject.client().await);
    }
    let updating = clients.iter().map(|client| async {
        let configs = client.configs();
        let mut condition = Condition::Unknown;
        for _ in 0..3 {
            condition = configs.update("rivals", one_more).await.expect("updated").condition;
        }
        condition
    });
    let conditions = futures_util::future::join_all(updating).await;
    if conditions.contains(&Condition::Unknown) {
        return "condition unknown".to_owned();
    }
    let configs = clients[0].configs();
    eventually(async || count(&configs, "rivals").await == "12").await;
    "none is lost".to_owned()
}

async fn odd_content(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    for odd in ["\u{feff}a: 1", "a\0b", "\u{1}\u{7f}\u{2028}\r\n"] {
        let published = configs.publish(written("odd", odd)).await.expect("published");
        shows(&published).await;
        let document = configs.get("odd").await.expect("an answer").expect("is there");
        assert_eq!(*document.content, *odd);
    }
    "as published".to_owned()
}

async fn beta(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    shows(&configs.publish(written("our-beta", "formal")).await.expect("published")).await;
    let there = ["10.9.8.7".parse().expect("an address")];
    match configs.publish(written("our-beta", "beta").beta(there)).await {
        Ok(_) => format!("read by us: the {} version", count(&configs, "our-beta").await),
        Err(error) => format!("`ErrorKind::{:?}`", error.kind()),
    }
}

async fn wrong_tag_digest(subject: Rc<Subject>) -> Observation {
    let wire = Wire::to(&subject).await;
    wire.publish("cas-tag", "formal").await;
    let tag = json!({ "additionMap": { "tag": "blue" } });
    wire.publish_as("cas-tag", with(&tag, json!({ "content": "first" }))).await;
    let second = json!({ "content": "second", "casMd5": "00000000000000000000000000000000" });
    let body = with(&with(&document("cas-tag"), tag), second);
    let said = wire.ask("ConfigPublishRequest", body).await.said();
    // A later publish shows what has become of it.
    wire.publish("cas-tag-sentinel", "x").await;
    let asked = with(&document("cas-tag"), json!({ "tag": "blue" }));
    eventually(async || wire.ask("ConfigQueryRequest", asked.clone()).await.code() == 200).await;
    let is_second = wire.ask("ConfigQueryRequest", asked).await.field("content") == "second";
    format!("{said}, {}", if is_second { "overwritten" } else { "not overwritten" })
}

async fn kept_labels(subject: Rc<Subject>) -> Observation {
    let Some(details) = details_after(&subject, "labels").await else {
        return "not shown".to_owned();
    };
    let kept = |name: &str, value: &str| if details[name] == value { "kept" } else { "lost" };
    let labels = details["configTags"].as_str().unwrap_or_default().split(',');
    let labels =
        if labels.filter(|it| matches!(*it, "a" | "b")).count() == 2 { "kept" } else { "lost" };
    format!("application {}, labels {labels}", kept("appName", "orders"))
}

async fn kept_description(subject: Rc<Subject>) -> Observation {
    let Some(details) = details_after(&subject, "described").await else {
        return "not shown".to_owned();
    };
    if details["desc"] == "limits" { "kept" } else { "lost" }.to_owned()
}

/// A document as an operator is shown it, published with everything, and then without.
async fn details_after(subject: &Subject, name: &str) -> Option<Value> {
    let wire = Wire::to(subject).await;
    let additions = json!({ "appName": "orders", "config_tags": "a,b", "desc": "limits" });
    wire.publish_as(name, json!({ "content": "1", "additionMap": additions })).await;
    wire.reads(name, "1").await;
    wire.publish(name, "2").await;
    let addr = subject.open.addr();
    let details = |reply: http::Reply| serde_json::from_str::<Value>(&reply.body).expect("JSON");
    Some(match subject.kind {
        Kind::RNacos => return None,
        Kind::Nacos3_0 | Kind::Nacos3_3 => {
            let asked = [("dataId", name), ("groupName", group()), ("namespaceId", "")];
            let reply = http::ask(addr, "GET", "/nacos/v3/admin/cs/config", &asked).await;
            details(reply)["data"].take()
        }
        _ => {
            let asked = [("show", "all"), ("dataId", name), ("group", group()), ("tenant", "")];
            details(http::ask(addr, "GET", "/nacos/v1/cs/configs", &asked).await)
        }
    })
}

/// Publishes these names in a group of their own, and waits until the last one shows.
async fn publish_all(configs: &Configs, names: &[String]) {
    for name in names {
        shows(&configs.publish(written(name, "1")).await.expect("published")).await;
    }
}

async fn listed(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    let names: Vec<_> = (1..=3).map(|n| apart(&format!("listed-{n}"))).collect();
    publish_all(&configs, &names).await;
    let (mut found, mut pages) = (Vec::new(), 0);
    let mut next = Some(Search::new().data_id_contains(apart("listed-")).page_size(2));
    while let Some(search) = next {
        let page = configs.list(search).await.expect("a page");
        assert_eq!(page.total, 3, "{page:?}");
        found.extend(page.documents.iter().map(|it| it.key.data_id().to_string()));
        (pages, next) = (pages + 1, page.next);
    }
    found.sort();
    assert_eq!(found, names);
    format!("all, on {pages} pages")
}

async fn found(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    let [one, other] = ["found-it", "found-that"].map(apart);
    publish_all(&configs, &[one.clone(), other]).await;
    let search = Search::new().group(Group::default()).data_id_contains("found-it");
    let page = configs.list(search).await.expect("a page");
    let names: Vec<_> = page.documents.iter().map(|it| it.key.data_id().as_str()).collect();
    assert_eq!(names, [one.as_str()]);
    let nothing = configs.list(Search::new().data_id_contains("never-published")).await;
    assert_eq!(nothing.expect("a page").total, 0);
    "those with it, and no others".to_owned()
}

async fn labelled(subject: Rc<Subject>) -> Observation {
    let configs = subject.client().await.configs();
    let label = apart("label");
    let publish = written("labelled", "1").tags(format!("{label},other"));
    shows(&configs.publish(publish).await.expect("published")).await;
    match configs.list(Search::new().tags(label)).await {
        Ok(page) => {
            let names: Vec<_> = page.documents.iter().map(|it| it.key.data_id().as_str()).collect();
            assert_eq!(names, ["labelled"]);
            "those with it, and no others".to_owned()
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            "`ErrorKind::Unsupported`".to_owned()
        }
    }
}
