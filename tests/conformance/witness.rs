//! The payloads behind the cells: what a real server said in each check, kept beside the captures.
//!
//! A cell says in a few words what was observed; readers who doubt it, or the test server, find
//! here what came over the wire. Written with the tables, and only then.
use std::{cell::RefCell, collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{document::write_asked_for, themes::checks};

tokio::task_local! {
    static HEARD: RefCell<Vec<Payload>>;
}

/// One message of a server.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    kind: String,
    body: Value,
}

/// Runs a check, and returns what a server said meanwhile as well.
pub(crate) async fn listening<T>(check: impl Future<Output = T>) -> (T, Vec<Payload>) {
    HEARD
        .scope(RefCell::default(), async {
            let done = check.await;
            (done, HEARD.with(RefCell::take))
        })
        .await
}

/// Keeps a message, the first of each sort: most of what is asked is asked until it changes.
pub(crate) fn heard(kind: &str, body: &Value) {
    // Outside of a check, nothing is kept.
    let _ = HEARD.try_with(|heard| {
        let sort = |kind: &str, body: &Value| {
            (kind.to_owned(), body["errorCode"].clone(), body["message"].clone())
        };
        let mut heard = heard.borrow_mut();
        let known = heard.iter().any(|it| sort(&it.kind, &it.body) == sort(kind, body));
        if !known && heard.len() < MOST {
            heard.push(Payload { kind: kind.to_owned(), body: short(body) });
        }
    });
}

/// Writes what was heard of the server with this name, if this run writes; what is known of checks
/// that did not run stays.
pub(crate) fn keep(server: &str, heard: &BTreeMap<&'static str, Vec<Payload>>) {
    if !write_asked_for() {
        return;
    }
    let path = path(server);
    let former = fs::read_to_string(&path).unwrap_or_default();
    let mut lines = Vec::new();
    for check in checks() {
        match heard.get(check.what) {
            Some(payloads) => lines.extend(payloads.iter().map(|it| it.line(check.what))),
            None => lines
                .extend(former.lines().filter(|line| is_of(line, check.what)).map(str::to_owned)),
        }
    }
    fs::write(path, lines.join("\n") + "\n").expect("the folder of the captures can be written");
}

impl Payload {
    fn line(&self, check: &str) -> String {
        json!({ "check": check, "type": self.kind, "body": self.body }).to_string()
    }
}

fn path(server: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    folder.join(format!("observed-{server}.jsonl"))
}

fn is_of(line: &str, what: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["check"] == what
}

/// The same, without secrets and without what is only large.
fn short(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > LONG => json!(format!("<{} bytes>", text.len())),
        Value::Array(all) if all.len() > FEW => {
            let mut some: Vec<Value> = all.iter().take(FEW).map(short).collect();
            some.push(json!(format!("<{} in all>", all.len())));
            Value::Array(some)
        }
        Value::Array(all) => all.iter().map(short).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let value = if name == "accessToken" { json!("<token>") } else { short(value) };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

const MOST: usize = 12;
const LONG: usize = 300;
const FEW: usize = 3;

#[test]
fn every_cell_of_a_real_server_has_its_witness() {
    for product in servers::Product::ALL {
        let server = format!("{}-{}", product.name(), product.version());
        let text = fs::read_to_string(path(&server)).expect("it stands in the repository");
        let over_the_wire = |what: &&str| !what.starts_with("our client");
        let missing: Vec<_> = checks()
            .map(|check| check.what)
            .filter(over_the_wire)
            .filter(|what| !text.lines().any(|line| is_of(line, what)))
            .collect();
        assert!(missing.is_empty(), "{server}: no witness of {missing:?}");
    }
}
